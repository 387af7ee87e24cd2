// The commands that ask or administer a running node: status, actors, reload.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataDirectoryOf, fakeNode, type Heard, type Reply, removeDirectory, run } from './testkit.js';

const ACTORS = [
  {
    id: 'wal-writer',
    state: 'up',
    incarnation: 1,
    restarts: 0,
    breaker: 'closed',
    upForMs: 5_000,
    mailboxDepth: 0,
    standby: true,
    threadTid: 4711,
  },
  {
    id: 'dedup',
    state: 'backoff',
    incarnation: 3,
    restarts: 2,
    breaker: 'open',
    upForMs: null,
    startsInMs: 12_000,
    mailboxDepth: 7,
    standby: false,
    threadTid: null,
    lastExit: { reason: 'error', detail: 'boom' },
  },
];
const NODE = { node_id: 'node_a', chain_id: 'ab', height: 12, mode: 'development' };

function healthy({ url }: Heard): Reply {
  if (url === '/v1/status') return { status: 200, body: NODE };
  if (url === '/readyz')
    return { status: 200, body: { status: 'pass', checks: [{ name: 'log', ok: true, detail: '' }] } };
  return { status: 200, body: { actors: ACTORS } };
}

test('OP-1: status shows identity, ledger, readiness and actors', async (t) => {
  const { node, directory } = await setUp(t, healthy);
  const human = await run(['status', '--data-dir', directory]);
  t.is(human.code, 0, human.err);
  t.regex(human.out, /^ready\n/);
  t.regex(human.out, / height +12\n/);
  t.regex(human.out, / dedup +backoff +starts in 12 s +3 +2 +open +7 +none +- +error\n/);
  t.regex(human.out, / wal-writer +up +5\.0 s +1 +0 +closed +0 +ready +4711 +-\n/);
  const json = await run(['status', '--data-dir', directory, '--json']);
  t.deepEqual(JSON.parse(json.out), {
    api: node.url,
    ops: node.url,
    ready: true,
    failing: [],
    node: NODE,
    actors: ACTORS,
  });
  const admin = node.heard.filter(({ url }) => url.startsWith('/v1/admin'));
  t.deepEqual([...new Set(admin.map(({ headers }) => headers.authorization))], ['Bearer secret-token']);
  const open = node.heard.filter(({ url }) => !url.startsWith('/v1/admin'));
  t.deepEqual([...new Set(open.map(({ headers }) => headers.authorization))], [undefined]);
});

test('a node that is not ready: the failing checks, and exit 69', async (t) => {
  const checks = [
    { name: 'store', ok: true, detail: 'height 3' },
    { name: 'wal-writer:log', ok: false, detail: 'quarantined: run "quorate wal repair"' },
    { name: 'quorum', ok: false, detail: '' },
  ];
  const { directory } = await setUp(t, (request) =>
    request.url === '/readyz' ? { status: 503, body: { status: 'fail', checks } } : healthy(request),
  );
  const { code, out } = await run(['status', '--data-dir', directory]);
  t.is(code, 69);
  t.regex(out, /^not ready\n {2}wal-writer:log: quarantined: run "quorate wal repair"\n {2}quorum\n/);
});

test('without the admin token the rest of the status is still shown', async (t) => {
  const { directory } = await setUp(t, healthy);
  rmSync(join(directory, 'run', 'admin.token'));
  const { code, out } = await run(['status', '--data-dir', directory]);
  t.is(code, 0);
  t.regex(out, /actors are not shown: .*admin\.token is missing/);
  const json = await run(['status', '--data-dir', directory, '--json']);
  t.is(JSON.parse(json.out).actors, null);
});

test('no node: exit 69 and what to do, as JSON too', async (t) => {
  const { node, directory } = await setUp(t, healthy);
  await node.close();
  for (const argv of [['status'], ['actors', 'list'], ['actors', 'kill', 'dedup'], ['reload']]) {
    const { code, err, out } = await run([...argv, '--data-dir', directory, '--json']);
    t.is(code, 69, argv.join(' '));
    t.regex(err, /does not answer: connect ECONNREFUSED 127\.0\.0\.1:\d+\.\n {2}Check that the node runs/);
    t.is(JSON.parse(out).error.exit, 69);
    t.is((await run([...argv, '--data-dir', '/no/such/data'])).code, 69);
  }
});

