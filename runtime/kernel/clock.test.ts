// Clocks: the manual one runs timers at their own moment and in order, the one of the system never before their time.
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

test('a timer of the system never runs before its time by the monotonic clock, and one beyond 2³¹ ms does not run at once', async (t) => {
  const ran: string[] = [];
  const far = systemClock.setTimer(2 ** 32, () => ran.push('far'));
  const early: number[] = [];
  const delays = Array.from({ length: 120 }, (_, index) => 1 + (index % 40) / 7);
  for (const delayMs of delays) {
    const startMs = systemClock.monotonic();
    await new Promise<void>((resolve) => systemClock.setTimer(delayMs, resolve));
    const leftMs = startMs + delayMs - systemClock.monotonic();
    if (leftMs > 0) early.push(leftMs);
  }
  far.cancel();
  t.deepEqual(early, []);
  t.deepEqual(ran, []);
});
