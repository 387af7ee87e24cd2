// Kinds from outside: PCS on its own call with the published golden vectors, in every form of signature, notes with HMAC,
// and kinds that an operator adds by a JSON Schema file.
import { readFileSync } from 'node:fs';
import test from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import { isProblem, Verifier } from './assertions.js';
import { Client, HmacClient, pcsOfShard, register } from './clients.js';
import { Subject } from './subject.js';

const golden = (name: string) => readFileSync(new URL(`../../../protocol/kinds/golden/${name}`, import.meta.url));
const g1 = JSON.parse(golden('g1.json').toString()) as JsonObject;

/** The published key of the golden vectors, FORMATS C5. */
const agent = new HmacClient('agent', 'testsecret');
const older = new HmacClient('older-agent');
/** RFC 8032 section 7.1, test 1. */
const rfc = new Client('rfc', Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'));
const sharing = new HmacClient('sharing');
const sensors = new Client('sensors');
/** More keys that may sign a PCS than one client may have, ahead of all others in the registry. */
const crowd = Array.from({ length: 20 }, (_, index) =>
  index % 2 === 0 ? new Client(`crowd-${index}`) : new HmacClient(`crowd-${index}`),
);

const READING: JsonObject = {
  type: 'object',
  required: ['sensor', 'celsius'],
  properties: {
    sensor: { type: 'string', minLength: 1, maxLength: 8 },
    celsius: { type: 'number', minimum: -90, maximum: 60 },
    tags: { type: 'array', maxItems: 2, items: { enum: ['inside', 'outside'] } },
  },
  additionalProperties: false,
};

/** Signatures of G1 as FORMATS C5 lists them. */
const G1_DIGEST_FORM = 'ie8rdnp+3qXnlMVyHmSdjFT3Unk6sZmoVxun71x2/X4=';
const G1_ED25519 = 'fpTtsAPU/4+XyRr/IuP37pBB0TG0+rPd/7eUhWXRVuTqFkpHQKTYQbkGRxGzJtoEL4rX3JdHXiz2WZdghDudAA==';

let subject: Subject;
let verifier: Verifier;

test.before(async () => {
  subject = await Subject.start({
    clients: [
      ...crowd.map((client) => register(client)),
      register(agent, {}, { kinds: ['pcs'] }),
      register(older, {}, { form: 'digest' }),
      register(rfc),
      register(sharing),
      register(sensors, {}, { kinds: ['reading'] }),
    ],
    kinds: { reading: READING },
  });
  verifier = new Verifier((await subject.api.get('/v1/validators')).text);
});

test.after.always(async () => {
  verifier?.close();
  await subject?.dispose();
});

const authenticatedBy = (issuer: string): JsonObject => ({
  issuer,
  key_id: issuer,
  node_id: subject.node.endpoints.nodeId,
});

test('IN-4: both golden PCS are accepted over HTTP with their published signatures', async (t) => {
  for (const name of ['g1.json', 'g2.json']) {
    const bytes = golden(name);
    const answer = await subject.submitPcs(bytes);
    t.is(answer.status, 200, answer.text);
    t.is(answer.body.state, 'final');
    const { pcs_id: id, D_hat: dHat, budget } = JSON.parse(bytes.toString()) as JsonObject;
    t.like(answer.body.outcome, { accepted: true, escalated: false, status: 200, pcs_id: id });
    t.is(answer.body.outcome!.recomputed_D_hat, dHat);
    t.is(answer.body.outcome!.recomputed_budget, budget);
    t.deepEqual(answer.body.outcome!.authenticated_by, authenticatedBy('agent'));
    t.is(await verifier.exitCode(answer.body.receipt!, bytes), 0);
    const again = await subject.submitPcs(bytes);
    t.is(again.status, 200);
    t.is(again.headers['idempotent-replayed'], 'true');
    t.is(again.text, answer.text);
  }
});

test("IN-4: the Ed25519 signature of the golden PCS is accepted, and is its own client's submission", async (t) => {
  const answer = await subject.submitPcs({ ...g1, sig: G1_ED25519 });
  t.is(answer.status, 200, answer.text);
  t.deepEqual(answer.body.outcome!.authenticated_by, authenticatedBy('rfc'));
  t.is(await verifier.exitCode(answer.body.receipt!), 0);
});

test("IN-4: the digest form is a key's own, or the configured default", async (t) => {
  const pcs = pcsOfShard(g1, 'digest-form');
  isProblem(t, await subject.submitPcs(older.signPcs(pcs, 'direct')), 401, 'bad-signature');
  t.is((await subject.submitPcs(older.signPcs(pcs, 'digest'))).status, 200);
  const configured = await Subject.start({
    clients: [register(agent)],
    settings: { pcs: { hmac_form: 'digest' } },
  });
  t.teardown(() => configured.dispose());
  isProblem(t, await configured.submitPcs(golden('g1.json')), 401, 'bad-signature');
  const answer = await configured.submitPcs({ ...g1, sig: G1_DIGEST_FORM });
  t.is(answer.status, 200, answer.text);
});

test('IN-4: a PCS whose checks fail is final with 202, escalated, and its receipt holds', async (t) => {
  const failing: readonly (readonly [change: JsonObject, accepted: boolean, reason: RegExp])[] = [
    [{ regime: 'sticky' }, true, /regime/],
    [{ budget: 0.9 }, true, /budget/],
    [{ D_hat: 2.9 }, false, /D_hat/],
    [{ coh_star: 1.2 }, false, /coh_star/],
    [{ version: '9.9' }, false, /version/],
    [{ scales: [] }, false, /scales/],
    [{ pcs_id: 'ab'.repeat(32) }, false, /pcs_id/],
  ];
  for (const [index, [change, accepted, reason]] of failing.entries()) {
    const pcs = agent.signPcs({ ...pcsOfShard(g1, `failing-${index}`), ...change });
    const answer = await subject.submitPcs(pcs);
    t.is(answer.status, 202, answer.text);
    t.is(answer.body.state, 'final');
    t.is(answer.headers.location, undefined);
    t.like(answer.body.outcome, { accepted, escalated: true, status: 202, pcs_id: pcs.pcs_id! });
    t.regex(String(answer.body.outcome!.reason), reason);
    t.is(await verifier.exitCode(answer.body.receipt!), 0);
    const again = await subject.submitPcs(pcs);
    t.is(again.status, 202);
    t.is(again.headers['idempotent-replayed'], 'true');
    t.is(again.text, answer.text);
    const found = await subject.api.get(`/v1/submissions/${String(answer.body.receipt!.digest)}`);
    t.is(found.status, 200);
    t.is(found.text, answer.text);
  }
});

test('IN-4: a PCS that is durable and not final yet is 202 of another state, with Location', async (t) => {
  const pcs = agent.signPcs(pcsOfShard(g1, 'async'));
  const answer = await subject.submitPcs(pcs, { prefer: 'respond-async' });
  t.is(answer.status, 202);
  t.is(answer.body.state, 'durable');
  t.is(answer.headers.location, `/v1/submissions/${answer.body.digest}`);
  t.is(answer.body.receipt, undefined);
});

test('IN-4, IN-6: another body under one pcs_id is 409, also where only unsigned fields differ', async (t) => {
  const pcs = agent.signPcs(pcsOfShard(g1, 'twice'));
  const first = await subject.submitPcs(pcs);
  t.is(first.status, 200);
  const others = [{ ...pcs, attempt: 2 }, { ...pcs, regime: 'sticky' }, agent.signPcs({ ...pcs, budget: 0.31 })];
  for (const other of others) isProblem(t, await subject.submitPcs(other), 409, 'content-conflict');
  // The other spelling of the same values is another body: nothing but the body covers the unsigned fields.
  isProblem(t, await subject.submitPcs(JSON.stringify(pcs, null, 1)), 409, 'content-conflict');
  t.is((await subject.submitPcs(pcs)).text, first.text);
});

test('IN-4, IN-6: of two bodies racing for one pcs_id, one is final and the other 409', async (t) => {
  for (let round = 0; round < 5; round++) {
    const pcs = agent.signPcs(pcsOfShard(g1, `race-${round}`));
    const answers = await Promise.all([1, 2, 3, 4].map((attempt) => subject.submitPcs({ ...pcs, attempt })));
    t.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409, 409]);
  }
});

