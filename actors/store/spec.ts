// How the store is supervised. Read by actors/tree.ts only.
import type { NodeConfig } from '../../config/node.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

export interface StoreConfig {
  readonly ledger: string;
  readonly chainId: string;
}

export function storeSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors.store;
  return {
    id: 'store',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    standby: config.settings.supervision.standby,
    links: [],
    gated: true,
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 30_000,
    shutdownMs: supervision.shutdown_ms,
    configure: (node): StoreConfig => ({ ledger: node.places.ledger, chainId: node.chainId }),
  };
}