test('actors list: a table, or the rows as the node gave them', async (t) => {
  const { directory } = await setUp(t, healthy);
  const human = await run(['actors', 'list', '--data-dir', directory]);
  t.regex(
    human.out,
    /^actor +state +since +incarnation +restarts +breaker +mailbox +standby +tid +last exit\nwal-writer /,
  );
  const json = await run(['actors', 'list', '--data-dir', directory, '--json']);
  t.deepEqual(JSON.parse(json.out), { actors: ACTORS });
  const odd = await setUp(t, () => ({ status: 200, body: { actors: [{ name: 'x' }] } }));
  t.is((await run(['actors', 'list', '--data-dir', odd.directory])).code, 65);
});

test('actors restart, reset, kill: one POST with the token', async (t) => {
  for (const verb of ['restart', 'reset', 'kill']) {
    const { node, directory } = await setUp(t, () => ({ status: 200, body: { incarnation: 2 } }));
    const { code, out } = await run(['actors', verb, 'wal-writer', '--data-dir', directory, '--json']);
    t.is(code, 0);
    const by = verb === 'kill' ? { by: 'terminate' } : {};
    t.deepEqual(JSON.parse(out), { actor: 'wal-writer', action: verb, ...by, incarnation: 2 });
    t.like(node.heard[0]!, { method: 'POST', url: `/v1/admin/actors/wal-writer/${verb}` });
    t.is(node.heard[0]!.headers.authorization, 'Bearer secret-token');
  }
  const { node, directory } = await setUp(t, () => ({
    status: 404,
    body: { title: 'No such actor', detail: 'there are a, b' },
  }));
  const { code, err } = await run(['actors', 'restart', '../x', '--data-dir', directory]);
  t.is(code, 65);
  t.regex(err, /404 No such actor: there are a, b/);
  t.is(node.heard[0]!.url, '/v1/admin/actors/..%2Fx/restart');
  t.is((await run(['actors', 'restart', '--data-dir', directory])).code, 64);
});

test('actors kill --by: one POST that names the misdeed; one that does not exist is 64 and asks nothing', async (t) => {
  const { node, directory } = await setUp(t, () => ({ status: 200, body: {} }));
  t.is((await run(['actors', 'kill', 'dedup', '--by', 'loop', '--data-dir', directory])).code, 0);
  t.is(node.heard[0]!.url, '/v1/admin/actors/dedup/drill/loop');
  const { code, err } = await run(['actors', 'kill', 'dedup', '--by', 'fire', '--data-dir', directory]);
  t.is(code, 64);
  t.regex(err, /--by fire: allowed are terminate, throw, exit, .*native/);
  t.is(node.heard.length, 1);
});

test('RT-10: actors crashes lists the bundles, newest first, and shows one; the node need not run', async (t) => {
  const { directory } = await setUp(t, () => ({ status: 200, body: {} }));
  const list = () => run(['actors', 'crashes', '--data-dir', directory, '--json']);
  t.deepEqual(JSON.parse((await list()).out).bundles, []);
  t.is((await run(['actors', 'crashes', 'latest', '--data-dir', directory])).code, 65);
  const crash = join(directory, 'crash');
  mkdirSync(crash);
  const first = '20260101T000000001Z-dedup-1.json';
  const second = '20260101T000000002Z-store-3.json';
  writeFileSync(
    join(crash, first),
    JSON.stringify({ at_ms: 1, actor: 'dedup', reason: 'hung', detail: 'd', stack: 's' }),
  );
  writeFileSync(join(crash, second), 'half a file');
  t.deepEqual(JSON.parse((await list()).out).bundles, [
    { name: second },
    { name: first, at_ms: 1, actor: 'dedup', reason: 'hung', detail: 'd' },
  ]);
  t.regex((await run(['actors', 'crashes', '--data-dir', directory])).out, /dedup-1\.json +dedup +hung +d/);
  t.is(
    (await run(['actors', 'crashes', first, '--data-dir', directory])).out,
    readFileSync(join(crash, first), 'utf8'),
  );
  const { code, err } = await run(['actors', 'crashes', '../run/admin.token', '--data-dir', directory]);
  t.is(code, 65);
  t.regex(err, /has no bundle/);
});

