import { Buffer } from 'node:buffer';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { parseStrict } from '../../protocol/json.js';
import {
  devClient,
  devEntry,
  hmacEntry,
  makeTestkit,
  NOON_MS,
  pcsEntry,
  registryEntry,
} from '../../protocol/ledger/testkit.js';
import { restoreTree } from '../../protocol/merkle.js';
import { ReceiptWriter } from '../../protocol/receipt.js';
import { verifyReceipt } from '../../protocol/receipt-verify.js';
import { validatorSetJson } from '../../protocol/validators.js';
import { decodeSettled, RecordType } from '../../protocol/wal-record.js';
import { metricValue } from '../testing/context.js';
import { turns, until } from '../testing/links.js';
import { Committed } from './committed.js';
import type { Failure } from './failing-host-fixture.js';
import { Node } from './host-fixture.js';
import { Mempool } from './mempool.js';

test('CO-1: one append makes a submission final: block, votes, certificates and its settlement in one batch', async (t) => {
  const node = await Node.start(await makeTestkit());
  const [pooled] = node.propose(devEntry(node.kit, { id: 'a' }));
  await until(() => node.finalized.length === 1);
  t.deepEqual(node.log.appends.length, 1);
  const names = node.log.names();
  t.is(names[0], 'inbox');
  t.is(names[1], 'block', 'the body of the block stands before the vote for it');
  t.deepEqual([...new Set(names.slice(2, -1))].sort(), ['certificate', 'finalization', 'vote']);
  t.is(names.at(-1), 'settled');
  t.deepEqual(decodeSettled(node.log.records.at(-1)!.data).lsns, [pooled!.lsn]);
  await node.settle();
  t.is(node.database.height, 1);
  t.is(await metricValue(node.metrics, 'quorate_consensus_entries_total'), 1);
  t.is(await metricValue(node.metrics, 'quorate_consensus_votes_total', { kind: 'finalize' }), 1);
});

test('CO-7: what ingress is told makes receipts that verify offline', async (t) => {
  const node = await Node.start(await makeTestkit());
  const entries = [devEntry(node.kit, { id: 'a' }), hmacEntry(node.kit, 'h'), pcsEntry(node.kit)];
  node.propose(...entries);
  await node.settle();
  const validators = validatorSetJson(node.kit.set);
  let verified = 0;
  for (const block of node.finalized) {
    const writer = new ReceiptWriter(block.certified, restoreTree(block.tree, block.outcomes.length));
    for (const [index, outcome] of block.outcomes.entries()) {
      const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex', 32 * index, 32 * index + 32);
      const text = writer.text({ digest: hex(block.digests), body: hex(block.bodies), outcome, index });
      t.true(verifyReceipt(parseStrict(Buffer.from(text)), validators, node.kit.ed25519).valid);
      verified += 1;
    }
  }
  t.is(verified, 3);
});

test('CO-2: nothing leaves before the log has it: no answer, no mark, no write, no next block', async (t) => {
  const node = await Node.start(await makeTestkit());
  node.log.link.hold('appendJournal');
  node.propose(devEntry(node.kit, { id: 'a' }));
  await turns();
  node.propose(devEntry(node.kit, { id: 'b' }), devEntry(node.kit, { id: 'c' }));
  node.clock.advance(1_000);
  await turns();
  t.is(node.log.link.asked('appendJournal').length, 1, 'the next block waits for the one that it stands on');
  t.is(node.mempool.size, 2);
  t.deepEqual([node.finalized, node.dedup.told('finalized'), node.store.asked('apply').length - 1], [[], [], 0]);
  t.is(node.committed.tip.height, 0);
  t.false(node.host.idle);
  for (const { request, reply } of node.log.link.waiting('appendJournal')) reply(node.log.append(request));
  await until(() => node.log.link.waiting('appendJournal').length === 1);
  t.deepEqual(
    node.finalized.map(({ height }) => height),
    [1],
  );
  t.is(node.mempool.size, 0, 'the two that waited are one block');
  for (const { request, reply } of node.log.link.waiting('appendJournal')) reply(node.log.append(request));
  node.log.link.answer('appendJournal', (request) => node.log.append(request));
  await node.settle();
  t.deepEqual(
    node.finalized.map(({ height, outcomes }) => [height, outcomes.length]),
    [
      [1, 1],
      [2, 2],
    ],
  );
});

test('an idle node writes nothing: no empty blocks, no timers (DECISIONS 28)', async (t) => {
  const node = await Node.start(await makeTestkit());
  node.clock.advance(3_600_000);
  await turns();
  t.deepEqual(node.log.records, []);
  node.propose(devEntry(node.kit, { id: 'a' }));
  await node.settle();
  const written = node.log.records.length;
  t.is(node.clock.nextTimerMs(), null);
  node.clock.advance(3_600_000);
  await turns();
  t.is(node.log.records.length, written);
});

