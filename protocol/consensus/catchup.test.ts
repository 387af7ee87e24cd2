// CO-8: a node that was away takes blocks forward by height, proves each run, and is not stalled by a peer that lies.
// Run by ava.
import { Buffer } from 'node:buffer';
import test from 'ava';
import { type Certificate, signedBytes } from './certificate.js';
import type { Effect, Output } from './effect.js';
import type { Input, SyncedBlock } from './input.js';
import type { BlockRef, Message } from './message.js';
import { createState, type State } from './state.js';
import { step } from './step.js';
import { Cluster } from './testing/cluster.js';
import { GENESIS } from './testing/host.js';
import { GENESIS_HASH, mockContext, mockDigest } from './testing/random.js';
import { FINALIZE, NOTARIZE, type VoteKind } from './vote.js';

const CALM = { endMs: 0, loss: 0, duplicate: 0, crash: 0 };
const context = mockContext(4, 3);

function certify(block: BlockRef, kind: VoteKind = FINALIZE, signers: readonly number[] = [0, 1, 2]): Certificate {
  const signatures = signers.map((signer) =>
    mockContext(4, signer).sign(signedBytes(context, kind, block.view, block.hash)),
  );
  return { kind, view: block.view, hash: block.hash, signers, signatures };
}

/** A chain of `length` blocks; every `stride`-th has a Finalization of its own. */
function chain(length: number, stride = 1, salt = ''): SyncedBlock[] {
  const blocks: SyncedBlock[] = [];
  let parentHash = GENESIS_HASH;
  for (let view = 1; view <= length; view++) {
    const hash = mockDigest(Buffer.from(`${salt}${view}`), 32).toString('hex');
    const block = { hash, height: view, view, parentView: view - 1, parentHash, timestamp: view, entryCount: 1 };
    blocks.push({ block, certificate: view % stride === 0 ? certify(block) : null });
    parentHash = hash;
  }
  return blocks;
}

type Asked = Extract<Effect, { type: 'catchup' }>;

function catchupOf({ effects }: Output): Asked | undefined {
  return effects.find((effect): effect is Asked => effect.type === 'catchup');
}

/** A node at genesis that knows the Finalization of the last block, and fetched that block. */
function behind(blocks: readonly SyncedBlock[]): { state: State; output: Output; feed: (input: Input) => Output } {
  const state = createState(context, { finalized: GENESIS });
  const feed = (input: Input) => step(context, state, input);
  feed({ type: 'start', now: 0 });
  const target = blocks.at(-1)!;
  const { effects } = feed({
    type: 'message',
    now: 1,
    from: 0,
    message: { type: 'certificate', epoch: 0, certificate: target.certificate! },
  });
  if (!effects.some(({ type }) => type === 'fetch')) throw new Error('the target is not fetched');
  return { state, feed, output: feed({ type: 'block', now: 2, block: target.block }) };
}

function synced(asked: Asked, blocks: readonly SyncedBlock[], now = 3): Input {
  return { type: 'synced', now, peer: asked.peer, fromHeight: asked.fromHeight, blocks };
}

test('CO-8: blocks come forward in stretches; each is recorded, committed, and forgotten', (t) => {
  const blocks = chain(200);
  const { state, output, feed } = behind(blocks);
  let asked = catchupOf(output);
  t.like(asked, { fromHeight: 1, toHeight: 200 });
  const committed: string[] = [];
  const peers = new Set<number>();
  for (let now = 3; asked !== undefined; now++) {
    peers.add(asked.peer);
    const given = blocks.slice(asked.fromHeight - 1, asked.fromHeight + 29);
    const step = feed(synced(asked, given, now));
    t.deepEqual(
      step.records.map(({ type }) => type),
      [...given.map(() => 'block'), 'finalization'],
    );
    for (const effect of step.effects) {
      if (effect.type !== 'commit') continue;
      committed.push(...effect.blocks.map(({ hash }) => hash));
      t.true(effect.certificates.every((certificate, i) => certificate?.hash === effect.blocks[i]!.hash));
    }
    t.true(state.blocks.size <= 1 && state.views.size <= 2, `${state.blocks.size} blocks, ${state.views.size} views`);
    asked = catchupOf(step);
  }
  t.deepEqual(
    committed,
    blocks.map(({ block }) => block.hash),
  );
  t.deepEqual([...peers].sort(), [0, 1, 2]);
  t.is(state.finalized.height, 200);
  t.deepEqual([state.catchup, state.syncing, state.uncommitted], [null, null, []]);
});

