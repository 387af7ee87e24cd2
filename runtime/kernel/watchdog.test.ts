import test from 'ava';
import { ManualClock } from './clock.js';
import type { NativeSection } from './vitals.js';
import { BEATS, Watchdog } from './watchdog.js';

const HEARTBEAT_MS = 1_000;

function rig() {
  const clock = new ManualClock();
  const state: { beats: number; native: NativeSection | null } = { beats: 0, native: null };
  const silences: { atMs: number; silentMs: number }[] = [];
  const watchdog = new Watchdog({
    clock,
    heartbeatMs: HEARTBEAT_MS,
    vitals: { beats: () => state.beats, native: () => state.native },
    onSilent: (silentMs) => silences.push({ atMs: clock.now(), silentMs }),
  });
  return { clock, state, silences, watchdog };
}

test('RT-6: silence is told once, between one and one and a half heartbeats after the last beat', (t) => {
  for (let lastBeatMs = 0; lastBeatMs <= HEARTBEAT_MS; lastBeatMs += 50) {
    const { clock, state, silences } = rig();
    clock.advance(lastBeatMs);
    state.beats += 1;
    clock.advance(20 * HEARTBEAT_MS);
    t.is(silences.length, 1, `last beat at ${lastBeatMs}`);
    const afterMs = silences[0]!.atMs - lastBeatMs;
    t.true(afterMs >= HEARTBEAT_MS && afterMs <= 1.5 * HEARTBEAT_MS, `noticed after ${afterMs}`);
  }
});

test('RT-6: one that beats, however late within its limit, is never told', (t) => {
  const { clock, state, silences } = rig();
  for (let round = 0; round < 50; round++) {
    clock.advance(HEARTBEAT_MS);
    state.beats += 1;
  }
  t.deepEqual(silences, []);
});

test('RT-6: a declared native section is no silence; what follows it counts from its end', (t) => {
  const { clock, state, silences } = rig();
  state.native = { kind: 'fdatasync', forMs: 0 };
  clock.advance(60_000);
  t.deepEqual(silences, []);
  state.native = null;
  clock.advance(HEARTBEAT_MS);
  t.deepEqual(silences, []);
  clock.advance(HEARTBEAT_MS);
  t.is(silences.length, 1);
});

test('RT-6: a machine that was suspended makes one late look, and that alone is no silence', (t) => {
  let due: (() => void) | null = null;
  const silences: number[] = [];
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    setTimer: (_: number, run: () => void) => {
      due = run;
      return { cancel() {} };
    },
  };
  const look = () => (due as unknown as () => void)();
  const vitals = { beats: () => 7, native: () => null };
  new Watchdog({ clock, heartbeatMs: HEARTBEAT_MS, vitals, onSilent: (ms) => silences.push(ms) });
  // Hours may lie between two looks: only their number counts.
  for (let looks = 0; looks < BEATS; looks++) look();
  t.deepEqual(silences, []);
  look();
  t.is(silences.length, 1);
});

test('RT-6: one that went on after it was told is told of the next silence again; a stopped watchdog tells nothing', (t) => {
  const { clock, state, silences, watchdog } = rig();
  clock.advance(2 * HEARTBEAT_MS);
  t.is(silences.length, 1);
  state.beats += 1;
  clock.advance(2 * HEARTBEAT_MS);
  t.is(silences.length, 2);
  state.beats += 1;
  watchdog.stop();
  clock.advance(20 * HEARTBEAT_MS);
  t.is(silences.length, 2);
});
