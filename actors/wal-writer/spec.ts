// How the wal-writer is supervised. Read by actors/tree.ts only.
import { randomUUID } from 'node:crypto';
import type { NodeConfig } from '../../config/node.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';
import type { DiskLimits } from './pressure.js';

export interface WalWriterConfig {
  readonly directory: string;
  readonly chainId: string;
  readonly publicKey: string;
  readonly seed: Uint8Array;
  readonly segmentBytes: number;
  /** So much of the newest log is kept, needed or not. */
  readonly retentionBytes: number;
  readonly retentionMs: number;
  /** The log is too large when more than this could go by age and size and does not. */
  readonly maxBytes: number;
  readonly disk: DiskLimits;
  /** Of the node: while it is being initialised, an empty log may be made in it (DECISIONS 15). */
  readonly dataDirectory: string;
  /** Names this process among all that ever open the log. */
  readonly run: string;
}

const RUN = randomUUID();

export function walWriterSpec(config: NodeConfig): ActorSpec<NodeConfig> {
  const supervision = config.settings.supervision.actors['wal-writer'];
  return {
    id: 'wal-writer',
    module: new URL('./actor.js', import.meta.url),
    restart: supervision.restart,
    standby: config.settings.supervision.standby,
    links: [],
    outcomeUnknownOnDeath: true,
    heartbeatMs: supervision.heartbeat_ms,
    memoryMb: supervision.memory_mb,
    startTimeoutMs: 60_000,
    shutdownMs: supervision.shutdown_ms,
    configure: (node): WalWriterConfig => ({
      directory: node.places.log,
      chainId: node.chainId,
      publicKey: node.identity.publicKey,
      seed: node.identity.seed,
      segmentBytes: node.settings.wal.segment_bytes,
      retentionBytes: node.settings.wal.retention_bytes,
      retentionMs: node.settings.wal.retention_ms,
      maxBytes: node.settings.wal.max_bytes,
      disk: {
        warnBytes: node.settings.disk.warn_free_bytes,
        errorBytes: node.settings.disk.error_free_bytes,
        stopBytes: node.settings.disk.stop_free_bytes,
        ballastBytes: node.settings.disk.ballast_bytes,
      },
      dataDirectory: node.places.data,
      run: RUN,
    }),
  };
}
