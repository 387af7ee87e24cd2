// The ops port: alive, ready or not and why not, the admin calls behind their token, and what clients see while an actor
// is away.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { isProblem, isProblemBody } from './assertions.js';
import type { Signed } from './clients.js';
import { type Answer, exchange } from './http.js';
import { eventually, Subject } from './subject.js';

const MAIN = fileURLToPath(new URL('../../../runtime/main.js', import.meta.url));

let subject: Subject;

test.before(async () => {
  subject = await Subject.start({
    settings: {
      limits: { wait_default_ms: 1_000, server_timeout_ms: 20_000 },
      supervision: { budget: { intensity: 1_000 } },
    },
  });
});

test.after.always(() => subject?.dispose());

interface Readiness {
  readonly status: string;
  readonly failing: readonly string[];
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

async function readiness(): Promise<Readiness & { readonly code: number }> {
  const answer = await subject.ops.get('/readyz');
  return { ...(answer.body as unknown as Readiness), code: answer.status };
}

/** Kills the actor again and again until `act` is done: it is away, or about to be, all the time. */
async function without<T>(actor: string, act: () => Promise<T>): Promise<T> {
  let done = false;
  const kill = async () => {
    do await subject.admin(`/actors/${actor}/kill`);
    while (!done);
  };
  await subject.admin(`/actors/${actor}/kill`);
  const killing = kill();
  try {
    return await act();
  } finally {
    done = true;
    await killing;
    await subject.ready();
  }
}

test.serial('OB-2: a ready node says so, check by check', async (t) => {
  await subject.ready();
  for (const path of ['/livez', '/healthz']) {
    const answer = await subject.ops.get(path);
    t.is(answer.status, 200);
    t.regex(answer.headers['content-type']!, /^application\/health\+json/);
    t.deepEqual(answer.body, { status: 'pass' });
  }
  const health = await subject.ops.get('/health');
  t.is(health.status, 200);
  t.deepEqual(health.body, { status: 'healthy' });
  const { code, status, failing, checks } = await readiness();
  t.is(code, 200);
  t.is(status, 'pass');
  t.deepEqual(failing, []);
  const names = checks.map(({ name }) => name);
  for (const actor of ['wal-writer', 'store', 'consensus', 'dedup', 'gossip', 'rpc-client', 'ingress']) {
    t.true(names.includes(`actor:${actor}`), actor);
  }
  for (const name of ['store', 'wal-writer:log', 'consensus:consensus', 'ingress:listening', 'ingress:registry']) {
    t.true(names.includes(name), name);
  }
});

test.serial('OB-2: without dedup the node is alive, not ready, and names it', async (t) => {
  const signed = subject.dev.sign();
  await without('dedup', async () => {
    const { code, status, failing, checks } = await readiness();
    t.is(code, 503);
    t.is(status, 'fail');
    t.deepEqual(failing, ['actor:dedup']);
    t.regex(checks.find(({ name }) => name === 'actor:dedup')!.detail, /^the actor is \w+$/);
    for (const path of ['/livez', '/healthz', '/health']) t.is((await subject.ops.get(path)).status, 200);
    const answer = await subject.submit(signed);
    isProblem(t, answer, 503, 'dedup-unavailable');
    t.true(Number(answer.headers['retry-after']) >= 1);
  });
  await finalByItself(t, signed);
});

test.serial(
  'IN-6: a running Idempotency-Key is 409 with Retry-After, and its answer comes to the one who asks again',
  async (t) => {
    const key = { 'idempotency-key': '"running"' };
    const signed = subject.dev.sign();
    let first: Promise<Answer> | null = null;
    // Without dedup nobody's submission goes further than its key.
    await without('dedup', async () => {
      first = subject.submit(signed, key);
      const busy = await eventually('a key that is running', async () => {
        const answer = await subject.submit(signed, key);
        return answer.status === 503 ? null : answer;
      });
      isProblem(t, busy, 409, 'still-in-flight');
      t.true(Number(busy.headers['retry-after']) >= 1);
    });
    await first;
    await finalByItself(t, signed);
    t.is((await subject.submit(signed, key)).text, (await subject.submit(signed)).text);
  },
);

test.serial('OB-2: without consensus a submission is durable, and final when consensus is back', async (t) => {
  const signed = subject.dev.sign();
  await without('consensus', async () => {
    t.true((await readiness()).failing.includes('actor:consensus'));
    const answer = await subject.submit(signed);
    t.is(answer.status, 202, answer.text);
    t.is(answer.body.state, 'durable');
    const name = `issuer=${subject.dev.issuer}&id=${String(signed.envelope.id)}`;
    for (const path of [answer.headers.location!, `/v1/submissions?${name}`]) {
      const found = await subject.api.get(path);
      t.is(found.status, 200);
      t.deepEqual(found.body, { state: 'durable', digest: signed.digest });
    }
  });
  await finalByItself(t, signed);
});

/** Answered 503 or 202, it ends final once and without its client, who then finds the recorded answer. */
async function finalByItself(t: ExecutionContext, signed: Signed): Promise<void> {
  const found = await eventually('finality without the client', async () => {
    const answer = await subject.api.get(`/v1/submissions/${signed.digest}`);
    return answer.body.state === 'final' ? answer : null;
  });
  const again = await subject.submit(signed);
  t.is(again.status, 200);
  t.is(again.headers['idempotent-replayed'], 'true');
  t.is(again.text, found.text);
}

test.serial('OB-2: without the store final answers are still given, and readiness names the store', async (t) => {
  const signed = subject.dev.sign();
  const first = await subject.submit(signed);
  t.is(first.status, 200);
  await without('store', async () => {
    const { code, failing } = await readiness();
    t.is(code, 503);
    t.true(failing.includes('store') && failing.includes('actor:store'), failing.join());
    t.is((await subject.submit(signed)).text, first.text);
    t.is((await subject.api.get(`/v1/submissions/${signed.digest}`)).text, first.text);
  });
});

test.serial('OB-2: without the log nothing is taken in, and the answer says when to come back', async (t) => {
  const signed = subject.dev.sign();
  await without('wal-writer', async () => {
    t.true((await readiness()).failing.includes('actor:wal-writer'));
    // Ingress stands on the log and is restarted with it: then there is nobody to answer.
    const answer = await subject.submit(signed).catch(() => null);
    if (answer !== null) isProblem(t, answer, 503, 'unavailable');
  });
  t.is((await subject.submit(signed)).status, 200);
});

test.serial('ID-6: admin calls without the token are 401, and change nothing', async (t) => {
  await subject.ready();
  const before = (await subject.admin('/actors', 'GET')).body.actors;
  const { adminToken } = subject.node;
  const wrong = [
    undefined,
    'Bearer',
    'Bearer ',
    `Bearer ${adminToken}x`,
    `Basic ${adminToken}`,
    adminToken.toUpperCase(),
  ];
  for (const authorization of wrong) {
    const headers = authorization === undefined ? {} : { authorization };
    for (const [method, path] of [
      ['GET', '/actors'],
      ['GET', '/actors/store'],
      ['POST', '/actors/store/kill'],
      ['POST', '/reload'],
    ]) {
      const answer = await subject.ops.call(`/v1/admin${path}`, { method: method!, headers });
      isProblem(t, answer, 401, 'token-required');
      t.regex(String(answer.headers['www-authenticate']), /^Bearer/);
      t.false(answer.text.includes(adminToken));
    }
  }
  const incarnations = (list: unknown) => (list as { incarnation: number }[]).map(({ incarnation }) => incarnation);
  t.deepEqual(incarnations((await subject.admin('/actors', 'GET')).body.actors), incarnations(before));
});

test.serial('OP-1: admin calls list, look into, restart and reset actors', async (t) => {
  await subject.ready();
  const list = (await subject.admin('/actors', 'GET')).body.actors as {
    id: string;
    state: string;
    incarnation: number;
  }[];
  t.deepEqual([...new Set(list.map(({ state }) => state))], ['up']);
  for (const { id } of list) t.is((await subject.admin(`/actors/${id}`, 'GET')).status, 200, id);
  const before = list.find(({ id }) => id === 'gossip')!.incarnation;
  const restarted = await subject.admin('/actors/gossip/restart');
  t.is(restarted.status, 200, restarted.text);
  t.like(restarted.body.actor, { id: 'gossip', state: 'up', incarnation: before + 1 });
  t.is((await subject.admin('/actors/gossip/reset')).status, 200);
  for (const path of ['/actors/nonesuch/kill', '/actors/gossip/nonesuch', '/nonesuch']) {
    isProblem(t, await subject.admin(path), 404, 'no-such-route');
  }
  isProblem(t, await subject.admin('/actors/nonesuch', 'GET'), 404, 'no-such-route');
  const unchanged = await subject.admin('/reload');
  t.is(unchanged.status, 200);
  t.is(unchanged.body.result, 'unchanged');
  await without('gossip', async () => {
    isProblem(t, await subject.admin('/actors/gossip', 'GET'), 503, 'unavailable');
  });
});

test.serial('IN-11, IN-12: the ops port answers errors as problems, under the request id', async (t) => {
  const unknown = await subject.ops.get('/nonesuch', { 'x-request-id': 'ops-1' });
  isProblem(t, unknown, 404, 'no-such-route');
  t.is(unknown.body.request_id, 'ops-1');
  const method = await subject.ops.call('/metrics', { method: 'POST' });
  isProblem(t, method, 405, 'method-not-allowed');
  t.is(method.headers.allow, 'GET');
  const typed = await subject.ops.call('/v1/admin/reload', {
    method: 'POST',
    body: 'x',
    headers: { authorization: `Bearer ${subject.node.adminToken}`, 'content-type': 'text/weird' },
  });
  t.is(typed.status, 400);
  isProblemBody(t, typed.body, 400, 'malformed-request');
  t.is((await subject.ops.get('/livez', { 'x-request-id': 'ops-2' })).headers['x-request-id'], 'ops-2');
});

test.serial(
  'CF-2: clients that this chain can never grant are refused at start and at reload, with the place',
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'quorate-e2e-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const secret_hex = 'ab'.repeat(32);
    const key = { key_id: 'k', alg: 'hmac-sha256', secret_hex, homes: ['node_elsewhere'] };
    const clients = join(directory, 'clients.yml');
    writeFileSync(clients, JSON.stringify({ clients: [{ issuer: 'far', keys: [key] }] }), { mode: 0o600 });
    const words = [
      MAIN,
      '--data-dir',
      join(directory, 'data'),
      '--listen',
      '127.0.0.1:0',
      '--ops-listen',
      '127.0.0.1:0',
    ];
    const child = spawn(process.execPath, words, {
      env: { ...process.env, QUORATE_CLIENTS_FILE: clients },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    t.is(code, 78);
    t.true(text.includes(clients), text);
    t.true(text.includes('clients.0.keys.0.homes') && text.includes('node_elsewhere'), text);
    t.false(text.includes(secret_hex));
  },
);

test.serial('CF-3: reloaded limits hold from the next request on', async (t) => {
  const reloaded = await Subject.start();
  t.teardown(() => reloaded.dispose());
  const reload = async (config: object) => {
    writeFileSync(join(reloaded.directory, 'quorate.yaml'), JSON.stringify(config));
    const answer = await reloaded.admin('/reload');
    t.is(answer.body.result, 'ok', answer.text);
  };
  const large = reloaded.dev.sign({ text: 'x'.repeat(3_000) });
  await reload({ limits: { body_bytes: 2_048, batch_bytes: 4_096, batch_entries: 1 } });
  const refused = await reloaded.submit(large);
  isProblem(t, refused, 413, 'body-too-large');
  t.is(refused.body.limit_bytes, 2_048);
  const batch = await reloaded.api.post('/v1/submissions:batch', ' '.repeat(5_000));
  isProblem(t, batch, 413, 'body-too-large');
  t.is(batch.body.limit_bytes, 4_096);
  isProblem(t, await reloaded.api.post('/v1/submissions:batch', '{"submissions":[0,0]}'), 413, 'batch-too-long');

  await reload({
    limits: { server_timeout_ms: 1_500, wait_default_ms: 1_400, in_flight_max: 1, batch_entries: 1 },
    idempotency: { max: 1, ttl_ms: 60_000 },
  });
  t.true((await reloaded.submit(large)).status < 300, 'the old limit is back');
  const late = await exchange(reloaded.api.base, (socket) =>
    socket.write('POST /v1/submissions HTTP/1.1\r\nHost: x\r\n'),
  );
  isProblem(t, late, 408, 'request-timeout');
  // Of two finished keys one is remembered: the other may be used for another body.
  for (const key of ['"first"', '"second"']) await reloaded.submit(reloaded.dev.sign(), { 'idempotency-key': key });
  t.true((await reloaded.submit(reloaded.dev.sign(), { 'idempotency-key': '"first"' })).status < 300);

  const answers = await Promise.all(Array.from({ length: 20 }, () => reloaded.submit(reloaded.dev.sign())));
  const busy = answers.filter(({ status }) => status >= 300);
  t.true(busy.length > 0);
  for (const answer of busy) isProblem(t, answer, 503, 'overloaded');

  // The pool that these requests went over stays open; nobody else gets in.
  await reload({ limits: { connections_max: 1 } });
  await t.throwsAsync(
    exchange(reloaded.api.base, (socket) => socket.write('GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n')),
  );
});

test.serial(
  'CF-4: a draining node answers what it has taken, refuses the rest as draining, and ends with 0',
  async (t) => {
    // The last test of this file: the node is needed by nobody any more.
    await subject.ready();
    const client = subject.dev;
    t.is((await subject.submit(client.sign())).status, 200);
    subject.node.signal('SIGTERM');
    const seen = new Set<string>();
    for (; !subject.node.hasExited; await sleep(1)) {
      const answer = await subject.submit(client.sign()).catch(() => null);
      if (answer === null) break;
      seen.add(`${answer.status} ${answer.body.type ?? ''}`);
    }
    for (const each of seen) t.true(each.startsWith('200') || each === '503 urn:problem-type:quorate:draining', each);
    t.deepEqual(await subject.node.exited, { code: 0, signal: null });
  },
);
