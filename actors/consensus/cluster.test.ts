// Four nodes that agree: the production host of each over links in memory.
import test, { type ExecutionContext } from 'ava';

import { FINALIZE, NOTARIZE, voteSignBytes } from '../../protocol/consensus/vote.js';
import { decodeMessage, decodeProposal, encodeProposal, FRAME } from '../../protocol/consensus/wire.js';
import type { JsonObject } from '../../protocol/json.js';
import type { Entry } from '../../protocol/ledger/apply.js';
import { BlockReceipts } from '../../protocol/ledger/block.js';
import { blockHash, headerText } from '../../protocol/ledger/header.js';
import { devEntry, hmacEntry, makeTestkit, observationEntry, type Signer } from '../../protocol/ledger/testkit.js';
import { decodeBlockBody, encodeBlockBody } from '../../protocol/peer/block-body.js';
import { BlockFrame } from '../../protocol/peer/block-frames.js';
import { verifyWith } from '../../protocol/receipt-verify.js';
import { metricValue } from '../testing/context.js';
import { refOf } from './blocks.js';
import { ConsensusCluster } from './cluster-fixture.js';

async function cluster(t: ExecutionContext, size = 4): Promise<ConsensusCluster> {
  const made = new ConsensusCluster(await makeTestkit(size));
  t.teardown(() => made.stop());
  return made;
}

function notes(made: ConsensusCluster, count: number, prefix = 'note'): Entry[] {
  return Array.from({ length: count }, (_, index) => devEntry(made.kit, { id: `${prefix}-${index}` }));
}

/** Every entry is final on these nodes, in their databases too. */
function allFinal(made: ConsensusCluster, entries: readonly Entry[], names = made.names): () => boolean {
  return () =>
    names.every((name) =>
      entries.every(({ issuer, prepared }) => made.node(name).disk.index.has(`${issuer}\0${prepared.id}`)),
    );
}

function equalLedgers(t: ExecutionContext, made: ConsensusCluster, names = made.names): void {
  const [first, ...rest] = names.map((name) => made.ledger(name));
  t.true(first!.length > 0);
  for (const other of rest) t.deepEqual(other, first);
}

test('CO-1: submissions of every node become final on all of them, once, in one order', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const entries = notes(made, 12);
  for (const [index, entry] of entries.entries()) made.submit(made.names[index % 4]!, entry);
  const attested = hmacEntry(made.kit, 'by-hmac');
  made.submit(made.names[0]!, attested);
  await made.until(allFinal(made, [...entries, attested]), 'finality on all nodes');
  equalLedgers(t, made);
  for (const { mempool, ingress } of made.nodes) {
    t.is(mempool.size, 0);
    t.is(
      ingress.told('finalized').reduce((sum, { outcomes }) => sum + outcomes.length, 0),
      13,
    );
  }
});

test('what comes in within one turn of the leader is one block', async (t) => {
  const made = await cluster(t, 1);
  await made.startAll();
  const [first, ...others] = notes(made, 9);
  made.submit('node_0', first!);
  for (const entry of others.slice(0, 4)) made.submit('node_0', entry);
  await made.until(allFinal(made, [first!, ...others.slice(0, 4)]), 'finality of the first turn');
  for (const entry of others.slice(4)) made.submit('node_0', entry);
  await made.until(allFinal(made, others), 'finality of the second turn');
  const sizes = made
    .node('node_0')
    .ingress.told('finalized')
    .map(({ outcomes }) => outcomes.length);
  t.deepEqual(sizes, [5, 4]);
});

test('DECISIONS 32: whoever asks is told of a block when it is notarized, before it is final', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const [quiet, ...asked] = notes(made, 4);
  made.submit('node_1', quiet!);
  await made.until(allFinal(made, [quiet!]), 'finality before anybody asks');
  for (const { ingress } of made.nodes) t.deepEqual(ingress.told('notarized'), []);
  made.node('node_0').host.wantNotarized();
  for (const entry of asked) made.submit('node_0', entry);
  const order: string[] = [];
  made.node('node_0').ingress.listen((name) => void order.push(name));
  await made.until(allFinal(made, asked), 'finality');
  const told = made.node('node_0').ingress.told('notarized');
  const digests = told.flatMap((block) => Buffer.from(block.digests).toString('hex').match(/.{64}/g) ?? []);
  t.deepEqual(digests.sort(), asked.map(({ prepared }) => prepared.digest.toString('hex')).sort());
  t.is(
    told.reduce((sum, { bodies }) => sum + bodies.length, 0),
    32 * asked.length,
  );
  t.is(order.filter((name) => name === 'notarized' || name === 'finalized')[0], 'notarized');
  t.deepEqual(made.node('node_1').ingress.told('notarized'), []);
});

