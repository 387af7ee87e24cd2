// Metrics of TLS between peers, in each thread that does it. Created once a thread by gossip and rpc-client; the
// supervisor adds up what both count. Labels name configured peers only, so that nobody outside can make up series.
import { Counter, type Registry } from '../../observability/prom-client.js';
import { HANDSHAKE_STATUSES } from './tls.js';

export function createTlsMetrics(registry: Registry) {
  const registers = [registry];
  const handshakes = new Counter({
    name: 'quorate_tls_handshakes_total',
    help: 'TLS handshakes with peers, both ends, by how they ended.',
    labelNames: ['status'] as const,
    registers,
  });
  for (const status of HANDSHAKE_STATUSES) handshakes.inc({ status }, 0);
  return {
    handshakes,
    pinningViolations: new Counter({
      name: 'quorate_pinning_violations_total',
      help: 'Certificates that match no pin of the peer they stand for.',
      labelNames: ['peer'] as const,
      registers,
    }),
  };
}

export type TlsMetrics = ReturnType<typeof createTlsMetrics>;
