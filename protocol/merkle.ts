// The Merkle tree over the entries of one block (RFC 6962 section 2.1): root, inclusion paths, and their verification.
// Called by the ledger for every block and by the receipt verifier.
// Must never depend on anything but the leaf hashes and their order: every node computes the same root, or no block is final.
import { Buffer } from 'node:buffer';
import { sha256 } from './crypto/hash.js';

const HASH_BYTES = 32;
const LEAF_PREFIX = '\0';
const NODE_PREFIX = 0x01;

/** A finished tree. Immutable; keeps all its levels (64 bytes an entry), so that a path costs no hashing. */
export interface Tree {
  /** Number of leaves. */
  readonly size: number;
  /** 32 bytes; SHA-256 of the empty string for a tree without leaves. */
  readonly root: Buffer;
  /** All levels, leaves first, root last, 32 bytes a node: what `restoreTree` takes on the other side of a thread. */
  readonly nodes: Uint8Array;
  /** Inclusion path of leaf `index` (0-based), lowercase hex, from the leaf's sibling up to the root's child. RangeError outside the tree. */
  path(index: number): string[];
}

/** Leaf hash of RFC 6962 over a text: SHA-256(0x00 ‖ UTF-8 of `text`). One string, one hash call: the hot path of every entry. */
export function leafHash(text: string): Buffer {
  return sha256(LEAF_PREFIX + text);
}

/**
 * Builds the tree from its leaf hashes (32 bytes each).
 * Bottom-up: neighbours are hashed in pairs and an odd last node rises unchanged, which gives the same tree as the recursion of
 * RFC 6962 (split at the largest power of two below n); a property test holds the two against each other.
 */
export function buildTree(leaves: readonly Uint8Array[]): Tree {
  if (leaves.length === 0) return new FlatTree(sha256(''), []);
  const sizes = levelSizes(leaves.length);
  const nodes = Buffer.allocUnsafeSlow(sizes.reduce((sum, size) => sum + size, 0) * HASH_BYTES);
  let at = 0;
  for (const leaf of leaves) {
    if (leaf.length !== HASH_BYTES) throw new RangeError(`leaf hash of ${leaf.length} bytes, expected ${HASH_BYTES}`);
    nodes.set(leaf, at);
    at += HASH_BYTES;
  }
  const pair = Buffer.allocUnsafe(1 + 2 * HASH_BYTES);
  pair[0] = NODE_PREFIX;
  let below = 0;
  for (const size of sizes.slice(0, -1)) {
    const end = below + size * HASH_BYTES;
    for (; below + 2 * HASH_BYTES <= end; below += 2 * HASH_BYTES) {
      nodes.copy(pair, 1, below, below + 2 * HASH_BYTES);
      nodes.set(sha256(pair), at);
      at += HASH_BYTES;
    }
    if (below < end) {
      nodes.copyWithin(at, below, end);
      at += HASH_BYTES;
      below = end;
    }
  }
  return new FlatTree(nodes, sizes);
}

/** A tree from its `nodes` and its number of leaves. */
export function restoreTree(nodes: Uint8Array, size: number): Tree {
  const buffer = Buffer.from(nodes.buffer, nodes.byteOffset, nodes.byteLength);
  return new FlatTree(buffer, size === 0 ? [] : levelSizes(size));
}

/**
 * The root that a leaf hash and its inclusion path lead to in a tree of `size` leaves (RFC 9162 section 2.1.3.2), or null when a path
 * of this length cannot belong to that index and size. Note that the size alone is not bound by a path (index 0 has the same path
 * length in trees of 5 and 8 leaves): the caller must compare `size` with a signed count.
 */
export function rootFromPath(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
): Buffer | null {
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) return null;
  const pair = Buffer.allocUnsafe(1 + 2 * HASH_BYTES);
  pair[0] = NODE_PREFIX;
  let hash: Buffer = Buffer.from(leaf);
  let node = index;
  let last = size - 1;
  for (const sibling of path) {
    if (last === 0 || sibling.length !== HASH_BYTES) return null;
    // A last node without a right neighbour rose unchanged: skip those levels before its left sibling joins.
    while (node === last && node % 2 === 0) {
      node /= 2;
      last /= 2;
    }
    const siblingIsLeft = node % 2 === 1;
    pair.set(siblingIsLeft ? sibling : hash, 1);
    pair.set(siblingIsLeft ? hash : sibling, 1 + HASH_BYTES);
    hash = sha256(pair);
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hash : null;
}

/** Node counts from the leaves up to the root: 5 → [5, 3, 2, 1]. */
function levelSizes(leafCount: number): number[] {
  const sizes = [leafCount];
  for (let size = leafCount; size > 1; sizes.push(size)) size = Math.ceil(size / 2);
  return sizes;
}

/** All levels of the tree in one buffer, leaves first, root last. */
class FlatTree implements Tree {
  readonly size: number;
  readonly root: Buffer;
  readonly nodes: Buffer;
  readonly #sizes: readonly number[];

  constructor(nodes: Buffer, sizes: readonly number[]) {
    this.size = sizes[0] ?? 0;
    this.root = nodes.subarray(nodes.length - HASH_BYTES);
    this.nodes = nodes;
    this.#sizes = sizes;
  }

  path(index: number): string[] {
    if (!Number.isInteger(index) || index < 0 || index >= this.size) {
      throw new RangeError(`leaf ${index} of a tree of ${this.size}`);
    }
    const path: string[] = [];
    let node = index;
    let start = 0;
    for (const size of this.#sizes) {
      const sibling = node ^ 1;
      if (sibling < size) {
        const at = (start + sibling) * HASH_BYTES;
        path.push(this.nodes.toString('hex', at, at + HASH_BYTES));
      }
      node >>>= 1;
      start += size;
    }
    return path;
  }
}
