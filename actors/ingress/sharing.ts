// Tells peers of what this node has admitted, again and again until it is final or refused (DECISIONS 14): whoever leads can
// propose it. Called by the door; there is none on a chain of one. Nothing waits for it: what gets lost is told again.
import { type Attestation, readAttestation } from '../../protocol/attestation.js';
import type { JsonObject } from '../../protocol/json.js';
import { encodeSubmissions } from '../../protocol/peer/submission-frames.js';
import { Mistakes } from '../../protocol/shape.js';
import { Batch, packBytes } from '../../runtime/kernel/batch.js';
import type { Clock, Link } from '../../runtime/kernel/contract.js';
import { ReleasingMap } from '../../runtime/kernel/releasing-map.js';
import type { GossipContract } from '../gossip/contract.js';
import type { IngressMetrics } from './metrics.js';
import type { Submission } from './submission.js';

interface Shared {
  readonly submission: Submission;
  dueAtMs: number;
  delayMs: number;
}

/** Finality takes milliseconds: what is not final by then may not have reached whoever leads. */
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 16_000;
const LOOK_MS = 250;
/** Of one look: a node with a long backlog must not fill every queue with what its peers have. */
const LOOK_BYTES = 512 * 1024;
const TURN_MAX = 512;

export class Sharing {
  readonly #gossip: Link<GossipContract>;
  readonly #clock: Clock;
  readonly #metrics: IngressMetrics;
  readonly #shared = new ReleasingMap<number, Shared>();
  readonly #turn: Batch<Submission>;
  #lookAtMs = 0;

  constructor(gossip: Link<GossipContract>, clock: Clock, metrics: IngressMetrics) {
    this.#gossip = gossip;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#turn = new Batch({ maxCount: TURN_MAX, flush: (list) => this.#send(list, 'first') });
  }

  get size(): number {
    return this.#shared.size;
  }

  /** Consensus of this node is given it now. What is told of already is left alone. */
  share(submission: Submission): void {
    if (submission.origin !== '' || submission.lsn <= 0 || this.#shared.has(submission.lsn)) return;
    const dueAtMs = this.#clock.monotonic() + AGAIN_MS;
    this.#shared.set(submission.lsn, { submission, dueAtMs, delayMs: AGAIN_MS });
    this.#turn.add(submission);
  }

  /** Final or refused. */
  ended(lsn: number): void {
    if (lsn > 0) this.#shared.take(lsn);
  }

  /** A peer came that may know of nothing. */
  peerUp(): void {
    const nowMs = this.#clock.monotonic();
    for (const shared of this.#shared.values()) {
      shared.dueAtMs = nowMs;
      shared.delayMs = AGAIN_MS;
    }
    this.#lookAtMs = 0;
  }

  /** Called every few tens of milliseconds. */
  sweep(nowMs: number): void {
    if (nowMs < this.#lookAtMs || this.#shared.size === 0) return;
    this.#lookAtMs = nowMs + LOOK_MS;
    const due: Submission[] = [];
    let sizeBytes = 0;
    for (const shared of this.#shared.values()) {
      if (shared.dueAtMs > nowMs) continue;
      if (sizeBytes >= LOOK_BYTES) break;
      shared.delayMs = Math.min(2 * shared.delayMs, AGAIN_MAX_MS);
      shared.dueAtMs = nowMs + shared.delayMs;
      sizeBytes += shared.submission.raw.length;
      due.push(shared.submission);
    }
    if (due.length > 0) this.#send(due, 'again');
  }

  #send(list: readonly Submission[], turn: 'first' | 'again'): void {
    const frames = encodeSubmissions(
      list.map(({ route, raw, attestation }) => ({ route, raw, attestation: parsed(attestation) })),
    );
    const packed = packBytes(frames);
    const result = this.#gossip.tell('send', { to: null, lane: 'bulk', frames: packed }, [packed]);
    this.#metrics.shared.inc({ turn: result === 'ok' ? turn : 'lost' }, list.length);
  }
}

function parsed(attestation: string): Attestation | null {
  return attestation === '' ? null : readAttestation(JSON.parse(attestation) as JsonObject, '', new Mistakes());
}
