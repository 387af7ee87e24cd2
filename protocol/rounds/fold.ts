// The fold of final observations into rounds: every node that has the same ledger comes to the same rounds (CONSENSUS 1.11).
// Called by ledger apply for each observation, and by executeBlock for the time that passed; once more by offline checks.
// Must never look at anything but the state, the observation and the block time: the order of entries is its only input.
import type { Accusation } from '../kinds/accusation.js';
import type { Bias, Observation } from '../kinds/observation.js';
import { BIASES, micros } from '../kinds/observation.js';
import {
  type AccusedBy,
  accusersNeeded,
  DEVIATION_MICROS,
  DEVIATIONS_MAX,
  type Exclusion,
  PENDING_MAX_A_NODE,
  ROUND_TIMEOUT_MS,
  ROUNDS_KEPT,
  type Round,
  type RoundObservation,
  type RoundsState,
  roundQuorum,
} from './round.js';

/** A checked observation with what identifies it. */
export interface Observed {
  readonly observation: Observation;
  /** Hex. */
  readonly digest: string;
  /** Base64. */
  readonly signature: string;
}

/** What became of one observation. */
export interface Folded {
  readonly state: RoundsState;
  /** False when it is evidence against its observer. */
  readonly accepted: boolean;
  /** Whether it counts: not when its observer is excluded, or its round was over. */
  readonly counted: boolean;
  readonly reason: Exclusion['reason'] | null;
}

/**
 * Folds one final observation in at this block time, `advance` having been called for it. Null: its observer has as many rounds waiting as
 * it may, and the observation is refused.
 */
export function observe(
  state: RoundsState,
  observed: Observed,
  validatorCount: number,
  blockTimeMs: number,
): Folded | null {
  const { observation, digest, signature } = observed;
  const { node_id: nodeId, audit_id: auditId, round_id: roundId } = observation;
  const isExcluded = excludes(state, nodeId);
  const earlier = conflicting(state, nodeId, auditId, roundId);
  if (earlier !== null) {
    if (isExcluded) return { state, accepted: false, counted: false, reason: 'ConflictingObservations' };
    const exclusion: Exclusion = {
      nodeId,
      reason: 'ConflictingObservations',
      detectedAtMs: blockTimeMs,
      roundId,
      evidence: [earlier.digest, digest],
    };
    const settled = settle(exclude(state, [exclusion], blockTimeMs), blockTimeMs);
    return { state: settled, accepted: false, counted: false, reason: exclusion.reason };
  }
  const known = state.rounds.find((round) => round.roundId === roundId);
  if (known === undefined) {
    // Whoever does not count opens no rounds.
    if (isExcluded) return { state, accepted: true, counted: false, reason: null };
    const waiting = state.rounds.filter(({ status, openedBy }) => status === 'Pending' && openedBy === nodeId);
    if (waiting.length >= PENDING_MAX_A_NODE) return null;
  }
  const round = known ?? newRound(state.opened + 1, observation, validatorCount, blockTimeMs);
  const added: RoundObservation = {
    nodeId,
    auditId,
    digest,
    signature,
    tisMicros: micros(observation.tis_overall),
    biases: observation.bias_flags,
  };
  const grown = { ...round, observations: [...round.observations, added] };
  const opened = known === undefined ? state.opened + 1 : state.opened;
  const rounds =
    known === undefined
      ? [...makeRoom(state.rounds), grown]
      : state.rounds.map((each) => (each === known ? grown : each));
  const next = recompute({ ...state, opened, rounds }, (each) => each === grown, blockTimeMs);
  const settled = settle(next, blockTimeMs);
  const counted = !excludes(settled, nodeId) && !isTimedOut(round);
  const reason = isExcluded || !excludes(settled, nodeId) ? null : 'ExcessiveDeviation';
  return { state: settled, accepted: true, counted, reason };
}

/** Time passed: rounds that did not reach their quorum within the timeout have failed. The same state when there are none. */
export function advance(state: RoundsState, blockTimeMs: number): RoundsState {
  const isOver = (round: Round) => round.status === 'Pending' && isPast(round, blockTimeMs);
  if (!state.rounds.some(isOver)) return state;
  return { ...state, rounds: state.rounds.map((round) => (isOver(round) ? failed(round) : round)) };
}

/**
 * A validator accuses a node. As many as `accusersNeeded` exclude it, for the reason of the last of them; until then the accusation is
 * kept. The same state when this validator has said so before, or the node is excluded already.
 */
export function accuse(
  state: RoundsState,
  said: AccusedBy,
  reason: Accusation['reason'],
  validatorCount: number,
  blockTimeMs: number,
): RoundsState {
  const { nodeId, accuser } = said;
  const against = state.accusations.filter((each) => each.nodeId === nodeId);
  if (excludes(state, nodeId) || against.some((each) => each.accuser === accuser)) return state;
  if (against.length + 1 < accusersNeeded(validatorCount)) {
    return { ...state, accusations: [...state.accusations, said] };
  }
  const exclusion: Exclusion = {
    nodeId,
    reason,
    detectedAtMs: blockTimeMs,
    roundId: null,
    evidence: [...against, said].map(({ digest }) => digest),
  };
  return settle(exclude(state, [exclusion], blockTimeMs), blockTimeMs);
}

export function excludes({ excluded }: RoundsState, nodeId: string): boolean {
  return excluded.some((exclusion) => exclusion.nodeId === nodeId);
}

/** What counts in a round: the observations of nodes that are not excluded. */
export function countedIn(state: RoundsState, { observations }: Round): readonly RoundObservation[] {
  return state.excluded.length === 0 ? observations : observations.filter(({ nodeId }) => !excludes(state, nodeId));
}

