// Rounds as a fold: quorum, median, majority, lateness, timeout, exclusion and its recomputation, bounds; and that nothing
// but the order of final observations decides.
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { Bias, Observation } from '../kinds/observation.js';
import { averageTis, roundAnswer, roundsAnswer, rpcRound, rpcStatus } from './answer.js';
import { accuse, advance, countedIn, type Folded, medianTwice, observe } from './fold.js';
import {
  accusersNeeded,
  consensusTis,
  NO_ROUNDS,
  nextDeadlineMs,
  PENDING_MAX_A_NODE,
  ROUND_TIMEOUT_MS,
  ROUNDS_KEPT,
  type Round,
  type RoundsState,
  roundQuorum,
} from './round.js';
import { keptRounds, RoundsTextError, restoreRounds, roundsChange, roundsChangeText } from './text.js';

/** node, round, score, and what is not usual about it. */
interface Said {
  readonly node: string;
  readonly round: string;
  readonly tis: number;
  readonly audit?: string;
  readonly biases?: readonly Bias[];
}

function observed({ node, round, tis, audit = `${node}-${round}`, biases = [] }: Said) {
  const observation: Observation = {
    node_id: node,
    audit_id: audit,
    round_id: round,
    window_hours: 24,
    timestamp: '2026-11-20T12:00:00Z',
    forecast_hash: '',
    outcome_hash: '',
    tis_components: { prediction_accuracy: tis, ethical_alignment: tis, coherence_stability: tis },
    tis_overall: tis,
    bias_flags: biases,
  };
  return { observation, digest: `${node}/${audit}/${round}/${tis}/${biases}`, signature: 'AAAA' };
}

/** Folds in order, all at one time, on a cluster of `n`. */
function fold(n: number, said: readonly Said[], from: RoundsState = NO_ROUNDS, timeMs = 0): RoundsState {
  return said.reduce((state, each) => observe(state, observed(each), n, timeMs)!.state, from);
}

function say(state: RoundsState, n: number, said: Said, timeMs = 0): Folded {
  return observe(state, observed(said), n, timeMs)!;
}

function only(state: RoundsState): Round {
  return state.rounds.at(-1)!;
}

function round(name: string, scores: readonly number[]): Said[] {
  return scores.map((tis, index) => ({ node: `node_${index}`, round: name, tis }));
}

test('CO-3: the quorum is a majority: ⌈(N+1)/2⌉', (t) => {
  t.deepEqual([1, 2, 3, 4, 5, 7].map(roundQuorum), [1, 2, 2, 3, 3, 4]);
});

test('CO-3: the first observation opens a round, a quorum completes it, and late ones recompute', (t) => {
  const [first, second, third] = round('r', [0.86, 0.87, 0.2]) as [Said, Said, Said];
  let state = fold(3, [first], NO_ROUNDS, 1000);
  t.like(only(state), { status: 'Pending', openedAtMs: 1000, openedBy: 'node_0', requiredQuorum: 2, windowHours: 24 });
  t.is(consensusTis(only(state)), null);
  state = fold(3, [second], state, 2000);
  t.like(only(state), { status: 'Complete', completedAtMs: 2000 });
  t.is(consensusTis(only(state)), 0.865);
  state = fold(3, [third], state, 9000);
  t.like(only(state), { status: 'Complete', completedAtMs: 2000 });
  t.is(consensusTis(only(state)), 0.86);
  t.is(state.completed, 1);
  t.is(state.opened, 1);
});

test('CO-3: the published scenarios come out as published', (t) => {
  const tis = (n: number, scores: readonly number[]) => consensusTis(only(fold(n, round('r', scores))));
  t.is(tis(3, [0.85, 0.82, 0.88]), 0.85);
  t.is(tis(3, [0.8, 0.82, 0.84]), 0.82);
  t.is(tis(3, [0.8, 0.82]), 0.81, 'partition: two of three');
  t.is(tis(5, [0.85, 0.86, 0.87, 0.88, 0.89]), 0.87);
  t.is(tis(1, [0.845]), 0.845, 'a lone validator');
  const twice: Said = { node: 'node_0', round: 'r', tis: 0.1, audit: 'another' };
  t.is(consensusTis(only(fold(5, [...round('r', [0.85, 0.86, 0.87, 0.88, 0.89]), twice]))), 0.875);
});

