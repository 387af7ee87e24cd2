// What the whole step promises beside the rules: one output at n = 1, determinism, bounded state, refused misuse.
// Run by ava.
import test from 'ava';
import type { Output } from './effect.js';
import type { Input } from './input.js';
import type { BlockRef } from './message.js';
import { createState } from './state.js';
import { step } from './step.js';
import { Cluster } from './testing/cluster.js';
import { GENESIS, Host } from './testing/host.js';
import { GENESIS_HASH, mockContext } from './testing/random.js';

function blockOf(view: number, parentHash: string, entryCount = 100): BlockRef {
  const hash = view.toString(16).padStart(64, '0');
  return { hash, height: view, view, parentView: view - 1, parentHash, timestamp: view, entryCount };
}

test('CO-1: n = 1: one built input yields block, votes, certificates and commit in one output, with two signatures', (t) => {
  let signatures = 0;
  const mock = mockContext(1, 0);
  const context = {
    ...mock,
    sign: (bytes: Uint8Array) => {
      signatures += 1;
      return mock.sign(bytes);
    },
    verify: () => t.fail('own votes are not verified') as never,
  };
  const state = createState(context, { finalized: GENESIS });
  step(context, state, { type: 'start', now: 0 });
  const asked = step(context, state, { type: 'pending', now: 1, count: 100 });
  t.deepEqual(asked.effects, [
    { type: 'build', view: 1, height: 1, parentView: 0, parentHash: GENESIS_HASH, contents: 'some' },
  ]);
  const { records, effects } = step(context, state, {
    type: 'built',
    now: 2,
    view: 1,
    block: blockOf(1, GENESIS_HASH),
  });
  t.deepEqual(
    records.map(({ type }) => type),
    ['block', 'vote', 'certificate', 'vote', 'finalization'],
  );
  t.deepEqual(
    effects.map(({ type }) => type),
    ['commit'],
  );
  t.is(signatures, 2);
  t.is(state.pendingCount, 0);
  t.is(state.wakeAtMs, null);
});

test('n = 1: state stays the same size over 10 000 blocks', (t) => {
  const context = mockContext(1, 0);
  const state = createState(context, { finalized: GENESIS });
  step(context, state, { type: 'start', now: 0 });
  let parent = GENESIS_HASH;
  for (let view = 1; view <= 10_000; view++) {
    step(context, state, { type: 'pending', now: view, count: 5 });
    const block = blockOf(view, parent, 5);
    parent = block.hash;
    const { effects } = step(context, state, { type: 'built', now: view, view, block });
    if (effects[0]?.type !== 'commit') t.fail(`view ${view}`);
  }
  t.is(state.finalized.height, 10_000);
  t.deepEqual(
    [state.views.size, state.blocks.size, state.wanted.size, state.accused.size, state.uncommitted.length],
    [0, 0, 0, 0, 0],
  );
});

test('the same inputs give the same outputs', (t) => {
  const cluster = new Cluster({ n: 4, seed: 11, faults: { endMs: 5_000, loss: 0.2, duplicate: 0.2, crash: 0 } });
  const { host } = cluster.instances[2]!;
  const tape: [Input, Output][] = [];
  const input = host.input.bind(host);
  host.input = (given) => {
    const output = input(given);
    tape.push([structuredClone(given), structuredClone(output)]);
    return output;
  };
  for (let i = 0; i < 30; i++) cluster.submit(200 * i);
  cluster.runUntil(8_000);
  t.true(tape.length > 200);
  const state = createState(host.context, { finalized: GENESIS });
  step(host.context, state, { type: 'start', now: 0 });
  for (const [given, output] of tape) {
    t.deepEqual(structuredClone(step(host.context, state, given)), output);
  }
});

test('a host with nothing to put in says null, and is asked again when something arrives', (t) => {
  const context = mockContext(1, 0);
  const state = createState(context, { finalized: GENESIS });
  step(context, state, { type: 'start', now: 0 });
  step(context, state, { type: 'pending', now: 1, count: 3 });
  t.deepEqual(step(context, state, { type: 'built', now: 2, view: 1, block: null }), { records: [], effects: [] });
  t.deepEqual(step(context, state, { type: 'tick', now: 3 }).effects, []);
  const { effects } = step(context, state, { type: 'pending', now: 4, count: 1 });
  t.deepEqual(
    effects.map(({ type }) => type),
    ['build'],
  );
});

