// R8 as a table: how long each view may take, as a function of view, finalized view and configuration.
// Run by ava.
import test from 'ava';
import { delays } from './timers.js';

const LAN = { delta0Ms: 100, deltaMaxMs: 1_600 };

// [faults, view, finalizedView, Δ, t_l, t_a, t_r]
const TABLE: readonly (readonly [number, number, number, number, number, number, number])[] = [
  // The view after the finalized one, and f + 1 more that may fail without any blame on Δ.
  [0, 1, 0, 100, 200, 300, 200],
  [0, 2, 0, 100, 200, 300, 200],
  [0, 3, 0, 150, 300, 450, 300],
  [1, 3, 0, 100, 200, 300, 200],
  [1, 4, 0, 150, 300, 450, 300],
  [1, 5, 0, 225, 450, 675, 450],
  [1, 6, 0, 338, 676, 1_014, 676],
  [1, 7, 0, 507, 1_014, 1_521, 1_014],
  [1, 9, 0, 1_140, 2_280, 3_420, 2_280],
  // The cap.
  [1, 10, 0, 1_600, 3_200, 4_800, 3_200],
  [1, 1_000_000_000, 0, 1_600, 3_200, 4_800, 3_200],
  // Only the distance counts.
  [1, 1_006, 1_000, 338, 676, 1_014, 676],
  [33, 1_035, 1_000, 100, 200, 300, 200],
  [33, 1_036, 1_000, 150, 300, 450, 300],
];

for (const [faults, view, finalized, deltaMs, leaderMs, leaveMs, repeatMs] of TABLE) {
  test(`f = ${faults}, view ${view}, finalized ${finalized}: Δ = ${deltaMs} ms`, (t) => {
    t.deepEqual(delays(LAN, faults, view, finalized), { deltaMs, leaderMs, leaveMs, repeatMs });
  });
}

test('the cap holds also below Δ0', (t) => {
  t.is(delays({ delta0Ms: 100, deltaMaxMs: 50 }, 0, 1, 0).deltaMs, 50);
});