test('R8: a system clock that is set back or ahead holds nothing up, and does not set the chain’s time back', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const [before, behind, ahead] = notes(made, 3);
  made.submit('node_1', before!);
  await made.until(allFinal(made, [before!]), 'finality before');
  made.clock.aheadMs = -3_600_000;
  // The leader does not know it: the others have to wait for a timer.
  const others = made.names.filter((name) => name !== 'node_2');
  made.submit(others[0]!, behind!, others.slice(1));
  await made.until(allFinal(made, [behind!]), 'finality an hour behind', 60_000);
  made.clock.aheadMs = 3_600_000;
  made.submit(others[0]!, ahead!, others.slice(1));
  await made.until(allFinal(made, [ahead!]), 'finality an hour ahead', 60_000);
  equalLedgers(t, made);
});

test('DECISIONS 28: a submission that the leader does not know becomes final in the next view', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const [entry] = notes(made, 1);
  // node_1 leads view 1.
  made.submit('node_3', entry!, ['node_0', 'node_2']);
  await made.until(allFinal(made, [entry!]), 'finality on all nodes', 60_000);
  t.is(made.block('node_1', 1).header.view, 2);
  equalLedgers(t, made);
});

test('R3: what a block brings that nobody here has seen is verified; what is known is not verified again', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const [known, unknown] = notes(made, 2);
  made.submit('node_1', known!);
  await made.until(allFinal(made, [known!]), 'the first');
  for (const { registry } of made.nodes) t.is(await metricValue(registry, 'quorate_consensus_signatures_total'), 0);
  // node_2 leads view 2, and tells nobody before it proposes.
  made.submit('node_2', unknown!, []);
  await made.until(allFinal(made, [unknown!]), 'the second', 60_000);
  t.is(await metricValue(made.node('node_1').registry, 'quorate_consensus_signatures_total'), 1);
});

test('R7: a body that a node never got is fetched from one that has it', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  // node_3 hears every vote and certificate, and no proposal.
  made.filter = (_, to, frame) => to !== 'node_3' || frame[0] !== FRAME.proposal;
  const entries = notes(made, 3);
  for (const entry of entries) made.submit('node_0', entry);
  await made.until(allFinal(made, entries), 'finality on all nodes', 60_000);
  equalLedgers(t, made);
  t.true((await metricValue(made.node('node_3').registry, 'quorate_consensus_fetches_total', { what: 'block' })) > 0);
});

/** Changes a byte in a body: the header under the signature stays right. */
function forge(frame: Uint8Array): boolean {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const at = bytes.indexOf('text of');
  if (at < 0) return false;
  bytes[at] = 'T'.charCodeAt(0);
  return true;
}

for (const [what, victims] of [
  ['one node', ['node_3']],
  ['all others', ['node_0', 'node_2', 'node_3']],
] as const) {
  test(`R3: a leader that sends other bodies under its header to ${what}: the right ones are fetched, nobody stands still`, async (t) => {
    const made = await cluster(t);
    await made.startAll();
    let forged = 0;
    made.filter = (from, to, frame) => {
      if (from === 'node_1' && victims.includes(to as never) && frame[0] === FRAME.proposal && forge(frame))
        forged += 1;
      return true;
    };
    const entries = notes(made, 8);
    for (const entry of entries) made.submit('node_1', entry);
    await made.until(allFinal(made, entries), 'finality on all nodes', 60_000);
    equalLedgers(t, made);
    t.true(forged > 0);
    for (const name of victims) {
      const { registry } = made.node(name);
      t.true((await metricValue(registry, 'quorate_consensus_validated_total', { verdict: 'unfit' })) > 0);
      t.is(await metricValue(registry, 'quorate_consensus_validated_total', { verdict: 'invalid' }), 0);
    }
  });
}

test('R7: a final block whose bodies are wrong is not written before the right ones are here', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  // node_3 gets every body forged, whoever sends it, until the others have gone on; so it can only learn what is final.
  let forging = true;
  made.filter = (_, to, frame) => {
    const carries = frame[0] === FRAME.proposal || frame[0] === BlockFrame.body;
    if (forging && to === 'node_3' && carries) forge(frame);
    return true;
  };
  const entries = notes(made, 3);
  for (const entry of entries) made.submit('node_0', entry, ['node_0', 'node_1', 'node_2']);
  const three = made.names.slice(0, 3);
  await made.until(allFinal(made, entries, three), 'finality on the others', 60_000);
  await made.settle(60);
  t.is(made.node('node_3').committed.tip.height, 0);
  made.kill('node_3');
  await made.start('node_3');
  forging = false;
  await made.until(allFinal(made, entries), 'the fourth too', 60_000);
  equalLedgers(t, made);
});

