// The supervision tree as data: read this first. Children start in this order and stop in the reverse one.
// The store and the edge's actors die alone, the death of the log takes consensus along. Read by runtime/daemon.ts only.
import type { NodeConfig } from '../config/node.js';
import type { GroupSpec } from '../runtime/kernel/contract.js';
import { consensusSpec } from './consensus/spec.js';
import { dedupSpec } from './dedup/spec.js';
import { gossipSpec } from './gossip/spec.js';
import { ingressSpec } from './ingress/spec.js';
import { closeLedger, openLedger } from './ledger/environment.js';
import { rpcClientSpec } from './rpc-client/spec.js';
import { storeSpec } from './store/spec.js';
import { walWriterSpec } from './wal-writer/spec.js';

/**
 * What outlives every actor: the ledger database stays open for writing in a thread that nobody kills, so that no reader
 * can ever be the first to open it (actors/ledger/environment.ts). Call before the tree starts; nothing else is done with it.
 */
export function holdLedgerOpen({ places }: NodeConfig): { release(): Promise<void> } {
  const tables = openLedger(places.ledger);
  return { release: () => closeLedger(tables) };
}

export function tree(config: NodeConfig): GroupSpec<NodeConfig> {
  const { intensity, period_ms: periodMs } = config.settings.supervision.budget;
  const budget = { intensity, periodMs };
  return {
    id: 'root',
    strategy: 'rest-for-one',
    // A group that has spent its own ends the process: restarted by the root it would go on for ever, ever more slowly.
    budget: { intensity: 0, periodMs },
    children: [
      { id: 'ledger', strategy: 'one-for-one', budget, children: [storeSpec(config)] },
      {
        id: 'core',
        strategy: 'rest-for-one',
        budget,
        children: [walWriterSpec(config), consensusSpec(config)],
      },
      {
        id: 'edge',
        strategy: 'one-for-one',
        budget,
        children: [dedupSpec(config), gossipSpec(config), rpcClientSpec(config), ingressSpec(config)],
      },
    ],
  };
}