test('CO-3: the median cannot be moved past the honest scores by a minority', (t) => {
  const score = fc.integer({ min: 0, max: 1_000_000 });
  fc.assert(
    fc.property(fc.array(score, { minLength: 3, maxLength: 9 }), fc.array(score, { maxLength: 4 }), (honest, liars) => {
      const few = liars.slice(0, Math.floor((honest.length - 1) / 2));
      const median = medianTwice([...honest, ...few]) / 2;
      return median >= Math.min(...honest) && median <= Math.max(...honest);
    }),
  );
  t.is(medianTwice([3, 1, 2]), 4);
  t.is(medianTwice([4, 1, 2, 3]), 5);
});

test('CO-3: biases are those that more than half report, and follow every recomputation', (t) => {
  const biased = (node: string, ...biases: Bias[]): Said => ({ node, round: 'r', tis: 0.8, biases });
  const two = fold(3, [biased('a', 'RecencyBias', 'ConfirmationBias'), biased('b', 'ConfirmationBias', 'RecencyBias')]);
  t.deepEqual(only(two).biases, ['ConfirmationBias', 'RecencyBias']);
  const three = fold(3, [biased('c', 'ConfirmationBias')], two);
  t.deepEqual(only(three).biases, ['ConfirmationBias', 'RecencyBias']);
  const four = fold(3, [biased('d')], three);
  t.deepEqual(only(four).biases, ['ConfirmationBias'], 'half is not a majority');
});

test('CO-3: a round without quorum fails after 300 s of block time, not before, and stays so', (t) => {
  const [first, second] = round('r', [0.8, 0.8]) as [Said, Said];
  const state = fold(3, [first], NO_ROUNDS, 5000);
  t.is(nextDeadlineMs(state), 5000 + ROUND_TIMEOUT_MS);
  t.is(advance(state, 5000 + ROUND_TIMEOUT_MS - 1), state, 'nothing is due, and nothing changes');
  const late = advance(state, 5000 + ROUND_TIMEOUT_MS);
  t.is(only(late).status, 'Failed');
  t.is(nextDeadlineMs(late), null);
  t.is(advance(late, 1e12), late);
  const after = say(late, 3, second, 5000 + ROUND_TIMEOUT_MS);
  t.like(after, { accepted: true, counted: false, reason: null });
  t.like(only(after.state), { status: 'Failed', tisMicrosTwice: null });
  t.is(only(after.state).observations.length, 2, 'it is listed');
  t.is(after.state.completed, 0);
});

test('CO-3: the last 100 rounds are kept; one that waits is not pushed out by those that are over', (t) => {
  let state = fold(3, [{ node: 'node_1', round: 'waiting', tis: 0.5 }]);
  for (let number = 0; number < 150; number += 1) state = fold(3, round(`r${number}`, [0.8, 0.8]), state);
  t.is(state.rounds.length, ROUNDS_KEPT);
  t.is(state.rounds[0]!.roundId, 'waiting');
  t.is(only(state).roundId, 'r149');
  t.is(state.rounds[1]!.roundId, 'r51');
  t.is(state.opened, 151);
  t.is(state.completed, 150);
});

test('CO-5: an observer may have so many rounds waiting, and no more', (t) => {
  let state = NO_ROUNDS;
  for (let number = 0; number < PENDING_MAX_A_NODE; number += 1) {
    state = fold(3, [{ node: 'flood', round: `f${number}`, tis: 0.5 }], state);
  }
  t.is(observe(state, observed({ node: 'flood', round: 'one more', tis: 0.5 }), 3, 0), null);
  t.true(say(state, 3, { node: 'other', round: 'one more', tis: 0.5 }).accepted);
  t.true(say(state, 3, { node: 'flood', round: 'f0', tis: 0.5, audit: 'x' }).reason === 'ConflictingObservations');
  const freed = advance(state, ROUND_TIMEOUT_MS);
  t.true(say(freed, 3, { node: 'flood', round: 'one more', tis: 0.5 }, ROUND_TIMEOUT_MS).accepted);
});

