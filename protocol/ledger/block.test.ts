// A stored block: its bytes, what damage to them does, what is answered from it.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256, sha256Hex } from '../crypto/hash.js';
import type { JsonObject } from '../json.js';
import { BlockReceipts, blockFault, ledgerPageText, restoreEntry, type StoredBlock } from './block.js';
import { BlockCodecError, decodeBlock, encodeBlock } from './block-codec.js';
import { executeBlock } from './execute.js';
import { blockTimeMs } from './header.js';
import {
  after,
  devEntry,
  hmacEntry,
  makeBlock,
  makeTestkit,
  NOON_MS,
  pcsEntry,
  registryEntry,
  store,
} from './testkit.js';

const kit = await makeTestkit();
const mixed = makeBlock(kit, kit.view, [
  devEntry(kit, { id: 'a' }),
  devEntry(kit, { id: 'b', payload: { text: 'äöü 漢字 😀' } }),
  hmacEntry(kit, 'c'),
  pcsEntry(kit),
  pcsEntry(kit, { shard_id: 'naïve — "quoted"', pcs_id: 'other' }),
  registryEntry(kit, 'r', { clients: [], kinds: [] }),
]);
const block = store(kit, mixed);
const single = store(kit, makeBlock(kit, kit.view, [devEntry(kit, { id: 'only' })]));
const grandchild = (() => {
  const child = makeBlock(kit, after(kit.view, mixed), []);
  return store(kit, mixed, child, makeBlock(kit, after(kit.view, mixed, child), []));
})();

/** Node's Buffers compare by value in deepEqual only when both are Buffers. */
const plain = (stored: StoredBlock): StoredBlock => ({
  ...stored,
  entries: stored.entries.map((entry) => ({ ...entry, raw: Buffer.from(entry.raw) })),
});

test('a block is read back as it was written', (t) => {
  for (const stored of [block, single, grandchild, { ...single, entries: [] }]) {
    t.deepEqual(plain(decodeBlock(encodeBlock(stored))), plain(stored));
  }
});

test('conformance: the bytes of a stored block', (t) => {
  t.is(sha256Hex(encodeBlock(block)), '50d6e30e5091184d425681baeac5e2175414d13238a0b401a806637ad5c92f2b');
  t.is(sha256Hex(encodeBlock(grandchild)), 'dbc34a5f0cf7074519497b9abcabf27902f4752c457e2e22b24682d92aeb0f29');
});

test('ST-4: any changed bit and any cut of the stored bytes is found', (t) => {
  const bytes = encodeBlock(single);
  fc.assert(
    fc.property(fc.nat({ max: bytes.length * 8 - 1 }), (bit) => {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      return codecErrorOf(damaged);
    }),
  );
  for (let length = 0; length < bytes.length; length += 1) t.true(codecErrorOf(bytes.subarray(0, length)), `${length}`);
  t.true(codecErrorOf(Buffer.concat([bytes, Buffer.of(0)])));
});

test('well-checksummed nonsense is refused with the same error', (t) => {
  const bytes = encodeBlock(block);
  const seal = (content: Buffer): Buffer => Buffer.concat([content, sha256(content).subarray(0, 8)]);
  const content = bytes.subarray(0, -8);
  for (let length = 0; length < content.length; length += 7) t.true(codecErrorOf(seal(content.subarray(0, length))));
  t.true(codecErrorOf(seal(Buffer.concat([content, Buffer.of(0)]))));
  t.true(codecErrorOf(seal(Buffer.concat([Buffer.of(2), content.subarray(1)]))));
  fc.assert(
    fc.property(fc.nat({ max: content.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
      const changed = Buffer.from(content);
      changed[at] = byte;
      try {
        decodeBlock(seal(changed));
        return true;
      } catch (error) {
        return error instanceof BlockCodecError;
      }
    }),
    { numRuns: 1000 },
  );
});

function codecErrorOf(bytes: Buffer): boolean {
  try {
    decodeBlock(bytes);
    return false;
  } catch (error) {
    return error instanceof BlockCodecError;
  }
}

test('ST-4: a changed member of header or entry is found', (t) => {
  t.is(blockFault(block), null);
  t.is(blockFault(grandchild), null);
  const [entry, ...rest] = block.entries;
  const withEntry = (change: object): StoredBlock => ({ ...block, entries: [{ ...entry!, ...change }, ...rest] });
  const flipped = Buffer.from(entry!.raw);
  flipped[10]! ^= 1;
  const faults = [
    { ...block, header: { ...block.header, view: 99 } },
    { ...block, hash: single.hash },
    { ...block, entries: rest },
    { ...block, entries: [rest[0]!, entry!, ...rest.slice(1)] },
    withEntry({ raw: flipped }),
    withEntry({ raw: flipped, body: sha256Hex(flipped) }),
    withEntry({ raw: Buffer.from('{'), body: sha256Hex('{') }),
    withEntry({ body: single.hash }),
    withEntry({ digest: single.hash }),
    withEntry({ id: 'z' }),
    withEntry({ kind: 'pcs' }),
    withEntry({ issuer: 'hmac' }),
    withEntry({ outcome: '{"accepted":false,"status":200}' }),
  ];
  for (const [i, fault] of faults.entries()) t.is(typeof blockFault(fault), 'string', `change ${i}`);
});

test('replay: executing the restored entries gives the same header again', (t) => {
  const stored = decodeBlock(encodeBlock(block));
  const again = executeBlock(kit.view, stored.entries.map(restoreEntry), blockTimeMs(kit.view.tip, NOON_MS));
  t.deepEqual(again.refused, []);
  t.is(again.entriesRoot, block.header.entries_root);
  t.is(again.stateDigest, block.header.state_digest);
});

test('GET /v1/ledger: a page is JSON with header, hash, entries and certificate of each block', (t) => {
  const page = JSON.parse(ledgerPageText([block, grandchild], 2)) as { blocks: JsonObject[]; next: number };
  t.is(page.next, 2);
  const [first, second] = page.blocks;
  const { entries, certificate, hash, ...header } = first!;
  t.deepEqual(header, block.header as JsonObject);
  t.is(hash, block.hash);
  t.deepEqual(certificate, JSON.parse(JSON.stringify(block.certificate)) as JsonObject);
  t.deepEqual(
    (entries as JsonObject[]).map(({ digest, envelope, outcome }) => ({ digest, envelope, outcome })),
    block.entries.map(({ digest, raw, outcome }) => ({
      digest,
      envelope: JSON.parse(Buffer.from(raw).toString()) as JsonObject,
      outcome: JSON.parse(outcome) as JsonObject,
    })),
  );
  t.like((entries as JsonObject[])[2]!, { attestation: { issuer: 'hmac', node_id: 'node_0' } });
  t.deepEqual(second!.chain, grandchild.chain as unknown as JsonObject[]);
  t.is(ledgerPageText([], null), '{"blocks":[],"next":null}');
});

test('receipts are asked for by index, and there are as many as entries', (t) => {
  const receipts = new BlockReceipts(block);
  t.is(receipts.text(2), new BlockReceipts(block, mixed.result.tree).text(2));
  t.throws(() => receipts.text(block.entries.length), { instanceOf: RangeError });
});
