// Real daemons of which one lies, and real daemons of which some are down: what the others go on with, and what they can show.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../cli/testkit.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { verifyEvidenceWith } from '../../protocol/evidence-verify.js';
import type { JsonObject } from '../../protocol/json.js';
import { parseValidatorSet } from '../../protocol/validators.js';
import { LocalCluster } from '../local/cluster.js';
import { ClusterClient, type Final } from '../local/cluster-client.js';
import { checkClusterLedgers } from './cluster-check.js';

const EQUIVOCATOR = new URL('../faults/equivocator/preload.js', import.meta.url);
const SETTINGS = ['supervision:', '  standby: false'];

test.serial(
  'CO-1, CO-5: three of four daemons go on beside one that equivocates, exclude it, and can prove it to anybody',
  async (t) => {
    t.timeout(240_000);
    const liar = 3;
    const honest = [0, 1, 2];
    const cluster = await LocalCluster.start({
      nodes: 4,
      settings: SETTINGS,
      preloads: new Map([[liar, EQUIVOCATOR]]),
    });
    t.teardown(() => cluster.dispose());
    const client = await ClusterClient.of(cluster);
    const liarId = cluster.members[liar]!.key.nodeId;
    const set = parseValidatorSet(await client.get(0, '/v1/validators'));
    const receipts = new Map<string, string>();
    const submit = async (node: number, id: string): Promise<void> =>
      keep(t, receipts, id, await client.submit(node, id));

    // Views in which each of the four leads.
    for (let number = 0; number < 8; number++) await submit(honest[number % 3]!, `before-${number}`);
    for (const node of honest) {
      const isExcluded = ({ excluded }: JsonObject) => (excluded as JsonObject[]).length > 0;
      const { excluded, byzantine_nodes } = await client.until(node, '/v1/rounds', isExcluded);
      t.like(excluded, [{ node_id: liarId, reason: 'ProtocolEquivocation', excluded_until: null }]);
      t.is(byzantine_nodes, 1);
    }
    await Promise.all(honest.map((node) => submit(node, `after-${node}`)));

    const ed25519 = await loadEd25519();
    for (const node of honest) {
      const { evidence } = await client.get(node, '/v1/evidence');
      const documents = evidence as JsonObject[];
      t.true(documents.length > 0);
      for (const document of documents) {
        t.is(document.signer, liarId);
        t.true(verifyEvidenceWith(document, set, ed25519).valid);
      }
      t.is((await fetch(`${cluster.ops(node)}/readyz`)).status, 200);
      const metrics = await (await fetch(`${cluster.ops(node)}/metrics`)).text();
      t.regex(metrics, /^quorate_consensus_evidence_total\{[^}]*rule="E[14]"[^}]*\} [1-9]/m);
      t.regex(readFileSync(join(cluster.members[node]!.dataDir, 'audit.jsonl'), 'utf8'), /"event":"evidence_found"/);
    }
    const [document] = (await client.get(0, '/v1/evidence')).evidence as JsonObject[];
    for (const changed of changes(document!)) t.false(verifyEvidenceWith(changed, set, ed25519).valid);
    await offline(t, cluster, await client.get(1, '/v1/evidence'));

    t.deepEqual(new Set((await cluster.stop()).map(({ code }) => code)), new Set([0]));
    const dataDirs = honest.map((node) => cluster.members[node]!.dataDir);
    const found = await checkClusterLedgers(dataDirs, receipts, set);
    t.deepEqual(found.faults, []);
  },
);

test.serial(
  'CO-1: of three daemons one may be down; when two are, what waits is bounded, and final when a quorum is back',
  async (t) => {
    t.timeout(240_000);
    const cluster = await LocalCluster.start({ nodes: 3, settings: SETTINGS });
    t.teardown(() => cluster.dispose());
    const client = await ClusterClient.of(cluster);
    const validators = await client.get(0, '/v1/validators');
    const receipts = new Map<string, string>();
    const submit = async (node: number, id: string): Promise<void> =>
      keep(t, receipts, id, await client.submit(node, id));
    const reach = async (reached: number): Promise<JsonObject> =>
      client.until(0, '/v1/status', ({ quorum }) => (quorum as JsonObject).reached === reached);
    const [, second, third] = cluster.members.map(({ key }) => key.nodeId);

    t.like(await reach(3), { quorum: { validators: 3, needed: 2 }, peers: { length: 2 } });
    await Promise.all([submit(0, 'all-0'), submit(1, 'all-1'), submit(2, 'all-2')]);
    // On the disks of two of three, which a notarization proves before anything is final.
    const wide = await client.post(0, 'wide', { prefer: 'durable=quorum' });
    t.is(wide.status, 202);
    t.like(await wide.json(), { state: 'durable', durable: 'quorum' });
    await submit(0, 'wide');
    await cluster.kill(1);
    // Every third view is led by the one that is away.
    for (let number = 0; number < 4; number++) await submit(number % 2 === 0 ? 0 : 2, `two-${number}`);
    const { peers } = await reach(2);
    const connected = new Map((peers as JsonObject[]).map(({ node_id, connected }) => [node_id, connected]));
    t.deepEqual([connected.get(second!), connected.get(third!)], [false, true]);
    await shownPeers(t, cluster, second!);

    // It stands still, which costs no second start.
    cluster.node(2).signal('SIGSTOP');
    await reach(1);
    const alone = await client.post(0, 'alone', { prefer: 'wait=1, durable=quorum' });
    const { digest, ...durable } = (await alone.json()) as JsonObject;
    t.deepEqual([alone.status, durable], [202, { state: 'durable', durable: 'node' }]);
    const { refused, promised } = await fill(client);
    t.like(refused, { status: 503, type: 'urn:problem-type:quorate:mempool-full' });
    t.regex(String(refused.retryAfter), /^[12]$/);
    // Its third of 64 MiB, and what was on its way when that was known.
    t.true(promised.length >= 320 && promised.length <= 420, `${promised.length} were promised`);

    cluster.node(2).signal('SIGCONT');
    for (const waiting of [String(digest), ...promised]) await client.find(0, waiting);
    await submit(2, 'after');
    const ids = await client.ids(2);
    t.is(new Set(ids).size, ids.length);
    t.is(ids.length, receipts.size + promised.length + 1);
    await Promise.all([cluster.node(0).stop(), cluster.node(2).stop()]);
    const dataDirs = [0, 2].map((node) => cluster.members[node]!.dataDir);
    const found = await checkClusterLedgers(dataDirs, receipts, parseValidatorSet(validators));
    t.deepEqual(found.faults, []);
  },
);