test('CO-8: a certificate from far below a Finalization is let go, and does not come round for ever', (t) => {
  const blocks = chain(200);
  const { state, feed } = behind(blocks);
  const old = blocks[4]!.block;
  for (const kind of [NOTARIZE, FINALIZE] as const) {
    const certificate = certify(old, kind);
    const { records, effects } = feed({
      type: 'message',
      now: 3,
      from: 1,
      message: { type: 'certificate', epoch: 0, certificate },
    });
    t.deepEqual([records, effects.filter(({ type }) => type === 'broadcast')], [[], []]);
    // Nor do its votes one by one.
    certificate.signers.forEach((signer, index) => {
      const vote = { kind, view: old.view, hash: old.hash, signer, signature: certificate.signatures[index]! };
      feed({ type: 'message', now: 4, from: signer, message: { type: 'vote', epoch: 0, vote } });
    });
  }
  t.false(state.views.has(old.view));
  t.is(state.refused['out-of-range'], 6);
});

test('CO-8: where peers say that they are far ahead, nothing is fetched by its hash', (t) => {
  const blocks = chain(60);
  const state = createState(context, { finalized: GENESIS });
  const feed = (input: Input) => step(context, state, input);
  feed({ type: 'start', now: 0 });
  const open = [{ view: 61, certificates: [], votes: [[], [], []] }];
  const tip = blocks.at(-1)!;
  const status = (height: number): Message => ({
    type: 'status',
    epoch: 0,
    status: { finalizedView: 60, finalizedHash: tip.block.hash, height, view: 61, open },
  });
  // One alone may lie.
  feed({ type: 'message', now: 1, from: 0, message: status(1_000_000) });
  feed({ type: 'message', now: 1, from: 1, message: status(60) });
  const output = feed({
    type: 'message',
    now: 2,
    from: 0,
    message: { type: 'certificate', epoch: 0, certificate: tip.certificate! },
  });
  t.like(catchupOf(output), { fromHeight: 1, toHeight: 60 });
  t.is(state.wanted.size, 0);
});

test('CO-8: when few blocks are missing and do not come by their hashes, they come by height', (t) => {
  const blocks = chain(5);
  const { state, output, feed } = behind(blocks);
  t.is(catchupOf(output), undefined);
  t.is(catchupOf(feed({ type: 'tick', now: 1_000 })), undefined);
  const asked = catchupOf(feed({ type: 'tick', now: 1_001 }))!;
  t.like(asked, { fromHeight: 1, toHeight: 5 });
  t.is(state.wanted.size, 1, 'the other way stays open');
  feed(synced(asked, blocks));
  t.is(state.finalized.height, 5);
  t.deepEqual([state.catchup, state.wanted.size], [null, 0]);
});

test('CO-8: a few missing blocks are fetched along their hashes', (t) => {
  const { state, output } = behind(chain(17));
  t.is(catchupOf(output), undefined);
  t.deepEqual(
    [...state.wanted.values()].map((want) => want.type === 'block' && want.view),
    [16],
  );
});

