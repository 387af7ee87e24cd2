// A full mempool as clients see it: 503 before anything is written, and nothing lost of what was promised.
import test from 'ava';
import { devEntry, makeBlock, makeTestkit } from '../../protocol/ledger/testkit.js';
import { SettledReason } from '../../protocol/wal-record.js';
import { finalMessagesOf } from '../testing/final-blocks.js';
import { turns, until } from '../testing/links.js';
import { type Node, nodeOf, submit } from './door-fixture.js';
import { Room } from './room.js';
import type { Answer } from './submission.js';

/** Consensus takes so many more, of all issuers. */
function takes(node: Node, room: number): void {
  let left = room;
  node.consensus.answer('propose', ({ lsns }) => {
    const refused = lsns.map((_, index) => index).slice(Math.max(0, left));
    left -= lsns.length - refused.length;
    return { left: refused, full: left <= 0 };
  });
}

function slugOf(answers: readonly Answer[]): string {
  return (JSON.parse(answers[0]!.body) as { type: string }).type.split(':').at(-1)!;
}

const appended = ({ wal }: Node) => wal.asked('appendInbox').length;

test('DECISIONS 25: a full mempool is 503 with Retry-After at admission, before anything is written', async (t) => {
  const kit = await makeTestkit(4);
  const node = nodeOf(kit, 0);
  takes(node, 1);
  const entry = devEntry(kit, { id: 'a' });
  const first = submit(node, entry.raw);
  await until(() => node.consensus.asked('propose').length === 1);
  await turns();
  const before = appended(node);
  const refused = submit(node, devEntry(kit, { id: 'b' }).raw);
  t.is(refused[0]!.status, 503);
  t.is(slugOf(refused), 'mempool-full');
  t.regex(refused[0]!.headers['retry-after']!, /^[12]$/);
  t.is(appended(node), before);
  t.like(node.door.stats(), { waiting: 1, pending: 1, parked: 0 });

  // A final block makes room.
  const { ingress } = finalMessagesOf(kit, makeBlock(kit, kit.view, [entry]));
  node.door.finalized(ingress);
  t.is(first[0]!.status, 200);
  takes(node, 2);
  node.door.sweep();
  submit(node, devEntry(kit, { id: 'c' }).raw);
  await until(() => node.door.stats().pending === 1);
});

test('what is in the log already when the mempool turns out to be full is refused and settled; what was promised waits for room', async (t) => {
  const kit = await makeTestkit(4);
  const node = nodeOf(kit, 0);
  takes(node, 0);
  // The first look at what got lost is due at once, the next in five seconds.
  node.door.sweep();
  const promised = submit(node, devEntry(kit, { id: 'promised' }).raw, true);
  const waits = submit(node, devEntry(kit, { id: 'waits' }).raw);
  await until(() => waits.length === 1);
  t.is(promised[0]!.status, 202);
  t.is(waits[0]!.status, 503);
  t.is(slugOf(waits), 'mempool-full');
  await until(() => node.wal.told('settle').length > 0);
  t.deepEqual(node.wal.told('settle'), [{ lsns: [2], reason: SettledReason.refused }]);
  t.is(node.dedup.told('release').length, 1);
  t.like(node.door.stats(), { waiting: 0, pending: 1, inHand: 1, parked: 1 });

  // While nothing changes it is not asked about again and again; then it goes in, and the door opens.
  const asked = () => node.consensus.asked('propose').length;
  const before = asked();
  node.door.sweep();
  await turns();
  t.is(asked(), before);
  t.is(submit(node, devEntry(kit, { id: 'c' }).raw)[0]!.status, 503);
  takes(node, 10);
  node.clock.advance(1_000);
  node.door.sweep();
  await until(() => asked() === before + 1 && node.door.stats().parked === 0);
  await turns();
  t.deepEqual(submit(node, devEntry(kit, { id: 'd' }).raw), []);
});

test('DECISIONS 25: an issuer that has its share is told so, and costs others nothing', async (t) => {
  const kit = await makeTestkit(4);
  const node = nodeOf(kit, 0);
  node.consensus.answer('propose', ({ lsns }) => ({ left: lsns.map((_, index) => index), full: false }));
  const first = submit(node, devEntry(kit, { id: 'a' }).raw);
  await until(() => first.length === 1);
  t.is(slugOf(first), 'mempool-full');
  t.regex(first[0]!.body, /submissions of dev /);
  const asked = node.consensus.asked('propose').length;
  // Known now: it is told before consensus is asked, and the door is open for others.
  const second = submit(node, devEntry(kit, { id: 'b' }).raw, true);
  await until(() => second.length === 1);
  t.is(slugOf(second), 'mempool-full');
  t.is(node.consensus.asked('propose').length, asked);
});

test('a room that nobody waits for is believed full for a second at most', (t) => {
  const room = new Room();
  room.heard(true, [], 0);
  t.is(room.mayAsk(0, 999), 0);
  t.truthy(room.refusal());
  room.mayAsk(0, 1_000);
  t.is(room.refusal(), null);
  room.heard(true, [], 1_000);
  t.is(room.mayAsk(500, 1_999), 0);
  t.is(room.mayAsk(500, 2_000), 16, 'a few ask for all');
  t.is(room.mayAsk(500, 2_001), 0);
  room.heard(false, [], 2_002);
  t.is(room.mayAsk(500, 2_003), 500);
});
