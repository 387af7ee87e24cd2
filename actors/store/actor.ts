// The store: the only writer of the ledger database. Called by consensus (finalized blocks, in height order) and by
// ingress (rejections). Every write runs inside the kill gate: a thread that dies inside a write transaction would
// block the database for ever. Everything is encoded before a transaction opens.
import { statfsSync } from 'node:fs';
import { event } from '../../observability/events.js';
import type { RoundsChange } from '../../protocol/rounds/text.js';
import { EXIT } from '../../runtime/exit-codes.js';
import type { ActorContext } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { closeLedger, LedgerDamaged, openLedger } from '../ledger/environment.js';
import { LedgerReader } from '../ledger/reader.js';
import {
  digestKey,
  indexKey,
  indexValue,
  LAYOUT_VERSION,
  META_CHAIN,
  META_HEAD,
  META_LAYOUT,
  META_REGISTRY,
  META_ROUNDS,
  META_VALIDATORS,
  positionValue,
  roundKey,
  type Tables,
} from '../ledger/tables.js';
import { type FinalizedForStore, type StoreContract, storePolicies } from './contract.js';
import { createMetrics, type StoreMetrics } from './metrics.js';
import { syncLedger } from './roll-back.js';
import type { StoreConfig } from './spec.js';

type Context = ActorContext<Record<never, never>, StoreConfig>;

interface State {
  readonly context: Context;
  readonly tables: Tables;
  readonly metrics: StoreMetrics;
  height: number;
  /** The database says whose it is. One without a block belongs to nobody: the log is asked first which chain this is. */
  claimed: boolean;
  /** The last transaction found no room on the disk. */
  full: boolean;
}

/** An interface: readiness shows it. */
const STORE_FULL_WORDING = 'the ledger database has no room: final blocks wait in the log until there is more';

export default defineActor<StoreContract, State, Record<never, never>, StoreConfig>({
  policies: storePolicies,

  /** The first opening of a database costs a thread most; this one is given up again. */
  async ahead(config) {
    const reader = LedgerReader.open(config.ledger);
    await reader.close();
    return null;
  },

  init(context) {
    const metrics = createMetrics(context.registry);
    return context.vitals.gated(() => {
      const tables = open(context);
      const claimed = isClaimed(context, tables);
      const head = tables.meta.get(META_HEAD);
      const height = head === undefined ? 0 : (JSON.parse(head) as { height: number }).height;
      metrics.height.set(height);
      return { context, tables, metrics, height, claimed, full: false };
    });
  },

  tell: {
    reject: (state, { digest, verdict }) => {
      const { root, rejected } = state.tables;
      write(state, () => root.transactionSync(() => void rejected.putSync(digestKey(digest), Buffer.from(verdict))));
    },
  },

  ask: {
    apply: (state, { blocks }) => {
      const wanted = blocks.filter(({ height }) => height > state.height);
      if (wanted.length === 0) return { height: state.height, full: false };
      const expected = state.height + 1;
      if (wanted[0]!.height !== expected) {
        throw new RangeError(`block ${wanted[0]!.height} cannot follow ${state.height}: ${expected} is missing`);
      }
      const encoded = encode(wanted);
      if (!write(state, () => put(state.tables, encoded), roomFor(encoded)))
        return { height: state.height, full: true };
      state.height = wanted.at(-1)!.height;
      state.metrics.height.set(state.height);
      state.metrics.blocks.inc(wanted.length);
      state.metrics.entries.inc(wanted.reduce((sum, { keys }) => sum + keys.length, 0));
      return { height: state.height, full: false };
    },
    confirm: ({ context, height }) => {
      // LMDB syncs each of our transactions (a callback of its own asynchronous sync could outlive this thread): this holds
      // also where its file was opened without.
      context.vitals.gated(() => context.vitals.native('store-commit', () => syncLedger(context.config.ledger)));
      return { height };
    },
    beginEpoch: (state, { head, validators }) => {
      const { height } = JSON.parse(head) as { height: number };
      if (height !== state.height)
        throw new RangeError(`an epoch at height ${height}, the ledger is at ${state.height}`);
      const isWritten = write(state, () => {
        // Before the first block there is no head: the next start begins the epoch again.
        if (height > 0) state.tables.meta.putSync(META_HEAD, head);
        state.tables.meta.putSync(META_VALIDATORS, validators);
      });
      if (!isWritten) throw new Error('the ledger has no room for the new epoch: free space on the data disk');
      return { height };
    },
  },

  stop: ({ tables }) => closeLedger(tables),

  inspect: (state) => ({ height: state.height }),
});

function open(context: Context): Tables {
  try {
    return openLedger(context.config.ledger);
  } catch (error) {
    if (error instanceof LedgerDamaged) context.fatal(EXIT.data.code, error.message);
    throw error;
  }
}

/** Whether it says that it is of this chain. One of another chain, or written by a newer layout, is not touched. */
function isClaimed(context: Context, tables: Tables): boolean {
  const { chainId } = context.config;
  const chain = tables.meta.get(META_CHAIN);
  const layout = Number(tables.meta.get(META_LAYOUT) ?? LAYOUT_VERSION);
  if (chain !== undefined && chain !== chainId) {
    const reason = `${context.config.ledger} belongs to chain ${chain}, genesis.json makes chain ${chainId}`;
    context.fatal(EXIT.config.code, reason);
    throw new Error(reason);
  }
  if (layout > LAYOUT_VERSION) {
    const reason = `${context.config.ledger} has layout ${layout}, this version reads up to ${LAYOUT_VERSION}: upgrade`;
    context.fatal(EXIT.config.code, reason);
    throw new Error(reason);
  }
  return chain !== undefined;
}

