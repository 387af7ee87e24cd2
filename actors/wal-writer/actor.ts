// The wal-writer: the one thread that appends to the log, and that reads it back for replay. Called by ingress (inbox)
// and consensus (journal). It must never answer before the fdatasync, and never go on after one that failed.
import { randomBytes } from 'node:crypto';
import { event } from '../../observability/events.js';
import {
  encodeSettled,
  type LogRecord,
  type PlacedRecord,
  RecordType,
  SettledReason,
} from '../../protocol/wal-record.js';
import { EXIT } from '../../runtime/exit-codes.js';
import { packBytes, unpackBytes } from '../../runtime/kernel/batch.js';
import type { ActorContext } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { type CompactionReport, compactLog, droppable, type Retention } from './compaction.js';
import { type Condition, judge, reportOf } from './condition.js';
import {
  type CompactReply,
  type CompactRequest,
  type ReadRecords,
  type WalWriterContract,
  walWriterPolicies,
} from './contract.js';
import { DiskWatch } from './disk-watch.js';
import { answerDoubt } from './doubt-marks.js';
import { Entries, EntryTally } from './entries.js';
import { LogFailure, LogFull, LogRefused } from './errors.js';
import { guarded, nodeFiles } from './files.js';
import { type Log, openLog } from './log.js';
import { ageOf, createMetrics, type WalWriterMetrics } from './metrics.js';
import { OVER_CAP_WORDING, PRESSURE_VALUES } from './pressure.js';
import type { LogVerdict } from './recovery.js';
import { forgetResumePoint, readResumePoint, rehearse, writeResumePoint } from './resume.js';
import type { LogIdentity } from './scan.js';
import type { WalWriterConfig } from './spec.js';

/** Inbox bytes in one batch (DECISIONS 12): votes behind a full batch wait for 256 KiB of disk, not for megabytes. */
const INBOX_BATCH_BYTES = 256 * 1024;
/** Journal records in one batch: what waited for room on a full disk may be more than a segment takes. */
const JOURNAL_BATCH_BYTES = 512 * 1024;
/** A restart of this thread or of consensus reads what was written since the last checkpoint. */
const CHECKPOINT_BYTES = 64 * 1024;
/** How often a full disk is tried again. */
const FULL_RETRY_MS = 250;

interface Append {
  readonly records: readonly LogRecord[];
  readonly sizeBytes: number;
  readonly settles: readonly number[];
  readonly resolve: (reply: { readonly firstLsn: number }) => void;
  readonly reject: (reason: Error) => void;
}

interface State {
  readonly context: ActorContext<Record<never, never>, WalWriterConfig>;
  readonly log: Log;
  condition: Condition;
  replayFrom: number;
  /** What this thread had appended at its last checkpoint. */
  checkpointedBytes: number | null;
  readonly metrics: WalWriterMetrics;
  readonly journal: Append[];
  readonly inbox: Append[];
  /** Settled since the last batch, by reason. */
  readonly settled: Map<number, number[]>;
  readonly entries: Entries;
  readonly disk: DiskWatch;
  config: WalWriterConfig;
  /** Of a reload that is being prepared. */
  prepared: WalWriterConfig | null;
  /** Lowest entry that ingress settled since the last compaction: consensus may have heard of it only after that. */
  settledFrom: number;
  overCap: boolean;
  scheduled: boolean;
  failed: boolean;
  /** The last append found no room for the next segment. */
  full: boolean;
}

