// What the node refuses, and how it says so: every status of the client API, always as a problem document under the
// request's id, and nothing of a refused submission left behind.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import { isProblem } from './assertions.js';
import { Client, HmacClient, register, type Signed } from './clients.js';
import { type Answer, exchange } from './http.js';
import { eventually, Subject } from './subject.js';

const HOUR_MS = 3_600_000;
const time = (ms: number) => new Date(ms).toISOString();

const open = new Client('open');
const expired = new Client('expired');
const early = new Client('early');
const narrow = new Client('narrow');
const reader = new Client('reader');
const shared = new HmacClient('shared');
/** One client, two keys: the old one's window has closed. */
const rotated = new Client('rotated');
const rotatedOld = new Client('rotated', Buffer.alloc(32, 7));

let subject: Subject;

test.before(async () => {
  const nowMs = Date.now();
  const rotation: JsonObject = {
    issuer: 'rotated',
    keys: [
      { key_id: 'old', alg: 'ed25519', public_key: rotatedOld.publicKey, not_after: time(nowMs - HOUR_MS) },
      { key_id: 'new', alg: 'ed25519', public_key: rotated.publicKey, not_before: time(nowMs - 2 * HOUR_MS) },
    ],
  };
  subject = await Subject.start({
    clients: [
      register(open),
      register(expired, {}, { not_after: time(nowMs - HOUR_MS) }),
      register(early, {}, { not_before: time(nowMs + HOUR_MS) }),
      register(narrow, {}, { kinds: ['reading'] }),
      register(reader, { roles: ['read'] }),
      register(shared),
      rotation,
    ],
    // Three refusals of this file wait for a limit to pass.
    settings: { limits: { server_timeout_ms: 1_500, wait_default_ms: 1_400 } },
  });
});

test.after.always(() => subject?.dispose());

// --- 400 ---

const NOT_JSON: readonly (readonly [what: string, body: string | Uint8Array])[] = [
  ['nothing', ''],
  ['white space', ' \n'],
  ['text', 'hello'],
  ['a cut object', '{"kind":"note"'],
  ['two values', '{}{}'],
  ['a comma too many', '{"kind":"note",}'],
  ['a duplicate name', '{"kind":"note","kind":"note"}'],
  ['a duplicate name inside the payload', '{"payload":{"text":"a","text":"a"}}'],
  ['a duplicate name, once escaped', '{"kind":"note","\\u006bind":"note"}'],
  ['a lone surrogate', '{"payload":{"text":"\\ud800"}}'],
  ['a lone surrogate as a name', '{"\\udfff":1}'],
  ['an integer out of range', '{"payload":{"n":9007199254740993}}'],
  ['a number out of range', '{"payload":{"n":1e400}}'],
  ['NaN', '{"payload":{"n":NaN}}'],
  ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
  ['a byte order mark', '\ufeff{}'],
  ['a hundred levels', `${'['.repeat(100)}${']'.repeat(100)}`],
];

test('IN-1, IN-11: what is not strict JSON is 400, and says where', async (t) => {
  for (const [what, body] of NOT_JSON) {
    // A PCS has a 64-bit field.
    const pcs = what === 'an integer out of range' ? [] : ['/v1/pcs/submit'];
    for (const path of ['/v1/submissions', '/v1/submissions:batch', ...pcs]) {
      const answer = await subject.api.post(path, body);
      isProblem(t, answer, 400, 'malformed-json');
      t.truthy(answer.body.detail, what);
      if (what !== 'nothing') t.regex(answer.body.detail!, /line \d+, column \d+/, what);
    }
  }
});

