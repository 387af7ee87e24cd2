import { Buffer } from 'node:buffer';
import test, { type ExecutionContext } from 'ava';
import type { Entry } from '../../protocol/ledger/apply.js';
import {
  type devClient,
  devEntry,
  hmacEntry,
  makeTestkit,
  pcsEntry,
  registryEntry,
  type Testkit,
} from '../../protocol/ledger/testkit.js';
import { encodeSettled, RecordType, SettledReason } from '../../protocol/wal-record.js';
import { turns, until } from '../testing/links.js';
import { Database, JournalLog, type LoggedRecord, Node } from './host-fixture.js';

/** Submissions of every form, in several blocks, one of which changes the registry; `b1` is refused by its block. */
function history(kit: Testkit): readonly (readonly Entry[])[] {
  const wish = { clients: [...(kit.genesis.json.clients as ReturnType<typeof devClient>[])].reverse(), kinds: [] };
  return [
    [devEntry(kit, { id: 'a1' }), hmacEntry(kit, 'a2'), pcsEntry(kit)],
    [devEntry(kit, { id: 'a1' }), devEntry(kit, { id: 'b2' })],
    [registryEntry(kit, 'r', wish), devEntry(kit, { id: 'c2' })],
    [devEntry(kit, { id: 'd1' })],
  ];
}

async function lived(kit: Testkit): Promise<Node> {
  const node = await Node.start(kit);
  for (const entries of history(kit)) {
    node.propose(...entries);
    await node.settle();
  }
  return node;
}

/** Block hashes by height, as ingress was told or as the database has them. */
function chainOf(node: Node): string[] {
  return node.database.blocks.map(({ head }) => (JSON.parse(head) as { hash: string }).hash);
}

/** Height of the highest block that these records make final. */
function finalIn(records: readonly LoggedRecord[], whole: Node): number {
  const finalizations = new JournalLog(records).names().filter((name) => name === 'finalization').length;
  return Math.min(finalizations, whole.database.height);
}

/** A submission more becomes final, and all votes of the log, old and new, agree. */
async function goesOn(t: ExecutionContext, node: Node, about: string): Promise<void> {
  node.propose(devEntry(node.kit, { id: 'after' }));
  await node.settle();
  node.log.votes();
  t.truthy(node.database.find('dev\0after'), about);
  t.is(node.database.height, node.committed.tip.height, about);
}

test('CO-2: the log cut after any record, the database anywhere behind it: what was final stays, nothing contradicts', async (t) => {
  const kit = await makeTestkit();
  const whole = await lived(kit);
  const { records } = whole.log;
  const before = chainOf(whole);
  t.is(before.length, 4);
  let cuts = 0;
  for (let cut = 0; cut <= records.length; cut++) {
    const prefix = records.slice(0, cut);
    const final = finalIn(prefix, whole);
    for (const height of new Set([0, Math.floor(final / 2), final])) {
      const database = new Database(whole.database.blocks.slice(0, height));
      const node = await Node.start(kit, { log: new JournalLog(prefix), database });
      const about = `cut after ${cut} of ${records.length}, database at ${height}, final ${final}`;
      await goesOn(t, node, about);
      t.deepEqual(chainOf(node).slice(0, final), before.slice(0, final), about);
      cuts += 1;
    }
  }
  t.true(cuts > records.length);
});

test('CO-2: own votes without the rest of their step are finished, not repeated differently', async (t) => {
  const kit = await makeTestkit();
  const whole = await lived(kit);
  const voteAt = whole.log.names().indexOf('vote');
  const node = await Node.start(kit, { log: new JournalLog(whole.log.records.slice(0, voteAt + 1)) });
  await node.settle();
  t.is(chainOf(node)[0], chainOf(whole)[0], 'the block that was voted for is the one that becomes final');
  t.is(node.finalized.length, 1, 'who waits for it hears of it');
});

test('final blocks that the database lacks are written before anything is built, and none twice', async (t) => {
  const kit = await makeTestkit();
  const whole = await lived(kit);
  const database = new Database(whole.database.blocks.slice(0, 1));
  const node = new Node(kit, { log: new JournalLog(whole.log.records), database });
  await node.replay();
  t.is(database.height, 4);
  t.deepEqual(node.log.appends, []);
  t.is(node.committed.tip.height, 4);
  t.is(node.committed.registry.version, 1);
  t.deepEqual(node.committed.unwritten, { blocks: 0, entries: 0 });
  t.deepEqual(
    database.blocks.map(({ block }) => Buffer.from(block).toString('hex')),
    whole.database.blocks.map(({ block }) => Buffer.from(block).toString('hex')),
    'byte for byte what was written before',
  );
  t.deepEqual(node.finalized, [], 'their clients went with the process; the door asks again');
});

