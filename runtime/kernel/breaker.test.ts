// The breaker's state machine as a table of steps.

import test from 'ava';
import fc from 'fast-check';
import { afterFailure, afterSuccess, at, BREAKER_DEFAULTS, type Breaker, CLOSED } from './breaker.js';

const settings = BREAKER_DEFAULTS;

/** Each step: at this time (seconds) f = failure, s = success; then what the breaker must be. */
const STORIES: Record<string, [seconds: number, step: 'f' | 's', expected: Breaker][]> = {
  'RT-3: five failures in a row open it, not four': [
    [0, 'f', { phase: 'closed', failures: 1 }],
    [1, 'f', { phase: 'closed', failures: 2 }],
    [2, 'f', { phase: 'closed', failures: 3 }],
    [3, 'f', { phase: 'closed', failures: 4 }],
    [4, 'f', { phase: 'open', untilMs: 64_000 }],
  ],
  'RT-3: a success in closed zeroes the count': [
    [0, 'f', { phase: 'closed', failures: 1 }],
    [1, 'f', { phase: 'closed', failures: 2 }],
    [2, 's', { phase: 'closed', failures: 0 }],
    [3, 'f', { phase: 'closed', failures: 1 }],
  ],
};

for (const [title, steps] of Object.entries(STORIES)) {
  test(title, (t) => {
    let breaker = CLOSED;
    for (const [seconds, step, expected] of steps) {
      breaker = apply(breaker, step, seconds * 1_000);
      t.deepEqual(breaker, expected, `at ${seconds} s`);
    }
  });
}

const OPEN: Breaker = { phase: 'open', untilMs: 60_000 };

test('RT-3: open becomes half-open by time alone, at 60 s and not before', (t) => {
  t.deepEqual(at(OPEN, 59_999), OPEN);
  t.deepEqual(at(OPEN, 60_000), { phase: 'half-open', successes: 0 });
});

test('RT-3: three successes in half-open close it', (t) => {
  const first = afterSuccess(OPEN, settings, 60_000);
  t.deepEqual(first, { phase: 'half-open', successes: 1 });
  const second = afterSuccess(first, settings, 61_000);
  t.deepEqual(second, { phase: 'half-open', successes: 2 });
  t.deepEqual(afterSuccess(second, settings, 62_000), CLOSED);
});

test('RT-3: one failure in half-open reopens it for the whole time, whatever went well before', (t) => {
  t.deepEqual(afterFailure({ phase: 'half-open', successes: 2 }, settings, 70_000), {
    phase: 'open',
    untilMs: 130_000,
  });
});

test('RT-3: what happens late, while it is open, neither prolongs nor closes it', (t) => {
  t.deepEqual(afterFailure(OPEN, settings, 30_000), OPEN);
  t.deepEqual(afterSuccess(OPEN, settings, 30_000), OPEN);
});

test('RT-3: it never closes without the successes, nor opens without the failures, on any history', (t) => {
  const history = fc.array(fc.record({ step: fc.constantFrom('f' as const, 's' as const), gapMs: fc.nat(70_000) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(history, (steps) => {
      let breaker = CLOSED;
      let nowMs = 0;
      let failuresInRow = 0;
      let successesInRow = 0;
      for (const { step, gapMs } of steps) {
        nowMs += gapMs;
        const before = at(breaker, nowMs);
        breaker = apply(breaker, step, nowMs);
        failuresInRow = step === 'f' ? failuresInRow + 1 : 0;
        successesInRow = step === 's' && before.phase === 'half-open' ? successesInRow + 1 : 0;
        if (before.phase === 'closed' && breaker.phase === 'open') t.true(failuresInRow >= settings.failures);
        if (before.phase === 'half-open' && breaker.phase === 'closed') t.is(successesInRow, settings.successes);
        if (before.phase === 'open') t.deepEqual(breaker, before);
      }
    }),
  );
  // A run may happen to reach none of these phases.
  t.pass();
});

function apply(breaker: Breaker, step: 'f' | 's', nowMs: number): Breaker {
  return step === 'f' ? afterFailure(breaker, settings, nowMs) : afterSuccess(breaker, settings, nowMs);
}
