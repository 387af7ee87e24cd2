// How rpc-client is supervised. Read by actors/tree.ts only.
import type { NodeConfig, PeersConfig } from '../../config/node.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

export interface RpcClientConfig {
  readonly peers: PeersConfig;
  readonly nodeId: string;
}

export function rpcClientSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors['rpc-client'];
  return {
    id: 'rpc-client',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    links: [],
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 10_000,
    shutdownMs: supervision.shutdown_ms,
    /** Null without peers: the actor idles then. */
    configure: ({ peers, identity }): RpcClientConfig | null =>
      peers === null ? null : { peers, nodeId: identity.nodeId },
  };
}