test('IN-6: what was final before the restart is a duplicate after it', async (t) => {
  const kit = await makeTestkit();
  const whole = await lived(kit);
  const node = await Node.start(kit, { log: new JournalLog(whole.log.records) });
  node.propose(devEntry(kit, { id: 'b2' }), devEntry(kit, { id: 'd1', payload: { text: 'other' } }));
  await node.settle();
  const [refused] = node.ingress.told('refused');
  t.deepEqual(refused!.codes, ['duplicate', 'conflict']);
  t.deepEqual(refused!.heights, [2, 4]);
});

test('a restart after a restart is a restart: replay changes nothing of what it reads', async (t) => {
  const kit = await makeTestkit();
  const whole = await lived(kit);
  let { log, database } = { log: whole.log, database: whole.database };
  for (let round = 0; round < 3; round++) {
    const node = await Node.start(kit, { log: new JournalLog(log.records), database: new Database(database.blocks) });
    t.deepEqual(node.log.appends, []);
    node.propose(devEntry(kit, { id: `round-${round}` }));
    await node.settle();
    ({ log, database } = node);
  }
  t.is(database.height, 7);
  log.votes();
});

test('a body that was settled as joined before its block is read again from its place in the log', async (t) => {
  const kit = await makeTestkit();
  const node = await Node.start(kit);
  node.log.link.hold('appendJournal');
  const [pooled] = node.propose(devEntry(kit, { id: 'a' }));
  await until(() => node.log.link.waiting('appendJournal').length === 1);
  // A new incarnation of ingress found the same content under a later position, and settled this one.
  node.log.inbox(pooled!.entry.raw, pooled!.route);
  node.log.settle(SettledReason.joined, [pooled!.lsn]);
  node.log.append(node.log.link.waiting('appendJournal')[0]!.request);
  const again = await Node.start(kit, { log: new JournalLog(node.log.records) });
  t.is(again.committed.tip.height, 1);
  t.is(again.database.height, 1);
});

test('a block whose body the log does not hold is refused: nothing is built upon it', async (t) => {
  const kit = await makeTestkit();
  const whole = await lived(kit);
  const records = whole.log.records.map((record, index) =>
    index === 0
      ? { type: RecordType.settled, data: encodeSettled({ reason: SettledReason.joined, lsns: [] }) }
      : record,
  );
  await t.throwsAsync(Node.start(kit, { log: new JournalLog(records) }), { message: /body at LSN 1 is missing/ });
  const behind = new Database(whole.database.blocks.slice(0, 1));
  const node = await Node.start(kit, { log: new JournalLog(records), database: behind });
  t.is(node.committed.tip.height, 4, 'a block that the database has needs no bodies');
});

test('a block on a parent that is not held, or that executes to something else, stops the start', async (t) => {
  const kit = await makeTestkit();
  const whole = await lived(kit);
  const second = whole.log.names().lastIndexOf('block');
  const nothing = { type: RecordType.settled, data: encodeSettled({ reason: SettledReason.joined, lsns: [] }) };
  const withoutEarlier = whole.log.records.map((record, index) =>
    record.type === RecordType.block && index !== second ? nothing : record,
  );
  await t.throwsAsync(Node.start(kit, { log: new JournalLog(withoutEarlier) }), { message: /which is not held/ });
  const other = await makeTestkit(1, { chain: { horizonMs: 60_000 } });
  await t.throwsAsync(Node.start(other, { log: new JournalLog(whole.log.records) }), { message: /not held/ });
});

test('a log that cannot be read stops the start', async (t) => {
  const kit = await makeTestkit();
  const node = new Node(kit);
  node.log.link.hold('read');
  const replayed = node.replay();
  await turns();
  node.log.link.waiting('read')[0]!.fail('outcome_unknown');
  await t.throwsAsync(replayed, { message: /outcome_unknown/ });
});

test('a store that does not answer stops the start', async (t) => {
  const kit = await makeTestkit();
  const node = new Node(kit);
  node.store.hold('apply');
  const replayed = node.replay();
  await until(() => node.store.waiting('apply').length === 1);
  node.store.waiting('apply')[0]!.fail('deadline');
  await t.throwsAsync(replayed, { message: /deadline/ });
});
