// Ed25519 (RFC 8032, pure) by libsodium, native where it loads and WebAssembly elsewhere, with one acceptance rule.
// Called by clients that sign, the verify pool, votes, receipts; the vectors beside it pin the rule on both back ends.
// Must never verify with another library: two nodes that judge one signature differently fork the ledger.
import { createRequire } from 'node:module';

/**
 * The acceptance rule, equal on both back ends (libsodium 1.0.21 and 1.0.22). A signature (R, S) over M under A holds if
 * and only if all of this is true; it is the cofactorless check with strict encodings:
 *
 * 1. the signature has 64 bytes and the public key 32;
 * 2. S < L (no malleability by S + L);
 * 3. A is a canonical encoding (y < p), on the curve, and not of small order;
 * 4. R is none of the 14 encodings of small order;
 * 5. R equals, byte for byte, the encoding of S·B − h·A with h = SHA-512(R ‖ A ‖ M) mod L. So R is canonical too.
 *
 * A mixed-order A passes 3, so keys.ts refuses such keys at registration. libsodium's main branch has turned to the
 * cofactored equation: a release with it must not reach one back end alone, nor any node without a new protocol
 * version. Speccheck vectors 4 and 5 in the test tell the two equations apart.
 */
export interface Ed25519 {
  readonly backend: Ed25519Backend;
  /** 64 bytes, deterministic. `secretKey` is seed ‖ public key, 64 bytes. Throws RangeError for another length. */
  sign(message: Uint8Array, secretKey: Uint8Array): Uint8Array;
  /** False for anything that is no valid signature, wrong lengths included; never throws for bad bytes. */
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  /** `seed` is 32 bytes; publicKey 32 and secretKey 64. Throws RangeError for another length. */
  keyPair(seed: Uint8Array): { publicKey: Uint8Array; secretKey: Uint8Array };
}

export type Ed25519Backend = 'sodium-native' | 'libsodium-wrappers';

/** Loads the back end asked for, else sodium-native, else libsodium-wrappers. `prefer` falls back the same way. */
export async function loadEd25519(prefer: Ed25519Backend = 'sodium-native'): Promise<Ed25519> {
  if (prefer === 'sodium-native') {
    try {
      return await loadNative();
    } catch {
      // No prebuilt binary for this platform: the other build of the same library gives the same verdicts.
    }
  }
  return await loadWrappers();
}

async function loadNative(): Promise<Ed25519> {
  const sodium = createRequire(import.meta.url)('sodium-native') as typeof import('sodium-native').default;
  return {
    backend: 'sodium-native',
    sign(message, secretKey) {
      requireLength('secret key', secretKey, 64);
      const signature = new Uint8Array(64);
      sodium.crypto_sign_detached(signature, message, secretKey);
      return signature;
    },
    verify(signature, message, publicKey) {
      if (signature.length !== 64 || publicKey.length !== 32) return false;
      return sodium.crypto_sign_verify_detached(unshared(signature), unshared(message), unshared(publicKey));
    },
    keyPair(seed) {
      requireLength('seed', seed, 32);
      const publicKey = new Uint8Array(32);
      const secretKey = new Uint8Array(64);
      sodium.crypto_sign_seed_keypair(publicKey, secretKey, seed);
      return { publicKey, secretKey };
    },
  };
}

async function loadWrappers(): Promise<Ed25519> {
  const { default: sodium } = await import('libsodium-wrappers');
  await sodium.ready;
  return {
    backend: 'libsodium-wrappers',
    sign(message, secretKey) {
      requireLength('secret key', secretKey, 64);
      return sodium.crypto_sign_detached(message, secretKey);
    },
    verify(signature, message, publicKey) {
      if (signature.length !== 64 || publicKey.length !== 32) return false;
      return sodium.crypto_sign_verify_detached(signature, message, publicKey);
    },
    keyPair(seed) {
      requireLength('seed', seed, 32);
      const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed);
      return { publicKey, secretKey: privateKey };
    },
  };
}

/** The native binding gives no verdict at all on shared memory; the WebAssembly build copies its input anyway. */
function unshared(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof SharedArrayBuffer ? Uint8Array.from(bytes) : bytes;
}

function requireLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`Ed25519 ${what}: found ${bytes.length} bytes, allowed: ${length}`);
}
