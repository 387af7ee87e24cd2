// Dedup's metrics. Created once a thread by actor.ts. Verified submissions only ever reach it, so a flood of bad
// signatures leaves these counters where they are (IN-2).
import { Gauge, type Registry } from '../../observability/prom-client.js';
import { tallied } from '../../observability/tally.js';

export function createMetrics(registry: Registry, size: () => number) {
  const registers = [registry];
  new Gauge({
    name: 'quorate_dedup_marks',
    help: 'Submissions remembered in memory.',
    registers,
    collect() {
      this.set(size());
    },
  });
  return {
    reads: tallied({ name: 'quorate_dedup_reads_total', help: 'Submissions looked up.', registers }),
    writes: tallied({ name: 'quorate_dedup_writes_total', help: 'Marks made or changed.', registers }),
    ledgerReads: tallied({
      name: 'quorate_dedup_ledger_reads_total',
      help: 'Look-ups that memory could not answer.',
      registers,
    }),
  };
}

export type DedupMetrics = ReturnType<typeof createMetrics>;
