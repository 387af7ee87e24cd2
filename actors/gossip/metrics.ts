// Metrics of gossip. Created once a thread by actor.ts. Labels name configured peers and reasons of closed lists only: a
// stranger must not be able to make up series.
import { Counter, Gauge, Histogram, type Registry } from '../../observability/prom-client.js';
import { createTlsMetrics } from '../peer/tls-metrics.js';

export interface PeerFigures {
  readonly nodeId: string;
  readonly connected: boolean;
  readonly liveBytes: number;
  readonly bulkBytes: number;
}

export interface CertificateFigure {
  readonly role: 'own' | 'authority' | 'peer';
  readonly peer: string;
  readonly secondsLeft: number;
}

export interface Figures {
  peers(): readonly PeerFigures[];
  certificates(): readonly CertificateFigure[];
  inboundBytes(): number;
}

export function createMetrics(registry: Registry, figures: Figures) {
  const registers = [registry];
  new Gauge({
    name: 'quorate_peer_connected',
    help: '1 while the peer is connected and proven.',
    labelNames: ['peer'] as const,
    registers,
    collect() {
      this.reset();
      for (const { nodeId, connected } of figures.peers()) this.set({ peer: nodeId }, connected ? 1 : 0);
    },
  });
  new Gauge({
    name: 'quorate_peer_queue_bytes',
    help: 'Frames that wait to be sent to the peer, by lane.',
    labelNames: ['peer', 'lane'] as const,
    registers,
    collect() {
      this.reset();
      for (const { nodeId, liveBytes, bulkBytes } of figures.peers()) {
        this.set({ peer: nodeId, lane: 'live' }, liveBytes);
        this.set({ peer: nodeId, lane: 'bulk' }, bulkBytes);
      }
    },
  });
  new Gauge({
    name: 'quorate_peer_inbound_bytes',
    help: 'Frames of peers that wait for consensus or ingress.',
    registers,
    collect() {
      this.set(figures.inboundBytes());
    },
  });
  new Gauge({
    name: 'quorate_tls_certificate_expiry_seconds',
    help: 'Seconds until the certificate expires; negative once it has.',
    labelNames: ['role', 'peer'] as const,
    registers,
    collect() {
      this.reset();
      for (const { role, peer, secondsLeft } of figures.certificates()) this.set({ role, peer }, secondsLeft);
    },
  });
  const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Counter({ name, help, labelNames, registers });
  return {
    ...createTlsMetrics(registry),
    frames: counter('quorate_peer_frames_total', 'Frames by peer, way and family.', 'peer', 'direction', 'family'),
    bytes: counter('quorate_peer_bytes_total', 'Bytes of these frames.', 'peer', 'direction'),
    dropped: counter(
      'quorate_peer_frames_dropped_total',
      'Frames that found no room or nobody to take them.',
      'peer',
      'lane',
    ),
    closed: counter('quorate_peer_closed_total', 'Connections and attempts that ended, by why.', 'peer', 'reason'),
    served: counter('quorate_peer_served_total', 'Requests on the peer port, by answer.', 'peer', 'route', 'status'),
    violations: counter(
      'quorate_rate_limit_violations_total',
      'Requests that were refused and streams that were held back for coming too fast.',
      'scope',
      'peer',
    ),
    backoff: new Histogram({
      name: 'quorate_peer_backoff_seconds',
      help: 'Waits before a peer is tried again.',
      labelNames: ['peer'] as const,
      buckets: [0.1, 0.2, 0.5, 1, 2, 5],
      registers,
    }),
  };
}

export type GossipMetrics = ReturnType<typeof createMetrics>;
