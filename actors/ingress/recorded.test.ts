import test from 'ava';
import { devEntry, makeBlock, makeTestkit, pcsEntry } from '../../protocol/ledger/testkit.js';
import { finalMessagesOf } from '../testing/final-blocks.js';
import { Answers } from './answers.js';
import { Recorded } from './recorded.js';

async function recordedOf(options: { readonly max?: number } = {}) {
  const kit = await makeTestkit();
  const made = makeBlock(kit, kit.view, [devEntry(kit, { id: 'a' }), devEntry(kit, { id: 'b' }), pcsEntry(kit)]);
  const { ingress, stored } = finalMessagesOf(kit, made);
  const clock = { nowMs: 1_000 };
  const answers = new Answers(() => 0);
  const blocks = new Map([[1, stored]]);
  const reads: number[] = [];
  const ledger = {
    block: (height: number) => {
      reads.push(height);
      return blocks.get(height);
    },
  };
  const recorded = new Recorded(options.max ?? 100, 1_000, () => clock.nowMs, ledger, answers);
  return { recorded, clock, reads, block: answers.receiptsOf(ingress) };
}

test('IN-6: the answer from memory and the one from the ledger are the same text', async (t) => {
  const { recorded, block } = await recordedOf();
  for (const index of [0, 1, 2]) t.deepEqual(recorded.fromLedger(1, index), block.answer(index));
});

test('memory answers without a read, for its time; then the ledger does', async (t) => {
  const { recorded, block, clock, reads } = await recordedOf();
  recorded.remember('content', 'content', { block, index: 1 });
  t.deepEqual(recorded.answer('content', 1, 1), block.answer(1));
  t.deepEqual(recorded.recent('content'), block.answer(1));
  t.deepEqual(reads, []);
  clock.nowMs += 1_001;
  t.is(recorded.recent('content'), null);
  t.deepEqual(recorded.answer('content', 1, 1), block.answer(1));
  t.deepEqual(reads, [1]);
});

test('null while the block, or the entry, is not readable', async (t) => {
  const { recorded } = await recordedOf();
  t.is(recorded.answer('x', 2, 0), null);
  t.is(recorded.fromLedger(1, 3), null);
});

test('a PCS is found by its body and by its digest; of two bodies with one digest the first keeps it', async (t) => {
  const { recorded, block } = await recordedOf();
  recorded.remember('body 1', 'digest', { block, index: 2 });
  recorded.remember('body 2', 'digest', { block, index: 0 });
  t.deepEqual(recorded.recent('digest'), block.answer(2));
  t.deepEqual(recorded.recent('body 2'), block.answer(0));
});

test('IN-6: memory is bounded: the oldest answers go first', async (t) => {
  const { recorded, block } = await recordedOf({ max: 2 });
  for (const name of ['a', 'b', 'c']) recorded.remember(name, name, { block, index: 0 });
  t.is(recorded.recent('a'), null);
  t.not(recorded.recent('b'), null);
  t.not(recorded.recent('c'), null);
});