test('R3: a block whose header breaks a rule is refused at once, and the cluster goes on without it', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const { ed25519, validators, genesis } = made.kit;
  const forged = new Set<string>();
  // node_1 proposes in the name of node_2, under its own signature.
  made.filter = (from, _, frame) => {
    if (from !== 'node_1' || frame[0] !== FRAME.proposal) return true;
    const { epoch, justification, body } = decodeProposal(frame);
    const { header, entries } = decodeBlockBody(body);
    const text = headerText({ ...header, proposer: 'node_2' });
    const hash = blockHash(text);
    const signed = voteSignBytes(genesis.chainId, epoch, NOTARIZE, header.view, hash);
    const signature = ed25519.sign(signed, validators[1]!.secretKey);
    const block = refOf({ ...header, proposer: 'node_2' }, hash.toString('hex'));
    const message = { type: 'proposal', epoch, proposal: { block, signature, justification } } as const;
    frame.set(encodeProposal(message, encodeBlockBody(text, entries)));
    forged.add(hash.toString('hex'));
    return true;
  };
  const entries = notes(made, 8);
  for (const entry of entries) made.submit('node_0', entry);
  const honest = ['node_0', 'node_2', 'node_3'];
  await made.until(allFinal(made, entries, honest), 'finality on the honest nodes', 60_000);
  equalLedgers(t, made, honest);
  t.true(forged.size > 0);
  for (const name of honest) {
    const hashes = made.ledger(name).map((line) => (JSON.parse(line) as { hash: string }).hash);
    for (const hash of forged) t.false(hashes.includes(hash));
    const { registry } = made.node(name);
    t.true((await metricValue(registry, 'quorate_consensus_validated_total', { verdict: 'invalid' })) > 0);
  }
});

test('CO-8: a node that starts empty catches up from its peers, and votes', async (t) => {
  const made = await cluster(t);
  const three = made.names.slice(0, 3);
  for (const name of three) await made.start(name);
  const entries = notes(made, 40);
  for (const [index, entry] of entries.entries()) {
    made.submit('node_0', entry);
    // Several blocks, not one.
    if (index % 4 === 3) await made.until(allFinal(made, entries.slice(0, index + 1), three), 'finality on three');
  }
  await made.start('node_3');
  await made.until(allFinal(made, entries), 'the fourth has everything', 60_000);
  equalLedgers(t, made);
  made.kill('node_0');
  const [more] = notes(made, 1, 'more');
  made.submit('node_1', more!);
  const left = made.names.slice(1);
  await made.until(allFinal(made, [more!], left), 'finality with the newcomer in the quorum', 60_000);
  equalLedgers(t, made, left);
});

test('CO-2: nodes killed one after the other come back from their logs and lose nothing', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const all: Entry[] = [];
  for (const [round, name] of made.names.entries()) {
    const entries = notes(made, 3, `round-${round}`);
    all.push(...entries);
    for (const entry of entries) made.submit(made.names[(round + 1) % 4]!, entry);
    made.kill(name);
    const left = made.names.filter((other) => other !== name);
    await made.until(allFinal(made, entries, left), `finality without ${name}`, 60_000);
    await made.start(name);
  }
  await made.until(allFinal(made, all), 'everything on all nodes', 60_000);
  equalLedgers(t, made);
  t.deepEqual(
    made.nodes.map(({ core }) => [core.halted, core.quarantined, core.accused.size]),
    made.names.map(() => [null, null, 0]),
  );
});

test('CO-2: all nodes killed at once go on where they were', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const before = notes(made, 5, 'before');
  for (const entry of before) made.submit('node_0', entry);
  await made.settle(9);
  for (const name of made.names) made.kill(name);
  await made.startAll();
  // Ingress proposes again what the log holds.
  for (const entry of before) made.submit('node_0', entry);
  await made.until(allFinal(made, before), 'what was under way', 60_000);
  equalLedgers(t, made);
});

test('a proposal whose view was given up leaves its submissions to the next leader', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  let lost = 0;
  made.filter = (_, __, frame) => {
    if (frame[0] !== FRAME.proposal || lost >= 9) return true;
    lost += 1;
    return false;
  };
  const entries = notes(made, 2);
  for (const entry of entries) made.submit('node_2', entry);
  await made.until(allFinal(made, entries), 'finality', 60_000);
  t.true(lost >= 3);
  equalLedgers(t, made);
});