/**
 * An observation of the same node that this one contradicts: it speaks once in a round, and an audit is one observation. The same content
 * never comes here twice, it has its place in the ledger index.
 */
function conflicting(
  { rounds }: RoundsState,
  nodeId: string,
  auditId: string,
  roundId: string,
): RoundObservation | null {
  for (const round of rounds) {
    for (const each of round.observations) {
      if (each.nodeId === nodeId && (round.roundId === roundId || each.auditId === auditId)) return each;
    }
  }
  return null;
}

function newRound(number: number, from: Observation, validatorCount: number, blockTimeMs: number): Round {
  return {
    number,
    roundId: from.round_id,
    windowHours: from.window_hours,
    openedBy: from.node_id,
    openedAtMs: blockTimeMs,
    requiredQuorum: roundQuorum(validatorCount),
    status: 'Pending',
    completedAtMs: null,
    observations: [],
    tisMicrosTwice: null,
    biases: [],
  };
}

/** Room for one more: the oldest that waits for nothing goes, or the oldest. */
function makeRoom(rounds: readonly Round[]): readonly Round[] {
  if (rounds.length < ROUNDS_KEPT) return rounds;
  const over = rounds.findIndex(({ status }) => status !== 'Pending');
  return rounds.toSpliced(over === -1 ? 0 : over, 1);
}

function isPast({ openedAtMs }: Round, blockTimeMs: number): boolean {
  return blockTimeMs - openedAtMs >= ROUND_TIMEOUT_MS;
}

/** It never had a quorum, and never will. */
function isTimedOut({ status, completedAtMs }: Round): boolean {
  return status === 'Failed' && completedAtMs === null;
}

function failed(round: Round): Round {
  return { ...round, status: 'Failed', tisMicrosTwice: null, biases: [] };
}

function exclude(state: RoundsState, exclusions: readonly Exclusion[], blockTimeMs: number): RoundsState {
  const named = new Set(exclusions.map(({ nodeId }) => nodeId));
  const concerns = ({ observations }: Round) => observations.some(({ nodeId }) => named.has(nodeId));
  const accusations = state.accusations.filter(({ nodeId }) => !named.has(nodeId));
  return recompute({ ...state, excluded: [...state.excluded, ...exclusions], accusations }, concerns, blockTimeMs);
}

/**
 * Judges the rounds anew for which `concerns` holds. One whose time ran out stays as it is. One that was complete goes on with what counts
 * now, and has failed while nothing does.
 */
function recompute(state: RoundsState, concerns: (round: Round) => boolean, blockTimeMs: number): RoundsState {
  let { completed } = state;
  const rounds = state.rounds.map((round) => {
    if (isTimedOut(round) || !concerns(round)) return round;
    const counted = countedIn(state, round);
    if (round.completedAtMs === null) {
      if (counted.length < round.requiredQuorum) return round;
      completed += 1;
    } else if (counted.length === 0) return failed(round);
    return {
      ...round,
      status: 'Complete' as const,
      completedAtMs: round.completedAtMs ?? blockTimeMs,
      tisMicrosTwice: medianTwice(counted.map(({ tisMicros }) => tisMicros)),
      biases: majorityBiases(counted),
    };
  });
  return { ...state, rounds, completed };
}

/** Twice the median; twice, because of an even number it is the mean of the two in the middle. Of at least one value. */
export function medianTwice(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = Math.floor(sorted.length / 2);
  return (sorted[sorted.length - 1 - upper] as number) + (sorted[upper] as number);
}

/** Reported by more than half. */
export function majorityBiases(counted: readonly Pick<RoundObservation, 'biases'>[]): Bias[] {
  return BIASES.filter((bias) => 2 * counted.filter(({ biases }) => biases.includes(bias)).length > counted.length);
}

/** Excludes whoever deviates too often, until nobody does: each exclusion moves the consensus of earlier rounds. */
function settle(state: RoundsState, blockTimeMs: number): RoundsState {
  for (let current = state; ; ) {
    const found = deviating(current, blockTimeMs);
    if (found.length === 0) return current;
    current = exclude(current, found, blockTimeMs);
  }
}

interface Row {
  /** Rounds of its newest unbroken row of deviations; null once it is broken. */
  readonly digests: string[];
  readonly roundId: string;
  broken: boolean;
}

/**
 * Nodes whose last DEVIATIONS_MAX judged observations all lie further than DEVIATION_MICROS from the consensus of their rounds. Judged are
 * complete rounds in which a quorum lies within that distance: of two who differ nobody can say which of them is right. By node id.
 */
function deviating(state: RoundsState, blockTimeMs: number): Exclusion[] {
  const rows = new Map<string, Row>();
  for (const round of [...state.rounds].reverse()) {
    const { tisMicrosTwice, requiredQuorum, roundId } = round;
    if (tisMicrosTwice === null) continue;
    const deviates = ({ tisMicros }: RoundObservation) => {
      const apart = 2 * tisMicros - tisMicrosTwice;
      return apart > 2 * DEVIATION_MICROS || apart < -2 * DEVIATION_MICROS;
    };
    const counted = countedIn(state, round);
    if (counted.filter((each) => !deviates(each)).length < requiredQuorum) continue;
    for (const each of counted) {
      const row = rows.get(each.nodeId) ?? { digests: [], roundId, broken: false };
      rows.set(each.nodeId, row);
      if (row.broken || row.digests.length === DEVIATIONS_MAX) continue;
      if (deviates(each)) row.digests.unshift(each.digest);
      else row.broken = true;
    }
  }
  return [...rows]
    .filter(([, { digests }]) => digests.length === DEVIATIONS_MAX)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([nodeId, { digests, roundId }]) => ({
      nodeId,
      reason: 'ExcessiveDeviation',
      detectedAtMs: blockTimeMs,
      roundId,
      evidence: digests,
    }));
}
