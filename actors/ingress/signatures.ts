// Stages two and three of the door: from bytes to a submission whose signature holds. Called by the door with what the log
// has, or a peer has told of. It must never look at anything of a submission before its signature but what finding the key
// needs.
import { SignatureFormatError } from '../../protocol/envelope.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import type { SignatureCheck } from '../verify/checks.js';
import type { VerifyPool } from '../verify/pool.js';
import { type Refusal, refusalOfError } from './answers.js';
import type { Candidate, Keyring } from './keyring.js';
import type { IngressMetrics } from './metrics.js';
import { prepare } from './proposal.js';
import type { Submission } from './submission.js';

export interface SignatureParts {
  readonly pool: VerifyPool;
  readonly keyring: Keyring;
  readonly metrics: IngressMetrics;
  readonly clock: Clock;
  /** How many of `waiting` signatures go to the pool as one batch. */
  readonly verifyBatchSize: (waiting: number) => number;
}

export interface SignatureEvents {
  refuse(submission: Submission, refusal: Refusal): void;
  /** The pool is not there: to be tried again. */
  park(list: readonly Submission[], error: unknown): void;
  verified(submission: Submission): void;
}

export class Signatures {
  readonly #parts: SignatureParts;
  readonly #events: SignatureEvents;

  constructor(parts: SignatureParts, events: SignatureEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  // --- stage 2: parse, find keys ---

  parse(batch: readonly Submission[]): void {
    const end = this.#parts.metrics.stage('parse');
    const nowMs = this.#parts.clock.now();
    const chunkMax = this.#parts.verifyBatchSize(batch.length);
    let chunk: [Submission, readonly Candidate[]][] = [];
    for (const submission of batch) {
      const candidates = this.#prepare(submission, nowMs);
      if (candidates === null) continue;
      chunk.push([submission, candidates]);
      if (chunk.length < chunkMax) continue;
      void this.#verify(chunk);
      chunk = [];
    }
    if (chunk.length > 0) void this.#verify(chunk);
    end();
  }

  #prepare(submission: Submission, nowMs: number): readonly Candidate[] | null {
    const { metrics, keyring } = this.#parts;
    try {
      submission.prepared = prepare(submission.route, submission.raw);
    } catch (error) {
      if (error instanceof SignatureFormatError) metrics.signatureErrors.inc();
      this.#events.refuse(submission, refusalOfError(error));
      return null;
    }
    const candidates =
      submission.origin === ''
        ? keyring.candidates(submission.prepared, nowMs)
        : keyring.candidatesOfPeer(submission.prepared, submission.sharedAttestation, nowMs);
    if (candidates.length > 0) return candidates;
    metrics.signatureErrors.inc();
    this.#events.refuse(submission, keyring.whyNone(submission.prepared, nowMs));
    return null;
  }

  // --- stage 3: signatures ---

  async #verify(chunk: readonly [Submission, readonly Candidate[]][]): Promise<void> {
    const { metrics, pool } = this.#parts;
    const end = metrics.stage('verify');
    let verdicts: Uint8Array;
    try {
      const checks: SignatureCheck[] = [];
      for (const [, candidates] of chunk) for (const { check } of candidates) checks.push(check);
      verdicts = await pool.verify(checks);
    } catch (error) {
      this.#events.park(
        chunk.map(([submission]) => submission),
        error,
      );
      return;
    } finally {
      end();
    }
    const valid: Submission[] = [];
    let at = 0;
    for (const [submission, candidates] of chunk) {
      const found = candidates.find((_, index) => verdicts[at + index] === 1);
      at += candidates.length;
      if (found === undefined) {
        metrics.signatureErrors.inc();
        this.#events.refuse(submission, { slug: 'bad-signature' });
        continue;
      }
      submission.verifiedBy = found.verifiedBy;
      submission.stage = 'verified';
      valid.push(submission);
    }
    if (valid.length > 0) await this.#attest(valid);
  }

  /** HMAC and PCS are vouched for by the node that took them in (DECISIONS 17): others cannot check them. */
  async #attest(valid: readonly Submission[]): Promise<void> {
    const { keyring, pool, clock } = this.#parts;
    const attested = valid.filter((submission) => submission.origin === '' && keyring.needsAttestation(submission));
    if (attested.length > 0) {
      try {
        await keyring.attest(attested, pool, clock.now());
      } catch (error) {
        this.#events.park(valid, error);
        return;
      }
    }
    for (const submission of valid) this.#events.verified(submission);
  }
}
