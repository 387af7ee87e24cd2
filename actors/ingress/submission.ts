// A submission on its way through the node, and the clients that wait for it. Held by the door from admission until it
// is final or refused. Everything else about it can be rebuilt from the log.
import type { Attestation } from '../../protocol/attestation.js';
import type { Prepared } from '../../protocol/submission.js';

/** What a client gets. Header names in lower case. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Set where every character is known to be ASCII: to look at each once more was 2 % of what ingress did for a submission. */
  readonly isAscii?: boolean;
}

export interface Waiter {
  readonly requestId: string;
  /** Monotonic milliseconds after which the client waits for finality no longer: 202 when the submission is durable. */
  readonly deadlineMs: number;
  /** Monotonic milliseconds after which a client is told 503 when its submission is not even admitted; ≥ deadlineMs. */
  readonly limitMs: number;
  /** The client asked to be answered as soon as the submission is durable and new (RFC 7240 respond-async). */
  readonly respondAsync: boolean;
  /** The client asked to be answered as soon as a quorum of validators has the submission on disk. */
  readonly untilQuorum?: boolean;
  settle(answer: Answer): void;
}

/** The key that verified a submission. */
export interface VerifiedBy {
  readonly issuer: string;
  readonly keyId: string;
  /** 64 hex; '' for HMAC. */
  readonly publicKey: string;
}

/**
 * Where a submission stands. Until 'admitted' it is known to this node's log alone; from 'proposed' on consensus has
 * it, and a restart of consensus makes the door propose it again.
 */
export type Stage = 'logged' | 'verified' | 'admitted' | 'proposed';

export interface Submission {
  readonly route: number;
  readonly raw: Uint8Array;
  readonly requestId: string;
  readonly idempotencyKey: string | null;
  /** Node that admitted it and told of it; '' for this one. */
  readonly origin: string;
  /** What that node attests, not verified; null for none. */
  readonly sharedAttestation: Attestation | null;
  /** The clients that get its answer, by the door's numbers for them. */
  readonly waiters: number[];
  /** Position of its inbox record; 0 until it is written, a negative number of its own where only a peer's log has it. */
  lsn: number;
  stage: Stage;
  /** Monotonic milliseconds of the last proposal; 0 before it. */
  proposedAtMs: number;
  prepared: Prepared | null;
  verifiedBy: VerifiedBy | null;
  /** Attestation JSON, '' for none. */
  attestation: string;
  /** What makes two bodies the same submission: digest, for pcs the body's hash. 32 characters, one a byte. */
  content: string;
  /** Where the recorded outcome stands, while it waits to become readable. */
  recordedAt: { readonly height: number; readonly index: number } | null;
  /** A client was told 202: a later refusal must be findable. */
  toldDurable: boolean;
}

/** The ledger's name of a submission: issuer and id, as the index spells it. */
export function ledgerKey(submission: Submission): string {
  return `${submission.verifiedBy!.issuer}\0${submission.prepared!.id}`;
}

/** 32 bytes as a 32-character string: a Map key without the cost of hex. */
export function bytesKey(bytes: Uint8Array, start = 0): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, 32).toString('latin1', 0, 32);
}

export function keyBytes(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

/** A submission as it comes in: bytes, and nothing known about them. */
export function emptySubmission(
  route: number,
  raw: Uint8Array,
  requestId: string,
  idempotencyKey: string | null,
): Submission {
  return {
    route,
    raw,
    requestId,
    idempotencyKey,
    origin: '',
    sharedAttestation: null,
    waiters: [],
    lsn: 0,
    stage: 'logged',
    proposedAtMs: 0,
    prepared: null,
    verifiedBy: null,
    attestation: '',
    content: '',
    recordedAt: null,
    toldDurable: false,
  };
}
