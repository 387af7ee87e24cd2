// Keys and signatures of simulated validators: a fast mock for nearly every run, real Ed25519 for a small lane. Used by the
// simulator and Twins. A mock signature is no secret: it binds signer and bytes, and nobody in a simulation guesses one.
import { Buffer } from 'node:buffer';
import type { Context, Validator } from '../../../protocol/consensus/context.js';
import { loadEd25519 } from '../../../protocol/crypto/ed25519.js';
import { sha256 } from '../../../protocol/crypto/hash.js';

export interface KeyRing {
  readonly validators: readonly Validator[];
  sign(signer: number, bytes: Uint8Array): Uint8Array;
  verify(signature: Uint8Array, bytes: Uint8Array, publicKey: Uint8Array): boolean;
}

export interface Timing {
  readonly delta0Ms: number;
  readonly deltaMaxMs: number;
}

export const CHAIN_ID: Uint8Array = new Uint8Array(32).fill(0xc1);
const SIGNATURE_WORDS = 16;
/** Four words that depend on every byte; the other twelve follow from them. */
const lanes = new Uint32Array(4);

export function mockKeys(n: number): KeyRing {
  const validators = Array.from({ length: n }, (_, index) => {
    const publicKey = Buffer.alloc(32, 0x40);
    publicKey.writeUInt32LE(index + 1, 0);
    return { nodeId: `node_${index}`, publicKey };
  });
  return {
    validators,
    sign(signer, bytes) {
      absorb(signer + 1, bytes);
      const words = new Uint32Array(SIGNATURE_WORDS);
      for (let at = 0; at < SIGNATURE_WORDS; at++) words[at] = squeeze(at);
      return new Uint8Array(words.buffer);
    },
    verify(signature, bytes, publicKey) {
      if (signature.length !== 4 * SIGNATURE_WORDS) return false;
      absorb(publicKey[0]! | (publicKey[1]! << 8), bytes);
      for (let at = 0; at < SIGNATURE_WORDS; at++) {
        const from = 4 * at;
        const word =
          signature[from]! | (signature[from + 1]! << 8) | (signature[from + 2]! << 16) | (signature[from + 3]! << 24);
        if (word >>> 0 !== squeeze(at)) return false;
      }
      return true;
    },
  };
}

/** Every byte of `bytes` reaches all four lanes. */
function absorb(key: number, bytes: Uint8Array): void {
  let a = Math.imul(key, 0x9e37_79b1) ^ 0x243f_6a88;
  let b = Math.imul(key, 0x85eb_ca6b) ^ 0x85a3_08d3;
  const size = bytes.length;
  let at = 0;
  for (; at + 4 <= size; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    a = Math.imul(a ^ word, 0x85eb_ca6b);
    a ^= a >>> 13;
    b = Math.imul(b + word, 0xc2b2_ae35) ^ a;
    b ^= b >>> 16;
  }
  for (; at < size; at++) {
    a = Math.imul(a ^ bytes[at]!, 0x0100_0193);
    b = Math.imul(b + bytes[at]! + 1, 0x27d4_eb2f) ^ a;
  }
  lanes[0] = mixed(a ^ size);
  lanes[1] = mixed(b + a);
  lanes[2] = mixed(Math.imul(b, 0x1656_67b1) ^ a);
  lanes[3] = mixed(Math.imul(a, 0x27d4_eb2f) ^ b);
}

function squeeze(at: number): number {
  return at < 4 ? lanes[at]! : mixed(lanes[at & 3]! + Math.imul(at, 0x9e37_79b1));
}

function mixed(value: number): number {
  let word = Math.imul(value ^ (value >>> 15), 0x2c1b_3c6d);
  word = Math.imul(word ^ (word >>> 12), 0x297a_2d39);
  return (word ^ (word >>> 15)) >>> 0;
}

/** 32 bytes of `text` and `words` in 64 hex digits: the hash of a simulated block. */
export function mockHash(words: readonly number[]): string {
  const bytes = new Uint8Array(new Float64Array(words).buffer);
  absorb(0x51ed, bytes);
  let hex = '';
  for (let at = 0; at < 8; at++) hex += squeeze(at).toString(16).padStart(8, '0');
  return hex;
}

/** The real thing, with keys that everybody knows. */
export async function ed25519Keys(): Promise<(n: number) => KeyRing> {
  const ed25519 = await loadEd25519();
  return (n) => {
    const pairs = Array.from({ length: n }, (_, index) => ed25519.keyPair(sha256(`simulated validator ${index}`)));
    return {
      validators: pairs.map(({ publicKey }, index) => ({ nodeId: `node_${index}`, publicKey })),
      sign: (signer, bytes) => ed25519.sign(bytes, pairs[signer]!.secretKey),
      verify: (signature, bytes, publicKey) => ed25519.verify(signature, bytes, publicKey),
    };
  };
}

export function contextOf(ring: KeyRing, self: number, timing: Timing, epoch = 1): Context {
  return {
    chainId: CHAIN_ID,
    epoch,
    self,
    validators: ring.validators,
    ...timing,
    sign: (bytes) => ring.sign(self, bytes),
    verify: ring.verify,
  };
}
