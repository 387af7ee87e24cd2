// The shared cells: heartbeat, native sections, and the kill gate from both sides.
import test from 'ava';
import { ManualClock, systemClock } from './clock.js';
import { createVitals, ThreadVitals, VitalsView } from './vitals.js';
import { ActorError } from './wire-error.js';

function both(): { thread: ThreadVitals; view: VitalsView } {
  const block = createVitals();
  return { thread: new ThreadVitals(block), view: new VitalsView(block) };
}

test('RT-6: each beat is seen as a change', (t) => {
  const { thread, view } = both();
  const before = view.beats();
  thread.beat();
  t.not(view.beats(), before);
});

test('RT-6: a native section is seen with its kind while it runs, nested ones too, and is gone after a throw', (t) => {
  const { thread, view } = both();
  t.is(view.native(), null);
  const seen: (string | undefined)[] = [];
  const result = thread.native('store-commit', () => {
    seen.push(view.native()?.kind);
    t.throws(() =>
      thread.native('fdatasync', () => {
        seen.push(view.native()?.kind);
        throw new Error('EIO');
      }),
    );
    seen.push(view.native()?.kind);
    t.true(view.native()!.forMs >= 0);
    return 7;
  });
  t.is(result, 7);
  t.deepEqual(seen, ['store-commit', 'fdatasync', 'store-commit']);
  t.is(view.native(), null);
});

test('RT-6: an open gate closes at once, and then no section runs any more', async (t) => {
  const { thread, view } = both();
  t.is(
    thread.gated(() => 5),
    5,
  );
  t.true(await view.closeGate(new ManualClock(), 2_000));
  let ran = false;
  const error = t.throws(
    () =>
      thread.gated(() => {
        ran = true;
      }),
    { instanceOf: ActorError },
  );
  t.is(error.code, 'gate_closed');
  t.false(ran);
  t.true(await view.closeGate(new ManualClock(), 2_000), 'closing twice is the same');
});

test('RT-6: closing waits for the running section, and the thread finds the gate closed right after it', async (t) => {
  const { thread, view } = both();
  const clock = new ManualClock();
  let closing: Promise<boolean> | null = null;
  thread.gated(() => {
    closing = view.closeGate(clock, 2_000);
    clock.advance(1_999);
  });
  clock.advance(1);
  t.true(await closing!);
  t.throws(() => thread.gated(() => 1), { instanceOf: ActorError });
});

test('RT-6: a section that does not end within the limit is told, and the gate stays as it was', async (t) => {
  const { thread, view } = both();
  const clock = new ManualClock();
  let closing: Promise<boolean> | null = null;
  thread.gated(() => {
    closing = view.closeGate(clock, 2_000);
    clock.advance(2_000);
  });
  t.false(await closing!);
  t.is(
    thread.gated(() => 1),
    1,
  );
});

test('RT-6: a gate opens again after a throw, and refuses nesting and promises', (t) => {
  const { thread } = both();
  t.throws(
    () =>
      thread.gated(() => {
        throw new Error('MDB_MAP_FULL');
      }),
    { message: 'MDB_MAP_FULL' },
  );
  t.throws(() => thread.gated(() => thread.gated(() => 1)), { message: /may not contain another/ });
  t.throws(() => thread.gated(() => Promise.resolve(1)), { instanceOf: TypeError });
  t.is(
    thread.gated(() => 2),
    2,
  );
});

test('the system clock runs timers and cancels them', async (t) => {
  const ran: string[] = [];
  systemClock.setTimer(0, () => ran.push('cancelled')).cancel();
  const beforeMs = systemClock.monotonic();
  await new Promise<void>((resolve) => systemClock.setTimer(1, resolve));
  t.deepEqual(ran, []);
  t.true(systemClock.monotonic() >= beforeMs);
  t.true(systemClock.now() > 1_500_000_000_000);
});
