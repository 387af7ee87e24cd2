// How ingress is supervised. Read by actors/tree.ts only.
import type { HmacSecret, NodeConfig, RegistryWish } from '../../config/node.js';
import type { QuorateConfig } from '../../config/schema.js';
import { parseListen } from '../../config/schema.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';

export interface IngressConfig {
  readonly settings: Pick<QuorateConfig, 'limits' | 'idempotency' | 'verify'>;
  readonly host: string;
  readonly port: number;
  readonly ledger: string;
  readonly genesis: string;
  readonly chainId: string;
  readonly nodeId: string;
  readonly publicKey: string;
  readonly seed: Uint8Array;
  readonly hmacSecrets: readonly HmacSecret[];
  readonly wish: RegistryWish | null;
}

export function ingressSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors.ingress;
  return {
    id: 'ingress',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    standby: config.settings.supervision.standby,
    links: ['wal-writer', 'dedup', 'consensus', 'store', 'gossip'],
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    // At 256 connections 24 MB cost a fifth of the throughput.
    youngGenerationMb: 48,
    startTimeoutMs: 20_000,
    shutdownMs: supervision.shutdown_ms,
    configure: (node): IngressConfig => {
      const { limits, idempotency, verify, listen } = node.settings;
      const address = parseListen(listen)!;
      return {
        settings: { limits, idempotency, verify },
        host: address.host,
        // A restarted door must be found where the first one was, also when the system chose the port.
        port: address.port === 0 ? node.apiPort : address.port,
        ledger: node.places.ledger,
        genesis: node.genesis,
        chainId: node.chainId,
        nodeId: node.identity.nodeId,
        publicKey: node.identity.publicKey,
        seed: node.identity.seed,
        hmacSecrets: node.hmacSecrets,
        wish: node.wish,
      };
    },
  };
}
