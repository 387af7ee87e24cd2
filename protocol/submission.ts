// A submission made ready for signature check and ledger: one shape for envelopes and PCS bodies.
// Called by ingress before the verify pool and by every node that validates a block.
// Must never judge the payload: that is the kind's task, after the signature.
import type { Buffer } from 'node:buffer';
import { sha256 } from './crypto/hash.js';
import { decodeSignature, envelopeSignedBytes, issuedAtMs, parseEnvelope, signatureBytes } from './envelope.js';
import { type JsonObject, parseStrict } from './json.js';

export interface Prepared {
  readonly kind: string;
  /** '' for a PCS until a key verified it. */
  readonly issuer: string;
  readonly id: string;
  /** Null where the kind signs no time: the attestation's time counts. */
  readonly issuedAtMs: number | null;
  /** Null for a PCS: the key that verifies decides. */
  readonly alg: 'ed25519' | 'hmac-sha256' | null;
  /** SHA-256 of signedBytes. */
  readonly digest: Buffer;
  /** SHA-256 of the raw body. */
  readonly body: Buffer;
  readonly signedBytes: Buffer;
  readonly signature: Buffer;
  readonly payload: JsonObject;
}

/** Throws JsonError or ShapeError (400), SignatureFormatError (401). */
export function prepareEnvelope(body: Uint8Array): Prepared {
  const envelope = parseEnvelope(parseStrict(body));
  const signedBytes = envelopeSignedBytes(envelope);
  return {
    kind: envelope.kind,
    issuer: envelope.issuer,
    id: envelope.id,
    issuedAtMs: issuedAtMs(envelope.issued_at),
    alg: envelope.alg,
    digest: sha256(signedBytes),
    body: sha256(body),
    signedBytes,
    signature: decodeSignature(envelope.sig, signatureBytes(envelope.alg)),
    payload: envelope.payload,
  };
}
