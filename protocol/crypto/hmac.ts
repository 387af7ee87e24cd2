// HMAC-SHA256 (RFC 2104) and comparison in constant time.
// Called by home nodes for clients with shared secrets, and wherever a secret-derived value is compared.
// Must never compare a MAC with === or Buffer.equals: their time tells how many bytes were right.
import { createHmac, timingSafeEqual } from 'node:crypto';

/** 32 bytes. `key` is the secret's bytes, of any length. */
export function hmacSha256(key: Uint8Array, data: Uint8Array | string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

/** Whether two byte strings are equal; the time depends on their lengths only. */
export function equalConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