export default defineActor<WalWriterContract, State, Record<never, never>, WalWriterConfig>({
  policies: walWriterPolicies,

  ahead(config) {
    const { directory, segmentBytes, run } = config;
    const options = { files: nodeFiles, directory, identity: identityOf(config), epoch: 0, segmentBytes };
    rehearse({ ...options, create: false, random: randomBytes }, run);
    return null;
  },

  async init(context) {
    const { config } = context;
    const identity = identityOf(config);
    try {
      const { log, verdict, entries, replayFrom } = open(context, identity);
      const condition = await judge(config, log, verdict);
      context.report('log', reportOf(condition));
      const disk = new DiskWatch({
        directory: config.directory,
        dataDirectory: config.dataDirectory,
        limits: config.disk,
        clock: context.clock,
        log: context.log,
        report: (value) => context.report('disk', value),
        looked: () => {
          watchSize(state);
          if (disk.mayHaveRoom) lookForRoom(state);
        },
      });
      const metrics = createMetrics(context.registry, {
        oldestUnsettledSeconds: () => ageOf(entries.oldestReceivedAtMs(), context.clock.now()),
        freeBytes: () => disk.freeBytes ?? Number.NaN,
        pressure: () => PRESSURE_VALUES[disk.pressure],
        ballastBytes: () => disk.ballastBytes,
        sizeBytes: () => log.stats().fileBytes,
        unsettled: () => entries.size,
      });
      const state: State = {
        context,
        log,
        condition,
        replayFrom,
        checkpointedBytes: null,
        metrics,
        journal: [],
        inbox: [],
        settled: new Map(),
        entries,
        disk,
        config,
        prepared: null,
        settledFrom: Number.POSITIVE_INFINITY,
        overCap: false,
        scheduled: false,
        failed: false,
        full: false,
      };
      if (condition.quarantine === null) {
        prepareSpare(state);
        disk.start();
      }
      return state;
    } catch (error) {
      if (error instanceof LogFailure) context.fatal(EXIT.io.code, error.message);
      // The log of another chain or key, or of a newer release: no restart makes it this node's.
      if (error instanceof LogRefused) context.fatal(EXIT.config.code, `${config.directory}: ${error.message}`);
      throw error;
    }
  },

  tell: {
    settle: (state, { lsns, reason }) => {
      const waiting = state.settled.get(reason) ?? [];
      for (const lsn of lsns) {
        if (!state.entries.settle(lsn)) continue;
        waiting.push(lsn);
        state.settledFrom = Math.min(state.settledFrom, lsn);
      }
      state.settled.set(reason, waiting);
      schedule(state);
    },
  },

  ask: {
    appendInbox: (state, { records: packed }) =>
      new Promise((resolve, reject) => {
        // Nothing is admitted that could not be signed: its client must hear so, not wait.
        const { quarantine } = state.condition;
        if (quarantine !== null) return reject(new Error(`quarantined: ${quarantine}`));
        const { refusal } = state.disk;
        if (refusal !== null) return reject(new Error(`disk-full: ${refusal}`));
        const records = unpackBytes(packed).map((data): LogRecord => ({ type: RecordType.inbox, data }));
        state.inbox.push({ records, sizeBytes: packed.byteLength, settles: [], resolve, reject });
        schedule(state);
      }),
    appendJournal: (state, { records: packed, types, settles }) =>
      new Promise((resolve, reject) => {
        const records = unpackBytes(packed).map((data, index): LogRecord => ({ type: types[index]!, data }));
        state.journal.push({ records, sizeBytes: packed.byteLength, settles, resolve, reject });
        schedule(state);
      }),
    read: ({ entries, context }, { from, types, maxBytes }) => {
      const page = entries.read({ from, types, maxBytes });
      const reply = pack(page.records, page.next);
      return context.transferring(reply, [reply.records]);
    },
    unsettled: ({ entries, log, context }, { after, maxBytes }) => {
      const page = entries.page(after, maxBytes);
      const reply = { ...pack(page.records, page.next), until: log.nextLsn };
      return context.transferring(reply, [reply.records]);
    },
    fetch: ({ entries, context }, { lsns }) => {
      const reply = pack(entries.fetch(lsns), null);
      return context.transferring(reply, [reply.records]);
    },
    condition: ({ condition, replayFrom }) => ({ ...condition, replayFrom }),
    trust: (state) => trust(state),
    compactable: (state) => {
      if (state.condition.quarantine !== null) return { segments: 0, due: false };
      const { checkpointedBytes, log } = state;
      return {
        segments: droppable(log.segments, retention(state, false)),
        due: checkpointedBytes === null || log.stats().appendedBytes - checkpointedBytes >= CHECKPOINT_BYTES,
      };
    },
    compact: (state, request) => compact(state, request),
  },

  reconfigure: {
    prepare(state, next) {
      state.prepared = next;
    },
    commit(state) {
      state.config = { ...state.prepared!, segmentBytes: state.config.segmentBytes };
      state.prepared = null;
      state.disk.limit(state.config.disk);
    },
    abort(state) {
      state.prepared = null;
    },
  },

  async drain(state) {
    while (state.scheduled && !state.full) await new Promise((resolve) => setImmediate(resolve));
  },

  stop(state) {
    state.disk.stop();
    if (!state.failed) flush(state);
    return state.log.close();
  },

  inspect: (state) => ({
    ...state.log.stats(),
    firstLsn: state.log.segments[0]?.firstLsn ?? null,
    unsettled: state.entries.size,
    condition: state.condition,
    disk: { pressure: state.disk.pressure, freeBytes: state.disk.freeBytes, ballastBytes: state.disk.ballastBytes },
  }),
});

