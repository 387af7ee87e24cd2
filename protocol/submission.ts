// A submission made ready for signature check and ledger: one shape for envelopes, PCS bodies and observations.
// Called by ingress before the verify pool and by every node that validates a block.
// Must never judge the payload: that is the kind's task, after the signature.
import type { Buffer } from 'node:buffer';
import { sha256 } from './crypto/hash.js';
import { decodeSignature, envelopeSignedBytes, readEnvelope, SignatureFormatError } from './envelope.js';
import { type JsonObject, parseStrict } from './json.js';
import { describe, ShapeError } from './kinds/kind.js';
import {
  asObservation,
  OBSERVATION,
  observationSignature,
  observationSignedBytes,
  observedAtS,
  readObservationBody,
} from './kinds/observation.js';
import { asPcs, pcsShapeErrors, pcsSignedBytes } from './kinds/pcs.js';

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
  const { envelope, issuedAtMs, signature } = readEnvelope(parseStrict(body));
  if (envelope.kind === OBSERVATION) {
    const allowed = 'any other kind: an observation carries its own signature and goes to /v1/observations';
    throw new ShapeError([{ pointer: '/kind', found: describe(OBSERVATION), allowed }]);
  }
  const signedBytes = envelopeSignedBytes(envelope);
  return {
    kind: envelope.kind,
    issuer: envelope.issuer,
    id: envelope.id,
    issuedAtMs,
    alg: envelope.alg,
    digest: sha256(signedBytes),
    body: sha256(body),
    signedBytes,
    signature,
    payload: envelope.payload,
  };
}

/**
 * A bare PCS body (FORMATS C1). Throws JsonError or ShapeError (400); SignatureFormatError (401) when `sig` is missing,
 * empty, not canonical base64, or neither 64 bytes (Ed25519) nor 32 (HMAC). Its id is pcs_id, right or not.
 */
export function preparePcs(body: Uint8Array): Prepared {
  const payload = parseStrict(body, { wideIntegers: true });
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw new ShapeError([{ pointer: '', found: describe(payload), allowed: 'a PCS object' }]);
  }
  const errors = pcsShapeErrors(payload);
  if (errors.length > 0) throw new ShapeError(errors);
  const sig = Object.hasOwn(payload, 'sig') ? payload.sig : undefined;
  if (typeof sig !== 'string' || sig === '') {
    throw new SignatureFormatError(describe(sig), 'the signature in base64');
  }
  const signature = decodeSignature(sig, 32, 64);
  const pcs = asPcs(payload);
  const signedBytes = pcsSignedBytes(pcs);
  return {
    kind: 'pcs',
    issuer: '',
    id: pcs.pcs_id,
    issuedAtMs: null,
    alg: null,
    digest: sha256(signedBytes),
    body: sha256(body),
    signedBytes,
    signature,
    payload,
  };
}

/**
 * An observation body, `{"observation":{…}}` (FORMATS A1). Throws JsonError or ShapeError (400); SignatureFormatError (401) when the
 * signature is missing or no list of 64 bytes. Its id is its digest behind a character that no other id has: two observations of
 * one audit are two entries, so that the second one can be evidence.
 */
export function prepareObservation(body: Uint8Array): Prepared {
  const payload = readObservationBody(parseStrict(body));
  const signature = observationSignature(payload);
  const observation = asObservation(payload);
  const signedBytes = observationSignedBytes(observation);
  const digest = sha256(signedBytes);
  return {
    kind: OBSERVATION,
    issuer: observation.node_id,
    id: `observation/${digest.toString('hex')}`,
    issuedAtMs: 1000 * observedAtS(observation),
    alg: 'ed25519',
    digest,
    body: sha256(body),
    signedBytes,
    signature,
    payload,
  };
}

/**
 * The bytes that `prepared.signature` covers under a key of `alg`: signedBytes; for a PCS the digest where the key is
 * Ed25519 or an HMAC key of digest form (FORMATS C4). A PCS is the only submission whose `alg` is null.
 */
export function signatureInput(
  prepared: Prepared,
  alg: 'ed25519' | 'hmac-sha256',
  form: 'direct' | 'digest' = 'direct',
): Buffer {
  if (prepared.alg !== null) return prepared.signedBytes;
  return alg === 'ed25519' || form === 'digest' ? prepared.digest : prepared.signedBytes;
}
