// How long the certificates in use are valid: figures for metrics, and a line a day when one comes to its end. Owned by the
// actor. It must never decide anything: TLS refuses what has expired.
import type { Logger } from 'pino';
import type { PeerTls } from '../../config/node.js';
import { EXPIRY_CRITICAL_MS, EXPIRY_WARNING_MS } from '../../config/tls-files.js';
import { event } from '../../observability/events.js';
import { readCertificates } from '../../protocol/crypto/certificate.js';
import type { Clock, Timer } from '../../runtime/kernel/contract.js';
import type { CertificateFigure } from './metrics.js';

const DAY_MS = 86_400_000;

interface Dated {
  readonly role: CertificateFigure['role'];
  readonly peer: string;
  readonly endMs: number;
}

export class Certificates {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ownId: string;
  readonly #peers: () => Iterable<{ readonly nodeId: string; readonly certificateEndMs: number | null }>;
  #own: readonly Dated[] = [];
  #timer: Timer | null = null;

  constructor(parts: {
    readonly clock: Clock;
    readonly log: Logger;
    readonly ownId: string;
    readonly peers: () => Iterable<{ readonly nodeId: string; readonly certificateEndMs: number | null }>;
  }) {
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#ownId = parts.ownId;
    this.#peers = parts.peers;
  }

  /** These are in force from now on; looked at at once, and every day. */
  use(tls: PeerTls | null): void {
    this.#own = tls === null ? [] : this.#ownOf(tls);
    this.#timer?.cancel();
    this.#look();
  }

  figures(): CertificateFigure[] {
    const nowMs = this.#clock.now();
    return this.#all().map(({ role, peer, endMs }) => ({ role, peer, secondsLeft: (endMs - nowMs) / 1000 }));
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #ownOf({ cert, ca }: PeerTls): Dated[] {
    const authorities = readCertificates(ca).map(({ notAfterMs }) => notAfterMs);
    return [
      { role: 'own', peer: this.#ownId, endMs: readCertificates(cert)[0]!.notAfterMs },
      // Without the first of them to expire some peers cannot be verified any more.
      { role: 'authority', peer: '', endMs: Math.min(...authorities) },
    ];
  }

  #all(): Dated[] {
    const seen = [...this.#peers()].flatMap(({ nodeId, certificateEndMs }) =>
      certificateEndMs === null ? [] : [{ role: 'peer' as const, peer: nodeId, endMs: certificateEndMs }],
    );
    return [...this.#own, ...seen];
  }

  #look(): void {
    const nowMs = this.#clock.now();
    for (const { role, peer, endMs } of this.#all()) {
      const leftMs = endMs - nowMs;
      if (leftMs > EXPIRY_WARNING_MS) continue;
      const fields = { role, peer, days_left: Math.floor(leftMs / DAY_MS), expires_at: new Date(endMs).toISOString() };
      event(
        this.#log,
        leftMs > EXPIRY_CRITICAL_MS ? 'certificate.expires_soon' : 'certificate.expires_very_soon',
        fields,
      );
    }
    this.#timer = this.#clock.setTimer(DAY_MS, () => this.#look());
  }
}
