// A share of the supervisor's simulation, and whether the list of mutants still fits the kernel. `npm run sim` does more.
import test from 'ava';
import { unfitEdits } from './mutants.js';
import { runSeeds } from './run.js';
import { simulate } from './supervisor.js';
import { MUTANTS } from './supervisor-mutants.js';

test('RT-11: a seed replays step by step, and another seed is another story', async (t) => {
  const [first, again, other] = [await simulate(7, true), await simulate(7, true), await simulate(8, true)];
  t.deepEqual(again.lines, first.lines);
  t.is(again.traceHash, first.traceHash);
  t.not(other.traceHash, first.traceHash);
  t.true(first.steps > 10);
});

test('RT-5, RT-7, RT-8, RT-9: every checker holds over a few hundred simulated nodes', async (t) => {
  const { failures, seeds, ended } = await runSeeds({
    simulation: { name: 'supervisor', minutes: 0 },
    first: 1,
    seeds: 500,
    threads: 2,
    limitMs: 8_000,
  });
  t.deepEqual(failures, []);
  t.true(seeds > 0);
  t.true((ended.stop ?? 0) > 0, 'some reached their orderly end');
});

test('the text of every mutant occurs exactly once in the compiled kernel', (t) => {
  t.deepEqual(
    MUTANTS.flatMap((mutant) => unfitEdits(mutant)),
    [],
  );
  t.is(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
});
