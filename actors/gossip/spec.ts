// How gossip is supervised. Read by actors/tree.ts only.
import type { NodeConfig, PeersConfig } from '../../config/node.js';
import type { QuorateConfig } from '../../config/schema.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

/** What one peer may ask and send. */
export type PeerLimits = Pick<QuorateConfig['limits'], 'peer_burst' | 'peer_sustained' | 'peer_bytes_per_second'>;

export interface GossipConfig {
  readonly peers: PeersConfig;
  readonly limits: PeerLimits;
  readonly host: string;
  readonly port: number;
  /** Canonical text of the genesis: who of the peers is a validator. */
  readonly genesis: string;
  readonly chainId: string;
  readonly nodeId: string;
  readonly publicKey: string;
  readonly seed: Uint8Array;
}

export function gossipSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors.gossip;
  return {
    id: 'gossip',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    links: ['consensus', 'ingress'],
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 10_000,
    shutdownMs: supervision.shutdown_ms,
    /** Null without peers: the actor idles then, and opens no port. */
    configure: ({ settings, peers, peerPort, genesis, chainId, identity }): GossipConfig | null => {
      if (peers === null) return null;
      const { nodeId, publicKey, seed } = identity;
      const { host, port } = peers.listen;
      // A restarted port must be found where the first one was, also when the system chose it.
      const bound = { host, port: port === 0 ? peerPort : port };
      const { peer_burst, peer_sustained, peer_bytes_per_second } = settings.limits;
      const limits = { peer_burst, peer_sustained, peer_bytes_per_second };
      return { peers, limits, ...bound, genesis, chainId, nodeId, publicKey, seed };
    },
  };
}
