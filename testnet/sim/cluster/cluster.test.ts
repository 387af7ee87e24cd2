// A share of the cluster's simulation, each nemesis and each lie once, every crash point of a short run, and whether the list
// of mutants still fits. `npm run sim` does more.
import test from 'ava';
import { unfitEdits } from '../mutants.js';
import { runSeeds } from '../run.js';
import { simulateCluster } from './cluster.js';
import { MUTANTS } from './cluster-mutants.js';
import { ed25519Keys } from './keys.js';
import { LIE_NAMES } from './misdeeds.js';
import { NEMESES } from './plan.js';

test('CO-10: a seed replays step by step, and another seed is another story', (t) => {
  const options = { minutes: 0.2, keepTrace: true };
  const [first, again, other] = [simulateCluster(7, options), simulateCluster(7, options), simulateCluster(8, options)];
  t.deepEqual(again.lines, first.lines);
  t.is(again.traceHash, first.traceHash);
  t.not(other.traceHash, first.traceHash);
  t.true(first.lines.length > 100);
});

test('CO-1, CO-2, CO-10: every checker holds over some dozens of clusters, and each comes to one ledger', async (t) => {
  const { failures, seeds, counts } = await runSeeds({
    simulation: { name: 'cluster', minutes: 0.5 },
    first: 1,
    seeds: 60,
    threads: 2,
    limitMs: 5_000,
  });
  t.deepEqual(failures, []);
  t.true(seeds > 0);
  t.true((counts.blocks ?? 0) > 5 * seeds);
});

test('CO-10: with real signatures a cluster does the same', async (t) => {
  const keys = await ed25519Keys();
  const { violations, ended } = simulateCluster(4, { minutes: 0.05, n: 4, keys });
  t.deepEqual(violations, []);
  t.is(ended, 'one ledger');
});

test('CO-1, CO-2, CO-8: each nemesis alone is survived', (t) => {
  for (const nemesis of NEMESES) {
    const { violations, counts } = simulateCluster(3, { minutes: 0.3, n: 4, nemeses: [nemesis] });
    t.deepEqual(violations, [], nemesis);
    t.true((counts.blocks ?? 0) > 3, nemesis);
  }
});

test('CO-1, CO-5: each lie alone forks nothing and stops nothing', (t) => {
  let accusations = 0;
  for (const lie of LIE_NAMES) {
    const { violations, counts } = simulateCluster(5, { minutes: 0.2, n: 4, lies: [lie], nemeses: ['loss'] });
    t.deepEqual(violations, [], lie);
    accusations += counts.accusations ?? 0;
  }
  t.true(accusations > 0);
});

test('CO-2: a node may crash before or after any sync of its first views, by a kill or a power cut', (t) => {
  const options = { minutes: 0.03, n: 4, nemeses: ['duplication'] as const };
  const syncs = simulateCluster(2, { ...options, crashAt: { instance: 1, sync: -1, moment: 'before', ending: 'kill' } })
    .counts.syncs;
  t.true(syncs! > 10);
  let crashes = 0;
  for (let sync = 1; sync <= Math.min(syncs!, 40); sync++) {
    for (const moment of ['before', 'after'] as const) {
      for (const ending of ['kill', 'power-cut'] as const) {
        const outcome = simulateCluster(2, { ...options, crashAt: { instance: 1, sync, moment, ending } });
        t.deepEqual(outcome.violations, [], `${ending} ${moment} sync ${sync}`);
        crashes += outcome.counts.crashes ?? 0;
      }
    }
  }
  t.true(crashes >= 40);
});

test('the text of every mutant of the cluster occurs exactly once in the compiled tree', (t) => {
  t.deepEqual(
    MUTANTS.flatMap((mutant) => unfitEdits(mutant)),
    [],
  );
  t.true(MUTANTS.length >= 40);
  t.is(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
});
