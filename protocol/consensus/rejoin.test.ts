// 1.8: a validator that lost its votes signs nothing until enough others said where they are, and then only above that.
// Run by ava. The counting argument is checked by enumeration, the whole by clusters that lose disks.
import test from 'ava';
import { type Certificate, signedBytes } from './certificate.js';
import type { Effect, Output } from './effect.js';
import type { Input } from './input.js';
import type { Message } from './message.js';
import { faults, quorum } from './quorum.js';
import { answersNeeded } from './rejoin.js';
import { checkpoint, replay } from './restart.js';
import { createState, type State } from './state.js';
import { step } from './step.js';
import { Cluster } from './testing/cluster.js';
import { checkVotes, GENESIS } from './testing/host.js';
import { mockContext } from './testing/random.js';
import { NULLIFY } from './vote.js';

const NONCE = '5e'.repeat(32);

test('answers needed: n − q + max(f, 1)', (t) => {
  const table = [
    [3, 2],
    [4, 2],
    [5, 2],
    [6, 3],
    [7, 4],
    [10, 6],
    [100, 66],
  ] as const;
  for (const [n, needed] of table) t.is(answersNeeded(n, quorum(n), faults(n)), needed, `n = ${n}`);
});

test('with liars and the forgetful one within f, an honest signer of any certificate is among any answers', (t) => {
  for (let n = 2; n <= 7; n++) {
    const f = faults(n);
    const others = [...Array(n - 1).keys()].map((i) => i + 1);
    // Validator 0 forgot its votes; where f ≥ 1 it is one of the f itself.
    const liars = choose(others, Math.max(0, f - 1));
    const needed = answersNeeded(n, quorum(n), f);
    let checked = 0;
    for (const signers of choose([0, ...others], quorum(n))) {
      for (const answers of choose(others, needed)) {
        for (const lying of liars) {
          checked += 1;
          const honest = answers.filter((answer) => signers.includes(answer) && !lying.includes(answer));
          if (honest.length === 0) t.fail(`n = ${n}: ${signers} answered by ${answers}, lying ${lying}`);
        }
      }
    }
    t.true(checked > 0);
  }
});

test('one answer fewer is not enough', (t) => {
  for (let n = 2; n <= 7; n++) {
    const others = [...Array(n - 1).keys()].map((i) => i + 1);
    const liars = choose(others, Math.max(0, faults(n) - 1));
    const fewer = answersNeeded(n, quorum(n), faults(n)) - 1;
    const broken = choose([0, ...others], quorum(n)).some((signers) =>
      choose(others, fewer).some((answers) =>
        liars.some((lying) => answers.every((answer) => !signers.includes(answer) || lying.includes(answer))),
      ),
    );
    t.true(broken, `n = ${n}`);
  }
});

function choose(items: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  if (items.length < size) return [];
  const [first, ...rest] = items as [number, ...number[]];
  return [...choose(rest, size - 1).map((chosen) => [first, ...chosen]), ...choose(rest, size)];
}

const context = mockContext(4, 0);

function nullification(view: number, signers: readonly number[] = [1, 2, 3]): Certificate {
  const signatures = signers.map((signer) => mockContext(4, signer).sign(signedBytes(context, NULLIFY, view, null)));
  return { kind: NULLIFY, view, hash: null, signers, signatures };
}

function quarantined(): { state: State; feed: (input: Input) => Output } {
  const state = createState(context, { finalized: GENESIS, quarantined: 'the log was lost' });
  const feed = (input: Input) => step(context, state, input);
  feed({ type: 'start', now: 0 });
  feed({ type: 'recover', now: 1, nonce: NONCE });
  return { state, feed };
}

function answer(from: number | null, certificate: Certificate | null, nonce = NONCE): Input {
  return { type: 'message', now: 2, from, message: { type: 'recovered', epoch: 0, nonce, certificate } };
}