test('IN-3, IN-11: JSON of another shape is 400 with every wrong field named', async (t) => {
  const fine = open.sign().envelope;
  const wrong: readonly (readonly [change: JsonObject, pointer: string])[] = [
    [{ kind: 'Note' }, '/kind'],
    [{ kind: 7 }, '/kind'],
    [{ id: '' }, '/id'],
    [{ id: 'with space' }, '/id'],
    [{ id: 'x'.repeat(129) }, '/id'],
    [{ issuer: null }, '/issuer'],
    [{ issued_at: 'yesterday' }, '/issued_at'],
    [{ issued_at: '2026-02-30T00:00:00Z' }, '/issued_at'],
    [{ issued_at: '2026-11-20T12:00:00+01:00' }, '/issued_at'],
    [{ payload: [] }, '/payload'],
    [{ alg: 'none' }, '/alg'],
    [{ sig: 5 }, '/sig'],
    [{ unknown_member: 1 }, '/unknown_member'],
  ];
  for (const [change, pointer] of wrong) {
    const answer = await subject.submit(JSON.stringify({ ...fine, ...change }));
    isProblem(t, answer, 400, 'malformed-envelope');
    t.deepEqual(
      answer.body.errors!.map((error) => error.pointer),
      [pointer],
    );
    t.truthy(answer.body.errors![0]!.found);
    t.truthy(answer.body.errors![0]!.allowed);
  }
  const { sig: _, ...unsigned } = fine;
  const missing = await subject.submit(JSON.stringify(unsigned));
  isProblem(t, missing, 400, 'malformed-envelope');
  for (const body of ['[]', 'null', '"text"', '7']) {
    isProblem(t, await subject.submit(body), 400, 'malformed-envelope');
    isProblem(t, await subject.submitPcs(body), 400, 'malformed-envelope');
  }
  const many = await subject.submit('{}');
  t.is(many.body.errors!.length, 7);
  const flood = await subject.submit(
    JSON.stringify(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`m${i}`, 0]))),
  );
  t.true(flood.body.errors!.length <= 20, 'the answer stays bounded');
});

test('IN-11: bytes that are no HTTP, and paths that do not decode, are 400', async (t) => {
  isProblem(t, await exchange(subject.api.base, (socket) => socket.end('hello\r\n\r\n')), 400, 'malformed-request');
  const answer = await subject.api.get('/v1/submissions/%E0%A4%A', { 'x-request-id': 'bad-path' });
  isProblem(t, answer, 400, 'malformed-request');
  t.is(answer.body.request_id, 'bad-path');
});

// --- 401 ---

test('ID-3: an unknown issuer is 401', async (t) => {
  isProblem(t, await subject.submit(new Client('nobody').sign()), 401, 'unknown-key');
  isProblem(t, await subject.submit(new HmacClient('nobody').sign()), 401, 'unknown-key');
  // A known issuer, with an algorithm that it has no key for.
  isProblem(t, await subject.submit(new HmacClient('open').sign()), 401, 'unknown-key');
});

test('ID-3: a signature that is no base64, or not of its length, is 401', async (t) => {
  const { envelope } = open.sign();
  const sig = String(envelope.sig);
  const wrong = [
    '',
    'x',
    '!!!!',
    sig.slice(0, -1),
    `${sig}====`,
    sig.replace(/=+$/, ''),
    ` ${sig}`,
    sig.slice(4),
    'AAAA',
  ];
  wrong.push(Buffer.alloc(64, 0xff).toString('base64url'), Buffer.alloc(65).toString('base64'));
  for (const each of wrong) {
    isProblem(t, await subject.submit(JSON.stringify({ ...envelope, sig: each })), 401, 'bad-signature');
  }
});

test('ID-3: any tampered field is 401', async (t) => {
  const signed: readonly [Signed, JsonObject][] = [
    [open.sign(), { issuer: 'narrow' }],
    [shared.sign(), { alg: 'hmac-sha256', id: randomUUID() }],
  ];
  for (const [{ envelope }, more] of signed) {
    const changes: JsonObject[] = [
      { kind: 'reading' },
      { id: 'another' },
      { issued_at: time(Date.now() + 1_000) },
      { payload: { text: 'another' } },
      { payload: {} },
      more,
    ];
    for (const change of changes) {
      const answer = await subject.submit(JSON.stringify({ ...envelope, ...change }));
      isProblem(t, answer, 401, 'bad-signature');
      t.notRegex(answer.text, /another/, 'nothing of the body comes back');
    }
    const bytes = Buffer.from(String(envelope.sig), 'base64');
    bytes[0]! ^= 1;
    isProblem(
      t,
      await subject.submit(JSON.stringify({ ...envelope, sig: bytes.toString('base64') })),
      401,
      'bad-signature',
    );
    t.is((await subject.submit(JSON.stringify(envelope))).status, 200, 'untouched it is fine');
  }
});

