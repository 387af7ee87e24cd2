// Doctored answers: whatever a node says differently, from what is expected or from the others, is a fault that names it.
import test from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import { describe, type Expected, type Refusal, refusalFaults, roundFaults, type Said } from './verdict.js';

const IDS = ['node_a', 'node_b', 'node_c'];
const ROUND: JsonObject = {
  round_id: 'r1',
  status: 'Complete',
  participating_nodes: ['node_b', 'node_a', 'node_c'],
  total_observations: 3,
  required_quorum: 2,
  consensus_tis: 0.865,
  consensus_biases: ['RecencyBias'],
  signatures: [{ node_id: 'node_b', signature: [1, 2] }],
};
const LIAR: JsonObject = { node_id: 'node_b', reason: 'ConflictingObservations', evidence: ['aa', 'bb'] };
const EXPECTED: Expected = {
  roundId: 'r1',
  status: 'Complete',
  observers: [1, 2, 3],
  tis: 0.865,
  biases: ['RecencyBias'],
  excluded: [2],
};

function said(node: number, changes: Partial<Said> = {}): Said {
  const status = { rounds: [{ round_id: 'r1', consensus_tis: 0.865 }], byzantine_nodes: 1 };
  return { node, round: ROUND, status, reconcile: { reconciled: 0 }, excluded: [LIAR], ...changes };
}

/** Node 2 says something else of the round. */
const doctored = (round: JsonObject): Said[] => [said(1), said(2, { round: { ...ROUND, ...round } }), said(3)];

test('TN-2: equal answers that are as expected are no fault', (t) => {
  t.deepEqual(roundFaults(EXPECTED, [said(1), said(2), said(3)], IDS), []);
  t.is(describe(said(1), IDS), 'Complete, TIS 0.865, RecencyBias, node 2 excluded');
});

const LIES: [what: string, answers: Said[], faults: RegExp[]][] = [
  ['another status', doctored({ status: 'Pending' }), [/^node 2: status: found "Pending", expected "Complete"$/]],
  ['another TIS', doctored({ consensus_tis: 0.82 }), [/^node 2: consensus_tis: found 0.82, expected 0.865$/]],
  ['no TIS', doctored({ consensus_tis: null }), [/^node 2: consensus_tis: found null/]],
  ['other biases', doctored({ consensus_biases: [] }), [/^node 2: consensus_biases: found \[\]/]],
  ['another observer', doctored({ participating_nodes: ['node_a', 'node_b'] }), [/^node 2: participating_nodes/]],
  ['another count', doctored({ total_observations: 4 }), [/^node 2: total_observations: found 4/]],
  ['nobody excluded', [said(1), said(2), said(3, { excluded: [] })], [/^node 3: excluded nodes: found \[\]/]],
  [
    'another one excluded',
    [said(1), said(2), said(3, { excluded: [{ ...LIAR, node_id: 'node_a' }] })],
    [/^node 3: excluded nodes: found \["node_a"\], expected \["node_b"\]$/],
  ],
  ['a round that waits', [said(1, { reconcile: { reconciled: 1 } }), said(2)], [/^node 1: rounds that wait: found 1/]],
  ['no such round', [said(1), said(2, { round: null }), said(3)], [/^node 2: knows no round r1$/]],
];

for (const [what, answers, patterns] of LIES) {
  test(`TN-2: a fault: ${what}`, (t) => {
    const faults = roundFaults(EXPECTED, answers, IDS);
    for (const pattern of patterns)
      t.true(
        faults.some((fault) => pattern.test(fault)),
        faults.join('\n'),
      );
  });
}

test('TN-2: what every node says as expected, but not all the same, is a fault', (t) => {
  const signed = doctored({ signatures: [{ node_id: 'node_b', signature: [1, 3] }] });
  t.deepEqual(roundFaults(EXPECTED, signed, IDS), ['nodes 1 and 2 do not say the same of the round']);
  const evidence = [said(1), said(2), said(3, { excluded: [{ ...LIAR, evidence: ['aa'] }] })];
  t.deepEqual(roundFaults(EXPECTED, evidence, IDS), ['nodes 1 and 3 do not say the same of who is excluded']);
  const earlier = [said(1), said(2, { status: { rounds: [], byzantine_nodes: 1 } })];
  t.deepEqual(roundFaults(EXPECTED, earlier, IDS), ['nodes 1 and 2 do not say the same of all rounds']);
  t.deepEqual(roundFaults(EXPECTED, [], IDS), ['no node was asked']);
});

const FINGERPRINT = '0123456789abcdef'.repeat(4);
const LOGGED =
  '{"event":"peer.pin_mismatch","peer":"node_c","fingerprint":"sha256:01234567...89abcdef","refused":true}';
const REFUSAL: Refusal = {
  node: 1,
  peer: 'node_c',
  fingerprint: FINGERPRINT,
  outcome: 'network_error',
  violations: 1,
  handshakes: 1,
  connected: 1,
  output: `{"event":"node.ready"}\n${LOGGED}\n`,
};

test('TN-3, NET-2: a refusal is whole, or what is missing of it is a fault', (t) => {
  t.deepEqual(refusalFaults(REFUSAL), []);
  t.deepEqual(refusalFaults({ ...REFUSAL, outcome: 'tls_error' }), []);
  const ROWS: [Partial<Refusal>, RegExp][] = [
    [{ outcome: 'success' }, /^node 1: a call of node_c ended as success, expected network_error or tls_error$/],
    [{ outcome: 'timeout' }, /ended as timeout/],
    [{ violations: 0 }, /quorate_pinning_violations_total\{peer="node_c"\} is 0/],
    [{ handshakes: 0 }, /quorate_tls_handshakes_total\{status="pin_mismatch"\} is 0/],
    [{ connected: 2 }, /connected to 2 nodes/],
    [{ output: '' }, /no line in the log/],
    [{ output: LOGGED.replace('node_c', 'node_b') }, /no line in the log/],
    [{ output: LOGGED.replace('pin_mismatch', 'connected') }, /no line in the log/],
    [{ output: `${LOGGED}\nsha256:${FINGERPRINT.toUpperCase()}` }, /the whole fingerprint stands in the log/],
  ];
  for (const [change, pattern] of ROWS) {
    const faults = refusalFaults({ ...REFUSAL, ...change });
    t.is(faults.length, 1, faults.join('\n'));
    t.regex(faults[0]!, pattern);
  }
});
