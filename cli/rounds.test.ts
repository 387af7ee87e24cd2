// `quorate rounds` and `quorate reconcile` against nodes that are scripts: one by its address, several side by side.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import type { JsonObject } from '../protocol/json.js';
import { prepareObservation } from '../protocol/submission.js';
import { EXIT } from '../runtime/exit-codes.js';
import { compare } from './rounds.js';
import { CLIENT_KEY, emptyDirectory, fakeNode, type Reply, removeDirectory, run, writeClientKey } from './testkit.js';

const row = (round_id: string, status: string, consensus_tis: number | null) => ({
  round_id,
  status,
  observations: 2,
  required_quorum: 2,
  consensus_tis,
  consensus_biases: ['RecencyBias'],
});

const answer = (rows: object[], excluded: string[] = []) => ({
  advisory: true,
  opened: rows.length,
  completed: 1,
  average_tis: 0.865,
  rounds: rows,
  byzantine_nodes: excluded.length,
  excluded: excluded.map((node_id) => ({ node_id, reason: 'ConflictingObservations', detected_at: 'then' })),
});

const GOOD = answer(
  [row('r1', 'Complete', 0.865), { ...row('r2', 'Pending', null), provisional_tis: 0.7 }],
  ['node_x'],
);
const PENDING = { round_id: 'r2', observations: 2, provisional_tis: 0.7 };

/** Data directories node_1, node_2, … of nodes that answer one reply each, side by side. */
async function cluster(t: ExecutionContext, ...replies: readonly (() => Reply)[]): Promise<string> {
  const beside = emptyDirectory();
  t.teardown(() => removeDirectory(beside));
  for (const [index, reply] of replies.entries()) {
    const node = await fakeNode(reply);
    t.teardown(() => node.close());
    const directory = join(beside, `node_${index + 1}`, 'run');
    mkdirSync(directory, { recursive: true });
    const endpoints = { api: node.url, ops: node.url, peer: null, nodeId: `id-${index + 1}`, publicKey: '' };
    writeFileSync(join(directory, 'endpoints.json'), JSON.stringify(endpoints));
  }
  return join(beside, 'node_1');
}

const fine = (body: object) => () => ({ status: 200, body });

test('OP-1: rounds shows the rounds of a node, and who is excluded', async (t) => {
  const directory = await cluster(t, fine(GOOD));
  const { code, out, err } = await run(['rounds', '--data-dir', directory]);
  t.is(code, 0, err);
  t.regex(out, /^1 of 2 rounds complete, average TIS 0\.865$/m);
  t.regex(out, /^ {2}r1 +Complete +2 of 2 +0\.865 +RecencyBias$/m);
  t.regex(out, /^ {2}r2 +Pending/m);
  t.regex(out, /excluded: node_x, ConflictingObservations/);
  t.deepEqual(JSON.parse((await run(['rounds', '--data-dir', directory, '--json'])).out), GOOD);
});

test('OP-1: one round by its id; one that is not kept is an error with the reason', async (t) => {
  const one = { round_id: 'r1', status: 'Complete', consensus_tis: 0.5, required_quorum: 1, observations: [] };
  const node = await fakeNode(({ url }) =>
    url === '/v1/rounds/r1'
      ? { status: 200, body: one }
      : { status: 404, body: { title: 'No observation round with this id is kept here' } },
  );
  t.teardown(() => node.close());
  const shown = await run(['rounds', 'r1', '--api', node.url]);
  t.regex(shown.out, /^r1\n {2}status +Complete\n {2}consensus TIS +0\.5$/m);
  t.deepEqual(JSON.parse((await run(['rounds', 'r1', '--api', node.url, '--json'])).out), one);
  const none = await run(['rounds', 'r2', '--api', node.url]);
  t.is(none.code, EXIT.data.code);
  t.regex(none.err, /404 No observation round/);
});

test('OP-1: a node of several is named by number, directory or node id; --all means each', async (t) => {
  const second = answer([row('other', 'Complete', 0.1)]);
  const directory = await cluster(t, fine(GOOD), fine(second));
  for (const name of ['2', 'node_2', 'id-2']) {
    const { out } = await run(['rounds', '--data-dir', directory, '--node', name, '--json']);
    t.deepEqual(JSON.parse(out), second, name);
  }
  const all = JSON.parse((await run(['rounds', '--data-dir', directory, '--all', '--json'])).out);
  t.like(all, {
    nodes: [
      { node: 'node_1', opened: 2 },
      { node: 'node_2', opened: 1 },
    ],
  });
  const missing = await run(['rounds', '--data-dir', directory, '--node', '3']);
  t.is(missing.code, EXIT.unavailable.code);
  t.regex(missing.err, /no node 3 is running .*Running are node_1, node_2\./);
  t.is((await run(['rounds', '--data-dir', directory, '--node', '1', '--all'])).code, EXIT.usage.code);
  t.is((await run(['rounds', '--api', 'http://127.0.0.1:1', '--all'])).code, EXIT.usage.code);
});