test('final blocks go to the store together, one transaction at a time, and to dedup with them', async (t) => {
  const node = await Node.start(await makeTestkit());
  for (const id of ['a', 'b', 'c']) {
    node.propose(devEntry(node.kit, { id }));
    await until(() => node.mempool.size === 0 && node.finalized.length === node.committed.tip.height);
    await turns();
  }
  t.is(node.finalized.length, 3);
  t.is(node.store.asked('apply').length, 1, 'only the check at start');
  node.store.hold('apply');
  node.clock.advance(25);
  t.is(node.store.waiting('apply')[0]!.request.blocks.length, 3);
  t.is(node.dedup.told('finalized')[0]!.blocks.length, 3);
  node.propose(devEntry(node.kit, { id: 'd' }));
  await until(() => node.finalized.length === 4);
  node.clock.advance(1_000);
  t.is(node.store.waiting('apply').length, 1, 'the second waits for the first');
  t.is(node.committed.unwritten.blocks, 4);
  for (const { request, reply } of node.store.waiting('apply')) reply(node.database.apply(request.blocks));
  node.store.answer('apply', ({ blocks }) => node.database.apply(blocks));
  await node.settle();
  t.is(node.database.height, 4);
  t.deepEqual(node.committed.unwritten, { blocks: 0, entries: 0 });
});

/** A ledger whose database is as far behind as a test says. */
class Lagging extends Committed {
  entries = 0;

  override get unwritten(): { readonly blocks: number; readonly entries: number } {
    const { blocks, entries } = super.unwritten;
    return { blocks, entries: entries + this.entries };
  }
}

test('RT-7: no block is built while the store is too far behind; the first one follows when it has caught up', async (t) => {
  const lagging: Lagging[] = [];
  const makeCommitted = (...parts: ConstructorParameters<typeof Committed>) => {
    lagging.push(new Lagging(...parts));
    return lagging[0]!;
  };
  const node = await Node.start(await makeTestkit(), { makeCommitted });
  node.propose(devEntry(node.kit, { id: 'a' }));
  await until(() => node.finalized.length === 1);
  lagging[0]!.entries = 50_000;
  node.propose(devEntry(node.kit, { id: 'b' }));
  await turns();
  t.is(node.mempool.size, 1);
  lagging[0]!.entries = 0;
  node.clock.advance(25);
  await until(() => node.finalized.length === 2);
  await node.settle();
});

// --- refusals

test('IN-6: what a block refuses is answered, with the place of what it repeats; the others go on', async (t) => {
  const node = await Node.start(await makeTestkit());
  node.propose(devEntry(node.kit, { id: 'a' }));
  await node.settle();
  const entries = [
    devEntry(node.kit, { id: 'a' }),
    devEntry(node.kit, { id: 'late', issuedAtMs: NOON_MS + 3_600_000 }),
    devEntry(node.kit, { id: 'a', payload: { text: 'other' } }),
    devEntry(node.kit, { id: 'b' }),
  ];
  node.propose(...entries);
  await node.settle();
  const [refused, ...more] = node.ingress.told('refused');
  t.deepEqual(more, []);
  t.deepEqual(refused!.codes, ['duplicate', 'horizon', 'conflict']);
  t.deepEqual(refused!.statuses, [200, 422, 409]);
  t.deepEqual(
    [refused!.heights, refused!.indexes],
    [
      [1, 0, 1],
      [0, 0, 0],
    ],
  );
  const hashes = (of: 'digest' | 'body') =>
    Buffer.concat(entries.slice(0, 3).map(({ prepared }) => prepared[of])).toString('hex');
  t.is(Buffer.from(refused!.digests).toString('hex'), hashes('digest'));
  t.is(Buffer.from(refused!.bodies).toString('hex'), hashes('body'));
  t.is(node.committed.tip.height, 2);
  t.is(await metricValue(node.metrics, 'quorate_consensus_refused_total'), 3);
});

test('a block that would be empty because all of it was refused is dropped, and the node goes on', async (t) => {
  const node = await Node.start(await makeTestkit());
  const late = (id: string) => devEntry(node.kit, { id, issuedAtMs: NOON_MS + 3_600_000 });
  node.propose(late('a'), late('b'));
  await turns();
  t.deepEqual([...node.blocks.executed()], []);
  t.deepEqual(node.log.appends, [], 'nothing was signed for it');
  t.true(node.host.idle);
  t.is(node.clock.nextTimerMs(), null);
  node.propose(devEntry(node.kit, { id: 'c' }));
  await node.settle();
  t.is(node.committed.tip.height, 1);
});

test('many blocks full of refusals one after the other end, too', async (t) => {
  const kit = await makeTestkit(1, { chain: { blockMaxEntries: 2 } });
  const node = await Node.start(kit);
  node.propose(
    ...Array.from({ length: 11 }, (_, i) => devEntry(kit, { id: `s${i}`, issuedAtMs: NOON_MS + 3_600_000 })),
  );
  await turns();
  t.is(node.ingress.told('refused').flatMap(({ codes }) => codes).length, 11);
  t.true(node.host.idle);
});

test('a body larger than a block is refused, and blocks the way of nobody', async (t) => {
  const kit = await makeTestkit(1, { chain: { blockMaxBytes: 1_024 } });
  const node = await Node.start(kit);
  node.propose(devEntry(kit, { id: 'large', payload: { text: 'x'.repeat(2_000) } }), devEntry(kit, { id: 'a' }));
  await node.settle();
  t.deepEqual(node.ingress.told('refused')[0]!.codes, ['too-large']);
  t.is(node.committed.tip.height, 1);
});

