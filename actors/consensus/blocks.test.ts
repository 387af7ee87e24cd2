import { Buffer } from 'node:buffer';
import test from 'ava';
import type { Certificate } from '../../protocol/consensus/certificate.js';
import { FINALIZE, voteSignBytes } from '../../protocol/consensus/vote.js';
import { parseStrict } from '../../protocol/json.js';
import type { Entry, IndexEntry } from '../../protocol/ledger/apply.js';
import { blockFault } from '../../protocol/ledger/block.js';
import { decodeBlock } from '../../protocol/ledger/block-codec.js';
import { blockHash, headerText } from '../../protocol/ledger/header.js';
import {
  devClient,
  devEntry,
  hmacEntry,
  makeTestkit,
  NOON_MS,
  pcsEntry,
  registryEntry,
  type Testkit,
} from '../../protocol/ledger/testkit.js';
import { restoreTree } from '../../protocol/merkle.js';
import { ReceiptWriter } from '../../protocol/receipt.js';
import { verifyReceipt } from '../../protocol/receipt-verify.js';
import { registryText } from '../../protocol/registry.js';
import { validatorSetJson } from '../../protocol/validators.js';
import { decodeBlockRecord, encodeBlockRecord } from './block-record.js';
import { Blocks, type ExecutedBlock } from './blocks.js';
import { Committed } from './committed.js';
import { finalMessages } from './finality.js';
import { Node } from './host-fixture.js';
import type { Pooled } from './mempool.js';

async function ground() {
  const kit = await makeTestkit();
  const index = new Map<string, IndexEntry>();
  const reader = {
    refreshes: 0,
    find: (key: string) => index.get(key),
    refresh() {
      this.refreshes += 1;
    },
  };
  const committed = new Committed(kit.genesis.chain, kit.view.tip, kit.genesis.registry, reader);
  const blocks = new Blocks(committed);
  let lsn = 0;
  const pool = (entry: Entry): Pooled => ({
    entry,
    lsn: ++lsn,
    route: entry.prepared.alg === null ? 2 : 1,
    content: entry.prepared.digest.toString('latin1'),
  });
  const build = (parentHash: string, entries: readonly Entry[], view: number): ExecutedBlock => {
    const parent = blocks.viewOf(parentHash)!;
    return blocks.build(parent, { view, proposer: 'node_0', timestampMs: NOON_MS }, entries.map(pool), 0);
  };
  return { kit, index, reader, committed, blocks, build, pool };
}

// --- blocks

test('a block on a block that is not final sees its entries, and its registry', async (t) => {
  const { kit, blocks, build, committed } = await ground();
  const first = build(committed.tip.hash, [devEntry(kit, { id: 'a' })], 1);
  const second = build(first.ref.hash, [devEntry(kit, { id: 'a' }), devEntry(kit, { id: 'b' })], 2);
  t.is(second.result.refused[0]!.refusal.code, 'duplicate');
  t.deepEqual(
    second.pooled.map(({ entry }) => entry.prepared.id),
    ['b'],
    'what was refused is not part of the block',
  );
  t.is(second.ref.height, 2);
  t.is(blocks.viewOf(second.ref.hash)!.tip.height, 2);
  t.is(committed.tip.height, 0, 'nothing is final');
});

test('the view of a block that is neither executed nor final is not known', async (t) => {
  const { blocks } = await ground();
  t.is(blocks.viewOf('f'.repeat(64)), undefined);
});

test('a dropped block is forgotten', async (t) => {
  const { blocks, build, committed } = await ground();
  const empty = build(committed.tip.hash, [], 1);
  t.is(blocks.get(empty.ref.hash), empty);
  blocks.drop(empty.ref.hash);
  t.is(blocks.get(empty.ref.hash), undefined);
});

test('a final block advances the state; its rivals and everything below are forgotten', async (t) => {
  const { kit, blocks, build, committed } = await ground();
  const first = build(committed.tip.hash, [devEntry(kit, { id: 'a' })], 1);
  const rival = build(committed.tip.hash, [devEntry(kit, { id: 'b' })], 2);
  const child = build(first.ref.hash, [devEntry(kit, { id: 'c' })], 3);
  blocks.commit(first);
  t.is(committed.tip.hash, first.ref.hash);
  t.deepEqual([...blocks.executed()], [child]);
  t.is(blocks.viewOf(rival.ref.hash), undefined);
  t.is(blocks.viewOf(first.ref.hash), committed);
  blocks.commit(child);
  t.is(committed.tip.height, 2);
});