test('IN-4: of many keys that may sign a PCS, every one does', async (t) => {
  const pcs = pcsOfShard(g1, 'crowd');
  const answers = await Promise.all(crowd.map((client) => subject.submitPcs(client.signPcs(pcs))));
  answers.forEach(({ status, body }, index) => {
    t.is(status, 200);
    t.deepEqual(body.outcome!.authenticated_by, authenticatedBy(crowd[index]!.issuer));
  });
});

test('IN-4, ID-3: a PCS without a good signature is 401', async (t) => {
  const pcs = agent.signPcs(pcsOfShard(g1, 'unsigned'));
  const { sig, ...without } = pcs;
  const wrong: JsonObject[] = [without, { ...pcs, sig: '' }, { ...pcs, sig: 'not base64!' }, { ...pcs, sig: 'AAAA' }];
  wrong.push({ ...pcs, sig: String(sig).replace(/^./, (first) => (first === 'A' ? 'B' : 'A')) });
  wrong.push({ ...pcs, budget: 0.5 }, { ...pcs, shard_id: 'other' }, { ...pcs, epoch: 2 }, { ...pcs, r: 0.1 });
  wrong.push(new HmacClient('nobody').signPcs(pcs), new Client('nobody').signPcs(pcs));
  for (const each of wrong) isProblem(t, await subject.submitPcs(each), 401, 'bad-signature');
  // A key of the right client that may sign other kinds only is none for a PCS.
  isProblem(t, await subject.submitPcs(sensors.signPcs(pcs)), 401, 'bad-signature');
  t.is((await subject.submitPcs(pcs)).status, 200);
});