test('ID-3: a wrong key is 401, an HMAC secret as much as an Ed25519 one', async (t) => {
  isProblem(t, await subject.submit(new Client('open', Buffer.alloc(32, 1)).sign()), 401, 'bad-signature');
  isProblem(t, await subject.submit(new HmacClient('shared', 'wrong').sign()), 401, 'bad-signature');
});

test('ID-3: a key counts inside its window only, and a new key beside an old one at once', async (t) => {
  isProblem(t, await subject.submit(expired.sign()), 401, 'key-not-valid-now');
  isProblem(t, await subject.submit(early.sign()), 401, 'key-not-valid-now');
  t.is((await subject.submit(rotated.sign())).status, 200);
  isProblem(t, await subject.submit(rotatedOld.sign()), 401, 'bad-signature');
});

// --- 403 ---

test('ID-6: a known key that may not do this is 403, after its signature and not before', async (t) => {
  isProblem(t, await subject.submit(narrow.sign()), 403, 'forbidden');
  isProblem(t, await subject.submit(reader.sign()), 403, 'forbidden');
  const registry = open.sign({ kind: 'registry', payload: { clients: [], kinds: [] } });
  isProblem(t, await subject.submit(registry), 403, 'forbidden');
  for (const client of [new Client('narrow', Buffer.alloc(32, 1)), new Client('reader', Buffer.alloc(32, 1))]) {
    isProblem(t, await subject.submit(client.sign()), 401, 'bad-signature');
  }
});

// --- 404, 405 ---

test('IN-11: an unknown path is 404, a wrong method 405 with Allow', async (t) => {
  for (const path of ['/', '/v1', '/v1/nonesuch', '/v2/submissions', '/v1/submissions/', '/v1/submissions:nonesuch']) {
    const answer = await subject.api.get(path);
    if (path === '/v1/submissions/') t.true(answer.status === 404 || answer.status === 400);
    else isProblem(t, answer, 404, 'no-such-route');
  }
  const digest = '00'.repeat(32);
  const calls: readonly (readonly [method: string, path: string, allow: string])[] = [
    ['PUT', '/v1/submissions', 'GET, POST'],
    ['DELETE', `/v1/submissions/${digest}`, 'GET'],
    ['POST', `/v1/submissions/${digest}`, 'GET'],
    ['GET', '/v1/submissions:batch', 'POST'],
    ['GET', '/v1/pcs/submit', 'POST'],
    ['PATCH', '/v1/pcs/submit', 'POST'],
    ['POST', '/v1/ledger', 'GET'],
    ['POST', '/v1/status?x=1', 'GET'],
    ['OPTIONS', '/v1/validators', 'GET'],
  ];
  for (const [method, path, allow] of calls) {
    const answer = await subject.api.call(path, { method, ...(method === 'POST' ? { body: '{}' } : {}) });
    isProblem(t, answer, 405, 'method-not-allowed');
    t.is(answer.headers.allow, allow, `${method} ${path}`);
  }
});

// --- 408 ---

