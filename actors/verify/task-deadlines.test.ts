import test from 'ava';
import { TaskDeadlines } from './task-deadlines.js';

test('a task that does not end is aborted once its time is over, and others are not', async (t) => {
  const deadlines = new TaskDeadlines(50);
  t.teardown(() => deadlines.stop());
  const startedAtMs = performance.now();
  const hanging = deadlines.within(
    (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))),
  );
  t.is(await deadlines.within(async () => 'in time'), 'in time');
  await t.throwsAsync(hanging, { message: 'aborted' });
  t.true(performance.now() - startedAtMs >= 50);
});

test('a task that ended before its time is not aborted', async (t) => {
  const deadlines = new TaskDeadlines(20);
  t.teardown(() => deadlines.stop());
  let aborts = 0;
  await deadlines.within(async (signal) => signal.addEventListener('abort', () => (aborts += 1)));
  // Another one's end shows that the sweep has been there.
  await t.throwsAsync(
    deadlines.within(
      (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))),
    ),
  );
  t.is(aborts, 0);
});

test('what a task throws is passed on', async (t) => {
  const deadlines = new TaskDeadlines(1_000);
  t.teardown(() => deadlines.stop());
  await t.throwsAsync(
    deadlines.within(() => Promise.reject(new Error('no thread'))),
    { message: 'no thread' },
  );
});
