// The store's metrics. Created once a thread by actor.ts.
import { Counter, Gauge, Histogram, type Registry } from '../../observability/prom-client.js';

export function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    commitSeconds: new Histogram({
      name: 'quorate_store_commit_seconds',
      help: 'Time of one transaction of the ledger database.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    blocks: new Counter({ name: 'quorate_store_blocks_total', help: 'Blocks written to the ledger.', registers }),
    entries: new Counter({ name: 'quorate_store_entries_total', help: 'Entries written to the ledger.', registers }),
    height: new Gauge({ name: 'quorate_store_height', help: 'Height of the last block on record.', registers }),
  };
}

export type StoreMetrics = ReturnType<typeof createMetrics>;