test('at most one build is under way', (t) => {
  const context = mockContext(1, 0);
  const state = createState(context, { finalized: GENESIS });
  step(context, state, { type: 'start', now: 0 });
  t.is(step(context, state, { type: 'pending', now: 1, count: 3 }).effects.length, 1);
  t.is(step(context, state, { type: 'pending', now: 2, count: 4 }).effects.length, 0);
});

test('a block that was not asked for is a mistake of the host, not of a peer', (t) => {
  const host = new Host(mockContext(1, 0));
  host.input({ type: 'start', now: 0 });
  t.throws(() => host.input({ type: 'built', now: 1, view: 1, block: null }), {
    message: 'no build is under way for view 1',
  });
  const block = blockOf(1, GENESIS_HASH);
  const others: readonly Partial<BlockRef>[] = [
    { view: 2 },
    { height: 2 },
    { parentView: 1 },
    { parentHash: block.hash },
  ];
  for (const other of others) {
    const asked = new Host(mockContext(1, 0));
    asked.input({ type: 'start', now: 0 });
    asked.input({ type: 'pending', now: 1, count: 1 });
    t.throws(() => asked.input({ type: 'built', now: 1, view: 1, block: { ...block, ...other } }), {
      message: /is not the one that was asked for in view 1/,
    });
  }
});

test('a block that nobody asked for is not kept', (t) => {
  const host = new Host(mockContext(4, 0));
  host.input({ type: 'start', now: 0 });
  host.input({ type: 'block', now: 1, block: blockOf(1, GENESIS_HASH) });
  t.is(host.state.blocks.size, 0);
});

test('a leader whose view passed while it built drops the block', (t) => {
  const host = new Host(mockContext(4, 1));
  host.input({ type: 'start', now: 0 });
  host.input({ type: 'pending', now: 0, count: 1 });
  const nullified = host.input({ type: 'tick', now: 200 });
  t.deepEqual(
    nullified.records.map(({ type }) => type),
    ['vote'],
  );
  t.deepEqual(host.input({ type: 'built', now: 201, view: 1, block: blockOf(1, GENESIS_HASH) }).records, []);
});

test('quarantined, a node follows and signs nothing', (t) => {
  const context = { ...mockContext(1, 0), sign: () => t.fail('signed') as never };
  const state = createState(context, { finalized: GENESIS, quarantined: 'the last batch is corrupt' });
  const { effects } = step(context, state, { type: 'start', now: 0 });
  t.deepEqual(effects, [{ type: 'quarantine', reason: 'the last batch is corrupt' }]);
  t.deepEqual(step(context, state, { type: 'pending', now: 1, count: 1 }), { records: [], effects: [] });
});

test('an observer without a vote follows to the same ledger', (t) => {
  const cluster = new Cluster({ n: 3, seed: 4, faults: { endMs: 0, loss: 0, duplicate: 0, crash: 0 } });
  const context = { ...mockContext(3, null), sign: () => t.fail('signed') as never };
  const state = createState(context, { finalized: GENESIS });
  step(context, state, { type: 'start', now: 0 });
  const { host } = cluster.instances[0]!;
  const input = host.input.bind(host);
  let committed = 0;
  host.input = (given) => {
    if (given.type === 'message') {
      const { effects } = step(context, state, given);
      for (const effect of effects) {
        t.not(effect.type, 'build');
        if (effect.type === 'commit') committed += effect.blocks.length;
        if (effect.type === 'validate')
          step(context, state, { type: 'validated', now: given.now, hash: effect.block.hash, valid: true });
      }
    }
    return input(given);
  };
  for (let i = 0; i < 12; i++) cluster.submit(300 * i);
  cluster.runUntil(10_000);
  t.true(committed > 0);
  t.is(state.halted, null);
});

test('a context that no genesis yields is refused', (t) => {
  t.throws(() => createState(mockContext(0, null), { finalized: GENESIS }), { instanceOf: RangeError });
  t.throws(() => createState(mockContext(3, 3), { finalized: GENESIS }), { instanceOf: RangeError });
});
