// What a peer is told over /rpc/*: the bodies of FORMATS A6, whatever the door answers.
import test from 'ava';
import { pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import type { JsonObject } from '../../protocol/json.js';
import { after, makeBlock, makeTestkit, observationEntry, signedObservation } from '../../protocol/ledger/testkit.js';
import { NO_ROUNDS, type RoundsState } from '../../protocol/rounds/round.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ReportValue } from '../../runtime/kernel/contract.js';
import { Answers, type Refusal } from './answers.js';
import type { PeerRequest } from './contract.js';
import { createMetrics } from './metrics.js';
import { handleRpc } from './rpc.js';
import type { Answer, Submission, Waiter } from './submission.js';

const kit = await makeTestkit(3);
const [first, second] = kit.validators as [(typeof kit.validators)[number], (typeof kit.validators)[number]];
const body = signedObservation(kit, first);
const answers = new Answers(() => 0);

interface Told {
  readonly answer?: Answer;
  /** The door does not even take it. */
  readonly refused?: Refusal;
  readonly rounds?: RoundsState;
}

function peer(told: Told = {}) {
  const registry = new Registry();
  const metrics = createMetrics(registry, () => 0);
  const admitted: Submission[] = [];
  const waits: Waiter[] = [];
  const reports: [string, ReportValue][] = [];
  const accused: string[] = [];
  const parts: Parameters<typeof handleRpc>[0] = {
    door: {
      admit(submission, waiter) {
        if (told.refused !== undefined) return told.refused;
        admitted.push(submission);
        waits.push(waiter);
        if (told.answer !== undefined) waiter.settle(told.answer);
        return null;
      },
    },
    answers,
    metrics,
    clock: new ManualClock(),
    log: pino({ level: 'silent' }),
    limits: () => ({ body_bytes: 65_536, wait_default_ms: 2_000, server_timeout_ms: 5_000 }),
    rounds: async () => told.rounds ?? NO_ROUNDS,
    report: (name, value) => void reports.push([name, value]),
    accuse: (nodeId) => void accused.push(nodeId),
  };
  const ask = async (request: Partial<PeerRequest>) => {
    const whole: PeerRequest = {
      from: 'node_1',
      method: 'POST',
      path: '/rpc/submit',
      query: '',
      requestId: 'r1',
      body,
    };
    const answer = await handleRpc(parts, { ...whole, ...request });
    return { ...answer, json: JSON.parse(answer.body) as JsonObject };
  };
  return { ask, admitted, waits, reports, accused, registry };
}

function final(outcome: JsonObject, replayed = false): Answer {
  const answer = answers.json(JSON.stringify({ state: 'final', outcome, receipt: {} }));
  return replayed ? { ...answer, headers: { ...answer.headers, 'idempotent-replayed': 'true' } } : answer;
}

const ACCEPTED = { accepted: true, counted: true, round_id: 'r', status: 200 };

test('IN-5: an observation goes to the door as it came, under its own route, and waits as a client does', async (t) => {
  const { ask, admitted, waits } = peer({ answer: final(ACCEPTED) });
  const { status, json, headers } = await ask({});
  t.is(status, 200);
  t.deepEqual(json, { success: true, message: 'Observation accepted' });
  t.regex(headers['content-type']!, /^application\/json/);
  t.like(admitted, [{ route: InboxRoute.observation, raw: body, requestId: 'r1' }]);
  t.like(waits, [{ deadlineMs: 2_000, respondAsync: false }]);
});

test('IN-5: evidence is 200 without success, a repetition 409, and what is not final yet 202', async (t) => {
  const refused = { ...ACCEPTED, accepted: false, counted: false, reason: 'ConflictingObservations' };
  const cases: readonly (readonly [Answer, number, JsonObject])[] = [
    [final(refused), 200, { success: false, message: 'Observation rejected (Byzantine detected)' }],
    [final({ ...ACCEPTED, counted: false }), 200, { success: true, message: 'Observation accepted' }],
    [final(ACCEPTED, true), 409, { error: 'Duplicate observation' }],
    [
      answers.json('{"state":"durable","digest":"00"}', 202),
      202,
      { success: true, message: 'Observation recorded, not final yet' },
    ],
  ];
  for (const [answer, status, json] of cases) t.like(await peer({ answer }).ask({}), { status, json });
});

test('IN-5: refusals keep their status and say what was found', async (t) => {
  const problem = (refusal: Refusal) => answers.problem(refusal, 'r1');
  const errors = [{ pointer: '/observation/audit_id', found: 'the string "a|b"', allowed: 'no |' }];
  const cases: readonly (readonly [Refusal, number, RegExp])[] = [
    [{ slug: 'malformed-json', detail: 'at byte 3' }, 400, /^at byte 3$/],
    [{ slug: 'malformed-envelope', errors }, 400, /^\/observation\/audit_id: found the string "a\|b"; allowed: no \|$/],
    [{ slug: 'malformed-envelope', errors: [{ ...errors[0]!, pointer: '' }] }, 400, /^\/: found/],
    [{ slug: 'unknown-key', detail: 'issuer x is no observer' }, 401, /no observer/],
    [{ slug: 'invalid-payload', errors }, 422, /audit_id/],
    [{ slug: 'quarantined', detail: 'damage' }, 503, /damage/],
  ];
  for (const [refusal, status, error] of cases) {
    const found = await peer({ answer: problem(refusal) }).ask({});
    t.is(found.status, status);
    t.regex(String(found.json.error), error);
    t.is(found.headers['retry-after'] !== undefined, status === 503);
  }
  const busy = await peer({ refused: { slug: 'overloaded' } }).ask({});
  t.is(busy.status, 503);
  t.truthy(busy.headers['retry-after']);
});

test('IN-5: a body that nobody could read is refused before the door', async (t) => {
  const { ask, admitted } = peer();
  t.is((await ask({ body: new Uint8Array() })).status, 400);
  t.is((await ask({ body: new Uint8Array(65_537) })).status, 413);
  t.deepEqual(admitted, []);
});

test('CO-5: a bad signature over a proven connection is 401, counted, told and put forward as an accusation', async (t) => {
  const { ask, reports, accused, registry } = peer({ answer: answers.problem({ slug: 'bad-signature' }, 'r1') });
  const { status, json } = await ask({});
  t.is(status, 401);
  t.is(json.error, 'The signature does not match the content');
  t.deepEqual(reports, [['bad-observation', { ok: true, data: { peer: 'node_1' } }]]);
  t.deepEqual(accused, ['node_1']);
  t.regex(await registry.metrics(), /quorate_observation_bad_signatures_total\{peer="node_1"\} 1/);
  const unknown = peer({ answer: answers.problem({ slug: 'unknown-key', detail: 'x' }, 'r1') });
  t.is((await unknown.ask({})).status, 401);
  t.deepEqual(unknown.accused, []);
  t.deepEqual(unknown.reports, [], 'not knowing a key is no proof of anything');
});

test('IN-5: status of all rounds, of one, and of none', async (t) => {
  const said = [observationEntry(kit, first, { tis: 0.86 }), observationEntry(kit, second, { tis: 0.87 })];
  const { rounds } = after(kit.view, makeBlock(kit, kit.view, said));
  const { ask } = peer({ rounds });
  const status = { method: 'GET', path: '/rpc/status', body: new Uint8Array() } as const;
  t.like(await ask(status), {
    status: 200,
    json: {
      rounds: [{ round_id: 'r', status: 'Complete', observations: 2, consensus_tis: 0.865 }],
      byzantine_nodes: 0,
    },
  });
  const one = await ask({ ...status, query: 'round_id=r' });
  t.is(one.status, 200);
  t.like(one.json, {
    round_id: 'r',
    total_observations: 2,
    required_quorum: 2,
    participating_nodes: ['node_0', 'node_1'],
  });
  const signatures = one.json.signatures as { node_id: string; signature: number[] }[];
  t.deepEqual(Buffer.from(signatures[0]!.signature), said[0]!.prepared.signature);
  const none = await ask({ ...status, query: 'round_id=a%20b' });
  t.like(none, { status: 404, json: { error: 'Round not found: a b' } });
});

test('CO-6: reconcile counts the rounds that wait, and computes nothing that the ledger does not say', async (t) => {
  const { rounds } = after(kit.view, makeBlock(kit, kit.view, [observationEntry(kit, first)]));
  const { ask } = peer({ rounds });
  const answer = await ask({ path: '/rpc/reconcile', body: new Uint8Array() });
  t.like(answer, { status: 200, json: { reconciled: 1, message: 'Reconciled 1 pending rounds' } });
});

test('IN-5: other paths are 404, other methods 405 with what is allowed', async (t) => {
  const { ask } = peer();
  t.is((await ask({ path: '/rpc/other' })).status, 404);
  const wrong = await ask({ method: 'GET' });
  t.is(wrong.status, 405);
  t.is(wrong.headers.allow, 'POST');
});
