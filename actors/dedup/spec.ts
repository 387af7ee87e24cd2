// How dedup is supervised. Read by actors/tree.ts only.
import type { NodeConfig } from '../../config/node.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

export interface DedupConfig {
  readonly ledger: string;
  /** Marks kept in memory; what falls out is looked up in the ledger index. */
  readonly max: number;
}

/** In flight at most 4 × in_flight_max, plus recent outcomes: duplicates come soon after the first. */
const RECENT_FACTOR = 8;

export function dedupSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors.dedup;
  return {
    id: 'dedup',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    links: [],
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 10_000,
    shutdownMs: supervision.shutdown_ms,
    configure: (node): DedupConfig => ({
      ledger: node.places.ledger,
      max: RECENT_FACTOR * node.settings.limits.in_flight_max,
    }),
  };
}
