// How dedup is supervised. Read by actors/tree.ts only.
import type { NodeConfig } from '../../config/node.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

export interface DedupConfig {
  readonly ledger: string;
  /** Marks kept in memory; what falls out is looked up in the ledger index. */
  readonly max: number;
}

export function dedupSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors.dedup;
  return {
    id: 'dedup',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    standby: config.settings.supervision.standby,
    links: [],
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 10_000,
    shutdownMs: supervision.shutdown_ms,
    configure: (node): DedupConfig => ({
      ledger: node.places.ledger,
      // As many as ingress keeps answers: what is older is asked of the ledger index, 2 µs each.
      max: node.settings.idempotency.max,
    }),
  };
}