/**
 * The first thread of a process verifies the whole log. Those after it take from the last checkpoint what was so then, and
 * read what follows: that does not grow with the log.
 */
function identityOf({ chainId, publicKey }: WalWriterConfig): LogIdentity {
  return { chainId: Buffer.from(chainId, 'hex'), publicKey: Buffer.from(publicKey, 'hex') };
}

function open(
  { config, vitals }: ActorContext<Record<never, never>, WalWriterConfig>,
  identity: LogIdentity,
): { readonly log: Log; readonly verdict: LogVerdict; readonly entries: Entries; readonly replayFrom: number } {
  const { directory, segmentBytes } = config;
  const found = readResumePoint(directory, config.run);
  const tally = new EntryTally();
  const { log, verdict } = openLog({
    directory,
    identity,
    segmentBytes,
    native: (section) => vitals.native('fdatasync', section),
    random: randomBytes,
    ...(found === null ? { onRecord: (record: PlacedRecord) => tally.take(record) } : { follow: found }),
  });
  const firstLsn = firstLsnOf(log);
  if (found === null) {
    return { log, verdict, entries: new Entries(log, { tally, from: log.nextLsn }), replayFrom: firstLsn };
  }
  // Segments were dropped after it was written: what it does not know stands in what is left.
  if (found.replayFrom < firstLsn || found.nextLsn < firstLsn) {
    return { log, verdict, entries: new Entries(log), replayFrom: firstLsn };
  }
  const entries = new Entries(log, { tally: EntryTally.of(found), from: found.nextLsn });
  return { log, verdict, entries, replayFrom: found.replayFrom };
}

/** The end of a quarantine. */
function trust(state: State): null {
  const { condition, context, config } = state;
  if (condition.quarantine === null) return null;
  if (condition.state === 'corrupt') throw new Error(`the log is corrupt: ${condition.detail}`);
  guarded(() => answerDoubt(nodeFiles, config.directory, context.clock.now()));
  state.condition = { state: 'clean', detail: '', quarantine: null };
  context.report('log', reportOf(state.condition));
  prepareSpare(state);
  state.disk.start();
  return null;
}

function schedule(state: State): void {
  if (state.scheduled) return;
  state.scheduled = true;
  const run = () => {
    state.scheduled = false;
    if (!state.failed) flush(state);
    if (state.journal.length > 0 || state.inbox.length > 0) schedule(state);
  };
  if (state.full) setTimeout(run, FULL_RETRY_MS);
  else setImmediate(run);
}

