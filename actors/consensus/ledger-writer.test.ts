// Final blocks on their way to the store: gathered, in order, none left out when the store dies, none before its turn.
import test from 'ava';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { DedupContract } from '../dedup/contract.js';
import type { FinalizedForStore, StoreContract } from '../store/contract.js';
import { memoryLog } from '../testing/context.js';
import { FakeLink } from '../testing/links.js';
import { LedgerWriter } from './ledger-writer.js';

const blockOf = (height: number, entries = 1): FinalizedForStore => ({
  height,
  block: new Uint8Array(8),
  keys: Array.from({ length: entries }, () => `key ${height}`),
  digests: new Uint8Array(32),
  contents: new Uint8Array(32),
  head: '{}',
  registry: null,
  rounds: null,
});

function rig() {
  const clock = new ManualClock();
  const store = new FakeLink<StoreContract>('store', 'outcome_unknown');
  const dedup = new FakeLink<DedupContract>('dedup');
  const confirmed: number[] = [];
  const unwritten = { blocks: 0, entries: 0 };
  const committed = { unwritten, written: (height: number) => void confirmed.push(height) };
  const writer = new LedgerWriter({
    links: { store, dedup },
    committed: committed as never,
    clock,
    log: memoryLog().log,
    written: () => undefined,
  });
  const give = (...heights: number[]) => {
    for (const height of heights) writer.add(blockOf(height));
    unwritten.blocks += heights.length;
    writer.flush();
  };
  /** Heights of each request so far. */
  const asked = () => store.asked('apply').map(({ request }) => request.blocks.map(({ height }) => height));
  const later = async () => {
    clock.advance(1_500);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { store, dedup, writer, give, asked, later, confirmed };
}

test('what becomes final meanwhile is one transaction, and only after the one before it', async (t) => {
  const { store, give, asked, later, confirmed, dedup } = rig();
  give(1);
  give(2);
  t.deepEqual(asked(), [], 'they are gathered');
  await later();
  t.deepEqual(asked(), [[1, 2]]);
  give(3);
  await later();
  t.is(asked().length, 1);
  store.waiting('apply')[0]!.reply({ height: 2, full: false });
  await later();
  await later();
  t.deepEqual(asked(), [[1, 2], [3]]);
  t.deepEqual(confirmed, [2]);
  t.deepEqual(dedup.told('release'), [{ keys: ['key 1', 'key 2'] }]);
});

test('a store that dies over final blocks: the next one is given them first, then what came meanwhile', async (t) => {
  const { store, give, asked, later, confirmed, dedup } = rig();
  give(1, 2);
  await later();
  store.goDown();
  await later();
  give(3);
  await later();
  t.deepEqual(asked(), [[1, 2]], 'one that is down is not asked');
  t.deepEqual(dedup.told('release'), [], 'the ledger may not have them');
  store.goUp();
  await later();
  await later();
  t.deepEqual(asked(), [
    [1, 2],
    [1, 2, 3],
  ]);
  store.waiting('apply')[0]!.reply({ height: 3, full: false });
  await later();
  t.deepEqual(confirmed, [3]);
  t.deepEqual(dedup.told('release'), [{ keys: ['key 1', 'key 2', 'key 3'] }]);
});

test('after a death over a transaction the next stores are given portions that one can finish, until nothing is left', async (t) => {
  const { store, writer, give, asked, later } = rig();
  for (let height = 1; height <= 6; height++) writer.add(blockOf(height, 900));
  writer.flush();
  await later();
  t.deepEqual(asked(), [[1, 2, 3, 4, 5, 6]]);
  store.goDown();
  await later();
  store.goUp();
  await later();
  await later();
  t.deepEqual(asked().at(-1), [1, 2, 3]);
  give(7);
  store.waiting('apply').at(-1)!.reply({ height: 3, full: false });
  await later();
  await later();
  t.deepEqual(asked().at(-1), [4, 5, 6]);
  store.goDown();
  await later();
  store.goUp();
  await later();
  await later();
  t.deepEqual(asked().at(-1), [4, 5, 6], 'one that died gave nothing back');
  store.waiting('apply').at(-1)!.reply({ height: 6, full: false });
  await later();
  await later();
  t.deepEqual(asked().at(-1), [7]);
  for (let height = 8; height <= 11; height++) writer.add(blockOf(height, 900));
  store.waiting('apply').at(-1)!.reply({ height: 7, full: false });
  await later();
  await later();
  t.deepEqual(asked().at(-1), [8, 9, 10, 11], 'what came during the last portion is gathered, all at once again');
});

test('a store that dies before it was asked is asked when it is back, also while the node stops', async (t) => {
  const { store, give, asked, later, writer } = rig();
  give(1);
  store.goDown();
  await later();
  t.deepEqual(asked(), []);
  t.false(writer.idle);
  writer.drain();
  t.true(writer.idle, 'an end does not wait for a store that is down: the log has everything');
  store.goUp();
  t.false(writer.idle);
  await later();
  t.deepEqual(asked(), [[1]]);
});

test('nothing is sent after the stop', async (t) => {
  const { store, give, asked, later, writer } = rig();
  give(1);
  store.goDown();
  writer.stop();
  store.goUp();
  await later();
  t.deepEqual(asked(), []);
});
