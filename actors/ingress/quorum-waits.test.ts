// Clients that wait for a quorum's disks: answered when a block with their submission is notarized, or final, or their wait is over.
import test from 'ava';
import { devEntry, makeBlock, makeTestkit } from '../../protocol/ledger/testkit.js';
import { finalMessagesOf } from '../testing/final-blocks.js';
import { until } from '../testing/links.js';
import { nodeOf, submit } from './door-fixture.js';

const QUORUM = { untilQuorum: true };

test('DECISIONS 32: 202 says durable: quorum once the block is notarized, and durable: node when the wait ends before', async (t) => {
  const kit = await makeTestkit(4);
  const node = nodeOf(kit, 0);
  const entries = ['a', 'b', 'c'].map((id) => devEntry(kit, { id }));
  const [a, b, c] = entries as [(typeof entries)[0], (typeof entries)[0], (typeof entries)[0]];
  const quorum = submit(node, a.raw, false, QUORUM);
  const patient = submit(node, a.raw);
  const hasty = submit(node, a.raw, true);
  const short = submit(node, b.raw, false, { ...QUORUM, deadlineMs: node.clock.monotonic() + 1_000 });
  const first = submit(node, c.raw, false, QUORUM);
  await until(() => node.consensus.asked('propose').reduce((sum, { request }) => sum + request.lsns.length, 0) === 3);
  t.is(node.consensus.told('wantNotarized').length, 1, 'consensus is asked once for all of them');
  await until(() => hasty.length === 1);
  t.is(hasty[0]!.body, `{"state":"durable","digest":"${a.prepared.digest.toString('hex')}"}`);
  t.deepEqual(quorum, [], 'this node alone is not enough');

  const { digests, bodies } = finalMessagesOf(kit, makeBlock(kit, kit.view, [a])).ingress;
  node.door.notarized({ digests, bodies });
  node.door.notarized({ digests, bodies });
  t.is(quorum.length, 1);
  t.like(quorum[0]!, { status: 202, headers: { location: `/v1/submissions/${a.prepared.digest.toString('hex')}` } });
  t.is((JSON.parse(quorum[0]!.body) as { durable: string }).durable, 'quorum');
  t.deepEqual(patient, [], 'who waits for the end waits on');

  node.clock.advance(1_000);
  node.door.sweep();
  t.is((JSON.parse(short[0]!.body) as { durable: string }).durable, 'node');

  node.door.finalized(finalMessagesOf(kit, makeBlock(kit, kit.view, entries)).ingress);
  t.deepEqual(
    [first, patient, quorum, short].map((answers) => answers.map(({ status }) => status)),
    [[200], [200], [202], [202]],
  );
});

test('consensus is asked again for clients that come later, and at once when it could not be told', async (t) => {
  const kit = await makeTestkit(4);
  const node = nodeOf(kit, 0);
  const asked = () => node.consensus.told('wantNotarized').length;
  node.consensus.goDown();
  submit(node, devEntry(kit, { id: 'a' }).raw, false, QUORUM);
  node.consensus.goUp();
  t.is(asked(), 0);
  for (const id of ['b', 'c']) submit(node, devEntry(kit, { id }).raw, false, QUORUM);
  t.is(asked(), 1);
  node.clock.advance(1_000);
  submit(node, devEntry(kit, { id: 'd' }).raw, false, QUORUM);
  t.is(asked(), 2);
});
