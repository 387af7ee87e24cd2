// CO-2: a node killed after any record it wrote comes back without contradicting itself, and the cluster goes on.
// Run by ava. Crash points are enumerated, not sampled.
import test from 'ava';
import type { Context } from './context.js';
import type { Vote } from './message.js';
import { checkpoint, replay } from './restart.js';
import { createState, type State } from './state.js';
import { step } from './step.js';
import { Cluster } from './testing/cluster.js';
import { checkVotes, GENESIS, Host } from './testing/host.js';
import { mockContext, Random } from './testing/random.js';
import { NULLIFY } from './vote.js';

const CALM = { endMs: 0, loss: 0, duplicate: 0, crash: 0 };

/** A leader that is late, so that there are nullified views as well, then a busy time. */
function scenario(n: number, crashAt?: { node: number; records: number }): Cluster {
  const cluster = new Cluster({ n, seed: 77, faults: crashAt === undefined ? CALM : { ...CALM, crashAt } });
  for (let i = 0; i < 6; i++) cluster.submit(100 + 250 * i);
  // More arrives while the crashed node is down: the block it would build now is another one.
  for (let i = 0; i < 4; i++) cluster.submit(1_200 + 5 * i);
  return cluster;
}

for (const n of [1, 3, 4]) {
  test(`CO-2: n = ${n}: a crash after every single record, then agreement and every submission`, (t) => {
    const calm = scenario(n);
    calm.runUntil(12_000);
    let points = 0;
    for (const node of calm.instances.keys()) {
      for (let records = 0; records < calm.instances[node]!.host.disk.length; records++) {
        const cluster = scenario(n, { node, records });
        cluster.runUntil(12_000);
        if (!cluster.crashedAsPlanned) continue;
        points += 1;
        const place = `node ${node} after ${records} records`;
        t.deepEqual(cluster.halts, [], place);
        t.is(cluster.accused.size, 0, place);
        for (const { host } of cluster.instances) {
          checkVotes(host.disk);
          t.is(host.finalEntries.size, cluster.submissions, place);
        }
      }
    }
    t.true(points >= 20 * n, `${points} crash points`);
  });
}

test('CO-2: all nodes crash at once after any number of records each', (t) => {
  for (let seed = 0; seed < 30; seed++) {
    const cluster = scenario(4);
    cluster.runUntil(200 + 41 * seed);
    for (const instance of cluster.instances) cluster.crash(instance);
    cluster.runUntil(20_000);
    t.deepEqual(cluster.halts, []);
    for (const { host } of cluster.instances) {
      checkVotes(host.disk);
      t.is(host.finalEntries.size, cluster.submissions, `seed ${seed}`);
    }
  }
});

/** What a state knows that must survive a checkpoint. */
function essence(context: Context, state: State): unknown {
  const own = context.self!;
  const views = [...state.views.values()]
    .map(({ view, votes, notarization, nullification, finalization }) => ({
      view,
      own: votes.map((kind) => kind[own] ?? null),
      certificates: [notarization, nullification, finalization],
    }))
    .filter(({ own, certificates }) => [...own, ...certificates].some((held) => held !== null))
    .sort((a, b) => a.view - b.view);
  const { finalized, certifiedView, newest } = state;
  const bodies = [...state.blocks.values()].filter(({ durable }) => durable).map(({ block }) => block.hash);
  return { views, bodies: bodies.sort(), tip: finalized.hash, certifiedView, newest };
}

test('a checkpoint rebuilds what the whole log would', (t) => {
  let compared = 0;
  for (let at = 150; at < 3_000; at += 50) {
    const cluster = new Cluster({ n: 4, seed: 5, faults: { endMs: 10_000, loss: 0.3, duplicate: 0, crash: 0 } });
    for (let i = 0; i < 20; i++) cluster.submit(100 + 120 * i);
    cluster.runUntil(at);
    const { host } = cluster.instances[0]!;
    const { view, height, hash } = host.state.finalized;
    const rebuilt = createState(host.context, { finalized: { view, height, hash } });
    for (const record of checkpoint(host.context, host.state)) replay(host.context, rebuilt, record);
    t.deepEqual(essence(host.context, rebuilt), essence(host.context, host.state));
    if (host.state.views.size > 1) compared += 1;
  }
  t.true(compared > 10);
});

test('a log in any order of its votes, certificates and blocks gives the same state', (t) => {
  const random = new Random(3);
  let views = 0;
  for (let at = 200; at < 3_000; at += 200) {
    const cluster = new Cluster({ n: 4, seed: 8, faults: { endMs: 10_000, loss: 0.4, duplicate: 0, crash: 0 } });
    for (let i = 0; i < 20; i++) cluster.submit(100 + 120 * i);
    cluster.runUntil(at);
    const { host } = cluster.instances[2]!;
    const records = checkpoint(host.context, host.state);
    for (let i = records.length - 1; i > 0; i--) {
      const j = random.between(0, i);
      [records[i], records[j]] = [records[j]!, records[i]!];
    }
    const { view, height, hash } = host.state.finalized;
    const rebuilt = createState(host.context, { finalized: { view, height, hash } });
    for (const record of records) replay(host.context, rebuilt, record);
    t.deepEqual(essence(host.context, rebuilt), essence(host.context, host.state));
    step(host.context, rebuilt, { type: 'start', now: at });
    t.is(rebuilt.view, host.state.view);
    views += host.state.views.size;
  }
  t.true(views > 14);
});

test('a Finalization of the tip gives the tip its certificate back', (t) => {
  const cluster = new Cluster({ n: 4, seed: 8, faults: CALM });
  for (let i = 0; i < 5; i++) cluster.submit(100 + 120 * i);
  cluster.runUntil(3_000);
  const { host } = cluster.instances[1]!;
  host.restart(0);
  t.true(host.state.finalized.height > 0);
  t.is(host.state.finalized.certificate?.hash, host.state.finalized.hash);
});

test('nothing is signed at or below a floor', (t) => {
  const context = mockContext(4, 0);
  const state = createState(context, { finalized: GENESIS });
  replay(context, state, { type: 'floor', epoch: 0, view: 1 });
  step(context, state, { type: 'start', now: 0 });
  step(context, state, { type: 'pending', now: 0, count: 1 });
  const { records, effects } = step(context, state, { type: 'tick', now: 10_000 });
  t.deepEqual(records, []);
  t.deepEqual(
    effects.map((effect) => effect.type === 'broadcast' && effect.message.type),
    ['status'],
  );
});

test('records of another epoch bind nobody in this one', (t) => {
  const context = { ...mockContext(1, 0), epoch: 2 };
  const state = createState(context, { finalized: GENESIS });
  const vote: Vote = { kind: NULLIFY, view: 1, hash: null, signer: 0, signature: new Uint8Array(64) };
  replay(context, state, { type: 'vote', epoch: 1, vote });
  replay(context, state, { type: 'halt', epoch: 1, reason: 'then' });
  t.is(state.views.size, 0);
  t.is(state.halted, null);
});

test('a host that mixes up replay, start and inputs is told so', (t) => {
  const host = new Host(mockContext(1, 0));
  t.throws(() => host.input({ type: 'tick', now: 0 }), { message: 'tick before start' });
  host.input({ type: 'start', now: 0 });
  t.throws(() => host.input({ type: 'start', now: 0 }), { message: 'start twice' });
  t.throws(() => replay(host.context, host.state, { type: 'floor', epoch: 0, view: 1 }), {
    message: 'replay after start',
  });
});
