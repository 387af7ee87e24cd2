// Metrics of calls to peers. Created once a thread by actor.ts. Labels name configured peers and outcomes only.
import { Counter, Histogram, type Registry } from '../../observability/prom-client.js';
import { createTlsMetrics } from '../peer/tls-metrics.js';

export function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    ...createTlsMetrics(registry),
    requests: new Counter({
      name: 'quorate_peer_request_total',
      help: 'Attempts to call a peer, by outcome.',
      labelNames: ['peer', 'status'] as const,
      registers,
    }),
    backoff: new Histogram({
      name: 'quorate_peer_backoff_seconds',
      help: 'Waits before a peer is tried again.',
      labelNames: ['peer'] as const,
      buckets: [0.1, 0.2, 0.5, 1, 2, 5],
      registers,
    }),
  };
}

export type RpcClientMetrics = ReturnType<typeof createMetrics>;