test('IN-8: a body that does not arrive in time is 408, under the id that the client gave', async (t) => {
  const head = 'POST /v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: slow-1\r\n';
  const answers = await Promise.all([
    exchange(subject.api.base, (socket) => socket.write(`${head}Content-Length: 100\r\n\r\n{"kind"`)),
    exchange(subject.api.base, (socket) => socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n7\r\n{"kind"\r\n`)),
    // Never idle, and still never done.
    exchange(subject.api.base, (socket) => void drip(socket, `${head}Content-Length: 1000\r\n\r\n`)),
  ]);
  for (const answer of answers) {
    isProblem(t, answer, 408, 'request-timeout');
    t.is(answer.body.request_id, 'slow-1');
    t.is(answer.headers.connection, 'close');
  }
});

test('IN-8: a connection that was refused a body is usable for the next request, and closed when the body never ends', async (t) => {
  const head = 'POST /v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
  const { hostname, port } = new URL(subject.api.base);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  socket.write(`${head}Content-Length: 100000\r\n\r\n${' '.repeat(100_000)}`);
  socket.write(`${head}Content-Length: 2\r\n\r\n{}`);
  socket.write(`${head}Content-Length: 100000\r\n\r\n${' '.repeat(10)}`);
  await once(socket, 'close');
  t.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 413', 'HTTP/1.1 400', 'HTTP/1.1 413']);
});

test('IN-8: headers that do not end in time are 408', async (t) => {
  const answer = await exchange(subject.api.base, (socket) =>
    socket.write('POST /v1/submissions HTTP/1.1\r\nHost: x\r\nX-'),
  );
  isProblem(t, answer, 408, 'request-timeout');
});

async function drip(socket: import('node:net').Socket, head: string): Promise<void> {
  socket.write(head);
  while (socket.writable) {
    socket.write('x');
    await sleep(50);
    // An answer that came meanwhile is read before the next byte meets a closed connection.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// --- 409 and 422 of Idempotency-Key: submissions.test.ts ---

// --- 413, 415, 431 ---

test('IN-8: more than 64 KiB is 413, by Content-Length and counted on a chunked stream', async (t) => {
  const fits = open.sign({ text: 'x'.repeat(65_000) });
  t.true(fits.body.length < 65_536);
  t.is((await subject.submit(fits)).status, 200);
  const exactly = Buffer.alloc(65_536, 0x20);
  isProblem(t, await subject.submit(exactly), 400, 'malformed-json');
  for (const sizeBytes of [65_537, 200_000, 1_000_000, 8_000_000]) {
    for (const chunked of [false, true]) {
      const answer = await tooLarge(sizeBytes, chunked);
      isProblem(t, answer, 413, 'body-too-large');
      t.is(answer.body.limit_bytes, 65_536);
    }
  }
  const pcs = await subject.submitPcs(Buffer.alloc(70_000, 0x20));
  isProblem(t, pcs, 413, 'body-too-large');
});

/** Writes as fast as the node takes it; the answer may come in the middle. */
function tooLarge(sizeBytes: number, chunked: boolean): Promise<Answer> {
  const head = 'POST /v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
  const body = Buffer.alloc(sizeBytes, 0x20);
  return exchange(subject.api.base, (socket) => {
    if (chunked) {
      socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n${sizeBytes.toString(16)}\r\n`);
      socket.write(body);
      socket.write('\r\n0\r\n\r\n');
    } else {
      socket.write(`${head}Content-Length: ${sizeBytes}\r\n\r\n`);
      socket.write(body);
    }
  });
}

test('IN-11: another content type is 415', async (t) => {
  for (const type of [
    'text/plain',
    'application/xml',
    'application/jsonp',
    'multipart/form-data; boundary=x',
    'garbage',
  ]) {
    const answer = await subject.submit(open.sign(), { 'content-type': type });
    isProblem(t, answer, 415, 'unsupported-media-type');
  }
  for (const type of ['application/json', 'Application/JSON; charset=utf-8', 'application/vnd.quorate+json']) {
    t.is((await subject.submit(open.sign(), { 'content-type': type })).status, 200, type);
  }
  const untyped = await subject.api.call('/v1/submissions', { method: 'POST', body: open.sign().body });
  t.is(untyped.status, 200);
});

test('IN-11: headers larger than the limit are 431', async (t) => {
  const answer = await exchange(subject.api.base, (socket) =>
    socket.write(`GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`),
  );
  isProblem(t, answer, 431, 'headers-too-large');
});

// --- 422 ---

test('IN-3: an unknown kind is 422 and names the known ones', async (t) => {
  const answer = await subject.submit(open.sign({ kind: 'nonesuch' }));
  isProblem(t, answer, 422, 'unknown-kind');
  t.regex(answer.body.detail!, /note.*pcs/);
});

test('IN-3: a payload that its kind refuses is 422 with pointers, and its id is not used up', async (t) => {
  const id = randomUUID();
  const cases: readonly (readonly [payload: JsonObject, pointers: readonly string[]])[] = [
    [{}, ['/text']],
    [{ text: 5 }, ['/text']],
    [{ text: 'fine', more: 1 }, ['/more']],
    [{ 'a/b~c': 1 }, ['/text', '/a~1b~0c']],
  ];
  for (const [payload, pointers] of cases) {
    const answer = await subject.submit(open.sign({ id, payload }));
    isProblem(t, answer, 422, 'invalid-payload');
    t.deepEqual(
      answer.body.errors!.map(({ pointer }) => pointer),
      pointers,
    );
  }
  t.is((await subject.submit(open.sign({ id }))).status, 200);
});

test('IN-3: issued_at outside the horizon is 422, just inside it is final', async (t) => {
  const DAY_MS = 24 * HOUR_MS;
  for (const offsetMs of [-15 * DAY_MS, -14 * DAY_MS - 60_000, 120_000, 365 * DAY_MS]) {
    const answer = await subject.submit(open.sign({ issuedAtMs: Date.now() + offsetMs }));
    isProblem(t, answer, 422, 'outside-horizon');
    t.truthy(answer.body.detail);
  }
  for (const offsetMs of [-14 * DAY_MS + 120_000, 30_000]) {
    t.is((await subject.submit(open.sign({ issuedAtMs: Date.now() + offsetMs }))).status, 200);
  }
});

// --- X-Request-Id ---

test('IN-12: a good X-Request-Id is kept, anything else becomes a UUIDv4', async (t) => {
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  for (const id of ['a', 'A-z_0.9', 'x'.repeat(64)]) {
    t.is((await subject.submit(open.sign(), { 'x-request-id': id })).headers['x-request-id'], id);
    const refused = await subject.submit('{', { 'x-request-id': id });
    isProblem(t, refused, 400, 'malformed-json');
    t.is(refused.body.request_id, id);
  }
  for (const id of ['', 'x'.repeat(65), 'a b', 'a/b', 'ä', 'a,b', '<script>']) {
    const answer = await subject.submit('{', { 'x-request-id': id });
    isProblem(t, answer, 400, 'malformed-json');
    t.regex(String(answer.headers['x-request-id']), UUID, id);
  }
  const twice = await subject.api.call('/v1/status', { headers: { 'x-request-id': ['a', 'b'] } });
  t.regex(String(twice.headers['x-request-id']), UUID);
  for (const path of [
    '/v1/status',
    '/v1/ledger',
    '/v1/validators',
    `/v1/submissions/${'00'.repeat(32)}`,
    '/nonesuch',
  ]) {
    t.is((await subject.api.get(path, { 'x-request-id': 'on-get' })).headers['x-request-id'], 'on-get', path);
  }
});

test('IN-12: the request id stands in the log lines of the request', async (t) => {
  const id = `logged-${randomUUID()}`;
  isProblem(t, await subject.submit(new Client('nobody').sign(), { 'x-request-id': id }), 401, 'unknown-key');
  const line = await logLine(id);
  t.like(line, { event: 'http.answered', method: 'POST', route: '/v1/submissions', status: 401, actor: 'ingress' });
});

/** The node writes its lines beside the answer, not before it. */
function logLine(requestId: string): Promise<Record<string, unknown>> {
  return eventually(`a log line of request ${requestId}`, () => {
    return subject.node.logs().find((line) => line.request_id === requestId) ?? null;
  });
}

test.after('IN-1: none of all these refusals is left waiting', async (t) => {
  const { body } = await subject.api.get('/v1/status');
  t.is(body.pending, 0);
  t.is(body.parked, 0);
  const wal = await subject.admin('/actors/wal-writer', 'GET');
  t.is(wal.body.unsettled, 0);
});