test('IN-4: a body that has not the shape of a PCS is 400 with every wrong field', async (t) => {
  const pcs = agent.signPcs(pcsOfShard(g1, 'shape'));
  const { D_hat: _, ...without } = pcs;
  const cases: readonly (readonly [body: JsonObject, pointer: string])[] = [
    [without, '/D_hat'],
    [{ ...pcs, epoch: 1.5 }, '/epoch'],
    [{ ...pcs, scales: 'all' }, '/scales'],
    [{ ...pcs, N_j: { '2': 1.5 } }, '/N_j'],
    [{ ...pcs, pcs_id: 'with space' }, '/pcs_id'],
  ];
  for (const [body, pointer] of cases) {
    const answer = await subject.submitPcs(body);
    isProblem(t, answer, 400, 'malformed-envelope');
    t.deepEqual(
      answer.body.errors!.map((error) => error.pointer),
      [pointer],
    );
  }
});

test('IN-4: a seed beyond 2⁵³ is taken: it is unsigned, and 64 bits wide', async (t) => {
  const text = JSON.stringify(agent.signPcs({ ...pcsOfShard(g1, 'wide'), seed: 1 }));
  const answer = await subject.submitPcs(text.replace('"seed":1', '"seed":9223372036854775807'));
  t.is(answer.status, 200, answer.text);
});

test('ID-3: a note with HMAC says who vouched for it', async (t) => {
  const signed = sharing.sign();
  const answer = await subject.submit(signed);
  t.is(answer.status, 200, answer.text);
  t.deepEqual(answer.body.outcome, { accepted: true, status: 200, authenticated_by: authenticatedBy('sharing') });
  t.is(await verifier.exitCode(answer.body.receipt!, signed.body), 0);
  const again = await subject.submit(signed);
  t.is(again.text, answer.text);
  isProblem(
    t,
    await subject.submit(sharing.sign({ id: String(signed.envelope.id), text: 'x' })),
    409,
    'content-conflict',
  );
});

test("IN-3: an operator's kind is judged by its schema, with a pointer to each fault", async (t) => {
  const reading = (payload: JsonObject) => subject.submit(sensors.sign({ kind: 'reading', payload }));
  const fine = await reading({ sensor: 'roof', celsius: -3.5, tags: ['outside'] });
  t.is(fine.status, 200, fine.text);
  t.deepEqual(fine.body.outcome, { accepted: true, status: 200 });
  t.is(await verifier.exitCode(fine.body.receipt!), 0);
  const cases: readonly (readonly [payload: JsonObject, pointers: readonly string[]])[] = [
    [{ sensor: 'roof' }, ['/celsius']],
    [{ sensor: '', celsius: 1 }, ['/sensor']],
    [{ sensor: 'far too long', celsius: 61 }, ['/celsius', '/sensor']],
    [{ sensor: 'roof', celsius: '1' }, ['/celsius']],
    [{ sensor: 'roof', celsius: 1, tags: ['inside', 'up'] }, ['/tags/1']],
    [{ sensor: 'roof', celsius: 1, more: true }, ['/more']],
  ];
  for (const [payload, pointers] of cases) {
    const answer = await reading(payload);
    isProblem(t, answer, 422, 'invalid-payload');
    t.deepEqual(answer.body.errors!.map(({ pointer }) => pointer).sort(), pointers);
    for (const error of answer.body.errors!) t.true(error.found.length > 0 && error.allowed.length > 0);
  }
});

test('IN-3: a PCS inside an envelope is a submission of its issuer under an id of its own', async (t) => {
  const answer = await subject.submit(rfc.sign({ kind: 'pcs', payload: pcsOfShard(g1, 'enveloped') }));
  t.is(answer.status, 200, answer.text);
  t.like(answer.body.outcome, { accepted: true, escalated: false });
  t.is(answer.body.outcome!.authenticated_by, undefined);
  const wrong = await subject.submit(rfc.sign({ kind: 'pcs', payload: { schema: 1 } }));
  isProblem(t, wrong, 422, 'invalid-payload');
});