test('CO-6: reconcile agrees when every node says the same, and counts what waits', async (t) => {
  const directory = await cluster(t, fine(GOOD), fine(GOOD), fine(GOOD));
  const { code, out, pauses } = await run(['reconcile', '--data-dir', directory, '--all', '--json']);
  t.is(code, 0);
  t.like(JSON.parse(out), { rounds: 2, reconciled: 1, pending: [PENDING], drift_max: 0, differing: [], agreed: true });
  t.deepEqual(pauses, []);
  t.regex((await run(['reconcile', '--data-dir', directory])).out, /^agreed: 2 rounds of node_1$/m);
});

test('CO-6: nodes elsewhere are compared by their addresses', async (t) => {
  const nodes = await Promise.all([GOOD, answer([])].map((body) => fakeNode(fine(body))));
  t.teardown(() => Promise.all(nodes.map((node) => node.close())));
  const api = nodes.map(({ url }) => url).join(', ');
  const { code, out } = await run(['reconcile', '--api', api, '--json']);
  t.is(code, EXIT.data.code);
  t.like(JSON.parse(out), { nodes: nodes.map(({ url }) => url), agreed: false });
  t.like(JSON.parse((await run(['rounds', '--api', api, '--json'])).out), { nodes: [{ opened: 2 }, { opened: 0 }] });
});

test('CO-6: a node that is a block behind is asked again; one that has drifted is reported', async (t) => {
  let looks = 0;
  const behind = () => {
    looks += 1;
    return { status: 200, body: looks < 3 ? answer([row('r1', 'Pending', null)]) : GOOD };
  };
  const slow = await cluster(t, fine(GOOD), behind);
  const caughtUp = await run(['reconcile', '--data-dir', slow, '--all']);
  t.is(caughtUp.code, 0);
  t.is(caughtUp.pauses.length, 2);

  const drifted = answer([row('r1', 'Complete', 0.88), row('r2', 'Pending', null)], ['node_x']);
  const directory = await cluster(t, fine(GOOD), fine(drifted));
  const { code, out } = await run(['reconcile', '--data-dir', directory, '--all']);
  t.is(code, EXIT.data.code);
  t.regex(out, /^not agreed: 2 rounds of 2 nodes$/m);
  t.regex(out, /^r1 {2}drift 0\.01/m);
  t.regex(out, /^ {2}node_2 +Complete +0\.88$/m);
});

test('CO-6: up to 0.01 is no drift; another status, a missing round or another exclusion always is a difference', (t) => {
  const of = (...bodies: ReturnType<typeof answer>[]) =>
    compare(bodies.map((body, index) => ({ node: `n${index}`, body: JSON.parse(JSON.stringify(body)) as JsonObject })));
  const one = answer([row('r1', 'Complete', 0.5)]);
  t.true(of(one, answer([row('r1', 'Complete', 0.51)])).agreed);
  t.false(of(one, answer([row('r1', 'Complete', 0.511)])).agreed);
  t.false(of(one, answer([row('r1', 'Failed', null)])).agreed);
  t.like(of(one, answer([])), { agreed: false, differing: [{ round_id: 'r1', drift: null }] });
  t.like(of(one, answer([row('r1', 'Complete', 0.5)], ['node_x'])), { agreed: false, differing: [] });
});

test('a node that is none answers with an error that says so', async (t) => {
  const node = await fakeNode(() => ({ status: 200, body: {} }));
  t.teardown(() => node.close());
  const { code, err } = await run(['reconcile', '--api', node.url]);
  t.is(code, EXIT.data.code);
  t.regex(err, /answered something else than rounds/);
});

test('IN-5: submit --kind observation signs it as an observer does, and sends it to the call for observations', async (t) => {
  const node = await fakeNode(({ body }) => {
    const digest = prepareObservation(body).digest.toString('hex');
    return { status: 200, body: { state: 'final', outcome: { accepted: true }, receipt: { digest, outcome: {} } } };
  });
  t.teardown(() => node.close());
  const directory = emptyDirectory();
  t.teardown(() => removeDirectory(directory));
  const seen = {
    round_id: 'round_001',
    window_hours: 24,
    forecast_hash: `sha256:${'a'.repeat(64)}`,
    outcome_hash: `sha256:${'b'.repeat(64)}`,
    tis_components: { prediction_accuracy: 0.85, ethical_alignment: 0.8, coherence_stability: 0.9 },
    tis_overall: 0.845,
    bias_flags: [],
  };
  const observe = (data: object) =>
    run(['submit', '--kind', 'observation', '--id', 'audit_001', '--data', JSON.stringify(data), '--api', node.url], {
      env: { QUORATE_KEY: writeClientKey(directory) },
    });
  const { code, out, err } = await observe(seen);
  t.is(code, 0, err);
  t.regex(out, /^final\n {2}kind +observation\n {2}id +audit_001\n/);
  const [sent] = node.heard;
  t.is(sent!.url, '/v1/observations');
  const { issuer, signedBytes, signature, payload } = prepareObservation(sent!.body);
  t.is(issuer, 'dev');
  t.like(payload, { ...seen, audit_id: 'audit_001', timestamp: '2026-11-20T12:00:00.000Z' });
  const ed25519 = await loadEd25519();
  t.true(ed25519.verify(signature, signedBytes, Buffer.from(CLIENT_KEY.public_key, 'hex')));
  const wrong = await observe({ ...seen, round_id: 'a|b' });
  t.is(wrong.code, EXIT.usage.code);
  t.regex(wrong.err, /round_id: found the string "a\|b", allowed is/);
});
