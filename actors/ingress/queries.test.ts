import { Buffer } from 'node:buffer';
import test from 'ava';
import { canonicalize } from '../../protocol/canonical.js';
import type { JsonObject } from '../../protocol/json.js';
import { parseStrict } from '../../protocol/json.js';
import { hmacClient, pcsEntry } from '../../protocol/ledger/testkit.js';
import { prepareEnvelope } from '../../protocol/submission.js';
import { validatorSetJson } from '../../protocol/validators.js';
import { until } from '../testing/links.js';
import { Api, problemOf } from './server-fixture.js';

function digestOf(raw: Buffer): string {
  return prepareEnvelope(raw).digest.toString('hex');
}

test('IN-3: by digest: unknown, durable, final, with the recorded receipt', async (t) => {
  const api = await Api.make(t);
  const raw = api.rig.envelope({ id: 'a' });
  const url = `/v1/submissions/${digestOf(raw)}`;
  const unknown = await api.get(url);
  t.deepEqual([unknown.statusCode, problemOf(unknown).slug], [404, 'unknown-submission']);
  t.is(problemOf(unknown).body.digest, digestOf(raw));
  const posted = api.post('/v1/submissions', raw);
  await until(() => api.rig.chain.mempool.size === 1);
  const durable = await api.get(url);
  t.deepEqual([durable.statusCode, durable.json()], [200, { state: 'durable', digest: digestOf(raw) }]);
  api.rig.produce();
  const final = await api.get(url);
  t.is(final.body, (await posted).body);
});

test('a final submission is found before the database has its block', async (t) => {
  const api = await Api.make(t);
  const raw = api.rig.envelope({ id: 'a' });
  const posted = api.post('/v1/submissions', raw);
  await until(() => api.rig.chain.mempool.size === 1);
  api.rig.produce({ write: false });
  const found = await api.get(`/v1/submissions/${digestOf(raw)}`);
  t.is(found.body, (await posted).body);
});

test('an escalated PCS is asked about with 200: its own status stands in the outcome', async (t) => {
  const api = await Api.make(t);
  const entry = pcsEntry(api.rig.kit, { regime: 'sticky' });
  const posted = await api.submit(Buffer.from(entry.raw), {}, '/v1/pcs/submit');
  t.is(posted.statusCode, 202);
  const { rig } = api;
  const [made] = rig.chain.blocks;
  const { prepared } = made!.result.accepted[0]!.entry;
  const found = await api.get(`/v1/submissions/${prepared.digest.toString('hex')}`);
  t.is(found.statusCode, 200);
  t.is(found.body, posted.body);
  rig.clock.advance(600_001);
  const later = await api.get(`/v1/submissions/${prepared.digest.toString('hex')}`);
  t.is(later.body, posted.body, 'the ledger says the same as memory');
});

test('IN-3: refused after a 202: rejected, with the verdict', async (t) => {
  const api = await Api.make(t);
  api.rejected.set('ab'.repeat(32), '{"status":422,"code":"horizon"}');
  const found = await api.get(`/v1/submissions/${'ab'.repeat(32)}`);
  t.deepEqual(found.json(), { state: 'rejected', digest: 'ab'.repeat(32), outcome: { status: 422, code: 'horizon' } });
});

test('what became final after all is final, whatever verdict was kept before', async (t) => {
  const api = await Api.make(t);
  const raw = api.rig.envelope({ id: 'a' });
  await api.submit(raw);
  api.rejected.set(digestOf(raw), '{"status":401}');
  t.is((await api.get(`/v1/submissions/${digestOf(raw)}`)).json<JsonObject>().state, 'final');
});

for (const digest of ['x', 'AB'.repeat(32), 'ab'.repeat(31), 'ab'.repeat(33)]) {
  test(`IN-11: digest ${digest.slice(0, 6)} of ${digest.length} characters → 400`, async (t) => {
    const api = await Api.make(t);
    const answer = await api.get(`/v1/submissions/${digest}`);
    t.deepEqual([answer.statusCode, problemOf(answer).slug], [400, 'malformed-request']);
  });
}

test('by issuer and id: the same answer', async (t) => {
  const api = await Api.make(t);
  const posted = await api.submit(api.rig.envelope({ id: 'a' }));
  t.is((await api.get('/v1/submissions?issuer=dev&id=a')).body, posted.body);
  const other = await api.get('/v1/submissions?issuer=other&id=a');
  t.deepEqual([other.statusCode, problemOf(other).slug], [404, 'unknown-submission']);
});

for (const query of ['', '?issuer=dev', '?id=a', '?issuer=dev&id=a&id=b']) {
  test(`GET /v1/submissions${query} → 400`, async (t) => {
    const api = await Api.make(t);
    const answer = await api.get(`/v1/submissions${query}`);
    t.deepEqual([answer.statusCode, problemOf(answer).slug], [400, 'malformed-request']);
  });
}

