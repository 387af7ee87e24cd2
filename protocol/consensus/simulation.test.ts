// Whole clusters of cores under seeded faults: agreement at every commit, liveness once the faults end.
// Run by ava; QUORATE_SEEDS=N runs more seeds than the default.
// Must never pass because nothing happened: every run asserts what it went through.
import process from 'node:process';
import test from 'ava';
import { Cluster, type Faults } from './testing/cluster.js';
import { checkVotes } from './testing/host.js';

const SEEDS = Number(process.env.QUORATE_SEEDS ?? 6);
const CALM: Faults = { endMs: 0, loss: 0, duplicate: 0, crash: 0 };
const DRIZZLE: Faults = { endMs: 20_000, loss: 0.1, duplicate: 0.05, crash: 0.002 };
const STORM: Faults = { endMs: 20_000, loss: 0.25, duplicate: 0.2, crash: 0.02 };

function finishes(cluster: Cluster, endMs: number): string[] {
  cluster.runUntil(endMs);
  const complaints = [...cluster.halts];
  for (const { host } of cluster.honest) {
    checkVotes(host.disk);
    const missing = cluster.submissions - host.finalEntries.size;
    if (missing !== 0) complaints.push(`node ${host.context.self} lacks ${missing} of ${cluster.submissions}`);
    const { state } = host;
    // Bounded state: what is behind the finalized view is gone, and a healthy cluster has no backlog.
    for (const view of state.views.keys()) if (view <= state.finalized.view) complaints.push(`view ${view} is kept`);
    if (state.views.size > 3) complaints.push(`${state.views.size} views are kept`);
    if (state.blocks.size > 3) complaints.push(`${state.blocks.size} blocks are kept`);
  }
  return complaints;
}

for (const n of [1, 2, 3, 4]) {
  test(`CO-1: ${n} calm nodes finalize every submission`, (t) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const cluster = new Cluster({ n, seed, faults: CALM });
      for (let i = 0; i < 40; i++) cluster.submit(1_000 + 37 * i);
      t.deepEqual(finishes(cluster, 10_000), [], `seed ${seed}`);
      t.true(cluster.chain.length > 5);
      t.is(cluster.accused.size, 0);
    }
  });

  test(`CO-1 CO-2: ${n} nodes under loss, duplication and crashes agree, and recover when the faults end`, (t) => {
    let crashes = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const cluster = new Cluster({ n, seed, faults: seed % 2 === 0 ? STORM : DRIZZLE });
      for (let i = 0; i < 120; i++) cluster.submit(150 * i);
      for (let i = 0; i < 10; i++) cluster.submit(21_000 + 500 * i);
      t.deepEqual(finishes(cluster, 60_000), [], `seed ${seed}`);
      t.is(cluster.accused.size, 0, `seed ${seed}`);
      crashes += cluster.crashes;
    }
    t.true(crashes > SEEDS, `${crashes} crashes`);
  });
}

// Above 16 validators few pass certificates on, and statuses go to some in turn.
for (const [n, submissions, endMs] of [
  [20, 30, 3_000],
  [100, 1, 600],
] as const) {
  test(`CO-1: ${n} nodes under loss agree, and recover when the faults end`, (t) => {
    const cluster = new Cluster({ n, seed: 6, faults: { endMs, loss: 0.15, duplicate: 0.02, crash: 0.001 } });
    for (let i = 0; i < submissions; i++) cluster.submit(150 * i);
    cluster.submit(endMs + 500);
    t.deepEqual(finishes(cluster, endMs + 8_000), []);
    t.is(cluster.accused.size, 0);
  });
}

for (const n of [3, 4, 7]) {
  test(`CO-2 CO-8: ${n} nodes under loss and crashes, one cut off for seconds, one that loses its disk`, (t) => {
    let rejoins = 0;
    let catchups = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const cluster = new Cluster({ n, seed, faults: DRIZZLE });
      for (let i = 0; i < 120; i++) cluster.submit(150 * i);
      for (let i = 0; i < 10; i++) cluster.submit(21_000 + 500 * i);
      const cut = seed % n;
      const shift = seed % 50;
      cluster.schedule(2_000 + 100 * shift, () => cluster.isolate([cut], true));
      cluster.schedule(11_000 + 50 * shift, () => cluster.isolate([cut], false));
      const wiped = cluster.instances[(seed + 1) % n]!;
      cluster.schedule(8_000 + 171 * shift, () => {
        if (wiped.up) cluster.wipe(wiped, 10 * shift);
      });
      t.deepEqual(finishes(cluster, 60_000), [], `seed ${seed}`);
      t.is(cluster.accused.size, 0, `seed ${seed}`);
      for (const { host } of cluster.instances) checkVotes([...host.lost, ...host.disk]);
      rejoins += cluster.rejoins;
      catchups += cluster.catchups;
    }
    t.true(rejoins > SEEDS / 2, `${rejoins} rejoins`);
    t.true(catchups > SEEDS, `${catchups} requests of catch-up`);
  });
}

test('CO-1 NET-7: four nodes that talk in frames do as those that talk in messages', (t) => {
  const chains = [false, true].map((wired) => {
    const cluster = new Cluster({ n: 4, seed: 3, faults: DRIZZLE });
    cluster.wired = wired;
    for (let i = 0; i < 60; i++) cluster.submit(150 * i);
    cluster.submit(21_000);
    t.deepEqual(finishes(cluster, 30_000), []);
    return cluster.chain;
  });
  t.true(chains[0]!.length > 20);
  t.deepEqual(chains[1], chains[0]);
});

test('CO-1 CO-5: a Byzantine twin among 4 forks nothing, stops nothing, and only it is accused', (t) => {
  let accusations = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const twin = seed % 4;
    const cluster = new Cluster({ n: 4, seed, faults: DRIZZLE, twins: [twin] });
    for (let i = 0; i < 120; i++) cluster.submit(150 * i);
    for (let i = 0; i < 10; i++) cluster.submit(21_000 + 500 * i);
    t.deepEqual(finishes(cluster, 60_000), [], `seed ${seed}`);
    for (const accused of cluster.accused) t.is(accused, twin, `seed ${seed}`);
    accusations += cluster.accused.size;
  }
  t.true(accusations > SEEDS / 2, `${accusations} of ${SEEDS} twins were accused`);
});
