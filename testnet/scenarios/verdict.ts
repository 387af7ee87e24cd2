// What the nodes said, held against what a scenario expects and against each other. Called by stage.ts and pinned.ts. Pure: it
// looks at answers alone, and every difference becomes a sentence.
import type { PeerOutcome } from '../../actors/rpc-client/contract.js';
import { maskFingerprint } from '../../observability/logs.js';
import { canonicalize } from '../../protocol/canonical.js';
import type { JsonObject, JsonValue } from '../../protocol/json.js';

/** What one node answered about a round. Nodes count from 1 here and in every text. */
export interface Said {
  readonly node: number;
  /** Body of `GET /rpc/status?round_id=`; null: it knows no such round. */
  readonly round: JsonObject | null;
  /** Body of `GET /rpc/status`. */
  readonly status: JsonObject;
  /** Body of `POST /rpc/reconcile`. */
  readonly reconcile: JsonObject;
  /** Of `GET /v1/rounds`. */
  readonly excluded: readonly JsonObject[];
}

export interface Expected {
  readonly roundId: string;
  readonly status: 'Pending' | 'Complete';
  /** Nodes whose observations stand in the round, counted or not. */
  readonly observers: readonly number[];
  readonly tis: number | null;
  readonly biases?: readonly string[];
  readonly excluded?: readonly number[];
}

/** A round that no node knows has no answers to compare. */
export function roundFaults(expected: Expected, said: readonly Said[], nodeIds: readonly string[]): string[] {
  if (said.length === 0) return ['no node was asked'];
  return [...said.flatMap((each) => faultsOf(expected, each, nodeIds)), ...differences(said)];
}

function faultsOf(
  expected: Expected,
  { node, round, reconcile, excluded }: Said,
  nodeIds: readonly string[],
): string[] {
  const { roundId, status, observers, tis, biases = [], excluded: liars = [] } = expected;
  if (round === null) return [`node ${node}: knows no round ${roundId}`];
  const idsOf = (numbers: readonly number[]): string[] => numbers.map((number) => nodeIds[number - 1]!).sort();
  const fields: readonly (readonly [what: string, found: JsonValue, wanted: JsonValue])[] = [
    ['status', round.status!, status],
    ['consensus_tis', round.consensus_tis!, tis],
    ['consensus_biases', round.consensus_biases!, [...biases]],
    ['participating_nodes', sorted(round.participating_nodes), idsOf(observers)],
    ['total_observations', round.total_observations!, observers.length],
    ['excluded nodes', excluded.map(({ node_id }) => String(node_id)).sort(), idsOf(liars)],
    ['rounds that wait', reconcile.reconciled!, status === 'Pending' ? 1 : 0],
  ];
  return fields
    .filter(([, found, wanted]) => JSON.stringify(found) !== JSON.stringify(wanted))
    .map(
      ([what, found, wanted]) =>
        `node ${node}: ${what}: found ${JSON.stringify(found)}, expected ${JSON.stringify(wanted)}`,
    );
}

/** Equal means equal to the last byte of the canonical form: rounds, consensus, signatures, exclusions and their evidence. */
function differences([first, ...others]: readonly Said[]): string[] {
  const parts = ['round', 'status', 'excluded'] as const;
  return others.flatMap((other) =>
    parts
      .filter((part) => canonicalize(first![part] as JsonValue) !== canonicalize(other[part] as JsonValue))
      .map((part) => `nodes ${first!.node} and ${other.node} do not say the same of ${WORDS[part]}`),
  );
}

const WORDS = { round: 'the round', status: 'all rounds', excluded: 'who is excluded' } as const;

/** One node's answer in a few words. */
export function describe({ round, excluded }: Said, nodeIds: readonly string[]): string {
  if (round === null) return 'no such round';
  const tis = round.consensus_tis === null ? [] : [`TIS ${round.consensus_tis}`];
  const counted = round.status === 'Pending' ? [`${round.total_observations} of ${round.required_quorum}`] : [];
  const liars = excluded.map(({ node_id }) => `node ${nodeIds.indexOf(String(node_id)) + 1} excluded`);
  return [round.status, ...counted, ...tis, ...sorted(round.consensus_biases), ...liars].join(', ');
}

function sorted(list: JsonValue | undefined): string[] {
  return Array.isArray(list) ? list.map(String).sort() : [];
}

/** What a node shows that refuses a peer for its pin. */
export interface Refusal {
  readonly node: number;
  readonly peer: string;
  /** Of the certificate that the peer shows, 64 hex. */
  readonly fingerprint: string;
  /** How a call of the peer ended. */
  readonly outcome: PeerOutcome;
  /** quorate_pinning_violations_total with the label of the peer. */
  readonly violations: number;
  /** quorate_tls_handshakes_total{status="pin_mismatch"} */
  readonly handshakes: number;
  /** Peers that the node is connected to. */
  readonly connected: number;
  /** Everything that it has logged. */
  readonly output: string;
}

/** The listener judges after its half of the handshake: who calls sees an alert, or a connection that ends. */
const REFUSED: readonly PeerOutcome[] = ['network_error', 'tls_error'];

export function refusalFaults(refusal: Refusal): string[] {
  const { node, peer, fingerprint, outcome, violations, handshakes, connected, output } = refusal;
  const masked = maskFingerprint(`sha256:${fingerprint}`);
  const isLogged = output
    .split('\n')
    .some((line) => [`"event":"peer.pin_mismatch"`, peer, masked].every((part) => line.includes(part)));
  const checks: readonly (readonly [ok: boolean, sentence: string])[] = [
    [REFUSED.includes(outcome), `a call of ${peer} ended as ${outcome}, expected ${REFUSED.join(' or ')}`],
    [violations >= 1, `quorate_pinning_violations_total{peer="${peer}"} is ${violations}, expected 1 or more`],
    [handshakes >= 1, `quorate_tls_handshakes_total{status="pin_mismatch"} is ${handshakes}, expected 1 or more`],
    [connected === 1, `connected to ${connected} nodes, expected 1`],
    [isLogged, `no line in the log has peer.pin_mismatch, ${peer} and ${masked}`],
    [!output.toLowerCase().includes(fingerprint), 'the whole fingerprint stands in the log, expected it masked'],
  ];
  return checks.filter(([ok]) => !ok).map(([, sentence]) => `node ${node}: ${sentence}`);
}
