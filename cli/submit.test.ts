// `quorate submit` and `quorate receipt` against a scripted node: every answer the interface names, and none at all.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { prepareEnvelope } from '../protocol/submission.js';
import {
  CLIENT_KEY,
  dataDirectoryOf,
  fakeNode,
  type Heard,
  type Reply,
  removeDirectory,
  run,
  writeClientKey,
} from './testkit.js';

const DATA = ['--data', '{"text":"hi"}'];

test('OP-1: submit --json prints the receipt itself, the human form says what to do next', async (t) => {
  const { node, directory } = await setUp(t, (request) => ({ status: 200, body: finalOf(request) }));
  const json = await run(['submit', ...DATA, '--id', 'order-17', '--data-dir', directory, '--json']);
  t.is(json.code, 0, json.err);
  const [sent] = node.heard;
  t.deepEqual(JSON.parse(json.out), receiptOf(sent!.body));
  t.is(json.err, '');
  t.like(sent!, { method: 'POST', url: '/v1/submissions' });
  t.is(sent!.headers['content-type'], 'application/json');
  t.is(sent!.headers.prefer, 'wait=5');
  const envelope = JSON.parse(sent!.body.toString());
  t.like(envelope, {
    kind: 'note',
    id: 'order-17',
    issuer: 'dev',
    issued_at: '2026-11-20T12:00:00.000Z',
    payload: { text: 'hi' },
  });

  const human = await run(['submit', ...DATA, '--data-dir', directory]);
  t.is(human.code, 0);
  t.regex(human.out, /^final\n {2}kind +note\n {2}id +[0-9a-f-]{36}\n {2}digest +[0-9a-f]{64}\n/);
  t.regex(human.out, /signed by +1 validator\n/);
  t.regex(human.out, /Next: quorate receipt [0-9a-f]{64} --json > r\.json/);
  t.false((human.out + human.err + json.out).includes(CLIENT_KEY.seed));
});