function conflict(t: ExecutionContext, second: Said): void {
  const before = fold(3, [...round('early', [0.9, 0.8, 0.8]), ...round('r', [0.9, 0.86, 0.87])]);
  t.is(consensusTis(before.rounds[0]!), 0.8);
  const { state, accepted, counted, reason } = say(before, 3, second, 7000);
  t.deepEqual({ accepted, counted, reason }, { accepted: false, counted: false, reason: 'ConflictingObservations' });
  t.like(state.excluded, [{ nodeId: 'node_0', reason: 'ConflictingObservations', detectedAtMs: 7000 }]);
  t.is(state.excluded[0]!.evidence.length, 2);
  t.is(consensusTis(only(state)), 0.865, 'recomputed at once, without the liar');
  t.is(state.rounds[0]!.observations.length, 3, 'the first word stays listed');
  t.is(countedIn(state, state.rounds[0]!).length, 2);
  const later = say(state, 3, { node: 'node_0', round: 'early', tis: 0.1, audit: 'third' });
  t.deepEqual([later.accepted, later.state], [false, state], 'the first evidence is enough');
  const fresh = say(state, 3, { node: 'node_0', round: 'fresh', tis: 0.9 });
  t.deepEqual(
    [fresh.accepted, fresh.counted, fresh.state],
    [true, false, state],
    'whoever does not count opens no round',
  );
}

test('CO-5: two observations of one node in one round exclude it, and earlier rounds are recomputed', (t) => {
  conflict(t, { node: 'node_0', round: 'r', tis: 0.1, audit: 'another' });
});

test('CO-5: other content for the same audit excludes too, in the same round and in another', (t) => {
  conflict(t, { node: 'node_0', round: 'r', tis: 0.1 });
  conflict(t, { node: 'node_0', round: 'new', tis: 0.9, audit: 'node_0-r' });
});

test('CO-5: a complete round goes on with what still counts, fails when nothing does, and takes in what comes later', (t) => {
  const again = (node: string): Said => ({ node, round: 'r', tis: 0.1, audit: 'x' });
  const pair = fold(3, round('r', [0.9, 0.8]), NO_ROUNDS, 1000);
  const one = say(pair, 3, again('node_0'), 2000).state;
  t.like(only(one), { status: 'Complete', completedAtMs: 1000 });
  t.is(consensusTis(only(one)), 0.8);
  const none = say(one, 3, again('node_1'), 2000 + ROUND_TIMEOUT_MS).state;
  t.like(only(none), { status: 'Failed', completedAtMs: 1000, tisMicrosTwice: null });
  t.is(advance(none, 1e12), none);
  const late = say(none, 3, { node: 'node_2', round: 'r', tis: 0.7 }, 3000 + ROUND_TIMEOUT_MS);
  t.true(late.counted);
  t.like(only(late.state), { status: 'Complete', completedAtMs: 1000 });
  t.is(consensusTis(only(late.state)), 0.7);
  t.is(late.state.completed, 1, 'counted once');
});

test('CO-5: 0.3 away from the consensus in three rounds in a row excludes, in any order of arrival', (t) => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
    [2, 0, 1],
  ]) {
    let state = NO_ROUNDS;
    for (const name of ['a', 'b', 'c']) {
      t.deepEqual(state.excluded, []);
      const said = round(name, [0.85, 0.86, 0.2]);
      state = fold(
        3,
        order.map((index) => said[index]!),
        state,
      );
    }
    t.like(state.excluded, [{ nodeId: 'node_2', reason: 'ExcessiveDeviation', roundId: 'c' }]);
    t.is(state.excluded.length, 1, 'nobody else');
    t.is(state.excluded[0]!.evidence.length, 3);
    t.deepEqual(state.rounds.map(consensusTis), [0.855, 0.855, 0.855], 'all three are recomputed');
  }
});

test('CO-5: exactly 0.3 is no deviation, and a round of agreement breaks the row', (t) => {
  const rounds = (scores: readonly (readonly number[])[]) =>
    scores.reduce((state, each, index) => fold(3, round(`r${index}`, each), state), NO_ROUNDS);
  const liar = [0.85, 0.85, 0.2];
  t.deepEqual(
    rounds([
      [0.85, 0.85, 0.55],
      [0.85, 0.85, 0.55],
      [0.85, 0.85, 0.55],
    ]).excluded,
    [],
  );
  t.deepEqual(rounds([liar, liar, [0.85, 0.85, 0.84], liar, liar]).excluded, []);
  t.is(rounds([liar, liar, [0.85, 0.85, 0.84], liar, liar, liar]).excluded.length, 1);
  t.is(rounds([liar, [0.85, 0.85], liar, liar]).excluded.length, 1, 'a round without it breaks nothing');
});

