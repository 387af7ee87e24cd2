// Rounds as text: how a state is stored piece by piece, what a block changed in it, and how it is read again. Version 1.
// Called by ledger apply (the change is hashed into the state digest), by the store and by whoever reads the ledger.
// Must never change what it writes without a new version: stored ledgers and state digests are read for ever.
import { canonicalize } from '../canonical.js';
import type { JsonObject } from '../json.js';
import type { AccusedBy, Exclusion, Round, RoundObservation, RoundsState } from './round.js';

const VERSION = 1;

/** What turns one state into another; texts are canonical JSON. */
export interface RoundsChange {
  /** Everything but the rounds themselves, whose numbers it lists. */
  readonly summary: string;
  /** Rounds that are new or other than before, by number. */
  readonly changed: readonly (readonly [number: number, text: string])[];
  /** Numbers of rounds that are no longer kept. */
  readonly removed: readonly number[];
}

/** The text cannot be a stored state of this version. */
export class RoundsTextError extends Error {
  override readonly name = 'RoundsTextError';
}

export function roundsChange(before: RoundsState, after: RoundsState): RoundsChange {
  const old = new Map(before.rounds.map((round) => [round.number, round]));
  const changed: (readonly [number, string])[] = [];
  for (const round of after.rounds) {
    if (old.get(round.number) !== round) changed.push([round.number, canonicalize(roundJson(round))]);
    old.delete(round.number);
  }
  return { summary: canonicalize(summaryJson(after)), changed, removed: [...old.keys()] };
}

/** The bytes that the state digest hashes, as text. What is removed follows from the summary's list of numbers. */
export function roundsChangeText({ summary, changed }: RoundsChange): string {
  return `{"changed":[${changed.map(([, text]) => text).join(',')}],"summary":${summary}}`;
}

/** Numbers of the rounds that a summary says are kept. Throws RoundsTextError. */
export function keptRounds(summary: string): readonly number[] {
  return readSummary(summary).kept;
}

/** A stored state again. Throws RoundsTextError when a round is missing or the version is another. */
export function restoreRounds(summary: string, roundText: (number: number) => string | undefined): RoundsState {
  const { opened, completed, kept, excluded, accusations } = readSummary(summary);
  const rounds = kept.map((number) => {
    const text = roundText(number);
    if (text === undefined) throw new RoundsTextError(`round ${number} is kept and not stored`);
    return readRound(JSON.parse(text) as StoredRound);
  });
  return {
    opened,
    completed,
    rounds,
    excluded: excluded.map(readExclusion),
    accusations: accusations.map(readAccusation),
  };
}

interface StoredSummary {
  readonly version: number;
  readonly opened: number;
  readonly completed: number;
  readonly kept: readonly number[];
  readonly excluded: readonly StoredExclusion[];
  readonly accusations: readonly StoredAccusation[];
}

interface StoredAccusation {
  readonly node_id: string;
  readonly accuser: string;
  readonly digest: string;
}

interface StoredExclusion {
  readonly node_id: string;
  readonly reason: Exclusion['reason'];
  readonly detected_at_ms: number;
  readonly round_id: string | null;
  readonly evidence: readonly string[];
}

interface StoredRound {
  readonly number: number;
  readonly round_id: string;
  readonly window_hours: number;
  readonly opened_by: string;
  readonly opened_at_ms: number;
  readonly required_quorum: number;
  readonly status: Round['status'];
  readonly completed_at_ms: number | null;
  readonly observations: readonly StoredObservation[];
  readonly tis_micros_twice: number | null;
  readonly biases: Round['biases'];
}

interface StoredObservation {
  readonly node_id: string;
  readonly audit_id: string;
  readonly digest: string;
  readonly signature: string;
  readonly tis_micros: number;
  readonly biases: RoundObservation['biases'];
}

function readSummary(text: string): StoredSummary {
  const summary = JSON.parse(text) as StoredSummary;
  if (summary.version === VERSION) return summary;
  throw new RoundsTextError(`rounds are stored in version ${summary.version}; this program reads ${VERSION}`);
}

function summaryJson({ opened, completed, rounds, excluded, accusations }: RoundsState): JsonObject {
  return {
    version: VERSION,
    opened,
    completed,
    kept: rounds.map(({ number }) => number),
    excluded: excluded.map((each) => ({
      node_id: each.nodeId,
      reason: each.reason,
      detected_at_ms: each.detectedAtMs,
      round_id: each.roundId,
      evidence: [...each.evidence],
    })),
    accusations: accusations.map(({ nodeId, accuser, digest }) => ({ node_id: nodeId, accuser, digest })),
  };
}

function roundJson(round: Round): JsonObject {
  return {
    number: round.number,
    round_id: round.roundId,
    window_hours: round.windowHours,
    opened_by: round.openedBy,
    opened_at_ms: round.openedAtMs,
    required_quorum: round.requiredQuorum,
    status: round.status,
    completed_at_ms: round.completedAtMs,
    observations: round.observations.map((each) => ({
      node_id: each.nodeId,
      audit_id: each.auditId,
      digest: each.digest,
      signature: each.signature,
      tis_micros: each.tisMicros,
      biases: [...each.biases],
    })),
    tis_micros_twice: round.tisMicrosTwice,
    biases: [...round.biases],
  };
}

function readRound(stored: StoredRound): Round {
  return {
    number: stored.number,
    roundId: stored.round_id,
    windowHours: stored.window_hours,
    openedBy: stored.opened_by,
    openedAtMs: stored.opened_at_ms,
    requiredQuorum: stored.required_quorum,
    status: stored.status,
    completedAtMs: stored.completed_at_ms,
    observations: stored.observations.map((each) => ({
      nodeId: each.node_id,
      auditId: each.audit_id,
      digest: each.digest,
      signature: each.signature,
      tisMicros: each.tis_micros,
      biases: each.biases,
    })),
    tisMicrosTwice: stored.tis_micros_twice,
    biases: stored.biases,
  };
}

function readExclusion(stored: StoredExclusion): Exclusion {
  return {
    nodeId: stored.node_id,
    reason: stored.reason,
    detectedAtMs: stored.detected_at_ms,
    roundId: stored.round_id,
    evidence: stored.evidence,
  };
}

function readAccusation({ node_id: nodeId, accuser, digest }: StoredAccusation): AccusedBy {
  return { nodeId, accuser, digest };
}
