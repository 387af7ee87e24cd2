// How gossip is supervised. Read by actors/tree.ts only.
import type { NodeConfig } from '../../config/node.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

export function gossipSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors.gossip;
  return {
    id: 'gossip',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    links: [],
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 10_000,
    shutdownMs: supervision.shutdown_ms,
    configure: () => null,
  };
}
