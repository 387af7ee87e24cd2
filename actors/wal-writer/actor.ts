// The wal-writer: the one thread that appends to the log, and that reads it back for replay. Called by ingress (inbox)
// and consensus (journal). It must never answer before the fdatasync, and never go on after one that failed.
import { randomBytes } from 'node:crypto';
import { isInitialising } from '../../config/chain-files.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import {
  decodeSettled,
  encodeInit,
  encodeSettled,
  initSignBytes,
  type LogRecord,
  type PlacedRecord,
  RecordType,
  recordTypeName,
  SettledReason,
} from '../../protocol/wal-record.js';
import { EXIT } from '../../runtime/exit-codes.js';
import { packBytes, unpackBytes } from '../../runtime/kernel/batch.js';
import type { ActorContext } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { type LogCondition, type ReadRecords, type WalWriterContract, walWriterPolicies } from './contract.js';
import { LogFailure, LogFull, LogRefused } from './errors.js';
import { type Log, openLog } from './log.js';
import { createMetrics, type WalWriterMetrics } from './metrics.js';
import type { LogVerdict } from './recovery.js';
import type { WalWriterConfig } from './spec.js';

/** Inbox bytes in one batch (DECISIONS 12): votes behind a full batch wait for 256 KiB of disk, not for megabytes. */
const INBOX_BATCH_BYTES = 256 * 1024;
const STARTUP_PAGE_BYTES = 1024 * 1024;
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
  readonly condition: LogCondition;
  readonly metrics: WalWriterMetrics;
  readonly journal: Append[];
  readonly inbox: Append[];
  /** Settled since the last batch, by reason. */
  readonly settled: Map<number, number[]>;
  /** LSNs of inbox records that still need an outcome, in log order. */
  readonly unsettled: Set<number>;
  scheduled: boolean;
  failed: boolean;
  /** The last append found no room for the next segment. */
  full: boolean;
}

