// SHA-256, the one hash of the protocol.
// Called for digests, block hashes, Merkle trees and key fingerprints.
// Must never take another algorithm as a parameter: agility belongs to a new protocol version.
import { Buffer } from 'node:buffer';
import { hash } from 'node:crypto';

/** 32 bytes; a string is hashed as UTF-8. */
export function sha256(data: Uint8Array | string): Buffer {
  // As a string of bytes: for so few of them a buffer of its own costs more to make than a string to read.
  return Buffer.from(hash('sha256', data, 'binary'), 'latin1');
}

/** 64 lowercase hex digits; a string is hashed as UTF-8. */
export function sha256Hex(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex');
}