test('CO-2: judging a block that this node built gives the same block', async (t) => {
  const one = await ground();
  const other = await ground();
  const entries = [devEntry(one.kit, { id: 'a' }), hmacEntry(one.kit, 'h'), pcsEntry(one.kit)];
  const built = one.build(one.committed.tip.hash, entries, 1);
  const judged = other.blocks.judge(other.committed, built.header, entries.map(other.pool));
  t.is(judged.ref.hash, built.ref.hash);
  t.is(judged.startedAtMs, null);
});

test('a block with a refused entry, or with another header, is not valid', async (t) => {
  const { kit, blocks, build, committed, pool } = await ground();
  const built = build(committed.tip.hash, [devEntry(kit, { id: 'a' })], 1);
  const twice = [devEntry(kit, { id: 'a' }), devEntry(kit, { id: 'a' })].map(pool);
  t.throws(() => blocks.judge(committed, built.header, twice), { message: /holds an entry that is refused/ });
  const header = { ...built.header, state_digest: '0'.repeat(64) };
  t.throws(() => blocks.judge(committed, header, [pool(devEntry(kit, { id: 'a' }))]), { message: /state_digest/ });
});

// --- the ledger as of the last final block

test('what is final is found before the database has it, and not held any longer than that', async (t) => {
  const { kit, index, blocks, build, committed, reader } = await ground();
  const first = build(committed.tip.hash, [devEntry(kit, { id: 'a' }), devEntry(kit, { id: 'b' })], 1);
  blocks.commit(first);
  const second = build(first.ref.hash, [devEntry(kit, { id: 'c' })], 2);
  blocks.commit(second);
  t.deepEqual(committed.unwritten, { blocks: 2, entries: 3 });
  t.like(committed.find('dev\0b'), { height: 1, index: 1 });
  for (const [key, entry] of first.changes.index) index.set(key, entry);
  committed.written(1);
  t.is(reader.refreshes, 1, 'a read from here on sees what was written');
  t.deepEqual(committed.unwritten, { blocks: 1, entries: 1 });
  t.like(committed.find('dev\0b'), { height: 1, index: 1 });
  t.like(committed.find('dev\0c'), { height: 2, index: 0 });
  committed.written(9);
  t.deepEqual(committed.unwritten, { blocks: 0, entries: 0 });
  t.is(committed.find('dev\0c'), undefined, 'from here on the database is asked');
});

test('a registry that a final block made is the one in force', async (t) => {
  const { kit, blocks, build, committed } = await ground();
  const wish = { clients: [devClient(kit.dev, { key_id: 'k2' })], kinds: [] };
  const block = build(committed.tip.hash, [registryEntry(kit, 'r', wish)], 1);
  t.is(committed.registry.version, 0);
  blocks.commit(block);
  t.is(committed.registry.version, 1);
  blocks.commit(build(block.ref.hash, [], 2));
  t.is(committed.registry.version, 1, 'a block without one leaves it');
});

// --- block records

test('CO-2: a block record and the bodies of the log give the block again', async (t) => {
  const { kit, build, committed, blocks } = await ground();
  const entries = [devEntry(kit, { id: 'a' }), hmacEntry(kit, 'h'), pcsEntry(kit)];
  const built = build(committed.tip.hash, entries, 1);
  const bodies = new Map(built.pooled.map(({ lsn, entry }) => [lsn, entry.raw]));
  const read = decodeBlockRecord(encodeBlockRecord(built.headerText, built.pooled), (lsn) => bodies.get(lsn));
  t.deepEqual(read.header, built.header);
  t.deepEqual(
    read.pooled.map(({ lsn, route, entry }) => [lsn, route, entry.issuer, entry.key, entry.attestation]),
    built.pooled.map(({ lsn, route, entry }) => [lsn, route, entry.issuer, entry.key, entry.attestation]),
  );
  const again = blocks.judge(committed, read.header, read.pooled);
  t.is(again.ref.hash, built.ref.hash);
});

