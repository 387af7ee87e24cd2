// Rounds as they are answered: the bodies of /rpc/status (FORMATS A6, exactly), and those of /v1/rounds, which say more.
// Called by ingress for both; the command line reads the latter. It spells what the state says and changes nothing.
import { Buffer } from 'node:buffer';
import type { JsonObject } from '../json.js';
import { countedIn, excludes, medianTwice } from './fold.js';
import { consensusTis, type Exclusion, type Round, type RoundsState } from './round.js';

/** What every answer about rounds says of itself (CO-11). */
const ADVISORY = { advisory: true } as const;

/** Body of `GET /rpc/status`. */
export function rpcStatus({ rounds, excluded }: RoundsState): JsonObject {
  return { rounds: rounds.map(rowJson), byzantine_nodes: excluded.length };
}

/** Body of `GET /rpc/status?round_id=`. `signatures` are lists of 64 numbers, as in an observation. */
export function rpcRound(round: Round): JsonObject {
  return {
    round_id: round.roundId,
    status: round.status,
    participating_nodes: round.observations.map(({ nodeId }) => nodeId),
    total_observations: round.observations.length,
    required_quorum: round.requiredQuorum,
    consensus_tis: consensusTis(round),
    consensus_biases: [...round.biases],
    signatures: round.observations.map(({ nodeId, signature }) => ({
      node_id: nodeId,
      signature: [...Buffer.from(signature, 'base64')],
    })),
  };
}

/** Body of `GET /v1/rounds`. */
export function roundsAnswer(state: RoundsState): JsonObject {
  return {
    ...ADVISORY,
    opened: state.opened,
    completed: state.completed,
    average_tis: averageTis(state),
    rounds: state.rounds.map((round) => ({
      ...rowJson(round),
      participating_nodes: round.observations.map(({ nodeId }) => nodeId),
      required_quorum: round.requiredQuorum,
      consensus_biases: [...round.biases],
      provisional_tis: provisionalTis(state, round),
      opened_at: timeText(round.openedAtMs),
      completed_at: round.completedAtMs === null ? null : timeText(round.completedAtMs),
    })),
    byzantine_nodes: state.excluded.length,
    excluded: state.excluded.map(exclusionJson),
  };
}

/** Body of `GET /v1/rounds/{round_id}`. */
export function roundAnswer(state: RoundsState, round: Round): JsonObject {
  return {
    ...ADVISORY,
    ...rpcRound(round),
    provisional_tis: provisionalTis(state, round),
    window_hours: round.windowHours,
    opened_at: timeText(round.openedAtMs),
    opened_by: round.openedBy,
    completed_at: round.completedAtMs === null ? null : timeText(round.completedAtMs),
    observations: round.observations.map((each) => ({
      node_id: each.nodeId,
      audit_id: each.auditId,
      tis_overall: each.tisMicros / 1_000_000,
      bias_flags: [...each.biases],
      counted: !excludes(state, each.nodeId),
      digest: each.digest,
    })),
  };
}

/** A node whose observations do not count, with the digests of the final entries that prove why. */
export function exclusionJson({ nodeId, detectedAtMs, reason, roundId, evidence }: Exclusion): JsonObject {
  return {
    node_id: nodeId,
    detected_at: timeText(detectedAtMs),
    reason,
    excluded_until: null,
    round_id: roundId,
    evidence: [...evidence],
  };
}

/** Mean consensus of the last ten complete rounds, oldest first; null when there is none (OB-9). */
export function averageTis({ rounds }: RoundsState): number | null {
  const last = rounds.flatMap((round) => consensusTis(round) ?? []).slice(-AVERAGE_OVER);
  if (last.length === 0) return null;
  let sum = 0;
  for (const tis of last) sum += tis;
  return sum / last.length;
}

const AVERAGE_OVER = 10;

/** What a waiting round would come to if it were over now: said to whoever reconciles, and recorded nowhere. */
function provisionalTis(state: RoundsState, round: Round): number | null {
  const counted = countedIn(state, round);
  if (round.status !== 'Pending' || counted.length === 0) return null;
  return medianTwice(counted.map(({ tisMicros }) => tisMicros)) / 2_000_000;
}

function rowJson(round: Round): JsonObject {
  return {
    round_id: round.roundId,
    status: round.status,
    observations: round.observations.length,
    consensus_tis: consensusTis(round),
  };
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
