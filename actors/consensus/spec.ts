// How consensus is supervised. Read by actors/tree.ts only.
import type { NodeConfig } from '../../config/node.js';
import type { QuorateConfig } from '../../config/schema.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

export interface ConsensusConfig {
  readonly ledger: string;
  /** Canonical text of the genesis. */
  readonly genesis: string;
  readonly chainId: string;
  readonly nodeId: string;
  readonly seed: Uint8Array;
  readonly verify: Pick<QuorateConfig['verify'], 'backend'>;
  readonly compactIntervalMs: number;
  /** Δ0 (R8), milliseconds. */
  readonly deltaMs: number;
}

export function consensusSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors.consensus;
  return {
    id: 'consensus',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    standby: config.settings.supervision.standby,
    links: ['wal-writer', 'store', 'dedup', 'ingress', 'gossip'],
    outcomeUnknownOnDeath: true,
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 120_000,
    shutdownMs: supervision.shutdown_ms,
    configure: (node): ConsensusConfig => ({
      ledger: node.places.ledger,
      genesis: node.genesis,
      chainId: node.chainId,
      nodeId: node.identity.nodeId,
      seed: node.identity.seed,
      verify: { backend: node.settings.verify.backend },
      deltaMs: node.settings.consensus.delta_ms,
      compactIntervalMs: node.settings.wal.compact_interval_ms,
    }),
  };
}
