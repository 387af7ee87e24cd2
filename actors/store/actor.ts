// The store: the only writer of the ledger database. Called by consensus (finalized blocks, in height order) and by
// ingress (rejections). Every write runs inside the kill gate: a thread that dies inside a write transaction would
// block the database for ever. Everything is encoded before a transaction opens.
import { EXIT } from '../../runtime/exit-codes.js';
import type { ActorContext } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { openLedger } from '../ledger/environment.js';
import {
  INDEX_VALUE_BYTES,
  indexKey,
  LAYOUT_VERSION,
  META_CHAIN,
  META_HEAD,
  META_LAYOUT,
  META_REGISTRY,
  POSITION_BYTES,
  type Tables,
  writeIndexValue,
  writePosition,
} from '../ledger/tables.js';
import { type FinalizedForStore, type StoreContract, storePolicies } from './contract.js';
import { createMetrics, type StoreMetrics } from './metrics.js';
import type { StoreConfig } from './spec.js';

type Context = ActorContext<Record<never, never>, StoreConfig>;

interface State {
  readonly context: Context;
  readonly tables: Tables;
  readonly metrics: StoreMetrics;
  height: number;
}

export default defineActor<StoreContract, State, Record<never, never>, StoreConfig>({
  policies: storePolicies,

  init(context) {
    const { ledger } = context.config;
    const metrics = createMetrics(context.registry);
    return context.vitals.gated(() => {
      const tables = openLedger(ledger);
      claim(context, tables);
      const head = tables.meta.get(META_HEAD);
      const height = head === undefined ? 0 : (JSON.parse(head) as { height: number }).height;
      metrics.height.set(height);
      return { context, tables, metrics, height };
    });
  },

  tell: {
    reject: (state, { digest, verdict }) => {
      write(state, () => state.tables.rejected.putSync(Buffer.from(digest), Buffer.from(verdict)));
    },
  },

  ask: {
    apply: (state, { blocks }) => {
      const wanted = blocks.filter(({ height }) => height > state.height);
      const encoded = wanted.map(encode);
      const expected = state.height + 1;
      if (wanted.length > 0 && wanted[0]!.height !== expected) {
        throw new RangeError(`block ${wanted[0]!.height} cannot follow ${state.height}: ${expected} is missing`);
      }
      if (encoded.length === 0) return { height: state.height };
      write(state, () => {
        for (const block of encoded) put(state.tables, block);
      });
      state.height = wanted.at(-1)!.height;
      state.metrics.height.set(state.height);
      state.metrics.blocks.inc(wanted.length);
      state.metrics.entries.inc(wanted.reduce((sum, { keys }) => sum + keys.length, 0));
      return { height: state.height };
    },
  },

  stop: (state) => state.tables.root.close(),

  inspect: (state) => ({ height: state.height }),
});

/** A database of another chain, or written by a newer layout, is not touched. */
function claim(context: Context, tables: Tables): void {
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
  if (chain !== undefined) return;
  tables.root.transactionSync(() => {
    tables.meta.putSync(META_CHAIN, chainId);
    tables.meta.putSync(META_LAYOUT, String(LAYOUT_VERSION));
  });
}

interface EncodedBlock {
  readonly source: FinalizedForStore;
  readonly block: Buffer;
  readonly index: readonly { readonly key: Buffer; readonly value: Buffer }[];
  readonly digests: readonly { readonly key: Buffer; readonly value: Buffer }[];
}

/** Keys sorted: LMDB then walks its tree once instead of once a key. */
function encode(source: FinalizedForStore): EncodedBlock {
  const { height, keys } = source;
  const values = Buffer.alloc(INDEX_VALUE_BYTES * keys.length);
  const positions = Buffer.alloc(POSITION_BYTES * keys.length);
  const index = [];
  const digests = [];
  for (let entry = 0; entry < keys.length; entry++) {
    const digest = Buffer.from(source.digests.buffer, source.digests.byteOffset + 32 * entry, 32);
    const body = Buffer.from(source.bodies.buffer, source.bodies.byteOffset + 32 * entry, 32);
    const position = { height, index: entry };
    writeIndexValue(values, INDEX_VALUE_BYTES * entry, digest, body, position);
    writePosition(positions, POSITION_BYTES * entry, position);
    index.push({
      key: indexKey(keys[entry]!),
      value: values.subarray(INDEX_VALUE_BYTES * entry, INDEX_VALUE_BYTES * (entry + 1)),
    });
    digests.push({ key: digest, value: positions.subarray(POSITION_BYTES * entry, POSITION_BYTES * (entry + 1)) });
  }
  const byKey = (a: { key: Buffer }, b: { key: Buffer }) => Buffer.compare(a.key, b.key);
  const { block } = source;
  return {
    source,
    block: Buffer.from(block.buffer, block.byteOffset, block.byteLength),
    index: index.sort(byKey),
    digests: digests.sort(byKey),
  };
}

function put(tables: Tables, { source, block, index, digests }: EncodedBlock): void {
  tables.blocks.putSync(source.height, block);
  for (const { key, value } of index) tables.index.putSync(key, value);
  // Two issuers may submit one PCS: the first keeps the digest, the other is found by issuer and id.
  for (const { key, value } of digests) tables.digests.putSync(key, value, { noOverwrite: true });
  if (source.registry !== null) tables.meta.putSync(META_REGISTRY, source.registry);
  tables.meta.putSync(META_HEAD, source.head);
}

/** One transaction inside the gate. A write that fails ends the process: what it left behind is known to nobody. */
function write(state: State, puts: () => void): void {
  const { vitals, clock } = state.context;
  const startMs = clock.monotonic();
  try {
    vitals.gated(() =>
      vitals.native('store-commit', () => {
        state.tables.root.transactionSync(() => {
          puts();
        });
      }),
    );
  } catch (error) {
    if (!isGateClosed(error)) state.context.fatal(EXIT.io.code, `the ledger could not be written: ${String(error)}`);
    throw error;
  }
  state.metrics.commitSeconds.observe((clock.monotonic() - startMs) / 1000);
}

function isGateClosed(error: unknown): boolean {
  return (error as { code?: string }).code === 'gate_closed';
}
