// The wal-writer's metrics. Created once a thread by actor.ts.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    fsyncSeconds: new Histogram({
      name: 'quorate_wal_fsync_seconds',
      help: 'Time of one batch: write and fdatasync.',
      buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    batchEntries: new Histogram({
      name: 'quorate_wal_batch_entries',
      help: 'Records in one batch.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
      registers,
    }),
    records: new Counter({
      name: 'quorate_wal_records_total',
      help: 'Records written, by type.',
      labelNames: ['type'] as const,
      registers,
    }),
    bytes: new Gauge({ name: 'quorate_wal_size_bytes', help: 'Size of all log segments on disk.', registers }),
    unsettled: new Gauge({
      name: 'quorate_wal_unsettled_entries',
      help: 'Inbox entries that are neither final nor refused.',
      registers,
    }),
    errors: new Counter({ name: 'quorate_wal_errors', help: 'Failed writes; the process ends after one.', registers }),
  };
}

export type WalWriterMetrics = ReturnType<typeof createMetrics>;
