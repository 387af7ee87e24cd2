// What one simulated node writes down and what that releases: the production log under group commit, acknowledged votes and
// bodies, checkpoints that let old segments go. Owned by the node model. It must never release an effect before the records
// of its step, and all earlier ones, are durable (CONSENSUS.md 1.7).
import type { Effect, Output } from '../../../protocol/consensus/effect.js';
import { encodeJournal, type JournalRecord } from '../../../protocol/consensus/journal.js';
import { type LogRecord, RecordType } from '../../../protocol/wal-record.js';
import { type Body, encodeBody, short } from './body.js';
import { BATCH_BYTES_MAX, type Ending, type NodeDisk } from './node-disk.js';

/** The node as its journal sees it. */
export interface JournalOwner {
  readonly life: number;
  after(delayMs: number, run: () => void): void;
  /** A body that the node holds. */
  bodyOf(hash: string): Body | undefined;
  /** Height that the ledger will not forget. */
  readonly durableHeight: number;
  syncMs(): number;
  /** True when the node was ended instead, or by it. */
  beforeSync(): boolean;
  afterSync(records: readonly JournalRecord[]): boolean;
  /** The log cannot be written any more: the process has to end (DECISIONS 6). */
  cannotWrite(error: Error): void;
  carryOutAll(effects: readonly Effect[]): void;
  /** Segments of the log were let go. */
  pruned(): void;
  /** Submissions of this node's clients are on its disk. */
  recorded(entries: readonly number[]): void;
}

/** Records on their way to the disk, and what may happen once they are there. */
interface Held {
  readonly log: readonly LogRecord[];
  readonly journal: readonly JournalRecord[];
  readonly effects: readonly Effect[];
  readonly entries: readonly number[];
  /** Of a checkpoint: the height that was final when it was made. What is before it may go. */
  readonly checkpointHeight: number | null;
}

const NOTHING: Held = { log: [], journal: [], effects: [], entries: [], checkpointHeight: null };
/** A log of so many segments is worth a checkpoint. */
const SEGMENTS_BEFORE_CHECKPOINT = 3;

type Finalization = Extract<JournalRecord, { type: 'finalization' }>;

export class NodeJournal {
  readonly disk: NodeDisk;
  /** Bodies whose record is durable, by hash. */
  readonly stored = new Map<string, Body>();
  /** Own votes that the log acknowledged, above the finalized view: view · 4 + kind → hash. */
  readonly votes = new Map<number, string | null>();
  /** The height that the log acknowledged as final. */
  finalHeight = 0;
  readonly #owner: JournalOwner;
  readonly #recordedAt = new Map<string, { readonly lsn: number; readonly height: number }>();
  #finalization: Finalization | null = null;
  #queue: Held[] = [];
  #inFlight: Held[] = [];
  #flushing = false;
  #checkpointing = false;

  constructor(owner: JournalOwner, disk: NodeDisk) {
    this.#owner = owner;
    this.disk = disk;
  }

  /** A step of the core. What rests on no record that is under way happens at once. */
  take({ records, effects }: Output): void {
    if (records.length === 0 && effects.length === 0) return;
    if (records.length === 0 && this.#queue.length === 0 && this.#inFlight.length === 0) {
      this.#owner.carryOutAll(effects);
      return;
    }
    this.#push({ ...NOTHING, log: records.map((record) => this.#encode(record)), journal: records, effects });
  }

  submit(entry: number): void {
    this.#push({ ...NOTHING, log: [inboxRecord(entry)], entries: [entry] });
  }

