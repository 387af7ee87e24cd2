// How a node stops: what is in hand is answered, nothing new is taken, nothing acknowledged is lost, and a second signal
// or a kill leaves what the next start can go on from.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ClientKey } from '../../client/sign.js';
import type { JsonObject } from '../../protocol/json.js';
import { type Endpoints, LocalNode } from '../local/node.js';
import {
  type Draft,
  http,
  ledgerEntries,
  post,
  readClientKey,
  type Signed,
  SteadyClient,
  signer,
  until,
} from './support.js';

/** Without those of single requests. */
function eventsOf(node: LocalNode): unknown[] {
  return node.logs().flatMap(({ event }) => (event === undefined || event === 'http.answered' ? [] : [event]));
}

function exitsOf(node: LocalNode): unknown[] {
  return node.logs().flatMap(({ msg, actor }) => (msg === 'actor exited' ? [actor] : []));
}

/** A connection by hand: what it got, and whether the node has ended it. */
class RawConnection {
  readonly socket: Socket;
  received = '';
  ended = false;

  constructor(api: string) {
    const { hostname, port } = new URL(api);
    this.socket = connect(Number(port), hostname);
    this.socket.setEncoding('latin1').on('data', (text: string) => {
      this.received += text;
    });
    this.socket
      .on('error', () => undefined)
      .on('close', () => {
        this.ended = true;
      });
  }
}

/** The head of a submission and half of its body: in hand, and not to be answered before the rest has come. */
async function halfSent(api: string, body: Uint8Array): Promise<{ connection: RawConnection; finish(): void }> {
  const connection = new RawConnection(api);
  const head = `POST /v1/submissions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nexpect: 100-continue\r\n\r\n`;
  connection.socket.write(head);
  await until('the node reads the body', () => connection.received.includes('100 Continue'));
  connection.socket.write(body.subarray(0, 10));
  return { connection, finish: () => void connection.socket.write(body.subarray(10)) };
}

// One data directory through every way of ending: each start also proves what the end before it left behind.
const directory = mkdtempSync(join(tmpdir(), 'quorate-stop-'));
let sign: (key: ClientKey, draft: Draft) => Signed;
let node: LocalNode;
const lives: LocalNode[] = [];

/** The next life of the node. */
async function start(...args: string[]): Promise<Endpoints> {
  node = new LocalNode({ dataDir: directory, args });
  lives.push(node);
  return node.ready();
}

function devKey(): ClientKey {
  return readClientKey(join(directory, 'keys', 'dev-client.json'));
}

test.before(async () => {
  sign = await signer();
});

test.after.always(async () => {
  for (const life of lives) await life.dispose();
  rmSync(directory, { recursive: true, force: true });
});

test.serial('CF-4: SIGTERM during the very first start is a clean stop', async (t) => {
  node = new LocalNode({ dataDir: directory });
  lives.push(node);
  await until('an actor', () => node.logs().some(({ msg, actor }) => msg === 'actor up' && actor === 'wal-writer'));
  node.process.kill('SIGTERM');
  t.deepEqual(await node.exited, { code: 0, signal: null });
  t.false(existsSync(join(directory, 'run', 'endpoints.json')));
  t.is(eventsOf(node).at(-1), 'node.stopped');
});

let acknowledged: string[];

test.serial('CF-4: SIGTERM under load: every request in hand is answered, actors stop in reverse order', async (t) => {
  const { api } = await start();
  const key = devKey();
  const steady = new SteadyClient(api, 16, () => sign(key, {}));
  await until('some answers on every connection', () => steady.answered > 200);
  const signalAtMs = performance.now();
  const exit = await node.stop();
  const exchanges = await steady.stop();

  t.deepEqual(exit, { code: 0, signal: null });
  const inHand = exchanges.filter(({ sentAtMs, endedAtMs }) => sentAtMs < signalAtMs && endedAtMs > signalAtMs);
  t.true(inHand.length > 0, 'the signal met requests in hand');
  t.deepEqual(
    inHand.filter(({ status }) => status === null),
    [],
    'each of them was answered',
  );
  const others = exchanges.filter(({ status }) => status !== null && status !== 200 && status !== 503);
  t.deepEqual(others, []);
  t.deepEqual(exitsOf(node), ['ingress', 'rpc-client', 'gossip', 'dedup', 'consensus', 'wal-writer', 'store']);
  t.deepEqual(eventsOf(node).slice(-2), ['node.stopping', 'node.stopped']);
  t.notRegex(node.output, /did not drain|did not stop in order/);
  const runFiles = ['node.pid', 'endpoints.json', 'admin.token'];
  t.deepEqual(
    runFiles.filter((file) => existsSync(join(directory, 'run', file))),
    [],
  );
  acknowledged = exchanges.filter(({ status }) => status === 200).map(({ digest }) => digest);
});