/** Gives a block more than it has room for. */
class Generous extends Mempool {
  override take() {
    return super.take(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  }
}

test('what a block has no room for waits for the next one, unanswered', async (t) => {
  const kit = await makeTestkit(1, { chain: { blockMaxEntries: 2 } });
  const node = await Node.start(kit, { mempool: new Generous() });
  node.propose(...Array.from({ length: 5 }, (_, i) => devEntry(kit, { id: `s${i}` })));
  await node.settle();
  t.deepEqual(
    node.finalized.map(({ outcomes }) => outcomes.length),
    [2, 2, 1],
  );
  t.deepEqual(node.ingress.told('refused'), []);
});

test('a registry entry counts from the next entry on, and is told with its block', async (t) => {
  const node = await Node.start(await makeTestkit());
  const wish = { clients: [devClient(node.kit.dev, { key_id: 'k2' })], kinds: [] };
  node.propose(registryEntry(node.kit, 'r', wish), devEntry(node.kit, { id: 'a' }));
  await node.settle();
  t.is(node.committed.registry.version, 1);
  t.truthy(node.finalized[0]!.registry);
  t.is(node.database.blocks[0]!.registry, node.finalized[0]!.registry);
  t.deepEqual(node.ingress.told('refused')[0]!.codes, ['unknown-key']);
});

// --- when the log or the store fails

test('CO-2: the log is gone: this incarnation stands still and tells nobody anything', async (t) => {
  const node = await Node.start(await makeTestkit());
  node.log.link.hold('appendJournal');
  node.propose(devEntry(node.kit, { id: 'a' }));
  await until(() => node.log.link.waiting('appendJournal').length === 1);
  node.log.append(node.log.link.waiting('appendJournal')[0]!.request);
  node.log.link.goDown();
  await turns();
  node.log.link.answer('appendJournal', (request) => node.log.append(request));
  node.log.link.goUp();
  node.propose(devEntry(node.kit, { id: 'b' }));
  node.clock.advance(10_000);
  await turns();
  t.deepEqual(node.finalized, []);
  t.is(node.committed.tip.height, 0);
  t.is(node.log.appends.length, 1, 'no record follows one that may be missing');
});

for (const [fails, code] of [
  ['appendJournal', 'deadline'],
  ['appendJournal', 'overloaded'],
  ['appendJournal', 'handler_failed'],
  ['apply', 'deadline'],
  ['apply', 'handler_failed'],
] as const) {
  test(`CO-2: ${fails} fails with ${code}: the incarnation ends instead of going on`, async (t) => {
    const worker = new Worker(new URL('./failing-host-fixture.js', import.meta.url), {
      workerData: { fails, code } satisfies Failure,
      stdout: true,
    });
    const end = await new Promise((resolve) => {
      worker.once('message', (message) => resolve({ wentOn: message }));
      worker.once('error', (error: Error) => resolve({ error: error.message.split(':')[0] }));
      worker.once('exit', (exitCode) => resolve({ exitCode }));
    });
    t.deepEqual(end, { error: code });
    await worker.terminate();
  });
}

test('the store is gone: its blocks stay in memory, and nothing is asked of it until this incarnation ends too', async (t) => {
  const node = await Node.start(await makeTestkit());
  node.store.hold('apply');
  node.propose(devEntry(node.kit, { id: 'a' }));
  await until(() => node.finalized.length === 1);
  node.clock.advance(25);
  node.store.goDown();
  await turns();
  t.is(node.committed.unwritten.blocks, 1);
  t.like(node.committed.find('dev\0a'), { height: 1 });
  t.true(node.lines.some(({ msg }) => /not written by the store/.test(msg)));
});

// --- the rest

test('a quarantined node builds nothing and signs nothing', async (t) => {
  const node = await Node.start(await makeTestkit(), { quarantined: 'the log is in doubt' });
  node.propose(devEntry(node.kit, { id: 'a' }));
  node.clock.advance(10_000);
  await turns();
  t.deepEqual(node.log.appends, []);
  t.is(node.mempool.size, 1);
});

test('the clock may step back: blocks and votes go on, and block time never falls', async (t) => {
  const node = await Node.start(await makeTestkit());
  node.propose(devEntry(node.kit, { id: 'a' }));
  await node.settle();
  const before = node.committed.tip.blockTimeMs;
  node.clock.now = () => NOON_MS - 60_000;
  node.propose(devEntry(node.kit, { id: 'b' }));
  await node.settle();
  t.is(node.committed.tip.height, 2);
  t.true(node.committed.tip.blockTimeMs >= before);
});

test('a stopped host keeps no timer', async (t) => {
  const node = await Node.start(await makeTestkit());
  node.host.stop();
  t.is(node.clock.nextTimerMs(), null);
  t.deepEqual(
    node.log.records.filter(({ type }) => type === RecordType.journal),
    [],
  );
});
