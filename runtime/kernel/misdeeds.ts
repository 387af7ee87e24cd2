// Ways for a thread to go wrong on demand, so that recovery can be drilled and measured. Called by runner.ts when the
// supervisor was made with `drills: true`; nothing else leads here.
import { spawnSync } from 'node:child_process';

/** What an actor can be made to do. */
export const MISDEEDS = ['throw', 'exit', 'reject', 'out-of-memory', 'loop', 'regex', 'native'] as const;
export type Misdeed = (typeof MISDEEDS)[number];

/** How long a `native` misdeed lasts. */
const NATIVE_S = 3;

/** The word that it was understood gets out before. */
const AFTER_MS = 10;

/** Does it in a turn of its own, as a defect would: nobody waits for an answer. */
export function misbehave(misdeed: Misdeed): void {
  setTimeout(DOINGS[misdeed], AFTER_MS);
}

const DOINGS: Readonly<Record<Misdeed, () => void>> = {
  throw: () => {
    throw new Error('a drill threw');
  },
  exit: () => process.exit(3),
  reject: () => void Promise.reject(new Error('a drill left a rejection unhandled')),
  'out-of-memory': fillMemory,
  loop: endlessLoop,
  regex: catastrophicExpression,
  native: nativeBlock,
};

function fillMemory(): void {
  const held: unknown[] = [];
  for (;;) held.push(new Array(1_000).fill(held.length));
}

function endlessLoop(): void {
  for (;;);
}

/** Backtracks for longer than anyone waits. */
function catastrophicExpression(): void {
  /^(a+)+$/.test(`${'a'.repeat(64)}b`);
}

/** Waits inside native code, which no termination interrupts. */
function nativeBlock(): void {
  spawnSync('sleep', [String(NATIVE_S)]);
}
