// The four rounds of a network whose nodes pin each other's certificates: as it should be; a certificate is rotated; a pin
// is wrong; it is put right. Called by the commands and by its test. docs/PEERS.md has the rules that it shows.
import { readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { authorityIn, issueCertificate, nodeCertificate } from '../../config/certificates.js';
import { pinsText } from '../../config/pins-file.js';
import { replaceFile } from '../../config/private-file.js';
import { readCertificates } from '../../protocol/crypto/certificate.js';
import { type Metrics, type ReloadResult, reload } from '../local/metrics.js';
import type { Scenario } from './run.js';
import type { Finding, Stage } from './stage.js';
import { type Expected, type Refusal, refusalFaults } from './verdict.js';

const HANDSHAKE = 'round_pinned_001';
const ROTATED = 'round_pinned_002';
const REFUSED = 'round_pinned_003';
const REPAIRED = 'round_pinned_004';
const ALL = [1, 2, 3];
/** The node whose certificate and pin change, and those who judge it. */
const ODD = 3;
const OTHERS = [1, 2];
const WRONG_PIN = 'ab'.repeat(32);
const ENDINGS = ['cert', 'key'] as const;
const WITHOUT_ODD: Expected = { roundId: REFUSED, status: 'Complete', observers: OTHERS, tis: 0.82 };

export const pinnedScenario: Scenario = {
  name: 'pinned',
  artifacts: 'artifacts/testnet-pinned',
  proof: ['peer.', 'config.'],
  rounds: [
    {
      title: 'handshake',
      roundId: HANDSHAKE,
      steps: [
        { happens: 'three nodes connect over pinned TLS', play: (stage) => connected(stage, 2) },
        { happens: 'all observe', play: (stage) => allObserve(stage, HANDSHAKE) },
      ],
    },
    {
      title: 'rotation',
      roundId: ROTATED,
      steps: [
        { happens: 'the next certificate of node 3 is pinned too; SIGHUP', play: pinNext },
        { happens: 'node 3 takes it; SIGHUP', play: takeNext },
        { happens: 'all observe; node 3 shows the new certificate', play: (stage) => allObserve(stage, ROTATED) },
      ],
    },
    {
      title: 'wrong pin',
      roundId: REFUSED,
      steps: [
        { happens: 'nodes 1 and 2 get a wrong pin for node 3; SIGHUP', play: (stage) => repin(stage, [WRONG_PIN]) },
        { happens: 'node 3 calls node 1 and node 2', play: refused },
        { happens: 'nodes 1 and 2 observe; they are enough', play: observeWithoutOdd },
      ],
    },
    {
      title: 'repaired',
      roundId: REPAIRED,
      steps: [
        { happens: 'they get the right pin; SIGHUP', play: (stage) => repin(stage, [shownBy(stage, ODD)]) },
        { happens: 'node 3 is back', play: (stage) => connected(stage, 2) },
        { happens: 'node 3 has caught up', play: (stage) => stage.agree(WITHOUT_ODD) },
        { happens: 'all observe', play: (stage) => allObserve(stage, REPAIRED) },
      ],
    },
  ],
};

async function allObserve(stage: Stage, roundId: string): Promise<Finding> {
  await Promise.all([
    stage.observe(1, { roundId, tis: 0.85 }),
    stage.observe(2, { roundId, tis: 0.82 }),
    stage.observe(3, { roundId, tis: 0.88 }),
  ]);
  return stage.agree({ roundId, status: 'Complete', observers: ALL, tis: 0.85 });
}

/** Waits until every node has this many peers. */
function connected(stage: Stage, peers: number): Promise<Finding> {
  return stage.settle(async () => {
    const found = await Promise.all(
      ALL.map(async (node) => (await stage.metrics(node)).total('quorate_peer_connected')),
    );
    const faults = found.flatMap((count, index) =>
      count === peers ? [] : [`node ${index + 1} is connected to ${count} nodes, expected ${peers}`],
    );
    return { said: `connected to ${found.join(', ')} others`, faults };
  });
}

/** SIGHUP to all three at once, and what came of it. */
async function reloaded(stage: Stage, expected: readonly ReloadResult[]): Promise<Finding> {
  const results = await Promise.all(ALL.map((node) => reload(stage.node(node))));
  const faults = results.flatMap((result, index) =>
    result === expected[index] ? [] : [`node ${index + 1}: reload is ${result}, expected ${expected[index]}`],
  );
  return { said: `reload ${results.join(', ')}`, faults };
}

async function pinNext(stage: Stage): Promise<Finding> {
  const { ca } = stage.certificates;
  const nowMs = Date.now();
  const authority = await authorityIn(dirname(ca), { nowMs });
  const issued = await issueCertificate(authority, nodeCertificate(stage.nodeId(ODD), [], nowMs));
  for (const ending of ENDINGS) replaceFile(`${pairOf(stage)[ending]}.next`, issued[ending], 0o600);
  return repin(stage, [shownBy(stage, ODD), issued.fingerprint]);
}

/** At the paths of the old pair: it is the content that counts. */
async function takeNext(stage: Stage): Promise<Finding> {
  const lost = async () => Promise.all(ALL.map(async (node) => connectionsLost(await stage.metrics(node))));
  const before = await lost();
  const pair = pairOf(stage);
  for (const ending of ENDINGS) renameSync(`${pair[ending]}.next`, pair[ending]);
  const finding = await reloaded(stage, ['unchanged', 'unchanged', 'ok']);
  const after = await lost();
  // Calls from here on show it, and expect node 3 to show it.
  await stage.courier.forget();
  if (isDeepStrictEqual(before, after)) return { ...finding, said: `${finding.said}; no connection lost` };
  return { ...finding, faults: [...finding.faults, `connections lost: found ${after}, expected as before: ${before}`] };
}

/** When two nodes dial each other at once, one of both connections ends; that is no loss. */
function connectionsLost(metrics: Metrics): number {
  const closed = 'quorate_peer_closed_total';
  return metrics.total(closed) - metrics.total(closed, 'reason="duplicate"');
}

/** These are the pins of node 3 in the file of all nodes. A node's own pins mean nothing to itself. */
function repin(stage: Stage, pins: readonly string[]): Promise<Finding> {
  const others = OTHERS.map((node) => [stage.nodeId(node), [shownBy(stage, node)]] as const);
  replaceFile(stage.certificates.pins, pinsText(new Map([...others, [stage.nodeId(ODD), pins]])), 0o644);
  return reloaded(stage, ['ok', 'ok', 'unchanged']);
}

async function refused(stage: Stage): Promise<Finding> {
  const fingerprint = shownBy(stage, ODD);
  const peer = stage.nodeId(ODD);
  return stage.settle(async () => {
    const refusals = await Promise.all(
      OTHERS.map(async (node): Promise<Refusal> => {
        const { outcome } = await stage.attempt(ODD, { roundId: REFUSED, tis: 0.88 }, node);
        const metrics = await stage.metrics(node);
        return {
          node,
          peer,
          fingerprint,
          outcome,
          violations: metrics.total('quorate_pinning_violations_total', `peer="${peer}"`),
          handshakes: metrics.total('quorate_tls_handshakes_total', 'status="pin_mismatch"'),
          connected: metrics.total('quorate_peer_connected'),
          output: stage.node(node).output,
        };
      }),
    );
    const counts = refusals.map(({ violations }) => violations).join(' and ');
    return { said: `refused, counted ${counts} times, masked in the log`, faults: refusals.flatMap(refusalFaults) };
  });
}

async function observeWithoutOdd(stage: Stage): Promise<Finding> {
  await stage.observe(1, { roundId: REFUSED, tis: 0.8 });
  await stage.observe(2, { roundId: REFUSED, tis: 0.84 });
  const finding = await stage.agree(WITHOUT_ODD, OTHERS);
  const { round } = await stage.says(ODD, REFUSED);
  if (round === null) return { ...finding, said: `${finding.said}; node 3 knows of none` };
  return { ...finding, faults: [...finding.faults, 'node 3 knows the round, though nobody talks to it'] };
}

function pairOf(stage: Stage): { readonly cert: string; readonly key: string } {
  return stage.certificates.nodes.get(stage.nodeId(ODD))!;
}

/** Fingerprint of the certificate in the node's file. */
function shownBy(stage: Stage, node: number): string {
  const { cert } = stage.certificates.nodes.get(stage.nodeId(node))!;
  return readCertificates(readFileSync(cert, 'utf8'))[0]!.fingerprint;
}