test('two submissions of one name at two nodes: one becomes final, the other is refused everywhere', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const one = devEntry(made.kit, { id: 'same', payload: { text: 'one' } });
  const two = devEntry(made.kit, { id: 'same', payload: { text: 'two' } });
  made.submit('node_1', one, ['node_0', 'node_1']);
  made.submit('node_2', two, ['node_3', 'node_2']);
  await made.until(
    () => made.nodes.every(({ mempool, committed }) => mempool.size === 0 && committed.tip.height > 0),
    'rest',
  );
  const finals = made.nodes.flatMap(({ ingress }) => ingress.told('finalized')).flatMap(({ outcomes }) => outcomes);
  t.is(finals.length, 4);
  const refused = made.nodes.flatMap(({ ingress }) => ingress.told('refused')).flatMap(({ codes }) => codes);
  t.deepEqual(refused, ['conflict', 'conflict']);
  equalLedgers(t, made);
});

test('NET-7: garbage, frames of the wrong kind and blocks that nobody asked for are counted and change nothing', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const [entry] = notes(made, 1);
  made.submit('node_0', entry!);
  await made.until(allFinal(made, [entry!]), 'finality');
  const { host, core, registry } = made.node('node_0');
  const view = core.view;
  const block = made.node('node_1').disk.blocks.get(1)!;
  const body = encodeBlockBody('{}', []);
  const frames = [
    Buffer.alloc(0),
    Buffer.of(FRAME.vote),
    Buffer.of(FRAME.proposal, 1, 2, 3),
    Buffer.of(31),
    Buffer.of(BlockFrame.body, 9),
    Buffer.concat([Buffer.of(BlockFrame.body), body]),
    Buffer.concat([Buffer.of(BlockFrame.stored), block]),
    Buffer.of(BlockFrame.range),
    Buffer.of(63),
    Buffer.of(200),
  ];
  for (const from of ['node_1', 'stranger']) host.peerFrames(from, frames);
  t.is(await metricValue(registry, 'quorate_consensus_frames_refused_total'), 2 * frames.length);
  t.is(core.view, view);
});

test('receipts of one submission are equal on every node but for the certificate', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const [entry] = notes(made, 1);
  made.submit('node_2', entry!);
  await made.until(allFinal(made, [entry!]), 'finality');
  const blocks = made.names.map((name) => made.block(name, 1));
  for (const { header, hash, entries } of blocks) {
    t.deepEqual(
      { header, hash, entries },
      { header: blocks[0]!.header, hash: blocks[0]!.hash, entries: blocks[0]!.entries },
    );
  }
  t.true(blocks.every(({ certificate }) => certificate.signers.length >= 3));
});

test('CO-3, DECISIONS 28: observers of all nodes complete a round; one without a quorum fails on every node, by time alone', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  const [first, second, third] = made.kit.validators as [Signer, Signer, Signer];
  const observed = [first, second, third].map((signer) => observationEntry(made.kit, signer));
  for (const [index, entry] of observed.entries()) made.submit(made.names[index]!, entry);
  const alone = observationEntry(made.kit, first, { round_id: 'alone', audit_id: 'alone' });
  made.submit('node_0', alone);
  await made.until(allFinal(made, [...observed, alone]), 'observations', 60_000);
  const status = (name: string, id: string) =>
    made.node(name).committed.rounds.rounds.find(({ roundId }) => roundId === id)?.status;
  t.deepEqual(new Set(made.names.map((name) => status(name, 'alone'))), new Set(['Pending']));
  await made.until(
    () => made.names.every((name) => status(name, 'alone') === 'Failed'),
    'the end of the round',
    400_000,
  );
  equalLedgers(t, made);
  for (const { committed } of made.nodes) t.deepEqual(committed.rounds, made.node('node_0').committed.rounds);
});

test('CO-7, DECISIONS 20: the receipt of a block that only a descendant made final verifies with the chain up to that', async (t) => {
  const made = await cluster(t);
  await made.startAll();
  // Nobody hears a finalize vote of view 1.
  made.filter = (_, __, frame) => {
    if (frame[0] !== FRAME.vote) return true;
    const message = decodeMessage(frame);
    return message.type !== 'vote' || message.vote.kind !== FINALIZE || message.vote.view !== 1;
  };
  const [first] = notes(made, 1);
  made.submit('node_1', first!);
  await made.until(allFinal(made, [first!]), 'finality through an empty block', 60_000);
  for (const name of made.names) {
    const block = made.block(name, 1);
    t.is(block.header.view, 1);
    t.true(block.chain.length > 0);
    const receipt = JSON.parse(new BlockReceipts(block).text(0)) as JsonObject;
    const verdict = verifyWith(receipt, made.kit.set, made.kit.ed25519);
    t.true(verdict.valid, JSON.stringify(verdict.checks.filter(({ ok }) => !ok)));
  }
  equalLedgers(t, made);
});
