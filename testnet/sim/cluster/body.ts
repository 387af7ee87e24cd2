// Blocks with what the core never sees, and the cheap ledger that simulated nodes execute them on. Used by the node model
// and Twins. It must never let an entry stand twice, nor take a block that does not follow its tip.
import { Buffer } from 'node:buffer';
import type { Certificate } from '../../../protocol/consensus/certificate.js';
import type { BlockRef } from '../../../protocol/consensus/message.js';
import { mockHash } from './keys.js';

export interface Body {
  readonly block: BlockRef;
  readonly proposer: number;
  /** Numbers of submissions. */
  readonly entries: readonly number[];
  /** Tells apart blocks of one leader that hold the same. */
  readonly salt: number;
}

export const GENESIS = { view: 0, height: 0, hash: '00'.repeat(31).concat('9e') };
export const BLOCK_ENTRIES_MAX = 32;

type Place = Omit<BlockRef, 'hash' | 'entryCount'>;

export function makeBody(place: Place, proposer: number, entries: readonly number[], salt = 0): Body {
  const block = { hash: '', ...place, entryCount: entries.length };
  const hash = hashOf({ block, proposer, entries, salt });
  return { block: { ...block, hash }, proposer, entries, salt };
}

function hashOf({ block, proposer, entries, salt }: Body): string {
  const { height, view, parentView, parentHash, timestamp, entryCount } = block;
  const words = [height, view, parentView, timestamp, entryCount, proposer, salt, entries.length];
  for (let at = 0; at < 64; at += 8) words.push(Number.parseInt(parentHash.slice(at, at + 8), 16));
  for (const entry of entries) words.push(entry);
  return mockHash(words);
}

const sound = new WeakSet<Body>();

/** What a host does before it believes a body: the hash is that of the bytes. */
export function isSound(body: Body): boolean {
  if (sound.has(body)) return true;
  if (hashOf(body) !== body.block.hash || body.block.entryCount !== body.entries.length) return false;
  sound.add(body);
  return true;
}

const HEAD_BYTES = 112;

/** The bytes of a block record. */
export function encodeBody({ block, proposer, entries, salt }: Body): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + 4 * entries.length);
  bytes.write(block.hash, 0, 32, 'hex');
  bytes.write(block.parentHash, 32, 32, 'hex');
  bytes.writeDoubleLE(block.height, 64);
  bytes.writeDoubleLE(block.view, 72);
  bytes.writeDoubleLE(block.parentView, 80);
  bytes.writeDoubleLE(block.timestamp, 88);
  bytes.writeUInt32LE(proposer, 96);
  bytes.writeUInt32LE(salt, 100);
  bytes.writeUInt32LE(entries.length, 104);
  for (let at = 0; at < entries.length; at++) bytes.writeUInt32LE(entries[at]!, HEAD_BYTES + 4 * at);
  return bytes;
}

export function decodeBody(data: Uint8Array): Body {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  const entryCount = bytes.readUInt32LE(104);
  const block = {
    hash: bytes.toString('hex', 0, 32),
    height: bytes.readDoubleLE(64),
    view: bytes.readDoubleLE(72),
    parentView: bytes.readDoubleLE(80),
    parentHash: bytes.toString('hex', 32, 64),
    timestamp: bytes.readDoubleLE(88),
    entryCount,
  };
  const entries = Array.from({ length: entryCount }, (_, at) => bytes.readUInt32LE(HEAD_BYTES + 4 * at));
  return { block, proposer: bytes.readUInt32LE(96), entries, salt: bytes.readUInt32LE(100) };
}

export interface Executed {
  readonly body: Body;
  /** Its own Finalization, or null where it is final through a descendant. */
  readonly certificate: Certificate | null;
}

export class Ledger {
  /** Oldest first: block of height h at h − 1. */
  readonly executed: Executed[] = [];
  /** Entry → its position in the whole ledger, from 0. */
  readonly positions = new Map<number, number>();
  readonly heights = new Map<string, number>();
  /** What a crash leaves: written behind the answer, as the store does. */
  durableHeight = 0;

  get height(): number {
    return this.executed.length;
  }

  get tip(): { readonly view: number; readonly height: number; readonly hash: string } {
    return this.executed[this.executed.length - 1]?.body.block ?? GENESIS;
  }

  /** What is wrong with executing this block next, or null once it is executed. */
  execute(body: Body, certificate: Certificate | null): string | null {
    const { block } = body;
    const { tip } = this;
    if (block.parentHash !== tip.hash || block.height !== tip.height + 1 || block.parentView !== tip.view) {
      return `block ${short(block.hash)} of height ${block.height} does not follow ${short(tip.hash)} of height ${tip.height}`;
    }
    for (const entry of body.entries) {
      if (this.positions.has(entry)) return `submission ${entry} is final twice`;
      this.positions.set(entry, this.positions.size);
    }
    this.executed.push({ body, certificate });
    this.heights.set(block.hash, block.height);
    return null;
  }

  /** Forgets the blocks above a height, as a database does that was written behind. */
  cutTo(height: number): void {
    while (this.executed.length > height) {
      const { body } = this.executed.pop()!;
      this.heights.delete(body.block.hash);
      for (const entry of body.entries) this.positions.delete(entry);
    }
  }
}

export function short(hash: string | null): string {
  return hash === null ? '-' : hash.slice(0, 8);
}