/** One batch: all journal records first, then settlements, then inbox entries up to their share. One fdatasync. */
function flush(state: State): void {
  const appends = takeJournal(state);
  let inboxBytes = 0;
  while (state.inbox.length > 0 && (inboxBytes === 0 || inboxBytes + state.inbox[0]!.sizeBytes <= INBOX_BATCH_BYTES)) {
    const next = state.inbox.shift()!;
    inboxBytes += next.sizeBytes;
    appends.push(next);
  }
  const records: LogRecord[] = [];
  for (const append of appends) for (const record of append.records) records.push(record);
  for (const append of appends) {
    if (append.settles.length === 0) continue;
    for (const lsn of append.settles) state.entries.settle(lsn);
    records.push({
      type: RecordType.settled,
      data: encodeSettled({ reason: SettledReason.final, lsns: append.settles }),
    });
  }
  for (const [reason, lsns] of state.settled) {
    if (lsns.length > 0) records.push({ type: RecordType.settled, data: encodeSettled({ reason, lsns }) });
  }
  state.settled.clear();
  if (records.length === 0) return;
  write(state, records, appends);
}

function write(state: State, records: readonly LogRecord[], appends: readonly Append[]): void {
  const startMs = state.context.clock.monotonic();
  let lsn: number;
  // Epochs are found by reading every record.
  if (records.some(({ type }) => type === RecordType.epoch)) forgetResumePoint(state.config.directory);
  try {
    lsn = state.log.append(records);
  } catch (error) {
    refuse(state, appends, error as Error);
    return;
  }
  if (state.full) state.disk.roomAgain();
  state.full = false;
  state.metrics.fsyncSeconds.observe((state.context.clock.monotonic() - startMs) / 1000);
  state.metrics.batchEntries.observe(records.length);
  for (const append of appends) {
    append.resolve({ firstLsn: lsn });
    for (const record of append.records) {
      if (record.type === RecordType.inbox) state.entries.add(lsn);
      lsn += 1;
    }
  }
  for (const { type } of records) state.metrics.records(type).inc();
  if (!state.log.stats().spareReady) prepareSpare(state);
}

/** A full disk keeps the journal waiting and turns submissions away; after any other failure nothing may go on. */
function refuse(state: State, appends: readonly Append[], error: Error): void {
  if (error instanceof LogFull) {
    const isJournal = (append: Append) => append.records.some(({ type }) => type !== RecordType.inbox);
    state.journal.unshift(...appends.filter(isJournal));
    for (const append of appends) if (!isJournal(append)) append.reject(new Error(`disk-full: ${error.message}`));
    // The ballast makes room for votes: they go on at once.
    state.full = !state.disk.full();
    return;
  }
  for (const append of appends) append.reject(error);
  if (error instanceof LogFailure) fail(state, error);
}

function fail(state: State, error: LogFailure): void {
  state.failed = true;
  state.metrics.errors.inc();
  state.context.fatal(EXIT.io.code, error.message);
}

/** From the front, as much as one batch takes. */
function takeJournal(state: State): Append[] {
  let count = 0;
  let sizeBytes = 0;
  for (const append of state.journal) {
    sizeBytes += append.sizeBytes;
    if (count > 0 && sizeBytes > JOURNAL_BATCH_BYTES) break;
    count += 1;
  }
  return state.journal.splice(0, count);
}

// --- compaction ---

/** On a disk that is nearly full nothing is kept that is not needed. */
function retention({ config, context, disk }: State, all: boolean): Retention {
  const nowMs = context.clock.now();
  const { pressure } = disk;
  if (all || pressure === 'error' || pressure === 'stopped') return { minBytes: 0, minAgeMs: 0, nowMs };
  return { minBytes: config.retentionBytes, minAgeMs: config.retentionMs, nowMs };
}

/**
 * In one go: nothing else happens to the log meanwhile, so that what is settled, carried and dropped fits together. What
 * consensus sent before stands before the checkpoint.
 */
