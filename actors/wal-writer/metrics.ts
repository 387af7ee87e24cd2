// The wal-writer's metrics. Created once a thread by actor.ts.
import { HotHistogram } from '../../observability/hot-histogram.js';
import { Counter, Gauge, type Registry } from '../../observability/prom-client.js';
import { type Tally, talliedBy } from '../../observability/tally.js';
import { recordTypeName } from '../../protocol/wal-record.js';

/** Figures that are asked for at each scrape. */
export interface WalWriterFigures {
  oldestUnsettledSeconds(): number;
  freeBytes(): number;
  pressure(): number;
  ballastBytes(): number;
  sizeBytes(): number;
  unsettled(): number;
}

export function createMetrics(registry: Registry, figures: WalWriterFigures) {
  const registers = [registry];
  gauge(
    registry,
    'quorate_wal_oldest_unsettled_seconds',
    'Age of the oldest unsettled inbox entry; 0 without one.',
    () => figures.oldestUnsettledSeconds(),
  );
  gauge(
    registry,
    'quorate_disk_free_bytes',
    'Free space of the data disk; of the fuller one where there are two.',
    () => figures.freeBytes(),
  );
  gauge(registry, 'quorate_disk_pressure', '0 ok, 1 warning, 2 error, 3 nothing is admitted.', () =>
    figures.pressure(),
  );
  gauge(
    registry,
    'quorate_disk_ballast_bytes',
    'Space that the ballast holds for an emergency; 0 when it is used up.',
    () => figures.ballastBytes(),
  );
  gauge(registry, 'quorate_wal_size_bytes', 'Size of all log segments on disk.', () => figures.sizeBytes());
  gauge(registry, 'quorate_wal_unsettled_entries', 'Inbox entries that are neither final nor refused.', () =>
    figures.unsettled(),
  );
  const recordsBy = talliedBy('type', {
    name: 'quorate_wal_records_total',
    help: 'Records written, by type.',
    registers,
  });
  const recordsOf: Tally[] = [];
  return {
    fsyncSeconds: new HotHistogram({
      name: 'quorate_wal_fsync_seconds',
      help: 'Time of one batch: write and fdatasync.',
      buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }).labels({}),
    batchEntries: new HotHistogram({
      name: 'quorate_wal_batch_entries',
      help: 'Records in one batch.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
      registers,
    }).labels({}),
    /** By record type. */
    records: (type: number) => (recordsOf[type] ??= recordsBy(recordTypeName(type))),
    pruned: new Counter({
      name: 'quorate_wal_pruned_segments_total',
      help: 'Log segments deleted because nothing needs them any more.',
      registers,
    }),
    prunedBytes: new Counter({
      name: 'quorate_wal_pruned_bytes_total',
      help: 'Their bytes.',
      registers,
    }),
    carried: new Counter({
      name: 'quorate_wal_carried_entries_total',
      help: 'Unsettled inbox entries written again so that an old segment could be deleted.',
      registers,
    }),
    overCap: new Gauge({
      name: 'quorate_wal_over_cap',
      help: '1 when the log is larger than wal.max_bytes allows.',
      registers,
    }),
    errors: new Counter({ name: 'quorate_wal_errors', help: 'Failed writes; the process ends after one.', registers }),
  };
}

function gauge(registry: Registry, name: string, help: string, value: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(value());
    },
  });
}

export type WalWriterMetrics = ReturnType<typeof createMetrics>;

/** Seconds; 0 for what never happened, or lies ahead. */
export function ageOf(atMs: number | null, nowMs: number): number {
  return atMs === null ? 0 : Math.max(0, nowMs - atMs) / 1000;
}