test.serial(
  'CF-4: nothing acknowledged was lost, nothing is there twice, and the state file has the last height',
  async (t) => {
    const state = JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8')) as JsonObject;
    // So long that an end of idle connections can only come from the stop.
    const { api, ops } = await start('--limits-server-timeout-ms', '600000');
    const final = (await ledgerEntries(api)).map(({ digest }) => digest);
    t.is(new Set(final).size, final.length);
    t.deepEqual(
      acknowledged.filter((digest) => !final.includes(digest)),
      [],
      `of ${acknowledged.length}`,
    );
    const { body } = await http(`${api}/v1/status`);
    t.is(state.height, body.height);
    t.is(state.last_finalized_hash, body.hash);
    t.deepEqual((await http(`${ops}/readyz`)).body.failing, []);
  },
);

test.serial(
  'CF-4: while a stop waits for a request, connections are refused and idle ones delay nothing',
  async (t) => {
    const { api, ops } = node.endpoints;
    const agent = new Agent({ keepAlive: true });
    t.teardown(() => agent.destroy());
    node.signal('SIGUSR1');
    t.is((await post(api, sign(devKey(), {}), agent)).status, 200, 'leaves an idle connection behind');
    const silent = new RawConnection(api);
    const { connection, finish } = await halfSent(api, sign(devKey(), {}).body);
    node.signal('SIGTERM');
    await until('the idle connections are ended', () => silent.ended);
    await t.throwsAsync(http(`${api}/v1/status`), { code: 'ECONNREFUSED' });
    const ready = await http(`${ops}/readyz`);
    t.is(ready.status, 503);
    t.true((ready.body.failing as string[]).includes('draining'));
    t.is((await http(`${ops}/livez`)).status, 200);
    node.signal('SIGHUP');
    await until('the answer to SIGHUP', () =>
      eventsOf(node).some((event) => String(event).startsWith('config.reload')),
    );
    finish();
    t.deepEqual(await node.exited, { code: 0, signal: null });
    t.regex(connection.received, /HTTP\/1\.1 503 .*connection: close.*draining/is);
    t.notRegex(node.output, /did not drain|actor restart decided/);
    t.is(eventsOf(node).at(-1), 'node.stopped');
    t.notRegex(node.output, /Debugger listening/, 'SIGUSR1 opened no inspector');
  },
);

test.serial('CF-4: a second signal ends a stop that waits, and says so', async (t) => {
  const { api } = await start();
  const signed = sign(devKey(), {});
  t.is((await post(api, signed)).status, 200);
  await halfSent(api, sign(devKey(), {}).body);
  node.signal('SIGTERM');
  await until('the stop', () => eventsOf(node).includes('node.stopping'));
  node.signal('SIGINT');
  t.deepEqual(await node.exited, { code: 70, signal: null });
  t.true(eventsOf(node).includes('node.stop_forced'));
  const lastExit = JSON.parse(readFileSync(join(directory, 'run', 'last-exit.json'), 'utf8')) as JsonObject;
  t.like(lastExit, { code: 70, reason: 'the stop was forced by a second signal' });
  acknowledged.push(signed.digest);
});

test.serial('a kill leaves the run files as hints, and the next start replaces them', async (t) => {
  const endpoints = await start();
  t.is((await http(`${endpoints.api}/v1/submissions/${acknowledged.at(-1)}`)).body.state, 'final');
  const { pid, adminToken } = node;
  t.deepEqual(await node.kill(), { code: null, signal: 'SIGKILL' });
  t.is(node.pid, pid);
  t.deepEqual(node.endpoints, endpoints);
  const { publicKey } = await start();
  t.not(node.pid, pid);
  t.not(node.adminToken, adminToken, 'a token belongs to one process');
  t.is(publicKey, endpoints.publicKey);
  t.notRegex(node.output, /key\.generated|genesis\.created/);
  node.signal('SIGINT');
  t.deepEqual(await node.exited, { code: 0, signal: null }, 'SIGINT alone stops cleanly');
});
