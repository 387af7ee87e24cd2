// Submissions that peers tell of, on their way to the door: frames are read, and what this node knows byte for byte is left
// out before anything costs more than a hash. Called by the door. It must never let a peer fill memory: what it remembers
// is bounded, and so is what the door takes.
import { LRUCache } from 'lru-cache';
import { attestationJson } from '../../protocol/attestation.js';
import { sha256 } from '../../protocol/crypto/hash.js';
import { FrameError } from '../../protocol/peer/bytes.js';
import { decodeSubmissions, type SharedSubmission } from '../../protocol/peer/submission-frames.js';
import type { IngressMetrics } from './metrics.js';
import { bytesKey, emptySubmission, type Submission } from './submission.js';

/** Bodies by hash, 100 bytes each: more than all mempools hold together, and what was refused lately. */
const KNOWN_MAX = 100_000;

export class Gossiped {
  readonly #metrics: IngressMetrics;
  readonly #known = new LRUCache<string, true>({ max: KNOWN_MAX });
  #last = 0;

  constructor(metrics: IngressMetrics) {
    this.#metrics = metrics;
  }

  /** What is new in these frames, `roomFor` of it at most; the rest comes again. */
  read(from: string, frames: readonly Uint8Array[], roomFor: number): Submission[] {
    const fresh: Submission[] = [];
    for (const frame of frames) {
      for (const shared of this.#decode(frame)) {
        const body = bytesKey(sha256(shared.raw));
        if (this.#known.get(body) === true) this.#metrics.gossiped.inc({ result: 'known' });
        else if (fresh.length >= roomFor) this.#metrics.gossiped.inc({ result: 'overloaded' });
        else {
          this.#known.set(body, true);
          this.#metrics.gossiped.inc({ result: 'new' });
          fresh.push(this.#submissionOf(from, shared));
        }
      }
    }
    return fresh;
  }

  /** There was no room for it, or its key may yet be registered: it may come again. */
  forget({ prepared }: Submission, why: string): void {
    this.#metrics.gossiped.inc({ result: why });
    if (prepared !== null) this.#known.delete(bytesKey(prepared.body));
  }

  refused(): void {
    this.#metrics.gossiped.inc({ result: 'refused' });
  }

  #decode(frame: Uint8Array): SharedSubmission[] {
    try {
      return decodeSubmissions(frame);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#metrics.gossiped.inc({ result: error.reason });
      return [];
    }
  }

  #submissionOf(origin: string, { route, raw, attestation }: SharedSubmission): Submission {
    this.#last -= 1;
    // A copy: one body must not keep the whole frame in memory.
    const submission = emptySubmission(route, new Uint8Array(raw), 'gossip', null);
    return {
      ...submission,
      origin,
      sharedAttestation: attestation,
      attestation: attestation === null ? '' : JSON.stringify(attestationJson(attestation)),
      lsn: this.#last,
    };
  }
}
