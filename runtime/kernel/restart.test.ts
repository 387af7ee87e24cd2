// Backoff, policies and budget as tables and properties.

import test from 'ava';
import fc from 'fast-check';
import { BACKOFF_DEFAULTS, backoffDelayMs } from './backoff.js';
import { CLOSED } from './breaker.js';
import { afterDeath, afterUptime, type History, NO_HISTORY, restartDefaults, type Spent, spend } from './restart.js';

const MIDDLE = 0.5;

test('RT-2: the delay doubles from 100 ms to 30 s and stays there', (t) => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 400].map((failures) =>
    backoffDelayMs(BACKOFF_DEFAULTS, failures, MIDDLE),
  );
  t.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
});

const JITTER: [failures: number, random: number, delayMs: number][] = [
  [1, 0, 100], // 75 ms, clamped to the floor
  [2, 0, 150],
  [2, 0.75, 225],
  [3, 0, 300],
  [10, 0, 22_500],
  [10, 0.999_999, 30_000], // 37.5 s, clamped to the ceiling
];
for (const [failures, random, delayMs] of JITTER) {
  test(`RT-2: failure ${failures} with a draw of ${random} waits ${delayMs} ms`, (t) => {
    t.is(Math.round(backoffDelayMs(BACKOFF_DEFAULTS, failures, random)), delayMs);
  });
}

test('RT-2: every delay lies within 25 % of the exact one and within floor and ceiling', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (n, r) => {
        const exact = backoffDelayMs(BACKOFF_DEFAULTS, n, MIDDLE);
        const delay = backoffDelayMs(BACKOFF_DEFAULTS, n, r);
        t.true(delay >= Math.max(100, exact * 0.75) && delay <= Math.min(30_000, exact * 1.25));
      },
    ),
  );
});

test('RT-2: `immediate` never waits, and still spends the budget', (t) => {
  let history = NO_HISTORY;
  for (let failures = 1; failures <= 20; failures++) {
    const decision = afterDeath(restartDefaults('immediate'), history, 0, MIDDLE);
    t.like(decision, { action: 'restart', delayMs: 0, spendsBudget: true, history: { failures } });
    history = decision.history;
  }
});

test('RT-2: `backoff` counts failures until the actor stayed up', (t) => {
  const settings = restartDefaults('backoff');
  const first = afterDeath(settings, NO_HISTORY, 0, MIDDLE);
  const second = afterDeath(settings, first.history, 500, MIDDLE);
  t.like(first, { action: 'backoff', delayMs: 100, spendsBudget: true });
  t.like(second, { action: 'backoff', delayMs: 200, spendsBudget: true });
  const well = afterUptime(settings, second.history, 30_700);
  t.deepEqual(well, NO_HISTORY);
  t.like(afterDeath(settings, well, 31_000, MIDDLE), { delayMs: 100 });
});

test('RT-2: the backoff does not read the budget: a group without limit still backs off', (t) => {
  // Others derived the exponent from the budget's record, so that an unlimited budget switched the backoff off.
  let history: History = NO_HISTORY;
  let spent: Spent = [];
  const delays: number[] = [];
  for (let nowMs = 0; nowMs < 5; nowMs++) {
    const decision = afterDeath(restartDefaults('backoff'), history, nowMs, MIDDLE);
    const outcome = spend(spent, { intensity: Number.POSITIVE_INFINITY, periodMs: 1_000 }, nowMs);
    ({ history } = decision);
    ({ spent } = outcome);
    t.false(outcome.over);
    delays.push(decision.delayMs);
  }
  t.deepEqual(delays, [100, 200, 400, 800, 1600]);
});

test('RT-3: `circuit-breaker` backs off, opens at the fifth failure, tries once a minute, and spends no budget', (t) => {
  const settings = restartDefaults('circuit-breaker');
  let history = NO_HISTORY;
  const actions: string[] = [];
  let nowMs = 0;
  for (let failure = 0; failure < 7; failure++) {
    const decision = afterDeath(settings, history, nowMs, MIDDLE);
    t.false(decision.spendsBudget);
    actions.push(`${decision.action} ${decision.delayMs}`);
    history = decision.history;
    nowMs += decision.delayMs;
  }
  t.deepEqual(actions, [
    'backoff 100',
    'backoff 200',
    'backoff 400',
    'backoff 800',
    'circuit_open 60000',
    'circuit_open 60000',
    'circuit_open 60000',
  ]);
});

test('RT-3: three spans of uptime close a half-open breaker', (t) => {
  const settings = restartDefaults('circuit-breaker');
  let history: History = { failures: 5, breaker: { phase: 'half-open', successes: 0 } };
  const phases = [30_000, 60_000, 90_000].map((nowMs) => {
    history = afterUptime(settings, history, nowMs);
    return history.breaker.phase;
  });
  t.deepEqual(phases, ['half-open', 'half-open', 'closed']);
  t.deepEqual(history, { failures: 0, breaker: CLOSED });
});

test('RT-5: a budget of 3 in 10 s is over at the fourth restart inside it, and not when the first has left it', (t) => {
  const budget = { intensity: 3, periodMs: 10_000 };
  const run = (times: number[]): boolean[] => {
    let spent: Spent = [];
    return times.map((nowMs) => {
      const outcome = spend(spent, budget, nowMs);
      ({ spent } = outcome);
      return outcome.over;
    });
  };
  t.deepEqual(run([0, 1, 2, 9_999]), [false, false, false, true]);
  t.deepEqual(run([0, 1, 2, 10_000]), [false, false, false, false]);
  // One failure a month never adds up.
  t.false(run(Array.from({ length: 12 }, (_, month) => month * 2_592_000_000)).includes(true));
});
