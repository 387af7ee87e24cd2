// Dedup: tells what was seen before, ahead of consensus. Called by ingress (after the signature, never before) and by
// consensus (what the ledger has). It is a filter: that an id counts once is decided by apply() over the ledger index.
import type { ActorContext } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { LedgerReader } from '../ledger/reader.js';
import { type DedupContract, dedupPolicies, type Known } from './contract.js';
import { Marks } from './marks.js';
import { createMetrics, type DedupMetrics } from './metrics.js';
import type { DedupConfig } from './spec.js';

interface State {
  readonly context: ActorContext<Record<never, never>, DedupConfig>;
  readonly ledger: LedgerReader;
  readonly marks: Marks;
  readonly metrics: DedupMetrics;
  prepared: DedupConfig | null;
}

export default defineActor<DedupContract, State, Record<never, never>, DedupConfig>({
  policies: dedupPolicies,

  init(context) {
    const ledger = context.vitals.gated(() => LedgerReader.open(context.config.ledger));
    let metrics: DedupMetrics;
    const marks = new Marks(context.config.max, (key) => {
      metrics.ledgerReads.inc();
      const found = ledger.find(key);
      if (found === undefined) return undefined;
      const { height, index } = found;
      return { content: (found.body.length > 0 ? found.body : found.digest).toString('latin1'), height, index };
    });
    metrics = createMetrics(context.registry, () => marks.size);
    return { context, ledger, marks, metrics, prepared: null };
  },

  tell: {
    release: (state, { keys }) => {
      for (const key of keys) state.marks.release(key);
      state.metrics.writes.inc(keys.length);
    },
  },

  ask: {
    admit: (state, { keys, contents }) => {
      const bytes = Buffer.from(contents.buffer, contents.byteOffset, contents.byteLength);
      const known: Known[] = [];
      for (const [place, key] of keys.entries()) {
        const content = bytes.toString('latin1', 32 * place, 32 * place + 32);
        const { verdict, height, index } = state.marks.admit(key, content);
        if (verdict !== 'new') known.push({ place, verdict, height, index });
      }
      state.metrics.reads.inc(keys.length);
      state.metrics.writes.inc(keys.length);
      return { known };
    },
  },

  reconfigure: {
    prepare(state, next) {
      state.prepared = next;
    },
    commit(state) {
      state.marks.resize(state.prepared!.max);
      state.prepared = null;
    },
    abort(state) {
      state.prepared = null;
    },
  },

  stop: (state) => state.ledger.close(),

  inspect: (state) => ({ marks: state.marks.size }),
});
