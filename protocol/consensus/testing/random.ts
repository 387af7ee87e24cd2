// A seeded generator and mock hashes and signatures for tests of the core: fast, deterministic, and no secret at all.
// Used by the tests in this folder's parent.
// Must never be imported by code that runs in a node.
import { Buffer } from 'node:buffer';
import type { Context, Validator } from '../context.js';

/** Mulberry32: 32 bits of state, uniform in [0, 1). */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** An integer in [low, high]. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }
}

/** `size` bytes (a multiple of 4) that depend on every byte of the data: FNV-1a, then mixed. */
export function mockDigest(data: Uint8Array, size: number): Buffer {
  let hash = 0x811c9dc5;
  let other = 0x9e3779b9;
  for (const byte of data) {
    hash = Math.imul(hash ^ byte, 0x01000193);
    other = Math.imul(other ^ byte, 0x85ebca6b) ^ (other >>> 13);
  }
  const digest = Buffer.alloc(size);
  for (let at = 0; at < size; at += 4) {
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + at + other;
    other = Math.imul(other ^ (other >>> 12), 0x297a2d39) ^ hash;
    digest.writeUInt32BE((hash ^ other) >>> 0, at);
  }
  return digest;
}

/** A context of `n` mock validators, node i being named `node_i`. A signature is the digest of key and bytes. */
export function mockContext(
  n: number,
  self: number | null,
  timing?: { delta0Ms: number; deltaMaxMs: number },
): Context {
  const validators: Validator[] = [];
  for (let i = 0; i < n; i++) validators.push({ nodeId: `node_${i}`, publicKey: Buffer.alloc(32, i + 1) });
  const mockSign = (bytes: Uint8Array, publicKey: Uint8Array): Buffer =>
    mockDigest(Buffer.concat([publicKey, bytes]), 64);
  return {
    chainId: Buffer.alloc(32, 0xc1),
    epoch: 0,
    self,
    validators,
    delta0Ms: timing?.delta0Ms ?? 100,
    deltaMaxMs: timing?.deltaMaxMs ?? 1_600,
    sign: (bytes) => mockSign(bytes, validators[self!]!.publicKey),
    verify: (signature, bytes, publicKey) => Buffer.compare(signature, mockSign(bytes, publicKey)) === 0,
  };
}

export const GENESIS_HASH = '00'.repeat(31).concat('9e');