const blocks = chain(60, 3);
const other = chain(60, 3, 'other');
const forged = (block: BlockRef): Certificate => ({ ...certify(block), signers: [0, 1, 3] });
const LIES: readonly (readonly [string, readonly SyncedBlock[], number])[] = [
  ['nothing', [], 0],
  ['no certificate', blocks.slice(0, 2), 0],
  ['a gap', blocks.slice(1, 9), 0],
  ['another chain, unproven', other.slice(0, 2), 0],
  [
    'too few signers',
    [...blocks.slice(0, 2), { block: blocks[2]!.block, certificate: certify(blocks[2]!.block, FINALIZE, [0, 1]) }],
    0,
  ],
  [
    'a forged certificate',
    [...blocks.slice(0, 2), { block: blocks[2]!.block, certificate: forged(blocks[2]!.block) }],
    0,
  ],
  [
    'a Notarization',
    [...blocks.slice(0, 2), { block: blocks[2]!.block, certificate: certify(blocks[2]!.block, 1) }],
    0,
  ],
  [
    'a certificate of another block',
    [...blocks.slice(0, 2), { block: blocks[2]!.block, certificate: blocks[5]!.certificate }],
    0,
  ],
  ['a good beginning, then another chain', [...blocks.slice(0, 6), ...other.slice(6, 9)], 6],
  ['a good beginning, then a tail without proof', blocks.slice(0, 5), 3],
  ['a height that is none', [{ block: { ...blocks[0]!.block, height: Number.NaN }, certificate: null }], 0],
];

for (const [title, given, height] of LIES) {
  test(`CO-8: given ${title}: ${height} blocks are taken, and another peer is asked`, (t) => {
    const { state, output, feed } = behind(blocks);
    const asked = catchupOf(output)!;
    const next = catchupOf(feed(synced(asked, given)))!;
    t.is(state.finalized.height, height);
    t.is(next.fromHeight, height + 1);
    t.not(next.peer, asked.peer);
    t.is(state.halted, null);
    feed(synced(next, blocks.slice(height), 4));
    t.is(state.finalized.height, 60);
  });
}

test('CO-8: when nobody helps, all are asked again after a while, not at once', (t) => {
  const { state, output, feed } = behind(blocks);
  const asked: number[] = [];
  let last = output;
  for (let next = catchupOf(last); next !== undefined; next = catchupOf(last)) {
    asked.push(next.peer);
    last = feed(synced(next, []));
  }
  t.deepEqual([...asked].sort(), [0, 1, 2]);
  t.is(state.catchup!.retryAtMs, 1_003);
  t.true(state.wakeAtMs! <= 1_003);
  t.not(catchupOf(feed({ type: 'tick', now: 1_003 })), undefined);
});

test('CO-8: who is not connected, or claims to have nothing, is asked last', (t) => {
  const { output, feed, state } = behind(blocks);
  const first = catchupOf(output)!;
  const others = [0, 1, 2].filter((peer) => peer !== first.peer);
  feed({ type: 'peer', now: 3, peer: others[0]!, connected: false });
  const second = catchupOf(feed(synced(first, blocks.slice(0, 3))))!;
  t.is(second.peer, others[1]!);
  const third = catchupOf(feed(synced(second, [])))!;
  t.is(third.peer, first.peer);
  t.true(state.catchup!.failed.has(others[1]!));
});

test('CO-8: an answer that nobody asked for is a mistake of the host', (t) => {
  const { output, feed } = behind(blocks);
  const asked = catchupOf(output)!;
  t.throws(() => feed(synced({ ...asked, peer: (asked.peer + 1) % 3 }, [])), { message: /no catch-up from validator/ });
});

test('CO-8: a log that was rolled back shows itself by an own signature in what is caught up', (t) => {
  const known = chain(60);
  const mine = known[9]!.block;
  known[9] = { block: mine, certificate: certify(mine, FINALIZE, [0, 2, 3]) };
  const { state, output, feed } = behind(known);
  const { records } = feed(synced(catchupOf(output)!, known.slice(0, 20)));
  t.true(records.some(({ type }) => type === 'quarantine'));
  t.is(state.finalized.height, 20);
  t.regex(state.quarantined!, /a vote of this node in view 10 is not in its log/);
});

