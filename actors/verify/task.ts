// What a verify thread runs: a batch of signatures in, one verdict byte each out. Called by Piscina only (pool.ts).
// It must give the verdict that every other node gives, so it never touches node:crypto's own Ed25519.
import { workerData } from 'node:worker_threads';
import { type Ed25519Backend, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256 } from '../../protocol/crypto/hash.js';
import { equalConstantTime, hmacSha256 } from '../../protocol/crypto/hmac.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import { CHECK_ED25519, CHECK_HMAC_DIGEST, type SignatureCheck, unpackChecks } from './checks.js';

export interface VerifyRequest {
  /** Packed checks (checks.ts). */
  readonly bytes: Uint8Array;
  readonly count: number;
}

export interface AttestRequest {
  /** Packed (runtime/kernel/batch). */
  readonly messages: ArrayBuffer;
}

export interface VerifyThreadData {
  readonly backend: Ed25519Backend | null;
  /** 32-byte seed of the node key, for attestations. */
  readonly seed: Uint8Array;
}

// Not `Piscina.workerData`, which is the same: importing the pool costs each of its threads more than all else here.
const data = workerData as VerifyThreadData;
const ed25519 = await loadEd25519(data.backend ?? undefined);
const { secretKey } = ed25519.keyPair(data.seed);

/** One byte a check: 1 valid, 0 not. */
export function verifyBatch({ bytes, count }: VerifyRequest): Uint8Array {
  const verdicts = new Uint8Array(count);
  let index = 0;
  for (const check of unpackChecks(bytes)) verdicts[index++] = holds(check) ? 1 : 0;
  return verdicts;
}

function holds({ operation, key, signature, message }: SignatureCheck): boolean {
  if (operation === CHECK_ED25519) return ed25519.verify(signature, message, key);
  const signed = operation === CHECK_HMAC_DIGEST ? sha256(message) : message;
  return equalConstantTime(hmacSha256(key, signed), signature);
}

/** The node's signatures over attestations, 64 bytes each, end to end. */
export function attestBatch({ messages }: AttestRequest): Uint8Array {
  const list = unpackBytes(messages);
  const signatures = new Uint8Array(64 * list.length);
  for (const [index, message] of list.entries()) signatures.set(ed25519.sign(message, secretKey), 64 * index);
  return signatures;
}

export function backendName(): Ed25519Backend {
  return ed25519.backend;
}