/** What the command line and the state file say of a peer that is away. */
async function shownPeers(t: ExecutionContext, cluster: LocalCluster, away: string): Promise<void> {
  const { dataDir } = cluster.members[0]!;
  const { code, out, err } = await run(['peers', '--data-dir', dataDir, '--json']);
  t.is(code, 0, err);
  const { quorum, peers } = JSON.parse(out) as { quorum: JsonObject; peers: JsonObject[] };
  t.deepEqual(quorum, { validators: 3, needed: 2, reached: 2 });
  for (const peer of peers) {
    const isAway = peer.node_id === away;
    t.is(peer.connected, !isAway);
    t.true(Date.parse(String(peer.last_seen)) <= Date.now(), JSON.stringify(peer));
    t.true(Date.parse(String(peer.certificate_expires)) > Date.now(), JSON.stringify(peer));
    t.regex(String((peer.pins as string[])[0]), /^sha256:[0-9a-f]{8}\.\.\.[0-9a-f]{8}$/);
    t.is(peer.fingerprint === null, isAway);
    t.is(peer.direction === null, isAway);
  }
  const shown = await run(['peers', '--data-dir', dataDir]);
  t.regex(shown.out, /^2 of 3 validators within reach, 2 needed\n/);
  t.regex(shown.out, new RegExp(`${away} +away`));
  const state = () =>
    JSON.parse(readFileSync(join(dataDir, 'state.json'), 'utf8')) as {
      tls_enabled: boolean;
      quorum: { reached: number };
      peers: { node_id: string; connected: boolean }[];
    };
  // It is written now and then: what stands there may be of the start, when another peer was away.
  const isShown = ({ quorum: { reached }, peers: kept }: ReturnType<typeof state>) =>
    reached === 2 && kept.some(({ node_id, connected }) => node_id === away && connected === false);
  while (!isShown(state())) await delay(50);
  t.is(state().tls_enabled, true);
}

/** Submits large notes to node 0, several at a time, until one is refused. */
async function fill(client: ClusterClient): Promise<{ refused: JsonObject; promised: readonly string[] }> {
  const promised: string[] = [];
  let refused: JsonObject | null = null;
  let number = 0;
  const one = async (): Promise<void> => {
    while (refused === null && number < 1_000) {
      number += 1;
      const response = await client.post(0, `large-${number}`, { prefer: 'respond-async' }, 64_000);
      const body = (await response.json()) as JsonObject;
      if (response.status === 202) promised.push(String(body.digest));
      else refused = { ...body, status: response.status, retryAfter: response.headers.get('retry-after') };
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  return { refused: refused ?? {}, promised };
}

/** Every character of what is signed, another one each time. */
function* changes(document: JsonObject): Generator<JsonObject> {
  const votes = document.votes as JsonObject[];
  const other = (text: string, at: number) =>
    `${text.slice(0, at)}${text[at] === '1' ? '2' : '1'}${text.slice(at + 1)}`;
  yield { ...document, epoch: 1 };
  yield { ...document, view: Number(document.view) + 1 };
  const chainId = String(document.chain_id);
  for (let at = 0; at < chainId.length; at++) yield { ...document, chain_id: other(chainId, at) };
  for (const [index, vote] of votes.entries()) {
    for (const member of ['hash', 'signature']) {
      const text = String(vote[member]);
      // The last characters of a base64 text carry no bits of their own.
      const end = member === 'hash' ? text.length : text.length - 3;
      for (let at = 0; at < end; at++) {
        yield { ...document, votes: votes.with(index, { ...vote, [member]: other(text, at) }) };
      }
    }
    const kind = vote.kind === 'finalize' ? 'notarize' : 'finalize';
    yield { ...document, votes: votes.with(index, { ...vote, kind }) };
  }
}

/** The command that anybody has, with nothing but the answers of a node. */
async function offline(t: ExecutionContext, cluster: LocalCluster, answer: JsonObject): Promise<void> {
  const validators = join(cluster.directory, 'validators.json');
  writeFileSync(validators, await (await fetch(`${cluster.api(0)}/v1/validators`)).text());
  const verify = (evidence: JsonObject) =>
    run(['verify', '-', '--validators', validators], { stdin: JSON.stringify(evidence) });
  const good = await verify(answer);
  t.is(good.code, 0, good.err);
  t.regex(good.out, / notarized (two blocks|one block and finalized another) in view \d+ of epoch 0/);
  const [first, ...others] = answer.evidence as JsonObject[];
  const bad = await verify({ evidence: [...others, { ...first, view: Number(first!.view) + 1 }] });
  t.is(bad.code, 1);
  t.regex(bad.out, /FAILED[^\n]*a signature of validator 3 is wrong/);
}

function keep(t: ExecutionContext, receipts: Map<string, string>, id: string, { status, body }: Final): void {
  t.is(status, 200, JSON.stringify(body));
  receipts.set(id, JSON.stringify(body.receipt));
}