function claim(state: State): void {
  const { root, meta } = state.tables;
  root.transactionSync(() => {
    meta.putSync(META_CHAIN, state.context.config.chainId);
    meta.putSync(META_LAYOUT, String(LAYOUT_VERSION));
  });
  state.claimed = true;
}

interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** What several blocks write, table by table. */
interface EncodedBlocks {
  readonly blocks: readonly { readonly height: number; readonly bytes: Buffer }[];
  readonly index: readonly Row[];
  readonly digests: readonly Row[];
  readonly head: string;
  readonly registry: string | null;
  /** In block order: a later change of a round replaces an earlier one. */
  readonly rounds: readonly RoundsChange[];
}

/** Keys sorted: LMDB then walks its tree once instead of once a key. */
function encode(sources: readonly FinalizedForStore[]): EncodedBlocks {
  const index: Row[] = [];
  const digests: Row[] = [];
  for (const source of sources) encodeRows(source, index, digests);
  const byKey = (a: Row, b: Row) => Buffer.compare(a.key, b.key);
  return {
    blocks: sources.map(({ height, block }) => ({ height, bytes: bufferOf(block) })),
    index: index.sort(byKey),
    digests: digests.sort(byKey),
    head: sources.at(-1)!.head,
    registry: sources.findLast(({ registry }) => registry !== null)?.registry ?? null,
    rounds: sources.flatMap(({ rounds }) => rounds ?? []),
  };
}

/** Pages of 4 KiB: a path of each of two trees for every entry, and the blocks. A large transaction reuses many. */
function roomFor({ blocks, index }: EncodedBlocks): number {
  const blockBytes = blocks.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return Math.min(ROOM_MAX_BYTES, blockBytes + index.length * ENTRY_ROOM_BYTES);
}

function encodeRows({ height, keys, digests, contents }: FinalizedForStore, index: Row[], positions: Row[]): void {
  for (const [entry, key] of keys.entries()) {
    const digest = bufferOf(digests).subarray(32 * entry, 32 * entry + 32);
    const content = bufferOf(contents).subarray(32 * entry, 32 * entry + 32);
    const position = { height, index: entry };
    index.push({ key: indexKey(key), value: indexValue(digest, content, position) });
    positions.push({ key: digestKey(digest), value: positionValue(position) });
  }
}

function put(tables: Tables, { blocks, index, digests, head, registry, rounds }: EncodedBlocks): void {
  tables.bodies.transactionSync(() => {
    for (const { height, bytes } of blocks) tables.blocks.putSync(height, bytes);
  });
  tables.root.transactionSync(() => {
    for (const { key, value } of index) tables.index.putSync(key, value);
    // Two issuers may submit one PCS: the first keeps the digest, the other is found by issuer and id.
    for (const { key, value } of digests) tables.digests.putSync(key, value, { noOverwrite: true });
    if (registry !== null) tables.meta.putSync(META_REGISTRY, registry);
    for (const change of rounds) putRounds(tables, change);
    tables.meta.putSync(META_HEAD, head);
  });
}

function putRounds({ meta }: Tables, { summary, changed, removed }: RoundsChange): void {
  for (const [number, text] of changed) meta.putSync(roundKey(number), text);
  for (const number of removed) meta.removeSync(roundKey(number));
  meta.putSync(META_ROUNDS, summary);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Transactions inside the gate. False when the disk has no room: LMDB has taken the transaction back, and nothing else is
 * lost. Any other write that fails ends the process: what it left behind is known to nobody.
 */
function write(state: State, puts: () => void, roomBytes = 0): boolean {
  const { vitals, clock, config } = state.context;
  // A transaction that finds no room says so on standard error, and has been seen to corrupt the heap: it is not tried.
  const foundBytes = freeOn(config.ledger);
  if (foundBytes < HARDLY_FREE_BYTES + roomBytes) {
    tellRoom(state, false, foundBytes);
    return false;
  }
  const startMs = clock.monotonic();
  try {
    vitals.gated(() =>
      vitals.native('store-commit', () => {
        if (!state.claimed) claim(state);
        puts();
      }),
    );
  } catch (error) {
    if (isGateClosed(error)) throw error;
    const freeBytes = freeOn(config.ledger);
    if (isFull(error, freeBytes)) {
      tellRoom(state, false, freeBytes);
      return false;
    }
    state.context.fatal(EXIT.io.code, `the ledger could not be written: ${String(error)}`);
    throw error;
  }
  if (state.full) tellRoom(state, true, 0);
  state.metrics.commitSeconds.observe((clock.monotonic() - startMs) / 1000);
  return true;
}

/** Errors of the operating system, as LMDB gives them: a write that was cut short for want of room is EIO to it. */
const EIO = 5;
const ENOSPC = 28;
const EDQUOT = 122;
/** With less free space than this nothing is written, and EIO means that there was no room. */
const HARDLY_FREE_BYTES = 1024 * 1024;
const ENTRY_ROOM_BYTES = 24 * 1024;
/** More is not asked for, lest a backlog wait for room that it does not need. */
const ROOM_MAX_BYTES = 16 * 1024 * 1024;

function isFull(error: unknown, freeBytes: number): boolean {
  const { code } = error as { code?: unknown };
  return code === ENOSPC || code === EDQUOT || (code === EIO && freeBytes < HARDLY_FREE_BYTES);
}

function freeOn(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function tellRoom(state: State, ok: boolean, freeBytes: number): void {
  if (ok === !state.full) return;
  state.full = !ok;
  if (!ok) event(state.context.log, 'store.full', { free_bytes: freeBytes });
  state.context.report('disk', { ok, detail: ok ? '' : STORE_FULL_WORDING });
}

function isGateClosed(error: unknown): boolean {
  return (error as { code?: string }).code === 'gate_closed';
}