test('two answers of four end the quarantine, durably, and the floor is above both', (t) => {
  const { state, feed } = quarantined();
  t.deepEqual(
    feed(answer(1, nullification(6))).records.map(({ type }) => type),
    ['certificate'],
  );
  t.is(state.quarantined, 'the log was lost');
  const { records, effects } = feed(answer(2, nullification(4)));
  t.deepEqual(
    records.find(({ type }) => type === 'rejoin'),
    { type: 'rejoin', epoch: 0, view: 8 },
  );
  t.deepEqual(
    effects.find(({ type }) => type === 'rejoined'),
    { type: 'rejoined', view: 8 },
  );
  t.is(state.quarantined, null);
  t.is(state.view, 7);
  // Views 7 and 8 pass without this node; in view 9 it votes again.
  const signs = (certificate: Certificate | null, now: number): number => {
    let votes = 0;
    const inputs: Input[] = [
      { type: 'pending', now, count: 1 },
      { type: 'tick', now: now + 5_000 },
    ];
    if (certificate !== null) {
      inputs.unshift({ type: 'message', now, from: 1, message: { type: 'certificate', epoch: 0, certificate } });
    }
    for (const input of inputs) votes += feed(input).records.filter(({ type }) => type === 'vote').length;
    return votes;
  };
  t.is(signs(null, 10), 0);
  t.is(signs(nullification(7), 10_000), 0);
  t.is(signs(nullification(8), 20_000), 1);
});

const USELESS: readonly (readonly [string, readonly Input[]])[] = [
  ['one twice', [answer(1, nullification(6)), answer(1, nullification(7))]],
  ['its own', [answer(1, nullification(6)), answer(0, nullification(6))]],
  ['a stranger', [answer(1, nullification(6)), answer(null, nullification(6))]],
  ['an old nonce', [answer(1, nullification(6)), answer(2, nullification(6), '5f'.repeat(32))]],
  ['a view without proof', [answer(1, nullification(6)), answer(2, { ...nullification(9), view: 90 })]],
  ['too few signers', [answer(1, nullification(6)), answer(2, nullification(9, [1, 2]))]],
];

for (const [title, inputs] of USELESS) {
  test(`does not count: ${title}`, (t) => {
    const { state, feed } = quarantined();
    for (const input of inputs) feed(input);
    t.is(state.quarantined, 'the log was lost');
    t.is(state.recovery!.answers.size, 1);
  });
}

test('it asks until it is answered, and says so only while it is quarantined', (t) => {
  const { state, feed } = quarantined();
  t.deepEqual(asks(feed({ type: 'tick', now: 100 })), []);
  t.true(state.wakeAtMs! <= 201);
  t.deepEqual(asks(feed({ type: 'tick', now: 201 })), [NONCE]);
  for (const from of [1, 2]) feed(answer(from, null));
  t.is(state.quarantined, null);
  t.deepEqual(asks(feed({ type: 'tick', now: 60_000 })), []);
  t.deepEqual(asks(feed({ type: 'recover', now: 60_001, nonce: '60'.repeat(32) })), []);
  t.throws(() => feed({ type: 'recover', now: 60_002, nonce: 'x' }), { instanceOf: RangeError });
});

function asks({ effects }: Output): string[] {
  const messages = effects.flatMap((effect) => (effect.type === 'broadcast' ? [effect.message] : []));
  return messages.flatMap((message) => (message.type === 'recover' ? [message.nonce] : []));
}

function recoverFrom(from: number | null, now = 5): Input {
  return { type: 'message', now, from, message: { type: 'recover', epoch: 0, nonce: NONCE } };
}

function answers({ effects }: Output): Message[] {
  return effects.flatMap((effect: Effect) =>
    effect.type === 'send' && effect.message.type === 'recovered' ? [effect.message] : [],
  );
}

test('a healthy validator answers with the way into its view, and not to a flood', (t) => {
  const state = createState(context, { finalized: GENESIS });
  step(context, state, { type: 'start', now: 0 });
  t.deepEqual(answers(step(context, state, recoverFrom(2))), [
    { type: 'recovered', epoch: 0, nonce: NONCE, certificate: null },
  ]);
  const certificate = nullification(3);
  step(context, state, { type: 'message', now: 6, from: 1, message: { type: 'certificate', epoch: 0, certificate } });
  t.deepEqual(answers(step(context, state, recoverFrom(2, 7))), []);
  t.deepEqual(answers(step(context, state, recoverFrom(2, 500))), [
    { type: 'recovered', epoch: 0, nonce: NONCE, certificate },
  ]);
  t.deepEqual(answers(step(context, state, recoverFrom(null, 5_000))), []);
});