test('CO-8: a node behind holds little of a cluster that goes on, and signs nothing below what is decided', (t) => {
  const all = chain(1_200);
  const { state, output, feed } = behind(all.slice(0, 60));
  t.not(catchupOf(output), undefined);
  let votes = 0;
  for (const { block, certificate } of all.slice(60)) {
    const leader = block.view % 4;
    const signature = mockContext(4, leader).sign(signedBytes(context, 1, block.view, block.hash));
    const proposal = { block, signature, justification: [] };
    const proposed: Input = {
      type: 'message',
      now: 5,
      from: leader,
      message: { type: 'proposal', epoch: 0, proposal },
    };
    const inputs: Input[] = [
      ...(leader === 3 ? [] : [proposed]),
      { type: 'message', now: 5, from: 0, message: { type: 'certificate', epoch: 0, certificate: certify(block, 1) } },
      { type: 'message', now: 5, from: 0, message: { type: 'certificate', epoch: 0, certificate: certificate! } },
    ];
    for (const input of inputs) {
      for (const record of feed(input).records) {
        if (record.type !== 'vote') continue;
        votes += 1;
        t.is(record.vote.view, block.view);
      }
    }
  }
  t.true(votes > 1_000);
  t.true(state.views.size <= 70, `${state.views.size} views`);
  t.true(state.blocks.size <= 1, `${state.blocks.size} blocks`);
  // It comes to the end all the same, and does not take its own forgotten votes for lost ones.
  let asked: Asked | undefined = catchupOf(output)!;
  for (let now = 6; asked !== undefined; now++) {
    const from: number = asked.fromHeight;
    asked = catchupOf(feed(synced(asked, all.slice(from - 1, from + 63), now)));
  }
  t.is(state.finalized.height, 64);
  t.is(state.quarantined, null);
});

test('CO-8: a node that hears certificates and gets no body asks for few of them, however long it goes on', (t) => {
  const all = chain(1_000);
  const state = createState(context, { finalized: GENESIS });
  const feed = (input: Input) => step(context, state, input);
  feed({ type: 'start', now: 0 });
  let most = 0;
  for (const { certificate } of all) {
    feed({ type: 'message', now: 1, from: 0, message: { type: 'certificate', epoch: 0, certificate: certificate! } });
    most = Math.max(most, state.wanted.size);
  }
  t.true(most <= 129, `${most} wants`);
  t.true(state.wanted.has(`block ${all.at(-1)!.block.hash}`));
  t.true(state.views.size <= 66, `${state.views.size} views`);
});

test('CO-8: cut off for long, a node of four comes back to the same ledger, also when a peer lies', (t) => {
  for (const lie of [false, true]) {
    const wrong = chain(30, 1, 'lie').map(({ block }) => ({ block, certificate: certify(block, FINALIZE, [0, 0, 1]) }));
    const cluster = new Cluster({
      n: 4,
      seed: 9,
      faults: CALM,
      answers: (peer, found) => (lie && peer === 0 ? wrong : lie && peer === 1 ? null : found),
    });
    cluster.schedule(500, () => cluster.isolate([3], true));
    for (let i = 0; i < 60; i++) cluster.submit(1_000 + 100 * i);
    cluster.runUntil(9_000);
    const away = cluster.instances[3]!.host;
    t.is(away.ledger.length, 0);
    t.true(cluster.chain.length > 30);
    cluster.isolate([3], false);
    for (let i = 0; i < 10; i++) cluster.submit(9_100 + 100 * i);
    cluster.runUntil(20_000);
    t.true(cluster.catchups > 2, `${cluster.catchups} requests`);
    t.deepEqual(cluster.halts, []);
    for (const { host } of cluster.instances) t.is(host.finalEntries.size, cluster.submissions);
  }
});
