// The vote automaton of CONSENSUS.md 1.5, and the safety of quorums over everything it lets honest validators sign.
// Run by ava. Exhaustive: every reachable set of votes, every distribution of them over n validators.
import test from 'ava';
import { mayVote, type OwnVotes } from './ballot.js';
import { conflict } from './evidence.js';
import type { Vote } from './message.js';
import { quorum } from './quorum.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

const X = 'aa'.repeat(32);
const Y = 'bb'.repeat(32);
const BALLOTS: readonly (readonly [VoteKind, string | null])[] = [
  [NOTARIZE, X],
  [NOTARIZE, Y],
  [NULLIFY, null],
  [FINALIZE, X],
  [FINALIZE, Y],
];
const LETTERS = ['Nx', 'Ny', 'X', 'Fx', 'Fy'];

/** Every set of votes an honest validator can have signed in one view, as bits over BALLOTS: a walk of mayVote. */
function reachable(): number[] {
  const seen = new Set([0]);
  const walk: [OwnVotes, number][] = [[{ notarized: null, nullified: false, finalized: null }, 0]];
  for (let next = walk.pop(); next !== undefined; next = walk.pop()) {
    const [own, bits] = next;
    for (const [i, [kind, hash]] of BALLOTS.entries()) {
      if (!mayVote(own, kind, hash)) continue;
      const after = bits | (1 << i);
      seen.add(after);
      walk.push([
        {
          notarized: kind === NOTARIZE ? hash : own.notarized,
          nullified: own.nullified || kind === NULLIFY,
          finalized: kind === FINALIZE ? hash : own.finalized,
        },
        after,
      ]);
    }
  }
  return [...seen].sort((a, b) => a - b);
}

function spell(bits: number): string {
  return LETTERS.filter((_, i) => bits & (1 << i)).join(' ');
}

test('CO-2: what an honest validator can sign in one view', (t) => {
  t.deepEqual(
    reachable().map(spell).sort(),
    ['', 'Fx', 'Fy', 'Nx', 'Nx Fx', 'Nx X', 'Ny', 'Ny Fy', 'Ny X', 'X'].sort(),
  );
});

test('no two votes of an honest validator are evidence, and every other pair of ballots that finalizes is', (t) => {
  const vote = (i: number): Vote => {
    const [kind, hash] = BALLOTS[i]!;
    return { kind, view: 1, hash, signer: 0, signature: new Uint8Array(64) };
  };
  const sets = reachable();
  for (let a = 0; a < BALLOTS.length; a++) {
    for (let b = 0; b < BALLOTS.length; b++) {
      const together = sets.some((bits) => bits & (1 << a) && bits & (1 << b));
      t.is(conflict(vote(a), vote(b)) === null, together, `${LETTERS[a]} and ${LETTERS[b]}`);
    }
  }
});

interface Broken {
  twoNotarized: boolean;
  finalAndNull: boolean;
  twoFinal: boolean;
  finalAndOtherNotarized: boolean;
}

/**
 * What can go wrong in one view with `honest` automata and `byzantine` validators who sign everything: over every
 * distribution of the reachable sets, where a finalize vote needs a Notarization that was possible (R6).
 */
function worst(honest: number, byzantine: number, needed: number): Broken {
  const broken: Broken = { twoNotarized: false, finalAndNull: false, twoFinal: false, finalAndOtherNotarized: false };
  const sets = reachable();
  const distribute = (at: number, left: number, counts: readonly number[]): void => {
    if (at === sets.length - 1 || left === 0) {
      judge(add(counts, sets[at]!, left));
      return;
    }
    for (let take = 0; take <= left; take++) distribute(at + 1, left - take, add(counts, sets[at]!, take));
  };
  const judge = (counts: readonly number[]): void => {
    const [notarizedX, notarizedY, nullified, finalX, finalY] = counts.map((count) => count + byzantine >= needed);
    if ((counts[3]! > 0 && !notarizedX) || (counts[4]! > 0 && !notarizedY)) return;
    if (notarizedX && notarizedY) broken.twoNotarized = true;
    if ((finalX || finalY) && nullified) broken.finalAndNull = true;
    if (finalX && finalY) broken.twoFinal = true;
    if ((finalX && notarizedY) || (finalY && notarizedX)) broken.finalAndOtherNotarized = true;
  };
  distribute(0, honest, [0, 0, 0, 0, 0]);
  return broken;
}

function add(counts: readonly number[], bits: number, times: number): number[] {
  return counts.map((count, i) => (bits & (1 << i) ? count + times : count));
}

for (let n = 1; n <= 8; n++) {
  test(`CO-1: n = ${n}: exactly up to 2q − n − 1 Byzantine validators, no view contradicts itself`, (t) => {
    const needed = quorum(n);
    for (let byzantine = 0; byzantine <= n; byzantine++) {
      const unsafe = byzantine > 2 * needed - n - 1;
      t.deepEqual(
        worst(n - byzantine, byzantine, needed),
        { twoNotarized: unsafe, finalAndNull: unsafe, twoFinal: unsafe, finalAndOtherNotarized: unsafe },
        `${byzantine} of ${n}`,
      );
    }
  });
}
