// Submissions between nodes: what one door admits enters another by the same functions, once.
import test, { type ExecutionContext } from 'ava';
import { devEntry, hmacEntry, makeBlock, makeTestkit, type Testkit } from '../../protocol/ledger/testkit.js';
import { encodeSubmissions } from '../../protocol/peer/submission-frames.js';
import { InboxRoute, SettledReason } from '../../protocol/wal-record.js';
import { metricValue } from '../testing/context.js';
import { finalMessagesOf } from '../testing/final-blocks.js';
import { turns, until } from '../testing/links.js';
import { type Node, nodeOf, sentBy, submit } from './door-fixture.js';

function proposed({ consensus }: Node): number {
  return consensus.asked('propose').reduce((sum, { request }) => sum + request.lsns.length, 0);
}

async function two(t: ExecutionContext): Promise<{ kit: Testkit; home: Node; peer: Node }> {
  const kit = await makeTestkit(4);
  t.timeout(10_000);
  return { kit, home: nodeOf(kit, 0), peer: nodeOf(kit, 1) };
}

const gossipedAs = (node: Node, result: string) =>
  metricValue(node.registry, 'quorate_submissions_gossiped_total', { result });

test('DECISIONS 14: what a node admits enters its peer behind the log, verified there, and is proposed by both', async (t) => {
  const { kit, home, peer } = await two(t);
  submit(home, devEntry(kit, { id: 'a' }).raw);
  await until(() => proposed(home) === 1 && sentBy(home).length === 1);
  peer.door.gossiped('node_0', sentBy(home));
  await until(() => proposed(peer) === 1);
  const { lsns, forms } = peer.consensus.asked('propose')[0]!.request;
  t.deepEqual([lsns, forms[0]!.origin], [[0], 'node_0']);
  t.is(peer.wal.asked('appendInbox').length, 0);
  t.is(peer.checks.count, 1);
  t.is(peer.dedup.asked('admit').length, 1);
  t.deepEqual(sentBy(peer), [], 'nobody passes on what is not its own');
});

test('what several peers tell, or one tells again, is verified once', async (t) => {
  const { kit, home, peer } = await two(t);
  submit(home, devEntry(kit, { id: 'a' }).raw);
  await until(() => sentBy(home).length === 1);
  for (const from of ['node_0', 'node_2', 'node_0']) peer.door.gossiped(from, sentBy(home));
  await turns();
  t.is(peer.checks.count, 1);
  t.is(proposed(peer), 1);
  t.is(await gossipedAs(peer, 'known'), 2);
});

test('IN-2: a bad signature of a peer touches no dedup store, is counted, and is not looked at again', async (t) => {
  const { kit, peer } = await two(t);
  const text = devEntry(kit, { id: 'a' }).raw.toString().replace('text of a', 'text of b');
  const frames = encodeSubmissions([{ route: InboxRoute.envelope, raw: Buffer.from(text), attestation: null }]);
  peer.door.gossiped('node_0', frames);
  peer.door.gossiped('node_0', frames);
  await turns();
  t.deepEqual([peer.checks.count, peer.dedup.asked('admit').length, proposed(peer)], [1, 0, 0]);
  t.deepEqual([await gossipedAs(peer, 'refused'), await gossipedAs(peer, 'known')], [1, 1]);
});

test('DECISIONS 17: an HMAC submission counts at a peer by the attestation of its home, and by nothing else', async (t) => {
  const { kit, home, peer } = await two(t);
  const { raw } = hmacEntry(kit, 'h');
  submit(home, raw);
  await until(() => sentBy(home).length === 1);
  peer.door.gossiped('node_0', sentBy(home));
  await until(() => proposed(peer) === 1);
  const { attestations, forms } = peer.consensus.asked('propose')[0]!.request;
  t.deepEqual(attestations, home.consensus.asked('propose')[0]!.request.attestations);
  t.like(forms[0], { issuer: 'hmac', publicKey: '' });
  const other = nodeOf(kit, 2);
  other.door.gossiped('node_0', encodeSubmissions([{ route: InboxRoute.envelope, raw, attestation: null }]));
  await turns();
  t.is(proposed(other), 0);
  // A validator that is no home of this key attests.
  const elsewhere = nodeOf(kit, 1);
  const attestation = { ...JSON.parse(attestations![0]!), node_id: 'node_1' };
  const forged = {
    issuer: 'hmac',
    keyId: 'h1',
    nodeId: 'node_1',
    timeMs: attestation.time_ms,
    signature: Buffer.alloc(64),
  };
  elsewhere.door.gossiped('node_1', encodeSubmissions([{ route: InboxRoute.envelope, raw, attestation: forged }]));
  await turns();
  t.is(proposed(elsewhere), 0);
});

