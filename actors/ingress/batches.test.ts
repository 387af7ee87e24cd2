import { Buffer } from 'node:buffer';
import test from 'ava';
import { canonicalize } from '../../protocol/canonical.js';
import { type JsonObject, parseStrict } from '../../protocol/json.js';
import { until } from '../testing/links.js';
import { Api, problemOf } from './server-fixture.js';

interface Result {
  readonly status: number;
  readonly body: JsonObject;
}

function batchOf(...raws: readonly Buffer[]): string {
  return `{"submissions":[${raws.join(',')}]}`;
}

test('IN-3: one result an entry, in order; one bad entry spoils no other', async (t) => {
  const api = await Api.make(t);
  const { rig } = api;
  const raws = [rig.envelope({ id: 'a' }), Buffer.from('7'), rig.envelope({ id: 'b' }), Buffer.from('{"kind":"note"}')];
  const answer = await api.submit(Buffer.from(batchOf(...raws)), {}, '/v1/submissions:batch');
  t.is(answer.statusCode, 207);
  const { results } = answer.json<{ results: Result[] }>();
  t.deepEqual(
    results.map(({ status }) => status),
    [200, 400, 200, 400],
  );
  t.is(results[0]!.body.state, 'final');
  t.is(results[1]!.body.type, 'urn:problem-type:quorate:malformed-envelope');
  t.is(rig.chain.blocks[0]!.result.accepted.length, 2, 'they went into one block');
  await rig.settle(t);
});

test('the stored body of an entry is its canonical form', async (t) => {
  const api = await Api.make(t);
  const raw = api.rig.envelope({ id: 'a' });
  await api.submit(Buffer.from(batchOf(raw)), {}, '/v1/submissions:batch');
  t.is(api.rig.log.bodyAt(1), canonicalize(parseStrict(raw)));
});

test('a batch and a single submission of the same content are one', async (t) => {
  const api = await Api.make(t);
  const raw = api.rig.envelope({ id: 'a' });
  const single = await api.submit(raw);
  const answer = await api.post('/v1/submissions:batch', batchOf(raw, raw));
  for (const { status, body } of answer.json<{ results: Result[] }>().results) {
    t.is(status, 200);
    t.deepEqual(body, single.json());
  }
});

test('an empty batch has no results', async (t) => {
  const api = await Api.make(t);
  const answer = await api.post('/v1/submissions:batch', batchOf());
  t.deepEqual([answer.statusCode, answer.json()], [207, { results: [] }]);
});

test('IN-8: an entry over the limit of one submission is refused alone, and never reaches the log', async (t) => {
  const api = await Api.make(t);
  const large = Buffer.from(JSON.stringify({ text: 'x'.repeat(2_000) }));
  const answer = await api.submit(
    Buffer.from(batchOf(large, api.rig.envelope({ id: 'a' }))),
    {},
    '/v1/submissions:batch',
  );
  const { results } = answer.json<{ results: Result[] }>();
  t.deepEqual(
    results.map(({ status }) => status),
    [413, 200],
  );
  t.is(results[0]!.body.limit_bytes, 2_000);
  t.is(api.rig.log.nextLsn, 2);
});

test('more entries than allowed → 413 as a whole', async (t) => {
  const api = await Api.make(t);
  const raws = Array.from({ length: 5 }, () => Buffer.from('{}'));
  const answer = await api.post('/v1/submissions:batch', batchOf(...raws));
  t.deepEqual([answer.statusCode, problemOf(answer).slug], [413, 'batch-too-long']);
  t.is(problemOf(answer).body.limit_entries, 4);
  t.is(api.rig.log.nextLsn, 1);
});

const NO_BATCHES: readonly (readonly [body: string, slug: string])[] = [
  ['{"submissions":', 'malformed-json'],
  ['{"submissions":[],"submissions":[]}', 'malformed-json'],
  ['[]', 'malformed-envelope'],
  ['null', 'malformed-envelope'],
  ['{}', 'malformed-envelope'],
  ['{"submissions":{}}', 'malformed-envelope'],
  ['{"submissions":[],"more":1}', 'malformed-envelope'],
];

for (const [body, slug] of NO_BATCHES) {
  test(`IN-11: ${body} → 400 ${slug}`, async (t) => {
    const api = await Api.make(t);
    const answer = await api.post('/v1/submissions:batch', body);
    t.deepEqual([answer.statusCode, problemOf(answer).slug], [400, slug]);
  });
}

test('what the door refuses is the result of each entry; what waits is 202 when the wait is over', async (t) => {
  const api = await Api.make(t);
  api.rig.log.link.goDown();
  const away = await api.post('/v1/submissions:batch', batchOf(api.rig.envelope({ id: 'a' })));
  t.is(away.json<{ results: Result[] }>().results[0]!.status, 503);
  api.rig.log.link.goUp();
  const waiting = api.post('/v1/submissions:batch', batchOf(api.rig.envelope({ id: 'a' })), { prefer: 'wait=1' });
  await until(() => api.rig.chain.mempool.size === 1);
  await api.rig.pass(1_000);
  t.is((await waiting).json<{ results: Result[] }>().results[0]!.status, 202);
});