  /** `records` are what the core needs, `entries` what the inbox still holds. */
  checkpoint(records: () => readonly JournalRecord[], entries: Iterable<number>, finalHeight: number): void {
    if (this.#checkpointing || this.disk.segments < SEGMENTS_BEFORE_CHECKPOINT) return;
    const journal = this.#finalization === null ? records() : [this.#finalization, ...records()];
    const log = journal.map((record) => this.#encode(record));
    if (log.reduce((sum, { data }) => sum + data.length, 0) > BATCH_BYTES_MAX) return;
    this.#checkpointing = true;
    for (const entry of entries) log.push(inboxRecord(entry));
    this.#push({ ...NOTHING, log, journal, checkpointHeight: finalHeight });
  }

  /** The node ends: what is under way reaches the disk in part, wholly, or not at all. */
  end(ending: Ending): void {
    const inFlight = this.#inFlight.length > 0 ? this.#inFlight : this.#queue.slice(0, 3);
    this.disk.end(
      ending,
      inFlight.flatMap(({ log }) => log),
    );
    this.stored.clear();
    this.#recordedAt.clear();
    this.#finalization = null;
    this.#queue = [];
    this.#inFlight = [];
    this.#flushing = false;
    this.#checkpointing = false;
  }

  /** A record that is on the disk, just written or found there by a start. */
  durable(record: JournalRecord, lsn: number): void {
    if (record.type === 'vote') this.votes.set(record.vote.view * 4 + record.vote.kind, record.vote.hash);
    else if (record.type === 'finalization') {
      this.#finalization = record;
      this.finalHeight = Math.max(this.finalHeight, record.height);
    } else if (record.type === 'block') {
      const { hash, height } = record.block;
      const body = this.#owner.bodyOf(hash);
      if (body !== undefined) this.stored.set(hash, body);
      this.#recordedAt.set(hash, { lsn, height });
    }
  }

  /** Nothing that was acknowledged is expected of the log any more. */
  forget(): void {
    this.votes.clear();
    this.finalHeight = 0;
  }

  #push(held: Held): void {
    this.#queue.push(held);
    this.#flushSoon();
  }

  #encode(record: JournalRecord): LogRecord {
    if (record.type !== 'block') return { type: RecordType.journal, data: encodeJournal(record) };
    const { hash } = record.block;
    const body = this.#owner.bodyOf(hash);
    if (body === undefined) throw new Error(`block ${short(hash)} is to be written and is not held`);
    return { type: RecordType.block, data: encodeBody(body) };
  }

  /** One batch at a time; what comes meanwhile waits for the next one (DECISIONS 11). */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#owner.after(this.#owner.syncMs(), () => {
      let sizeBytes = 0;
      let count = 0;
      while (count < this.#queue.length && (count === 0 || sizeBytes < BATCH_BYTES_MAX / 2)) {
        for (const { data } of this.#queue[count]!.log) sizeBytes += data.length;
        count += 1;
      }
      this.#inFlight = this.#queue.splice(0, count);
      if (!this.#owner.beforeSync()) this.#sync(this.#inFlight);
    });
  }

  #sync(batch: readonly Held[]): void {
    const records = batch.flatMap(({ log }) => log);
    let lsn = 0;
    try {
      if (records.length > 0) lsn = this.disk.append(records);
    } catch (error) {
      this.#owner.cannotWrite(error as Error);
      return;
    }
    const { life } = this.#owner;
    const journal: JournalRecord[] = [];
    for (const held of batch) {
      for (const [index, record] of held.journal.entries()) {
        this.durable(record, lsn + index);
        journal.push(record);
      }
      if (held.checkpointHeight !== null) this.#prune(lsn, held.checkpointHeight);
      lsn += held.log.length;
    }
    if (this.#owner.afterSync(journal)) return;
    this.#inFlight = [];
    for (const { effects, entries } of batch) {
      this.#owner.carryOutAll(effects);
      if (this.#owner.life !== life) return;
      if (entries.length > 0) this.#owner.recorded(entries);
      if (this.#owner.life !== life) return;
    }
    this.#flushing = false;
    if (this.#queue.length > 0) this.#flushSoon();
  }

  /** Everything that a restart needs stands from this record on, but for final blocks that the ledger may forget. */
  #prune(lsn: number, finalHeight: number): void {
    this.#checkpointing = false;
    let needed = lsn;
    for (const [hash, place] of this.#recordedAt) {
      if (place.height <= this.#owner.durableHeight) this.#recordedAt.delete(hash);
      else if (place.height <= finalHeight) needed = Math.min(needed, place.lsn);
    }
    if (this.disk.dropBelow(needed)) this.#owner.pruned();
  }
}

function inboxRecord(entry: number): LogRecord {
  const data = Uint8Array.of(entry & 255, (entry >>> 8) & 255, (entry >>> 16) & 255, entry >>> 24);
  return { type: RecordType.inbox, data };
}

/** The submission in an inbox record. */
export function inboxEntry(data: Uint8Array): number {
  return (data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24)) >>> 0;
}