test('DECISIONS 32: --durable quorum is content with 202 of a quorum, and with nothing less', async (t) => {
  let durable = 'quorum';
  const { node, directory } = await setUp(t, (request) =>
    request.method === 'GET'
      ? { status: 200, body: { state: 'durable' } }
      : {
          status: 202,
          body: { state: 'durable', digest: prepareEnvelope(request.body).digest.toString('hex'), durable },
        },
  );
  const ask = (...more: string[]) => run(['submit', ...DATA, '--durable', 'quorum', '--data-dir', directory, ...more]);
  const json = await ask('--json');
  t.is(json.code, 0, json.err);
  t.is(node.heard[0]!.headers.prefer, 'wait=5, durable=quorum');
  t.deepEqual(
    node.heard.map(({ method }) => method),
    ['POST'],
    'nobody asks for a receipt',
  );
  t.deepEqual(JSON.parse(json.out), {
    state: 'durable',
    digest: prepareEnvelope(node.heard[0]!.body).digest.toString('hex'),
    durable: 'quorum',
  });
  t.regex((await ask()).out, /^durable on the disks of a quorum, not final yet\n/);
  t.is((await ask('--wait', '0')).code, 0);
  durable = 'node';
  const less = await ask('--wait', '1');
  t.is(less.code, 69);
  t.regex(less.out, /^durable on the node's disk, not final yet\n/);
  t.is((await ask('--wait', '0')).code, 69);
  const wrong = await run(['submit', ...DATA, '--durable', 'node', '--data-dir', directory]);
  t.is(wrong.code, 64);
  t.regex(wrong.err, /--durable is "node", allowed is quorum/);
});

test('the payload comes from the argument, a file or stdin; --envelope-out keeps the signed bytes', async (t) => {
  const { node, directory } = await setUp(t, (request) => ({ status: 200, body: finalOf(request) }));
  const file = join(directory, 'p.json');
  writeFileSync(file, '{"text":"from a file"}');
  const envelope = join(directory, 'e.json');
  t.is((await run(['submit', '--data', `@${file}`, '--data-dir', directory, '--envelope-out', envelope])).code, 0);
  t.is((await run(['submit', '--data', '-', '--data-dir', directory], { stdin: '{"text":"from stdin"}' })).code, 0);
  t.is((await run(['submit', ...DATA, '--kind', 'order'], { env: { QUORATE_DATA_DIR: directory } })).code, 0);
  const env = { QUORATE_API: node.url, QUORATE_KEY: join(directory, 'keys', 'dev-client.json') };
  t.is((await run(['submit', ...DATA, '--kind', 'away', '--data-dir', '/no/such'], { env })).code, 0);
  t.deepEqual(
    node.heard.map(({ body }) => [JSON.parse(body.toString()).kind, JSON.parse(body.toString()).payload.text]),
    [
      ['note', 'from a file'],
      ['note', 'from stdin'],
      ['order', 'hi'],
      ['away', 'hi'],
    ],
  );
  t.deepEqual(readFileSync(envelope), node.heard[0]!.body);
});

test('busy, restarting and cut connections are met with the same bytes again, as Retry-After says', async (t) => {
  const replies: Reply[] = [
    { status: 503, headers: { 'retry-after': '2' }, body: { title: 'The node is starting' } },
    { status: 429, headers: { 'retry-after': '1' }, body: { title: 'Too many requests' } },
    { status: 0, hangUp: true },
    { status: 409, headers: { 'retry-after': '1' }, body: { title: 'Still in flight' } },
    { status: 502 },
  ];
  const { node, directory } = await setUp(
    t,
    (request, index) => replies[index] ?? { status: 200, body: finalOf(request) },
  );
  const { code, out, err, pauses } = await run(['submit', ...DATA, '--data-dir', directory, '--json']);
  t.is(code, 0, err);
  t.is(node.heard.length, 6);
  for (const { body } of node.heard) t.deepEqual(body, node.heard[0]!.body);
  t.deepEqual(pauses, [2100, 1050, 400, 1050, 1600]);
  t.deepEqual(JSON.parse(out), receiptOf(node.heard[0]!.body));
  t.regex(err, /503 The node is starting; again in 2\.1 s\n/);
  t.is(err.split('\n').length, 6);
});

test('repeating ends: after half a minute, or when the node asks for more time than that', async (t) => {
  const busy = await setUp(t, () => ({ status: 503 }));
  const worn = await run(['submit', ...DATA, '--id', 'a', '--data-dir', busy.directory, '--json']);
  t.is(worn.code, 69);
  const pausedMs = worn.pauses.reduce((sum, pause) => sum + pause, 0);
  t.true(pausedMs > 20_000 && pausedMs <= 30_000, String(pausedMs));
  t.is(JSON.parse(worn.out).error.exit, 69);
  t.is(JSON.parse(worn.out).error.id, 'a');
  t.regex(worn.err, /Repeating it is safe: the same command with --id a --issued-at 2026-11-20T12:00:00\.000Z/);

  const away = await setUp(t, () => ({ status: 503, headers: { 'retry-after': '60' } }));
  const told = await run(['submit', ...DATA, '--data-dir', away.directory]);
  t.is(told.code, 69);
  t.is(told.out, '');
  t.deepEqual(told.pauses, []);
  t.regex(told.err, /no answer after 1 attempt: 503 .*The node asks to wait 60 s\./);
});

test('--id and --issued-at repeat an earlier submission byte for byte', async (t) => {
  const { node, directory } = await setUp(t, (request) => ({ status: 200, body: finalOf(request) }));
  const again = ['submit', ...DATA, '--id', 'a', '--issued-at', '2026-11-19T00:00:00.123Z', '--data-dir', directory];
  await run(again);
  await run(again);
  t.deepEqual(node.heard[0]!.body, node.heard[1]!.body);
});

test('a refusal ends at once, with its reasons, under the documented exit code', async (t) => {
  const stories: [number, object, number, RegExp][] = [
    [
      400,
      { title: 'Not the shape', errors: [{ pointer: '/id', found: '""', allowed: 'text' }] },
      65,
      /\/id: found "", allowed is text/,
    ],
    [401, { title: 'Bad signature', hint: 'Sign it well.' }, 77, /401 Bad signature\n {2}Sign it well\./],
    [403, { title: 'Not allowed' }, 77, /403 Not allowed/],
    [409, { title: 'Taken', detail: 'by another' }, 65, /409 Taken: by another\n {2}Choose another --id, or repeat/],
    [413, { title: 'Too large' }, 65, /413 Too large/],
    [422, { title: 'Unknown kind' }, 65, /422 Unknown kind/],
    [400, 'plain text' as unknown as object, 65, /400 no explanation/],
  ];
  for (const [status, body, exit, expected] of stories) {
    const { node, directory } = await setUp(t, () => ({ status, body }));
    const { code, err, out, pauses } = await run(['submit', ...DATA, '--data-dir', directory]);
    t.is(code, exit, String(status));
    t.regex(err, expected);
    t.is(out, '');
    t.is(node.heard.length, 1);
    t.deepEqual(pauses, []);
  }
});

test('202: the receipt is polled for, until it is there or the time is over', async (t) => {
  const { node, directory } = await setUp(t, ({ method, ...request }, index) => {
    if (method === 'POST') return { status: 202, body: { state: 'durable', digest: digestOf(request.body) } };
    if (index < 3) return { status: 200, body: { state: 'durable', outcome: null } };
    return { status: 200, body: finalOf(node.heard[0]!) };
  });
  const { code, out, err } = await run(['submit', ...DATA, '--data-dir', directory, '--json']);
  t.is(code, 0, err);
  const digest = digestOf(node.heard[0]!.body);
  t.is(JSON.parse(out).digest, digest);
  t.deepEqual(
    node.heard.slice(1).map(({ url }) => url),
    Array(3).fill(`/v1/submissions/${digest}`),
  );

  const never = await setUp(t, ({ method }) =>
    method === 'POST' ? { status: 202, body: { state: 'durable' } } : { status: 503 },
  );
  const durable = await run(['submit', ...DATA, '--data-dir', never.directory, '--wait', '3', '--json']);
  t.is(durable.code, 69);
  t.is(JSON.parse(durable.out).state, 'durable');
  t.regex(durable.err, /not final after 3 s\. Ask again with "quorate receipt [0-9a-f]{64}"/);
});

test('--wait 0 asks for durability alone and is content with it', async (t) => {
  const { node, directory } = await setUp(t, () => ({ status: 202, body: { state: 'durable' } }));
  const { code, out } = await run(['submit', ...DATA, '--data-dir', directory, '--wait', '0']);
  t.is(code, 0);
  t.is(node.heard.length, 1);
  t.is(node.heard[0]!.headers.prefer, 'respond-async');
  t.regex(
    out,
    /^durable on the node's disk, not final yet\n {2}digest {2}[0-9a-f]{64}\nNext: quorate receipt [0-9a-f]{64}\n$/,
  );
});

test('rejected after it was durable: the status of the outcome decides the exit code', async (t) => {
  const { directory } = await setUp(t, ({ method }) =>
    method === 'POST'
      ? { status: 202, body: { state: 'durable' } }
      : { status: 200, body: { state: 'rejected', outcome: { status: 401, detail: 'key outside its window' } } },
  );
  const { code, err } = await run(['submit', ...DATA, '--data-dir', directory]);
  t.is(code, 77);
  t.regex(err, /401 Rejected after it was stored: key outside its window/);
});

test('a receipt of another submission settles nothing', async (t) => {
  const body = { state: 'final', outcome: {}, receipt: { digest: 'ab'.repeat(32) } };
  const { directory } = await setUp(t, () => ({ status: 200, body }));
  const { code, err } = await run(['submit', ...DATA, '--data-dir', directory]);
  t.is(code, 69);
  t.regex(err, /the receipt is for "abab/);
});

test('what is wrong before anything is sent: exit codes and remedies', async (t) => {
  const { node, directory } = await setUp(t, () => ({ status: 500 }));
  const key = join(directory, 'broken.json');
  writeFileSync(key, JSON.stringify({ ...CLIENT_KEY, public_key: 'ab'.repeat(32) }));
  const stories: [string[], number, RegExp][] = [
    [[], 64, /--data is missing/],
    [['--data', '{'], 65, /--data: not JSON/],
    [['--data', '{"a":1,"a":2}'], 65, /--data: not JSON: .*a/],
    [['--data', '[]'], 65, /no object/],
    [['--data', '@/no/such/file'], 65, /no such file/],
    [[...DATA, '--id', 'a b'], 64, /not a submission: id: found the string "a b", allowed is 1 to 128/],
    [[...DATA, '--kind', 'Note'], 64, /kind: found the string "Note"/],
    [[...DATA, '--issued-at', 'now'], 64, /--issued-at is "now"/],
    [[...DATA, '--wait', 'long'], 64, /--wait is "long", allowed is a whole number from 0 to 3600/],
    [[...DATA, '--api', 'localhost:8080'], 64, /no address, allowed is such as http/],
    [[...DATA, '--key', '/no/key.json'], 65, /no such key file\.\n.*keys client NAME/],
    [[...DATA, '--key', key], 65, /does not belong to the seed/],
    [[...DATA, '--envelope-out', '/no/such/dir/e'], 73, /cannot be written/],
    [['now'], 64, /unexpected argument "now"/],
  ];
  for (const [argv, exit, expected] of stories) {
    const { code, err } = await run(['submit', '--data-dir', directory, ...argv]);
    t.is(code, exit, argv.join(' '));
    t.regex(err, expected, argv.join(' '));
    t.false(err.includes(CLIENT_KEY.seed));
  }
  t.is(node.heard.length, 0);
  const nowhere = await run(['submit', ...DATA, '--data-dir', '/no/such/data']);
  t.is(nowhere.code, 69);
  t.regex(nowhere.err, /no node is running on \/no\/such\/data .*\n.*quorate start/);
});

test('receipt: final, durable, unknown, rejected', async (t) => {
  const digest = 'cd'.repeat(32);
  const stories: [Reply, number, RegExp, RegExp][] = [
    [
      { status: 200, body: { state: 'final', outcome: {}, receipt: { digest, height: 3 } } },
      0,
      /^final\n {2}digest {2}cdcd.*\n {2}height {2}3\n$/,
      /^$/,
    ],
    [{ status: 200, body: { state: 'durable' } }, 69, /^$/, /durable on this node, not final yet/],
    [{ status: 404, body: { title: 'Unknown' } }, 65, /^$/, /404 Unknown/],
    [{ status: 200, body: { state: 'rejected', outcome: { status: 422 } } }, 65, /^$/, /422 Rejected/],
  ];
  for (const [reply, exit, out, err] of stories) {
    const { node, directory } = await setUp(t, () => reply);
    const ran = await run(['receipt', digest.toUpperCase(), '--data-dir', directory]);
    t.is(ran.code, exit);
    t.regex(ran.out, out);
    t.regex(ran.err, err);
    t.is(node.heard[0]!.url, `/v1/submissions/${digest}`);
  }
  const { directory } = await setUp(t, () => stories[0]![0]);
  const json = await run(['receipt', digest, '--data-dir', directory, '--json']);
  t.deepEqual(JSON.parse(json.out), { digest, height: 3 });
  const waits = await setUp(t, (_, index) =>
    index < 4 ? { status: 200, body: { state: 'durable' } } : stories[0]![0],
  );
  t.is((await run(['receipt', digest, '--data-dir', waits.directory, '--wait', '10'])).code, 0);
  t.is((await run(['receipt', 'abc'])).code, 64);
});

/** A scripted node and a data directory that leads to it, with the client key in place. */
async function setUp(t: ExecutionContext, reply: (request: Heard, index: number) => Reply) {
  const node = await fakeNode(reply);
  const directory = dataDirectoryOf({ api: node.url, ops: node.url });
  writeClientKey(directory);
  t.teardown(() => node.close());
  t.teardown(() => removeDirectory(directory));
  return { node, directory };
}

function digestOf(body: Buffer): string {
  return prepareEnvelope(body).digest.toString('hex');
}

function receiptOf(body: Buffer): object {
  const certificate = { epoch: 0, view: 1, signers: ['node_a'], signatures: ['AA=='] };
  return {
    version: 1,
    digest: digestOf(body),
    outcome: { accepted: true, status: 200 },
    height: 1,
    index: 0,
    certificate,
  };
}

function finalOf({ body }: Heard): object {
  return { state: 'final', outcome: { accepted: true, status: 200 }, receipt: receiptOf(body) };
}
