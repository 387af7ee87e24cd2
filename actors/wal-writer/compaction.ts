// Makes a log short again: a checkpoint from which its old segments follow is made durable, what is unsettled in them is
// written again, and then they are dropped. Called by the wal-writer actor, and by `quorate wal compact` on a stopped node.
// It must never drop a record that a restart needs, nor one whose copy is not durable yet.
import { encodeCarried, type LogRecord, RecordType } from '../../protocol/wal-record.js';
import type { Entries, Place } from './entries.js';
import type { Log } from './log.js';
import type { LogSegment } from './reader.js';

/** What a restart needs of the log beside its unsettled entries. */
export interface CompactionNeeds {
  /** Records from which the rest follows, made durable first. May be empty when the log has them already. */
  readonly checkpoint: readonly LogRecord[];
  /** Nothing at or above this position goes. Null: nothing at or above the checkpoint. */
  readonly keepFrom: number | null;
  /** Inbox entries that stay readable although they may be settled. */
  readonly pins: readonly number[];
}

export interface Retention {
  /** So much of the newest log stays, needed or not. */
  readonly minBytes: number;
  /** No segment that was written in this time goes. */
  readonly minAgeMs: number;
  readonly nowMs: number;
}

export interface CompactionReport {
  readonly segments: number;
  readonly bytes: number;
  /** Unsettled entries that were written again. */
  readonly carried: number;
  /** First position that the log has now. */
  readonly firstLsn: number;
  /** From these records on a restart rebuilds what is held now; null when no checkpoint was written. */
  readonly replayFrom: number | null;
}

/** Carried in one run at most: the thread stands still meanwhile. */
const CARRIED_BYTES_MAX = 4 * 1024 * 1024;
/** As an inbox batch (DECISIONS 12). */
const CARRIED_BATCH_BYTES = 256 * 1024;

/** How many segments age and size let go, whatever is in them. The newest never goes. */
export function droppable(segments: readonly Readonly<LogSegment>[], { minBytes, minAgeMs, nowMs }: Retention): number {
  let rest = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let count = 0;
  for (const { sizeBytes, sealedAtMs } of segments.slice(0, -1)) {
    rest -= sizeBytes;
    if (rest < minBytes || nowMs - sealedAtMs < minAgeMs) break;
    count += 1;
  }
  return count;
}

/**
 * Throws LogFull (nothing was dropped) or LogFailure. With nothing to gain the checkpoint is not written either, unless
 * `always`.
 */
export function compactLog(
  log: Log,
  entries: Entries,
  needs: CompactionNeeds,
  retention: Retention,
  always = false,
): CompactionReport {
  const none = { segments: 0, bytes: 0, carried: 0, firstLsn: log.segments[0]!.firstLsn, replayFrom: null };
  const old = droppable(log.segments, retention);
  if (old === 0 && !always) return none;
  const checkpointLsn = log.append(needs.checkpoint);
  const replayFrom = Math.min(needs.keepFrom ?? checkpointLsn, checkpointLsn);
  const bound = lowest(entries, needs, checkpointLsn);
  const candidates = log.segments.slice(0, old).filter(({ nextLsn }) => nextLsn <= bound);
  const { count, carried } = choose(log, candidates, entries.places());
  if (count === 0) return { ...none, replayFrom };
  const first = log.segments[count]!;
  carry(log, entries, carried);
  const dropped = log.dropBefore(first.seq);
  entries.forgetBefore(first.firstLsn);
  return { ...dropped, carried: carried.length, firstLsn: first.firstLsn, replayFrom };
}

function lowest(entries: Entries, { keepFrom, pins }: CompactionNeeds, checkpointLsn: number): number {
  let bound = Math.min(keepFrom ?? checkpointLsn, checkpointLsn);
  for (const lsn of pins) if (!entries.isUnsettled(lsn)) bound = Math.min(bound, entries.placeOf(lsn));
  return bound;
}

interface Carried {
  readonly lsn: number;
  readonly record: LogRecord;
}

/**
 * The most segments that can go while what has to be carried out of them is at most half of what they free: else
 * compaction would copy the same entries round and round.
 */
function choose(
  log: Log,
  candidates: readonly Readonly<LogSegment>[],
  places: readonly Place[],
): { readonly count: number; readonly carried: readonly Carried[] } {
  const found: Carried[] = [];
  let count = 0;
  let within = 0;
  let next = 0;
  let carriedBytes = 0;
  let freedBytes = 0;
  for (const [index, { nextLsn, sizeBytes }] of candidates.entries()) {
    freedBytes += sizeBytes;
    const here: Place[] = [];
    for (; next < places.length && places[next]!.at < nextLsn; next += 1) here.push(places[next]!);
    // A record takes 13 bytes at the least: with more than this there is no need to read them.
    if (carriedBytes + 13 * here.length > CARRIED_BYTES_MAX) break;
    const records = log.fetch(here.map(({ at }) => at));
    for (const { lsn, at } of here) {
      const { type, data } = records.get(at)!;
      const record =
        type === RecordType.carried
          ? { type, data }
          : { type: RecordType.carried, data: encodeCarried({ lsn, inbox: data }) };
      carriedBytes += record.data.length;
      found.push({ lsn, record });
    }
    if (carriedBytes > CARRIED_BYTES_MAX) break;
    if (2 * carriedBytes > freedBytes) continue;
    count = index + 1;
    within = found.length;
  }
  return { count, carried: found.slice(0, within) };
}

function carry(log: Log, entries: Entries, carried: readonly Carried[]): void {
  const batchBytes = Math.min(CARRIED_BATCH_BYTES, log.segments.at(-1)!.sizeBytes / 4);
  for (let from = 0; from < carried.length; ) {
    let to = from;
    let sizeBytes = 0;
    while (to < carried.length && (to === from || sizeBytes + carried[to]!.record.data.length <= batchBytes)) {
      sizeBytes += carried[to]!.record.data.length;
      to += 1;
    }
    const batch = carried.slice(from, to);
    const firstLsn = log.append(batch.map(({ record }) => record));
    for (const [index, { lsn }] of batch.entries()) entries.moved(lsn, firstLsn + index);
    from = to;
  }
}