test('a block record without one of its bodies, or of another version, is refused by name', async (t) => {
  const { kit, build, committed } = await ground();
  const { headerText: text, pooled } = build(committed.tip.hash, [devEntry(kit, { id: 'a' })], 1);
  const bytes = encodeBlockRecord(text, pooled);
  t.throws(() => decodeBlockRecord(bytes, () => undefined), { message: /body at LSN 1 is missing/ });
  const newer = Buffer.from(bytes.toString().replace('"version":1', '"version":2'));
  t.throws(() => decodeBlockRecord(newer, () => undefined), { message: /version 2, this one reads 1/ });
});

// --- what is sent out at finality

function certificateFor(kit: Testkit, block: ExecutedBlock): Certificate {
  const digest = Buffer.from(block.ref.hash, 'hex');
  const bytes = voteSignBytes(kit.genesis.chainId, 0, FINALIZE, block.ref.view, digest);
  const signature = kit.ed25519.sign(bytes, kit.validators[0]!.secretKey);
  return { kind: FINALIZE, view: block.ref.view, hash: block.ref.hash, signers: [0], signatures: [signature] };
}

test('CO-7: the messages of a final block hold together: stored block, index, receipts, marks', async (t) => {
  const { kit, build, committed } = await ground();
  const wish = { clients: [devClient(kit.dev, { key_id: 'k2' })], kinds: [] };
  const entries = [devEntry(kit, { id: 'a' }), pcsEntry(kit), registryEntry(kit, 'r', wish)];
  const block = build(committed.tip.hash, entries, 1);
  const { context } = new Node(kit);
  const { store, ingress, dedup } = finalMessages(context, block, certificateFor(kit, block), []);

  const stored = decodeBlock(Buffer.from(store.block));
  t.is(blockFault(stored), null);
  t.is(stored.hash, blockHash(headerText(block.header)).toString('hex'));
  t.deepEqual(JSON.parse(store.head), block.changes.tip);
  t.is(store.registry, registryText(block.result.registry!));
  t.is(ingress.registry, store.registry);
  t.deepEqual(store.keys, ['dev\0a', `hmac\0${entries[1]!.prepared.id}`, 'operator\0r']);
  t.deepEqual(dedup.keys, store.keys);

  const validators = validatorSetJson(kit.set);
  const writer = new ReceiptWriter(ingress.certified, restoreTree(ingress.tree, 3));
  const hex = (bytes: Uint8Array, index: number) => Buffer.from(bytes).toString('hex', 32 * index, 32 * index + 32);
  for (const [index, { prepared, raw }] of entries.entries()) {
    t.is(hex(store.digests, index), prepared.digest.toString('hex'));
    t.is(hex(store.bodies, index), prepared.body.toString('hex'));
    const content = prepared.alg === null ? prepared.body : prepared.digest;
    t.is(hex(dedup.contents, index), content.toString('hex'), 'a PCS goes by its body');
    const parts = { digest: hex(ingress.digests, index), body: hex(ingress.bodies, index), index };
    const text = writer.text({ ...parts, outcome: ingress.outcomes[index]! });
    const verdict = verifyReceipt(parseStrict(Buffer.from(text)), validators, kit.ed25519, { bytes: raw });
    t.true(verdict.valid, JSON.stringify(verdict.checks.filter(({ ok }) => !ok)));
  }
});

test('CO-7: a block that is final through its child carries the headers up to the certified one', async (t) => {
  const { kit, build, committed } = await ground();
  const first = build(committed.tip.hash, [devEntry(kit, { id: 'a' })], 1);
  const second = build(first.ref.hash, [], 2);
  const { context } = new Node(kit);
  const { ingress, store } = finalMessages(context, first, certificateFor(kit, second), [second]);
  t.deepEqual(ingress.certified.chain, [second.header]);
  t.deepEqual(decodeBlock(Buffer.from(store.block)).chain, [second.header]);
  t.is(ingress.registry, null);
  const writer = new ReceiptWriter(ingress.certified, restoreTree(ingress.tree, 1));
  const { prepared, raw } = first.pooled[0]!.entry;
  const [digest, body] = [prepared.digest.toString('hex'), prepared.body.toString('hex')];
  const text = writer.text({ digest, body, outcome: ingress.outcomes[0]!, index: 0 });
  const verdict = verifyReceipt(parseStrict(Buffer.from(text)), validatorSetJson(kit.set), kit.ed25519, { bytes: raw });
  t.true(verdict.valid);
});
