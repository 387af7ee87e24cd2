// The flat tree against the definition of RFC 6962 written down as it stands there, and against its published shape of paths.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256 } from './crypto/hash.js';
import { buildTree, leafHash, rootFromPath } from './merkle.js';

/** MTH of RFC 6962 section 2.1, over leaf hashes. */
function merkleTreeHash(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha256('');
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return nodeHash(merkleTreeHash(leaves.slice(0, k)), merkleTreeHash(leaves.slice(k)));
}

/** PATH of RFC 6962 section 2.1.1. */
function auditPath(m: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...auditPath(m, leaves.slice(0, k)), merkleTreeHash(leaves.slice(k))]
    : [...auditPath(m - k, leaves.slice(k)), merkleTreeHash(leaves.slice(0, k))];
}

/** The largest power of two smaller than n. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

function nodeHash(left: Buffer, right: Buffer): Buffer {
  return sha256(Buffer.concat([Buffer.of(1), left, right]));
}

const leavesOf = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => leafHash(`leaf ${i}`));
const unhex = (path: readonly string[]): Buffer[] => path.map((hash) => Buffer.from(hash, 'hex'));

test('root and every path equal the recursion of RFC 6962 for every size up to 70', (t) => {
  for (let size = 0; size <= 70; size += 1) {
    const leaves = leavesOf(size);
    const tree = buildTree(leaves);
    t.is(tree.size, size);
    t.deepEqual(tree.root, merkleTreeHash(leaves), `root of ${size}`);
    for (let i = 0; i < size; i += 1) {
      t.deepEqual(unhex(tree.path(i)), auditPath(i, leaves), `path of ${i} in ${size}`);
    }
  }
});

test('root and path equal the recursion for any leaves', (t) => {
  const hashes = fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(hashes, fc.nat(), (arrays, pick) => {
      const leaves = arrays.map((bytes) => Buffer.from(bytes));
      const index = pick % leaves.length;
      const tree = buildTree(leaves);
      return (
        tree.root.equals(merkleTreeHash(leaves)) &&
        Buffer.concat(unhex(tree.path(index))).equals(Buffer.concat(auditPath(index, leaves)))
      );
    }),
  );
  t.pass();
});

test('every path leads back to the root, and to nothing for another index of the tree', (t) => {
  for (let size = 1; size <= 33; size += 1) {
    const leaves = leavesOf(size);
    const tree = buildTree(leaves);
    for (let i = 0; i < size; i += 1) {
      const path = unhex(tree.path(i));
      for (let claimed = 0; claimed < size; claimed += 1) {
        const root = rootFromPath(leaves[i]!, claimed, size, path);
        t.is(root?.equals(tree.root) ?? false, claimed === i, `leaf ${i} claimed as ${claimed} of ${size}`);
      }
    }
  }
});

test('a changed leaf, a changed, missing or added sibling does not lead to the root', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 200 }), fc.nat(), fc.nat(), fc.nat({ max: 255 }), (size, pick, at, bit) => {
      const leaves = leavesOf(size);
      const tree = buildTree(leaves);
      const index = pick % size;
      const path = unhex(tree.path(index));
      const flip = (hash: Buffer): Buffer => {
        const copy = Buffer.from(hash);
        copy[bit >> 3]! ^= 1 << (bit & 7);
        return copy;
      };
      const leads = (leaf: Buffer, siblings: Buffer[]): boolean =>
        rootFromPath(leaf, index, size, siblings)?.equals(tree.root) ?? false;
      const changed = path.with(at % path.length, flip(path[at % path.length]!));
      return (
        leads(leaves[index]!, path) &&
        !leads(flip(leaves[index]!), path) &&
        !leads(leaves[index]!, changed) &&
        !leads(leaves[index]!, path.slice(1)) &&
        !leads(leaves[index]!, path.slice(0, -1)) &&
        !leads(leaves[index]!, [...path, path[0]!]) &&
        !leads(leaves[index]!, path.with(0, path[0]!.subarray(1)))
      );
    }),
  );
  t.pass();
});

test('a leaf hash is never a node hash: the prefixes keep the levels apart', (t) => {
  const [left, right] = leavesOf(2) as [Buffer, Buffer];
  const text = Buffer.concat([left, right]);
  t.notDeepEqual(buildTree([left, right]).root, sha256(Buffer.concat([Buffer.of(0), text])));
  t.deepEqual(leafHash('äß'), sha256(Buffer.concat([Buffer.of(0), Buffer.from('äß', 'utf8')])));
});

test('positions outside the tree and leaves that are no hashes are refused', (t) => {
  const tree = buildTree(leavesOf(3));
  for (const index of [-1, 3, 0.5, Number.NaN]) t.throws(() => tree.path(index), { message: /of a tree of 3/ });
  t.throws(() => buildTree([Buffer.alloc(31)]), { message: /31 bytes/ });
  const leaf = leafHash('a');
  for (const [index, size] of [
    [0, 0],
    [1, 1],
    [-1, 1],
    [0, 1.5],
    [0.5, 1],
    [0, Number.NaN],
  ] as const) {
    t.is(rootFromPath(leaf, index, size, []), null, `${index} of ${size}`);
  }
});

test('conformance: the roots of fixed leaves', (t) => {
  t.is(buildTree([]).root.toString('hex'), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  t.is(leafHash('').toString('hex'), '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
});
