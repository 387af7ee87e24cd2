// SHA-256, the one hash of the protocol.
// Called for digests, block hashes, Merkle trees and key fingerprints.
// Must never take another algorithm as a parameter: agility belongs to a new protocol version.
import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';

/** 32 bytes; a string is hashed as UTF-8. */
export function sha256(data: Uint8Array | string): Buffer {
  return Buffer.from(hash('sha256', data, 'hex'), 'hex');
}

/** 64 lowercase hex digits; a string is hashed as UTF-8. */
export function sha256Hex(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex');
}
