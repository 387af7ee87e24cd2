// Observation rounds on one real node: observations over HTTP, the round that they make, who is excluded and what that
// causes (nothing more), and that a restart, also a sudden one, answers the same.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../cli/testkit.js';
import type { JsonObject } from '../../protocol/json.js';
import { isProblem, Verifier } from './assertions.js';
import { Client, register } from './clients.js';
import type { Answer } from './http.js';
import { eventually, Subject } from './subject.js';

const observer = new Client('observer');
const liar = new Client('liar');
const bystander = new Client('bystander');

let subject: Subject;
let verifier: Verifier;

test.before(async () => {
  subject = await Subject.start({
    clients: [
      register(observer, { roles: ['observe'] }),
      register(liar, { roles: ['submit', 'observe'] }),
      register(bystander),
    ],
  });
  verifier = new Verifier((await subject.api.get('/v1/validators')).text);
});

test.after.always(async () => {
  verifier?.close();
  await subject?.dispose();
});

const post = (body: Uint8Array | string): Promise<Answer> => subject.api.post('/v1/observations', body);
const roundOf = async (id: string) => (await subject.api.get(`/v1/rounds/${id}`)).body;

test.serial(
  'CO-3, IN-5: one validator: an observation completes its round, with a receipt, and a restart says the same',
  async (t) => {
    const said = observer.observe({ round_id: 'round_001', tis: 0.845, bias_flags: ['RecencyBias'] });
    const answer = await post(said.body);
    t.is(answer.status, 200, answer.text);
    t.deepEqual(answer.body.outcome, { accepted: true, counted: true, round_id: 'round_001', status: 200 });
    t.is(await verifier.exitCode(answer.body.receipt!, said.body), 0);
    const round = await roundOf('round_001');
    t.like(round, {
      advisory: true,
      round_id: 'round_001',
      status: 'Complete',
      participating_nodes: ['observer'],
      total_observations: 1,
      required_quorum: 1,
      consensus_tis: 0.845,
      consensus_biases: ['RecencyBias'],
      window_hours: 24,
      opened_by: 'observer',
    });
    const { observation } = JSON.parse(said.body.toString()) as { observation: JsonObject };
    t.deepEqual(round.signatures, [{ node_id: 'observer', signature: observation.signature }]);
    t.like((round.observations as JsonObject[])[0], { tis_overall: 0.845, counted: true, digest: said.digest });
    const again = await post(said.body);
    t.is(again.headers['idempotent-replayed'], 'true');
    t.deepEqual(again.body.outcome, answer.body.outcome);
    t.is((await roundOf('round_001')).total_observations, 1, 'counted once');

    const rounds = (await subject.api.get('/v1/rounds')).text;
    await subject.restart('stop');
    t.is((await subject.api.get('/v1/rounds')).text, rounds);
    t.deepEqual(await roundOf('round_001'), round);
    const found = await subject.api.get(`/v1/submissions/${said.digest}`);
    t.deepEqual(found.body.outcome, answer.body.outcome);
  },
);

test.serial('OB-9, ST-9: metrics, state.json and the command line say so too', async (t) => {
  await post(observer.observe({ round_id: 'round_002', tis: 0.5 }).body);
  const metrics = await subject.metrics();
  t.is(metrics.total('quorate_average_tis'), 0.6725);
  t.is(metrics.total('quorate_consensus_rounds_total'), 1, 'since the last start');
  t.is(metrics.total('quorate_consensus_round_duration_seconds_count'), 1);
  t.is(metrics.total('quorate_quorum_size'), 1);
  t.is(metrics.total('quorate_round_quorum_size'), 1);
  const shown = await run(['rounds', '--data-dir', subject.node.dataDir]);
  t.is(shown.code, 0, shown.err);
  t.regex(shown.out, /^2 of 2 rounds complete, average TIS 0\.6725$/m);
  t.is((await run(['reconcile', '--data-dir', subject.node.dataDir])).code, 0);
});

