// A share of Twins: all of one round, and a sample of three. `npm run sim -- twins` runs all of them.
import test from 'ava';
import { CHOICES, choicesOf, runScenario, TwinsWorld } from './twins.js';
import { runTwins, sampleTwins } from './twins-run.js';

test('CO-1, CO-5, CO-10: a validator that runs twice forks nothing and stops nothing, whoever leads and whoever is apart', async (t) => {
  const { scenarios, failures } = await runTwins(1, 2);
  t.deepEqual(failures, []);
  t.is(scenarios, CHOICES);
});

test('CO-1, CO-5, CO-10: nor over three rounds, of which a sample', (t) => {
  const { failures, scenarios } = sampleTwins(3, 400, 1);
  t.deepEqual(failures, []);
  t.is(scenarios, 400);
});

test('a branch does what its scenario does alone', (t) => {
  for (const scenario of [0, 100, 2_000, 4_095]) {
    const [first, second] = choicesOf(scenario, 2);
    const common = new TwinsWorld();
    common.round(first!);
    common.branch().round((second! + 1) % CHOICES);
    const branch = common.branch();
    branch.round(second!);
    const alone = new TwinsWorld();
    for (const choice of [first!, second!]) alone.round(choice);
    t.is(branch.digest(), alone.digest(), `scenario ${scenario}`);
  }
  t.is(runScenario(77, 2), null);
});