test('told again with growing pauses until it is final, and at once when a peer comes', async (t) => {
  const { kit, home } = await two(t);
  const entry = devEntry(kit, { id: 'a' });
  const answers = submit(home, entry.raw);
  await until(() => proposed(home) === 1);
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 250) {
      home.clock.advance(250);
      home.door.sweep();
      await turns(2);
    }
    return sentBy(home).length;
  };
  t.deepEqual([await pass(1_250), await pass(1_000), await pass(1_500)], [2, 2, 3]);
  home.door.peerUp();
  t.is(await pass(250), 4);
  const { ingress } = finalMessagesOf(kit, makeBlock(kit, kit.view, [entry]));
  home.door.finalized(ingress);
  t.is(answers.at(-1)?.status, 200);
  t.is(await pass(40_000), 4);
});

test('a client that brings what a peer told of waits for the same outcome; its log entry is settled when that is final', async (t) => {
  const { kit, home, peer } = await two(t);
  const entry = devEntry(kit, { id: 'a' });
  submit(home, entry.raw);
  await until(() => sentBy(home).length === 1);
  peer.door.gossiped('node_0', sentBy(home));
  await until(() => proposed(peer) === 1);
  const answers = submit(peer, entry.raw);
  await until(() => proposed(peer) === 2);
  t.deepEqual(peer.consensus.asked('propose')[1]!.request.lsns, [1], 'consensus is told where its body stands');
  t.deepEqual(peer.wal.told('settle'), []);
  const { ingress } = finalMessagesOf(kit, makeBlock(kit, kit.view, [entry]));
  peer.door.finalized({ ...ingress, lsns: [0] });
  await turns();
  t.is(answers[0]?.status, 200);
  t.deepEqual(peer.wal.told('settle'), [{ lsns: [1], reason: SettledReason.final }]);
});

test('what consensus has no room for is dropped, and taken when it comes again', async (t) => {
  const { kit, home, peer } = await two(t);
  submit(home, devEntry(kit, { id: 'a' }).raw);
  await until(() => sentBy(home).length === 1);
  peer.consensus.answer('propose', ({ lsns }) => ({ left: lsns.map((_, index) => index), full: false }));
  peer.door.gossiped('node_0', sentBy(home));
  await until(() => peer.dedup.told('release').length === 1);
  t.is(peer.door.stats().inHand, 0);
  peer.consensus.answer('propose', () => ({ left: [], full: false }));
  peer.door.gossiped('node_0', sentBy(home));
  await until(() => proposed(peer) === 2);
  t.is(peer.door.stats().pending, 1);
});

test('NET-7: a flood takes no more than its room; frames that are none are counted', async (t) => {
  const { kit, peer } = await two(t);
  const list = Array.from({ length: 450 }, (_, index) => devEntry(kit, { id: `f${index}` }).raw);
  const frames = encodeSubmissions(list.map((raw) => ({ route: InboxRoute.envelope, raw, attestation: null })));
  peer.door.gossiped('node_0', [...frames, Buffer.of(64, 0), Buffer.of(70)]);
  t.is(peer.door.stats().inHand, 400);
  t.is(await gossipedAs(peer, 'overloaded'), 50);
  t.is(await gossipedAs(peer, 'malformed'), 1);
  t.is(await gossipedAs(peer, 'unknown-type'), 1);
  await until(() => proposed(peer) === 400);
});