test('QUORATE_TOKEN and --ops reach a node that shares no directory with this user', async (t) => {
  const { node } = await setUp(t, healthy);
  const argv = ['actors', 'list', '--data-dir', '/no/such', '--ops', `${node.url}/`];
  t.is((await run(argv, { env: { QUORATE_TOKEN: 'given' } })).code, 0);
  t.is(node.heard[0]!.headers.authorization, 'Bearer given');
});

test('a refused token: exit 77, and the token is shown nowhere', async (t) => {
  const { directory } = await setUp(t, () => ({ status: 401, body: { title: 'Not the token' } }));
  const { code, err, out } = await run(['actors', 'list', '--data-dir', directory, '--json']);
  t.is(code, 77);
  t.false((err + out).includes('secret-token'));
});

test('CF-3: reload says what came of it', async (t) => {
  const stories: [Reply, number, RegExp][] = [
    [{ status: 200, body: { result: 'ok', errors: [], changed: ['log.level'] } }, 0, /^applied: log\.level\n$/],
    [{ status: 200, body: { result: 'unchanged', errors: [] } }, 0, /^nothing differs/],
    [
      { status: 200, body: { result: 'error', errors: ['a.yaml:3:1: x: found 1', { at: 2 }] } },
      78,
      /found 1\n.*\{"at":2\}\n.*refused, the running/,
    ],
    [{ status: 422, body: { result: 'error', errors: ['no'] } }, 78, /quorate reload: no\n/],
  ];
  for (const [reply, exit, expected] of stories) {
    const { node, directory } = await setUp(t, () => reply);
    const { code, out, err } = await run(['reload', '--data-dir', directory]);
    t.is(code, exit);
    t.regex(out + err, expected);
    t.like(node.heard[0]!, { method: 'POST', url: '/v1/admin/reload' });
    const json = await run(['reload', '--data-dir', directory, '--json']);
    t.is(json.code, exit);
    t.deepEqual(JSON.parse(json.out), reply.body);
  }
});

test('reload --signal-only sends SIGHUP to the process in run/node.pid', async (t) => {
  const { directory } = await setUp(t, healthy);
  const sent: unknown[] = [];
  const argv = ['reload', '--signal-only', '--data-dir', directory];
  const { code, out } = await run(argv, { signal: (...call) => void sent.push(call) });
  t.is(code, 0);
  t.deepEqual(sent, [[4711, 'SIGHUP']]);
  t.regex(out, /SIGHUP sent to process 4711/);
  const failing = (failure: string) =>
    run(argv, {
      signal: () => {
        throw Object.assign(new Error(failure), { code: failure });
      },
    });
  t.is((await failing('ESRCH')).code, 69);
  t.is((await failing('EPERM')).code, 77);
  writeFileSync(join(directory, 'run', 'node.pid'), 'garbage');
  t.is((await run(argv)).code, 69);
});

test('endpoints.json that is not one is an error of its own', async (t) => {
  const { directory } = await setUp(t, healthy);
  const path = join(directory, 'run', 'endpoints.json');
  for (const text of ['', '{', '[]', '{"api":1}', '{"api":"x","ops":"y","nodeId":"","publicKey":""}']) {
    writeFileSync(path, text);
    const { code, err } = await run(['status', '--data-dir', directory]);
    t.true(code === 65 || code === 64, text);
    t.regex(err, /endpoints\.json/);
  }
});

async function setUp(t: ExecutionContext, reply: (request: Heard, index: number) => Reply) {
  const node = await fakeNode(reply);
  const directory = dataDirectoryOf({ api: node.url, ops: node.url });
  t.teardown(() => node.close());
  t.teardown(() => removeDirectory(directory));
  return { node, directory };
}