test('one PCS under two issuers: each is found by its own name', async (t) => {
  const api = await Api.make(t);
  const { rig } = api;
  const entry = pcsEntry(rig.kit);
  await api.submit(Buffer.from(entry.raw), {}, '/v1/pcs/submit');
  // The key has another owner from here on, and the client of today sends the same body.
  const wish = { clients: [{ ...hmacClient(rig.kit.validators[0]!), issuer: 'heir' }], kinds: [] };
  const registry = { version: 1, ...wish } as JsonObject;
  rig.keyring.update(JSON.stringify(registry));
  const [first] = [...rig.ledger.values()];
  const heir = { ...first!.entries[0]!, issuer: 'heir' };
  rig.ledger.set(2, { ...first!, header: { ...first!.header, height: 2 }, entries: [heir] });
  const found = (await api.get(`/v1/submissions?issuer=heir&id=${entry.prepared.id}`)).json<JsonObject>();
  t.is((found.receipt as JsonObject).height, 2);
  const before = (await api.get(`/v1/submissions?issuer=hmac&id=${entry.prepared.id}`)).json<JsonObject>();
  t.is((before.receipt as JsonObject).height, 1);
});

// --- the ledger

async function chainOf(api: Api, blocks: number, text = 'short'): Promise<void> {
  for (let i = 1; i <= blocks; i++) await api.submit(api.rig.envelope({ id: `s${i}`, payload: { text } }));
}

test('the ledger is read in pages that lead to each other and end with next: null', async (t) => {
  const api = await Api.make(t);
  await chainOf(api, 5);
  const heights: number[] = [];
  const next: unknown[] = [];
  for (let from: number | null = 1; from !== null; ) {
    const page: { blocks: { height: number }[]; next: number | null } = (
      await api.get(`/v1/ledger?from=${from}&limit=2`)
    ).json();
    heights.push(...page.blocks.map(({ height }) => height));
    next.push(page.next);
    from = page.next;
  }
  t.deepEqual(heights, [1, 2, 3, 4, 5]);
  t.deepEqual(next, [3, 5, null]);
});

test('a page may begin past the tip, and has a size of its own', async (t) => {
  const api = await Api.make(t);
  t.deepEqual((await api.get('/v1/ledger')).json(), { blocks: [], next: null });
  await chainOf(api, 22);
  const page = (await api.get('/v1/ledger')).json<{ blocks: unknown[]; next: number }>();
  t.deepEqual([page.blocks.length, page.next], [20, 21]);
  t.deepEqual((await api.get('/v1/ledger?from=23')).json(), { blocks: [], next: null });
});

test('a page stops growing at its bound in bytes, and the next one goes on', async (t) => {
  const api = await Api.make(t, { body_bytes: 262_144 });
  // Twenty bodies of 240 kB: over the 4 MiB of a page.
  await chainOf(api, 20, 'x'.repeat(240_000));
  const page = (await api.get('/v1/ledger')).json<{ blocks: unknown[]; next: number }>();
  t.deepEqual([page.blocks.length, page.next], [18, 19]);
});

for (const query of [
  'from=0',
  'from=-1',
  'from=1.5',
  'from=x',
  'from=1e3',
  'limit=0',
  'limit=101',
  'from=1&from=2',
  'limit=',
  'from=9999999999999999',
]) {
  test(`GET /v1/ledger?${query} → 400`, async (t) => {
    const api = await Api.make(t);
    const answer = await api.get(`/v1/ledger?${query}`);
    t.deepEqual([answer.statusCode, problemOf(answer).slug], [400, 'malformed-request']);
  });
}

test('GET /v1/validators is the file that verify takes; GET /v1/status tells the tip and what is in hand', async (t) => {
  const api = await Api.make(t);
  const { kit } = api.rig;
  const validators = parseStrict(Buffer.from((await api.get('/v1/validators')).body));
  t.is(canonicalize(validators), canonicalize(validatorSetJson(kit.set)));
  const before = (await api.get('/v1/status')).json<JsonObject>();
  t.like(before, {
    node_id: 'node_0',
    public_key: kit.validators[0]!.publicKey.toString('hex'),
    chain_id: kit.genesis.chainIdHex,
    height: 0,
    hash: kit.genesis.chainIdHex,
    waiting: 0,
  });
  const posted = api.post('/v1/submissions', api.rig.envelope({ id: 'a' }));
  await until(() => api.rig.chain.mempool.size === 1);
  t.like((await api.get('/v1/status')).json(), { waiting: 1, pending: 1, inHand: 1, parked: 0 });
  const made = api.rig.produce();
  await posted;
  t.like((await api.get('/v1/status')).json(), { height: 1, hash: made.hash, waiting: 0 });
});