function compact(state: State, { records, types, keepFrom, pins, all, always }: CompactRequest): CompactReply {
  const skipped = (why: string): CompactReply => ({ ...NOTHING, firstLsn: firstLsnOf(state.log), skipped: why });
  if (state.condition.quarantine !== null) return skipped(`quarantined: ${state.condition.quarantine}`);
  while (state.journal.length > 0 && !state.full && !state.failed) flush(state);
  if (state.failed) return skipped('the log cannot be written');
  if (state.full) return skipped('the log has no room for a checkpoint');
  const checkpoint = unpackBytes(records).map((data, index): LogRecord => ({ type: types[index]!, data }));
  const settledFrom = state.settledFrom === Number.POSITIVE_INFINITY ? null : state.settledFrom;
  const bound = settledFrom === null ? keepFrom : Math.min(keepFrom ?? settledFrom, settledFrom);
  let report: CompactionReport;
  try {
    report = compactLog(state.log, state.entries, { checkpoint, keepFrom: bound, pins }, retention(state, all), always);
  } catch (error) {
    if (error instanceof LogFailure) fail(state, error);
    if (!(error instanceof LogFull)) throw error;
    // The next attempt finds the room of the ballast.
    state.disk.full();
    return skipped(error.message);
  }
  state.settledFrom = Number.POSITIVE_INFINITY;
  const { replayFrom, ...reply } = report;
  if (replayFrom !== null) checkpointed(state, replayFrom);
  told(state, report);
  return { ...reply, skipped: null };
}

function checkpointed(state: State, replayFrom: number): void {
  const { log, entries, config } = state;
  state.replayFrom = replayFrom;
  state.checkpointedBytes = log.stats().appendedBytes;
  writeResumePoint(config.directory, { run: config.run, replayFrom, ...log.facts(), ...entries.tally });
}

const NOTHING = { segments: 0, bytes: 0, carried: 0 };

function firstLsnOf(log: Log): number {
  return log.segments[0]?.firstLsn ?? 1;
}

function told({ metrics, context }: State, { segments, bytes, carried, firstLsn }: CompactionReport): void {
  if (segments === 0) return;
  metrics.pruned.inc(segments);
  metrics.prunedBytes.inc(bytes);
  metrics.carried.inc(carried);
  event(context.log, 'wal.compacted', { segments, bytes, carried, first_lsn: firstLsn });
}

/** Segments that age and size would let go, and in which nothing is unsettled, should have gone. */
function watchSize(state: State): void {
  const { log, config, entries, metrics, context } = state;
  const old = log.segments.slice(0, droppable(log.segments, retention(state, false)));
  let sizeBytes = old.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  if (sizeBytes > config.maxBytes) {
    const places = entries.places();
    const isNeeded = (from: number, to: number) => places.some(({ at }) => at >= from && at < to);
    for (const { firstLsn, nextLsn, sizeBytes: bytes } of old) if (isNeeded(firstLsn, nextLsn)) sizeBytes -= bytes;
  }
  const overCap = sizeBytes > config.maxBytes;
  metrics.overCap.set(overCap ? 1 : 0);
  if (overCap === state.overCap) return;
  state.overCap = overCap;
  if (overCap) event(context.log, 'wal.over_cap', { size_bytes: sizeBytes, cap_bytes: config.maxBytes });
  context.report('log-size', { ok: !overCap, detail: overCap ? OVER_CAP_WORDING : '' });
}

/** With the next segment made there is room for what nothing else would try: submissions are turned away meanwhile. */
function lookForRoom({ log, disk }: State): void {
  log.prepareSpare().then(
    () => disk.roomAgain(),
    () => undefined,
  );
}

/** The next segment is made ahead, so that rotation costs a rename; without it rotation makes its own. */
function prepareSpare(state: State): void {
  state.log.prepareSpare().catch((error: Error) => {
    state.context.log.warn({ err: error }, 'the next log segment could not be prepared; rotation will try again');
  });
}

function pack(records: readonly PlacedRecord[], next: number | null): ReadRecords {
  return {
    records: packBytes(records.map(({ data }) => data)),
    lsns: records.map(({ lsn }) => lsn),
    types: records.map(({ type }) => type),
    next,
  };
}