test('CO-5: of two who differ nobody is excluded: no quorum says who is right', (t) => {
  let state = NO_ROUNDS;
  for (let number = 0; number < 9; number += 1) state = fold(3, round(`r${number}`, [0.9, 0.1]), state);
  t.deepEqual(state.excluded, []);
});

test('CO-5: a bad signature excludes when f + 1 validators, and at least two where there are two, say so', (t) => {
  t.deepEqual([1, 2, 3, 4, 6, 7, 10].map(accusersNeeded), [1, 2, 2, 2, 2, 3, 4]);
  const said = (accuser: string) => ({ nodeId: 'node_0', accuser, digest: `by ${accuser}` });
  const before = fold(3, round('r', [0.9, 0.8, 0.7]));
  const once = accuse(before, said('node_1'), 'InvalidSignature', 3, 500);
  t.deepEqual([once.accusations.length, once.excluded], [1, []]);
  t.is(accuse(once, said('node_1'), 'InvalidSignature', 3, 600), once, 'the same word twice is one');
  const twice = accuse(once, said('node_2'), 'InvalidSignature', 3, 700);
  t.deepEqual(twice.excluded, [
    {
      nodeId: 'node_0',
      reason: 'InvalidSignature',
      detectedAtMs: 700,
      roundId: null,
      evidence: ['by node_1', 'by node_2'],
    },
  ]);
  t.deepEqual(twice.accusations, []);
  t.is(consensusTis(only(twice)), 0.75, 'recomputed');
  t.is(accuse(twice, said('node_1'), 'InvalidSignature', 3, 800), twice);
  const { summary, changed } = roundsChange(NO_ROUNDS, once);
  t.deepEqual(
    restoreRounds(summary, (number) => new Map(changed).get(number)),
    once,
  );
});

const names = ['node_0', 'node_1', 'node_2', 'node_3'];
const anySaid: fc.Arbitrary<Said> = fc.record({
  node: fc.constantFrom(...names),
  round: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  tis: fc.integer({ min: 0, max: 20 }).map((n) => n / 20),
  audit: fc.constantFrom('x', 'y', 'z'),
  biases: fc.subarray(['RecencyBias', 'ConfirmationBias', 'AvailabilityBias'] as Bias[]),
});
const anyStory = fc.array(fc.tuple(anySaid, fc.integer({ min: 0, max: 90_000 })), { maxLength: 60 });

/** What executeBlock does of one observation a block, skipping repetitions as the ledger index does. */
function story(steps: readonly (readonly [Said, number])[], each?: (state: RoundsState) => RoundsState): RoundsState {
  const seen = new Set<string>();
  let timeMs = 0;
  let state = NO_ROUNDS;
  for (const [said, passedMs] of steps) {
    timeMs += passedMs;
    state = advance(state, timeMs);
    const { digest } = observed(said);
    if (!seen.has(digest)) state = observe(state, observed(said), 4, timeMs)?.state ?? state;
    seen.add(digest);
    state = each?.(state) ?? state;
  }
  return state;
}

test('CO-3: the same final observations make the same rounds, whatever was stored and read in between (drift 0)', (t) => {
  fc.assert(
    fc.property(anyStory, fc.nat(), (steps, salt) => {
      const stored = { summary: '', rounds: new Map<number, string>() };
      let before = NO_ROUNDS;
      const digests: string[] = [];
      const restarted = story(steps, (state) => {
        const change = roundsChange(before, state);
        digests.push(roundsChangeText(change));
        stored.summary = change.summary;
        for (const [number, text] of change.changed) stored.rounds.set(number, text);
        for (const number of change.removed) stored.rounds.delete(number);
        before = (steps.length + salt) % 3 === 0 ? restoreRounds(stored.summary, (n) => stored.rounds.get(n)) : state;
        return before;
      });
      const straight: string[] = [];
      before = NO_ROUNDS;
      const whole = story(steps, (state) => {
        straight.push(roundsChangeText(roundsChange(before, state)));
        before = state;
        return state;
      });
      t.deepEqual(restarted, whole);
      t.deepEqual(digests, straight, 'also what the state digest hashes');
      t.deepEqual([...stored.rounds.keys()], [...keptRounds(stored.summary || '{"version":1,"kept":[]}')]);
    }),
    { numRuns: 60 },
  );
});