test.serial(
  'IN-5, CO-4: what is no observation, of no observer, or not its own score is refused, and opens no round',
  async (t) => {
    isProblem(t, await post('{'), 400, 'malformed-json');
    const { observation } = JSON.parse(observer.observe({ round_id: 'refused' }).body.toString()) as {
      observation: JsonObject;
    };
    const changed = (changes: JsonObject) => JSON.stringify({ observation: { ...observation, ...changes } });
    const piped = await post(changed({ audit_id: 'a|b' }));
    isProblem(t, piped, 400, 'malformed-envelope');
    t.is(piped.body.errors?.[0]?.pointer, '/observation/audit_id');
    isProblem(t, await post(JSON.stringify(observation)), 400, 'malformed-envelope');
    isProblem(t, await post(changed({ signature: null })), 401, 'bad-signature');
    isProblem(t, await post(changed({ window_hours: 25 })), 401, 'bad-signature');
    isProblem(t, await post(bystander.observe({ round_id: 'refused' }).body), 401, 'unknown-key');
    const wrong = await post(observer.observe({ round_id: 'refused', tis: 0.5, tis_overall: 0.6 }).body);
    isProblem(t, wrong, 422, 'invalid-payload');
    t.like(wrong.body.errors, [{ pointer: '/tis_overall', found: '0.600000' }]);
    const old = observer.observe({ round_id: 'refused', timestamp: '2025-11-12T12:00:00Z' });
    isProblem(t, await post(old.body), 422, 'outside-horizon');
    isProblem(t, await subject.api.get('/v1/rounds/refused'), 404, 'unknown-round');
    isProblem(t, await subject.api.get('/v1/observations'), 405, 'method-not-allowed');
  },
);

test.serial('CO-5, CO-11: a second word in a round excludes its observer, and causes nothing but that', async (t) => {
  const before = JSON.parse((await subject.api.get('/v1/validators')).text);
  await post(liar.observe({ round_id: 'lies', audit_id: 'one', tis: 0.9 }).body);
  await post(observer.observe({ round_id: 'lies', tis: 0.8 }).body);
  t.is((await roundOf('lies')).consensus_tis, 0.85);
  const second = liar.observe({ round_id: 'lies', audit_id: 'two', tis: 0.1 });
  const answer = await post(second.body);
  t.is(answer.status, 200);
  t.like(answer.body.outcome, { accepted: false, counted: false, reason: 'ConflictingObservations' });
  t.is(await verifier.exitCode(answer.body.receipt!, second.body), 0, 'the evidence has a receipt');
  const round = await roundOf('lies');
  t.like(round, { status: 'Complete', consensus_tis: 0.8, total_observations: 2 });
  const all = (await subject.api.get('/v1/rounds')).body as JsonObject;
  t.is(all.byzantine_nodes, 1);
  const [excluded] = all.excluded as JsonObject[];
  t.like(excluded, { node_id: 'liar', reason: 'ConflictingObservations', excluded_until: null, round_id: 'lies' });
  const evidence = excluded!.evidence as string[];
  t.is(evidence[1], second.digest);
  for (const digest of evidence) t.is((await subject.api.get(`/v1/submissions/${digest}`)).body.state, 'final');

  // Advisory: validators, keys, roles and everybody's submissions are as before, the liar's included.
  t.deepEqual(JSON.parse((await subject.api.get('/v1/validators')).text), before);
  t.is((await subject.submit(liar.sign())).status, 200);
  t.is((await subject.submit(bystander.sign())).status, 200);
  const later = await post(liar.observe({ round_id: 'later', tis: 0.9 }).body);
  t.deepEqual(later.body.outcome, { accepted: true, counted: false, round_id: 'later', status: 200 });
  t.is((await subject.metrics()).total('quorate_byzantine_nodes_total'), 1);

  const audited = await eventually('the audit line', () => {
    const text = readFileSync(join(subject.node.dataDir, 'audit.jsonl'), 'utf8');
    return text.split('\n').find((line) => line.includes('"observer_excluded"')) ?? null;
  });
  t.like(JSON.parse(audited), { event: 'observer_excluded', node_id: 'liar', reason: 'ConflictingObservations' });
  const rounds = await subject.api.get('/v1/rounds');
  t.deepEqual((rounds.body as JsonObject).excluded, all.excluded);
  const first = await roundOf('round_001');
  await subject.restart('kill');
  t.is((await subject.api.get('/v1/rounds')).text, rounds.text);
  t.deepEqual(await roundOf('round_001'), first);
  await subject.node.stop();
  t.like(stateFile(), { consensus_rounds: 3 });
  t.like(stateFile().byzantine_nodes, [{ node_id: 'liar', reason: 'ConflictingObservations' }]);
});

function stateFile(): JsonObject {
  return JSON.parse(readFileSync(join(subject.node.dataDir, 'state.json'), 'utf8')) as JsonObject;
}
