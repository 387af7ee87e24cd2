// Observation rounds as ledger state: what is kept of a round, of its observations and of excluded observers.
// Read by the fold, by its text form and by everything that answers from rounds. Types and constants only.
// Nothing here may cause anything beyond counting and exclusion: outcomes of rounds are advisory.
import type { Bias } from '../kinds/observation.js';

export type RoundStatus = 'Pending' | 'Complete' | 'Failed';

/** One observer's word in one round. Scores in millionths, as they are signed. */
export interface RoundObservation {
  readonly nodeId: string;
  readonly auditId: string;
  /** Hex; the entry and its receipt are found by it. */
  readonly digest: string;
  /** Base64 of 64 bytes. */
  readonly signature: string;
  readonly tisMicros: number;
  readonly biases: readonly Bias[];
}

/** Immutable: a change makes another one, so that two states can be compared by reference. */
export interface Round {
  /** From 1, in the order in which rounds were opened. */
  readonly number: number;
  readonly roundId: string;
  /** As the observation says that opened the round. */
  readonly windowHours: number;
  readonly openedBy: string;
  /** Block time of the first observation. */
  readonly openedAtMs: number;
  readonly requiredQuorum: number;
  readonly status: RoundStatus;
  /** Block time at which it was complete for the first time; null before. */
  readonly completedAtMs: number | null;
  /** One an observer at most, in ledger order; those of excluded observers stay listed and do not count. */
  readonly observations: readonly RoundObservation[];
  /** Twice the median of what counts, in millionths: of an even number the median lies between two. Null unless complete. */
  readonly tisMicrosTwice: number | null;
  /** Reported by a majority of what counts, in the order of BIASES; empty unless complete. */
  readonly biases: readonly Bias[];
}

export type ExclusionReason =
  | 'ConflictingObservations'
  | 'ExcessiveDeviation'
  | 'InvalidSignature'
  | 'ProtocolEquivocation';

/** Why the observations of a node do not count. Only a person lifts it: `excluded_until` is null in every answer. */
export interface Exclusion {
  readonly nodeId: string;
  readonly reason: ExclusionReason;
  /** Block time. */
  readonly detectedAtMs: number;
  /** Round in which it showed; null where it was accused: that is of none. */
  readonly roundId: string | null;
  /** Digests of the signed entries that prove it: two observations of one round, three of a row, or accusations. */
  readonly evidence: readonly string[];
}

/** One validator's word against a node, kept until enough say the same. */
export interface AccusedBy {
  readonly nodeId: string;
  readonly accuser: string;
  /** Digest of the accusation's entry, hex. */
  readonly digest: string;
}

export interface RoundsState {
  /** How many rounds were ever opened: the number of the newest. */
  readonly opened: number;
  /** How many were ever complete. */
  readonly completed: number;
  /** Oldest first, at most ROUNDS_KEPT. */
  readonly rounds: readonly Round[];
  /** In order of detection; one a node. */
  readonly excluded: readonly Exclusion[];
  /** In ledger order; one an accuser and node, none against excluded nodes. */
  readonly accusations: readonly AccusedBy[];
}

export const NO_ROUNDS: RoundsState = { opened: 0, completed: 0, rounds: [], excluded: [], accusations: [] };

export const ROUNDS_KEPT = 100;
/** Block time that a round has to reach its quorum. */
export const ROUND_TIMEOUT_MS = 300_000;
/** Rounds that wait for their quorum and were opened by one observer: more would push out the rounds of others. */
export const PENDING_MAX_A_NODE = 16;
/** A score further than this from the consensus of its round deviates … */
export const DEVIATION_MICROS = 300_000;
/** … and so many in a row exclude. */
export const DEVIATIONS_MAX = 3;

/** Majority of N observers: ⌈(N+1)/2⌉; 1 → 1, 3 → 2, 4 → 3, 5 → 3. N is the number of validators. */
export function roundQuorum(validatorCount: number): number {
  return Math.floor(validatorCount / 2) + 1;
}

/** Validators whose word excludes: at least one of them is honest, and where there are two nobody is alone (DECISIONS 26). */
export function accusersNeeded(validatorCount: number): number {
  return Math.max(Math.floor((validatorCount - 1) / 3) + 1, Math.min(validatorCount, 2));
}

/** Consensus TIS of a complete round, null of any other. */
export function consensusTis({ tisMicrosTwice }: Pick<Round, 'tisMicrosTwice'>): number | null {
  return tisMicrosTwice === null ? null : tisMicrosTwice / 2_000_000;
}

/**
 * Block time at which the next round fails unless it is complete by then; null when none is pending. A leader whose clock is past it
 * proposes a block though it has no entries, and again while it is still past: block time is a median and follows within n blocks.
 */
export function nextDeadlineMs({ rounds }: RoundsState): number | null {
  let earliest: number | null = null;
  for (const { status, openedAtMs } of rounds) {
    if (status !== 'Pending') continue;
    const deadline = openedAtMs + ROUND_TIMEOUT_MS;
    if (earliest === null || deadline < earliest) earliest = deadline;
  }
  return earliest;
}