test('no answer comes from who is quarantined, nor from who may have signed above what it knows', (t) => {
  const { state, feed } = quarantined();
  t.deepEqual(answers(feed(recoverFrom(2))), []);
  for (const from of [1, 2]) feed(answer(from, nullification(6)));
  t.is(state.floorView, 8);
  t.deepEqual(answers(feed(recoverFrom(2, 10))), []);
  const certificate = nullification(8);
  feed({ type: 'message', now: 11, from: 1, message: { type: 'certificate', epoch: 0, certificate } });
  t.deepEqual(answers(feed(recoverFrom(2, 12))), [{ type: 'recovered', epoch: 0, nonce: NONCE, certificate }]);
});

test('a restart remembers the rejoin, and a checkpoint keeps it', (t) => {
  const state = createState(context, { finalized: GENESIS });
  replay(context, state, { type: 'quarantine', epoch: 0, reason: 'the log was lost' });
  t.is(state.quarantined, 'the log was lost');
  replay(context, state, { type: 'rejoin', epoch: 0, view: 8 });
  t.deepEqual([state.quarantined, state.floorView], [null, 8]);
  const rebuilt = createState(context, { finalized: GENESIS });
  for (const record of checkpoint(context, state)) replay(context, rebuilt, record);
  t.deepEqual([rebuilt.quarantined, rebuilt.floorView, rebuilt.rejoined], [null, 8, true]);
});

test('a doubt about the log itself is not ended by what stands in that log', (t) => {
  const state = createState(context, { finalized: GENESIS, quarantined: 'the last batch is corrupt' });
  replay(context, state, { type: 'quarantine', epoch: 0, reason: 'long ago' });
  replay(context, state, { type: 'rejoin', epoch: 0, view: 8 });
  t.is(state.quarantined, 'the last batch is corrupt');
});

test('an own vote from elsewhere after a rejoin means that the key is used twice, and is not left again', (t) => {
  const { state, feed } = quarantined();
  for (const from of [1, 2]) feed(answer(from, nullification(6)));
  const foreign = nullification(9, [0, 1, 2]);
  const { records } = feed({
    type: 'message',
    now: 3,
    from: 1,
    message: { type: 'certificate', epoch: 0, certificate: foreign },
  });
  t.like(
    records.find(({ type }) => type === 'quarantine'),
    {
      reason: 'a vote of this node in view 9 is not in its log: the key is used twice',
    },
  );
  t.true(state.barred);
  t.deepEqual(asks(feed({ type: 'recover', now: 4, nonce: '61'.repeat(32) })), []);
  const rebuilt = createState(context, { finalized: GENESIS });
  replay(context, rebuilt, { type: 'rejoin', epoch: 0, view: 8 });
  for (const record of records) replay(context, rebuilt, record);
  t.true(rebuilt.barred);
});

test('one validator has nobody to ask, and of two the other cannot go on alone: that is for the operator', (t) => {
  for (const n of [1, 2]) {
    const few = mockContext(n, 0);
    const state = createState(few, { finalized: GENESIS, quarantined: 'the log was lost' });
    step(few, state, { type: 'start', now: 0 });
    t.deepEqual(step(few, state, { type: 'recover', now: 1, nonce: NONCE }), { records: [], effects: [] });
    t.is(state.recovery, null);
  }
});

for (const n of [3, 4, 5, 7]) {
  test(`CO-2: n = ${n}: a node that loses its disk rejoins, contradicts no vote of its lost log, and the ledger goes on`, (t) => {
    for (let seed = 1; seed <= 4; seed++) {
      const cluster = new Cluster({ n, seed, faults: { endMs: 0, loss: 0, duplicate: 0, crash: 0 } });
      for (let i = 0; i < 40; i++) cluster.submit(100 + 97 * i);
      const wiped = cluster.instances[seed % n]!;
      cluster.schedule(700 + 83 * seed, () => cluster.wipe(wiped, 50 + 100 * seed));
      cluster.runUntil(12_000);
      t.deepEqual(cluster.halts, [], `seed ${seed}`);
      t.is(cluster.accused.size, 0, `seed ${seed}`);
      t.is(cluster.rejoins, 1, `seed ${seed}`);
      for (const { host } of cluster.instances) {
        checkVotes([...host.lost, ...host.disk]);
        t.is(host.finalEntries.size, cluster.submissions, `seed ${seed}, node ${host.context.self}`);
      }
      t.true(checkVotes(wiped.host.disk).length > 0, `seed ${seed}: it votes again`);
    }
  });
}
