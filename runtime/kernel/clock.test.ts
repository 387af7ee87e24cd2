// The manual clock: timers at their own moment, in order, including those set on the way.
import test from 'ava';
import { ManualClock } from './clock.js';

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
