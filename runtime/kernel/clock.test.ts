// The clocks: the manual one runs timers at their own moment, in order; the system's never runs one early.
import test from 'ava';
import { ManualClock, systemClock } from './clock.js';

test('timers run at their moment, in the order set, nested ones included', (t) => {
  const clock = new ManualClock(1_000);
  const seen: string[] = [];
  const note = (what: string) => () => seen.push(`${what} ${clock.now()} ${clock.monotonic()}`);
  clock.setTimer(20, note('late'));
  clock.setTimer(10, () => {
    note('first')();
    clock.setTimer(5, note('nested'));
  });
  clock.setTimer(10, note('second'));
  clock.setTimer(5, note('cancelled')).cancel();
  t.is(clock.nextTimerMs(), 10);
  clock.advance(15);
  t.deepEqual(seen, ['first 1010 10', 'second 1010 10', 'nested 1015 15']);
  t.is(clock.nextTimerMs(), 5);
  clock.advance(100);
  t.is(seen.at(-1), 'late 1020 20');
  t.is(clock.now(), 1_115);
  t.is(clock.nextTimerMs(), null);
});

test('RT-2: a timer of the system clock is never early by that clock, so that a restart that is due is seen as due', async (t) => {
  const early = await Promise.all(
    Array.from({ length: 400 }, (_, index) => {
      const delayMs = 1 + index / 7;
      const dueMs = systemClock.monotonic() + delayMs;
      return new Promise<number>((fired) => {
        systemClock.setTimer(delayMs, () => fired(Math.max(0, dueMs - systemClock.monotonic())));
      });
    }),
  );
  t.deepEqual(
    early.filter((earlyMs) => earlyMs > 0),
    [],
  );
});

test('RT-14: a timer of the system clock beyond 2³¹ ms does not run at once', async (t) => {
  const ran: string[] = [];
  const far = systemClock.setTimer(2 ** 32, () => ran.push('far'));
  await new Promise<void>((resolve) => systemClock.setTimer(20, resolve));
  far.cancel();
  t.deepEqual(ran, []);
});
