// What a home node signs when only it can judge a submission: HMAC secrets never leave home, and a PCS signature covers part of its body.
// Called by the admitting node that makes the attestation and by every validator that checks it.
// Must never be taken as the client's own signature: whoever relies on one trusts the home node named in it (DECISIONS 17).
import { Buffer } from 'node:buffer';
import { canonicalize } from './canonical.js';
import type { Ed25519 } from './crypto/ed25519.js';
import { decodeSignature } from './envelope.js';
import type { JsonObject, JsonValue } from './json.js';
import { describe } from './kinds/kind.js';
import { Fields, type Mistakes } from './shape.js';

export interface Attestation {
  /** Client whose key the submission was verified with. */
  readonly issuer: string;
  readonly keyId: string;
  /** The validator that verified and signs. */
  readonly nodeId: string;
  /** Its clock, unix milliseconds: the time of a submission that signs none itself. */
  readonly timeMs: number;
  /** Ed25519, 64 bytes, over `attestationBytes`. */
  readonly signature: Buffer;
}

export type AttestationClaim = Omit<Attestation, 'signature'>;

const MEMBERS = ['issuer', 'key_id', 'node_id', 'time_ms', 'signature'];

/**
 * Signed bytes: `quorate/attestation/1\n` and canonical({chain_id, body, issuer, key_id, node_id, time_ms}).
 * `chainId` is hex; `body` is SHA-256 of the whole body as received, so no byte of it can change afterwards.
 */
export function attestationBytes(chainId: string, body: Buffer, claim: AttestationClaim): Buffer {
  const text = canonicalize({
    chain_id: chainId,
    body: body.toString('hex'),
    issuer: claim.issuer,
    key_id: claim.keyId,
    node_id: claim.nodeId,
    time_ms: claim.timeMs,
  });
  return Buffer.from(`quorate/attestation/1\n${text}`, 'utf8');
}

export function attest(
  ed25519: Ed25519,
  secretKey: Uint8Array,
  chainId: string,
  body: Buffer,
  claim: AttestationClaim,
): Attestation {
  const signature = ed25519.sign(attestationBytes(chainId, body, claim), secretKey);
  return { ...claim, signature: Buffer.from(signature) };
}

/** Whether the node named in the attestation, whose key is `publicKey`, signed it for this body. Says nothing about homes: apply() does. */
export function attestationHolds(
  ed25519: Ed25519,
  publicKey: Uint8Array,
  chainId: string,
  body: Buffer,
  attestation: Attestation,
): boolean {
  return ed25519.verify(attestation.signature, attestationBytes(chainId, body, attestation), publicKey);
}

export function attestationJson(attestation: Attestation): JsonObject {
  return {
    issuer: attestation.issuer,
    key_id: attestation.keyId,
    node_id: attestation.nodeId,
    time_ms: attestation.timeMs,
    signature: attestation.signature.toString('base64'),
  };
}

export function readAttestation(value: JsonValue, pointer: string, mistakes: Mistakes): Attestation {
  const fields = new Fields(value, pointer, MEMBERS, mistakes);
  return {
    issuer: fields.identifier('issuer'),
    keyId: fields.identifier('key_id'),
    nodeId: fields.identifier('node_id'),
    timeMs: fields.count('time_ms'),
    signature: readSignature(fields.value('signature'), fields.at('signature'), mistakes),
  };
}

/** 64 bytes in canonical base64: another spelling of the same bytes is a mistake, so that no byte of a document is free to change. */
export function readSignature(value: JsonValue | undefined, pointer: string, mistakes: Mistakes): Buffer {
  try {
    if (typeof value === 'string') return decodeSignature(value, 64);
  } catch {
    // Said below, with its place.
  }
  mistakes.add(pointer, describe(value), 'a signature of 64 bytes in base64 with padding');
  return Buffer.alloc(64);
}