test('CO-3: of every round status, consensus and counts agree with each other', (t) => {
  fc.assert(
    fc.property(anyStory, (steps) => {
      const state = story(steps);
      const excluded = state.excluded.map(({ nodeId }) => nodeId);
      t.is(new Set(excluded).size, excluded.length);
      for (const each of state.rounds) {
        const counted = countedIn(state, each);
        const speakers = each.observations.map(({ nodeId }) => nodeId);
        t.is(new Set(speakers).size, speakers.length, 'one word a node');
        t.is(each.status === 'Complete', each.tisMicrosTwice !== null);
        if (each.status === 'Complete') {
          t.true(counted.length > 0 && each.completedAtMs !== null);
          t.is(each.tisMicrosTwice, medianTwice(counted.map(({ tisMicros }) => tisMicros)));
        } else if (each.status === 'Pending') {
          t.true(counted.length < each.requiredQuorum && each.completedAtMs === null);
        } else if (each.completedAtMs !== null) t.is(counted.length, 0);
      }
      t.true(state.completed <= state.opened);
    }),
    { numRuns: 60 },
  );
});

test('a stored state of another version, or with a round missing, is refused', (t) => {
  const { summary } = roundsChange(NO_ROUNDS, fold(1, round('r', [0.5])));
  t.throws(() => restoreRounds(summary, () => undefined), { instanceOf: RoundsTextError, message: /round 1 is kept/ });
  const newer = summary.replace('"version":1', '"version":2');
  t.throws(() => restoreRounds(newer, () => '{}'), { instanceOf: RoundsTextError, message: /version 2/ });
});

test('the stored text of a round is this one, byte for byte', (t) => {
  const { summary, changed } = roundsChange(NO_ROUNDS, fold(1, round('r', [0.5]), NO_ROUNDS, 1000));
  t.is(summary, '{"accusations":[],"completed":1,"excluded":[],"kept":[1],"opened":1,"version":1}');
  t.deepEqual(changed, [
    [
      1,
      '{"biases":[],"completed_at_ms":1000,"number":1,"observations":[{"audit_id":"node_0-r","biases":[],"digest":"node_0/node_0-r/r/0.5/","node_id":"node_0","signature":"AAAA","tis_micros":500000}],"opened_at_ms":1000,"opened_by":"node_0","required_quorum":1,"round_id":"r","status":"Complete","tis_micros_twice":1000000,"window_hours":24}',
    ],
  ]);
});

test('IN-5: the bodies of /rpc/status are those of FORMATS A6', (t) => {
  const state = fold(3, [...round('r', [0.86, 0.87]), { node: 'node_0', round: 's', tis: 0.5 }]);
  t.deepEqual(rpcStatus(state), {
    rounds: [
      { round_id: 'r', status: 'Complete', observations: 2, consensus_tis: 0.865 },
      { round_id: 's', status: 'Pending', observations: 1, consensus_tis: null },
    ],
    byzantine_nodes: 0,
  });
  t.deepEqual(rpcRound(state.rounds[0]!), {
    round_id: 'r',
    status: 'Complete',
    participating_nodes: ['node_0', 'node_1'],
    total_observations: 2,
    required_quorum: 2,
    consensus_tis: 0.865,
    consensus_biases: [],
    signatures: [
      { node_id: 'node_0', signature: [0, 0, 0] },
      { node_id: 'node_1', signature: [0, 0, 0] },
    ],
  });
});

test('CO-6: of a waiting round the answers say what it would come to now', (t) => {
  const state = fold(5, [...round('r', [0.6, 0.7]), ...round('done', [0.6, 0.7, 0.8])]);
  t.like(roundsAnswer(state), { rounds: [{ provisional_tis: 0.65, consensus_tis: null }, { provisional_tis: null }] });
  t.is(roundAnswer(state, state.rounds[0]!).provisional_tis, 0.65);
});

test('CO-11: every answer about rounds says that they are advisory', (t) => {
  const state = fold(3, round('r', [0.86, 0.87]));
  t.is(roundsAnswer(state).advisory, true);
  t.is(roundAnswer(state, only(state)).advisory, true);
});

test('OB-9: the average is over the last ten complete rounds', (t) => {
  t.is(averageTis(NO_ROUNDS), null);
  let state = NO_ROUNDS;
  for (let number = 0; number < 12; number += 1) state = fold(1, round(`r${number}`, [number < 2 ? 0 : 0.75]), state);
  t.is(averageTis(state), 0.75);
});