export default defineActor<WalWriterContract, State, Record<never, never>, WalWriterConfig>({
  policies: walWriterPolicies,

  async init(context) {
    const { config } = context;
    const identity = { chainId: Buffer.from(config.chainId, 'hex'), publicKey: Buffer.from(config.publicKey, 'hex') };
    try {
      const { log, verdict } = openLog({
        directory: config.directory,
        identity,
        segmentBytes: config.segmentBytes,
        native: (section) => context.vitals.native('fdatasync', section),
        random: randomBytes,
      });
      const unsettled = readUnsettled(log);
      const condition = await judge(context, log, verdict);
      context.report('log', reportOf(condition));
      const metrics = createMetrics(context.registry);
      metrics.unsettled.set(unsettled.size);
      metrics.bytes.set(log.stats().fileBytes);
      const settled = new Map<number, number[]>();
      const state: State = {
        context,
        log,
        condition,
        metrics,
        journal: [],
        inbox: [],
        settled,
        unsettled,
        scheduled: false,
        failed: false,
        full: false,
      };
      if (condition.quarantine === null) prepareSpare(state);
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
      for (const lsn of lsns) if (state.unsettled.delete(lsn)) waiting.push(lsn);
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
    read: ({ log, context }, { from, types, maxBytes }) => {
      const page = log.records({ from, types, maxBytes });
      const reply = pack(page.records, page.next);
      return context.transferring(reply, [reply.records]);
    },
    unsettled: (state, { after, maxBytes }) => {
      const reply = unsettledPage(state, after, maxBytes);
      return state.context.transferring(reply, [reply.records]);
    },
    condition: (state) => state.condition,
  },

  async drain(state) {
    while (state.scheduled && !state.full) await new Promise((resolve) => setImmediate(resolve));
  },

  stop(state) {
    if (!state.failed) flush(state);
    return state.log.close();
  },

  inspect: (state) => ({ ...state.log.stats(), unsettled: state.unsettled.size, condition: state.condition }),
});

/** Rebuilds the set of inbox entries that nothing has settled yet. */
function readUnsettled(log: Log): Set<number> {
  const unsettled = new Set<number>();
  for (let from: number | null = 1; from !== null; ) {
    const page = log.records({ from, types: [RecordType.inbox, RecordType.settled], maxBytes: STARTUP_PAGE_BYTES });
    for (const record of page.records) {
      if (record.type === RecordType.inbox) unsettled.add(record.lsn);
      else for (const lsn of decodeSettled(record.data).lsns) unsettled.delete(lsn);
    }
    from = page.next;
  }
  return unsettled;
}

/** A log that is empty is only trusted when this start may create it: a key without its vote log always quarantines. */
async function judge(
  context: ActorContext<Record<never, never>, WalWriterConfig>,
  log: Log,
  verdict: LogVerdict,
): Promise<LogCondition> {
  const { config } = context;
  const { state, damage } = verdict;
  const detail = damage === null ? '' : `${damage.segment} at byte ${damage.offset}: ${damage.reason}`;
  if (state === 'corrupt' || state === 'suspect') return { state, detail, quarantine: detail };
  if (log.nextLsn > 1) return { state, detail, quarantine: null };
  if (!isInitialising(config.dataDirectory)) {
    const missing = `${config.directory} holds no log for this validator key: votes it cast may be lost`;
    return { state: 'suspect', detail: missing, quarantine: missing };
  }
  const chainId = Buffer.from(config.chainId, 'hex');
  const publicKey = Buffer.from(config.publicKey, 'hex');
  const ed25519 = await loadEd25519();
  const signature = ed25519.sign(initSignBytes(chainId, publicKey), ed25519.keyPair(config.seed).secretKey);
  log.append([{ type: RecordType.init, data: encodeInit({ chainId, publicKey, signature }) }]);
  return { state, detail, quarantine: null };
}

function reportOf(condition: LogCondition) {
  if (condition.quarantine === null) return { ok: true, detail: condition.detail };
  return {
    ok: false,
    detail: `quarantined: ${condition.quarantine}; run "quorate wal verify", then "quorate wal repair"`,
    data: { quarantine: condition.quarantine },
  };
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
  const appends = state.journal.splice(0);
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
    for (const lsn of append.settles) state.unsettled.delete(lsn);
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
  try {
    lsn = state.log.append(records);
  } catch (error) {
    refuse(state, appends, error as Error);
    return;
  }
  if (state.full) tellRoom(state, true, '');
  state.metrics.fsyncSeconds.observe((state.context.clock.monotonic() - startMs) / 1000);
  state.metrics.batchEntries.observe(records.length);
  for (const append of appends) {
    append.resolve({ firstLsn: lsn });
    for (const record of append.records) {
      if (record.type === RecordType.inbox) state.unsettled.add(lsn);
      lsn += 1;
    }
  }
  count(state, records);
  if (!state.log.stats().spareReady) prepareSpare(state);
}

/** A full disk keeps the journal waiting and turns submissions away; after any other failure nothing may go on. */
function refuse(state: State, appends: readonly Append[], error: Error): void {
  if (error instanceof LogFull) {
    const isJournal = (append: Append) => append.records.some(({ type }) => type !== RecordType.inbox);
    state.journal.unshift(...appends.filter(isJournal));
    for (const append of appends) if (!isJournal(append)) append.reject(error);
    if (!state.full) tellRoom(state, false, error.message);
    return;
  }
  for (const append of appends) append.reject(error);
  if (!(error instanceof LogFailure)) return;
  state.failed = true;
  state.metrics.errors.inc();
  state.context.fatal(EXIT.io.code, error.message);
}

function tellRoom(state: State, ok: boolean, detail: string): void {
  state.full = !ok;
  state.context.report('disk', { ok, detail });
}

function count(state: State, records: readonly LogRecord[]): void {
  const byType = new Map<number, number>();
  for (const { type } of records) byType.set(type, (byType.get(type) ?? 0) + 1);
  for (const [type, found] of byType) state.metrics.records.inc({ type: recordTypeName(type) }, found);
  state.metrics.unsettled.set(state.unsettled.size);
  state.metrics.bytes.set(state.log.stats().fileBytes);
}

/** The next segment is made ahead, so that rotation costs a rename; without it rotation makes its own. */
function prepareSpare(state: State): void {
  state.log.prepareSpare().catch((error: Error) => {
    state.context.log.warn({ err: error }, 'the next log segment could not be prepared; rotation will try again');
  });
}

function unsettledPage(state: State, after: number, maxBytes: number): ReadRecords & { until: number } {
  const wanted: number[] = [];
  let more = false;
  for (const lsn of state.unsettled) {
    if (lsn <= after) continue;
    if (wanted.length === 512) {
      more = true;
      break;
    }
    wanted.push(lsn);
  }
  const found = state.log.fetch(wanted);
  const records: PlacedRecord[] = [];
  let sizeBytes = 0;
  for (const lsn of wanted) {
    const record = found.get(lsn);
    if (record === undefined) continue;
    if (sizeBytes > 0 && sizeBytes + record.data.length > maxBytes) {
      more = true;
      break;
    }
    sizeBytes += record.data.length;
    records.push({ lsn, type: record.type, data: record.data });
  }
  return { ...pack(records, more ? (records.at(-1)?.lsn ?? after) : null), until: state.log.nextLsn };
}

function pack(records: readonly PlacedRecord[], next: number | null): ReadRecords {
  return {
    records: packBytes(records.map(({ data }) => data)),
    lsns: records.map(({ lsn }) => lsn),
    types: records.map(({ type }) => type),
    next,
  };
}
