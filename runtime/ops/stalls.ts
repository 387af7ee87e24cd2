// Work on the disk that takes too long: seen from the main thread, because the thread that waits for it can tell nobody.
// Called by readiness and by the composition root. The wordings are an interface: readiness shows them.
import { Gauge, type Registry } from '../../observability/prom-client.js';
import type { ActorStatus } from '../kernel/supervisor-types.js';

/** Longer than any sync of a disk that works: those of a busy one take tens of milliseconds. */
export const STALLED_MS = 1_000;

const STALLS: Readonly<Record<string, { readonly check: string; readonly wording: string }>> = {
  fdatasync: { check: 'sync', wording: 'the disk is slow: a sync of the log has taken longer than a second' },
  'store-commit': {
    check: 'commit',
    wording: 'the disk is slow: a commit of the ledger has taken longer than a second',
  },
};

/** What readiness says about this section, or null while it is not too long. */
export function stallOf(native: ActorStatus['native']): { readonly check: string; readonly wording: string } | null {
  if (native === null || native.forMs < STALLED_MS) return null;
  return STALLS[native.kind] ?? null;
}

/** Seconds that the sync under way has taken, once it is a stall. */
export function watchStalls(registry: Registry, status: () => readonly ActorStatus[]): void {
  const gauges: [string, string, string][] = [
    [
      'quorate_wal_fsync_stalled',
      'fdatasync',
      'Seconds that the running sync of the log has taken; 0 below one second.',
    ],
    [
      'quorate_store_commit_stalled',
      'store-commit',
      'Seconds that the running commit of the ledger has taken; 0 below one.',
    ],
  ];
  for (const [name, kind, help] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const stalls = status().map(({ native }) =>
          native?.kind === kind && stallOf(native) !== null ? native.forMs : 0,
        );
        this.set(Math.max(0, ...stalls) / 1000);
      },
    });
  }
}
