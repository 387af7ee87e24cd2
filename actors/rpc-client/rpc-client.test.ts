// Calls to a peer that answers, fails, stays silent, is not there, or is somebody else; over TLS where that matters.
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { createAuthority, issueCertificate, nodeCertificate } from '../../config/certificates.js';
import type { PeerConfig, PeersConfig } from '../../config/node.js';
import { systemClock } from '../../runtime/kernel/clock.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import { testContext } from '../testing/context.js';
import rpcClient from './actor.js';
import type { PeerCall, PeerReply } from './contract.js';
import { TIMEOUT_MS } from './retry.js';
import type { RpcClientConfig } from './spec.js';

const KEY = 'ab'.repeat(32);
const CALL: PeerCall = {
  nodeId: 'node_2',
  method: 'POST',
  path: '/rpc/reconcile',
  body: Buffer.from('{}'),
  headers: { 'content-type': 'application/json' },
  requestId: 'r1',
};

const hurriedBy = (divisor: (delayMs: number) => number): Clock => ({
  ...systemClock,
  setTimer: (delayMs, run) => systemClock.setTimer(delayMs / divisor(delayMs), run),
});
/** Waits between attempts take a hundredth of their time; the time for an answer is as long as ever. */
const hurried = hurriedBy((delayMs) => (delayMs === TIMEOUT_MS ? 1 : 100));
/** For a peer that never answers. */
const impatient = hurriedBy(() => 8);

async function serve(t: ExecutionContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const peer = (port: number, ...pins: string[]): PeerConfig => ({
  nodeId: 'node_2',
  host: '127.0.0.1',
  port,
  publicKey: KEY,
  pins,
});

function client(t: ExecutionContext, peers: Partial<PeersConfig> & Pick<PeersConfig, 'peers'>, clock: Clock = hurried) {
  const listen = { host: '127.0.0.1', port: 1 };
  const config: RpcClientConfig = {
    nodeId: 'node_1',
    peers: { listen, tls: null, enforcePins: true, requirePins: true, ...peers },
  };
  const { context } = testContext<Record<never, never>, RpcClientConfig | null>({ config, clock });
  const state = rpcClient.init(context) as Awaited<ReturnType<typeof rpcClient.init>>;
  t.teardown(() => rpcClient.stop(state));
  return {
    config,
    state,
    call: async (change: Partial<PeerCall> = {}): Promise<PeerReply> =>
      (await rpcClient.ask.call(state, { ...CALL, ...change })) as PeerReply,
    counted: async (status: string): Promise<number> => {
      const { values } = (await context.registry.getSingleMetric('quorate_peer_request_total')!.get())!;
      return values.filter(({ labels }) => labels.status === status).reduce((sum, { value }) => sum + value, 0);
    },
  };
}

async function plain(t: ExecutionContext, handler: RequestListener, clock?: Clock) {
  return client(t, { peers: [peer(await serve(t, createServer(handler)))] }, clock);
}

test('NET-4: an answer comes with status and body, and the peer hears who asks', async (t) => {
  let heard: unknown;
  const { call, counted } = await plain(t, (request, response) => {
    const { method, url, headers } = request;
    heard = [method, url, headers['x-quorate-node'], headers['x-request-id'], headers['content-type']];
    response.end('{"reconciled":2}');
  });
  const reply = await call();
  t.like(reply, { outcome: 'success', status: 200, attempts: 1, detail: null });
  t.is(Buffer.from(reply.body).toString(), '{"reconciled":2}');
  t.is(reply.body.byteLength, reply.body.buffer.byteLength, 'a buffer of its own');
  t.deepEqual(heard, ['POST', '/rpc/reconcile', 'node_1', 'r1', 'application/json']);
  t.is(await counted('success'), 1);
});

test('NET-4: errors of the peer are tried again until it answers', async (t) => {
  let requests = 0;
  const { call, counted } = await plain(t, (_request, response) => {
    requests += 1;
    response.writeHead(requests < 4 ? 503 : 200).end();
  });
  t.like(await call(), { outcome: 'success', attempts: 4 });
  t.is(await counted('http_5xx'), 3);
});

test('NET-4: what the caller did wrong is not tried again', async (t) => {
  let requests = 0;
  const { call } = await plain(t, (_request, response) => {
    requests += 1;
    response.writeHead(404).end('no');
  });
  t.like(await call(), { outcome: 'http_4xx', status: 404, attempts: 1 });
  t.is(requests, 1);
});

test('NET-4: silence is a timeout, and fewer attempts than ten can be asked for', async (t) => {
  let requests = 0;
  const silent = () => {
    requests += 1;
  };
  const { call, counted } = await plain(t, silent, impatient);
  t.like(await call({ attempts: 2 }), { outcome: 'timeout', status: null, attempts: 2 });
  t.is(requests, 2);
  t.is(await counted('timeout'), 2);
});

test('NET-4: five failures open the breaker, and then nobody is called', async (t) => {
  let requests = 0;
  const { call, state } = await plain(t, (request) => {
    requests += 1;
    request.socket.destroy();
  });
  t.like(await call(), { outcome: 'network_error', attempts: 5 });
  t.is(requests, 5);
  t.like(await call(), { outcome: 'network_error', attempts: 0, detail: 'the circuit breaker of the peer is open' });
  t.is(requests, 5);
  t.deepEqual(rpcClient.inspect!(state), { peers: [{ nodeId: 'node_2', breaker: 'open' }] });
});

test('NET-4: an answer without end is cut at its bound', async (t) => {
  const { call } = await plain(t, (_request, response) => {
    response.writeHead(200);
    for (let part = 0; part < 32; part++) response.write(Buffer.alloc(64 * 1024));
    response.end();
  });
  const reply = await call({ attempts: 1 });
  t.is(reply.outcome, 'network_error');
  t.is(reply.body.length, 0);
});

test('a peer that nobody configured is an outcome, not an error', async (t) => {
  const { call } = client(t, { peers: [] });
  t.like(await call({ nodeId: 'node_7' }), { outcome: 'network_error', attempts: 0 });
});

test('NET-4, NET-2: over TLS the right peer is called, and another certificate is not tried again', async (t) => {
  const now = Date.now();
  const authority = await createAuthority('test', now, 2048);
  const theirs = await issueCertificate(authority, nodeCertificate('node_2', [], now));
  const own = await issueCertificate(authority, { ...nodeCertificate('node_1', [], now), key: theirs.key });
  const { cert, key } = theirs;
  const answers: RequestListener = (_request, response) => response.end('ok');
  const options = { cert, key, ca: authority.cert, requestCert: true, rejectUnauthorized: true };
  const port = await serve(t, createHttpsServer(options, answers));
  const tls = { ca: authority.cert, cert: own.cert, key: own.key, minVersion: 'TLSv1.3' as const };
  const good = client(t, { peers: [peer(port, theirs.fingerprint)], tls }, systemClock);
  t.like(await good.call(), { outcome: 'success', attempts: 1 });
  const pinned = client(t, { peers: [peer(port, 'a'.repeat(64))], tls }, systemClock);
  const refused = await pinned.call();
  t.like(refused, { outcome: 'tls_error', attempts: 1, status: null });
  t.regex(refused.detail ?? '', /none of those pinned for node_2/);
  // A reload with the right pin: the same client reaches it.
  const next = { ...pinned.config, peers: { ...pinned.config.peers, peers: [peer(port, theirs.fingerprint)] } };
  await rpcClient.reconfigure!.prepare(pinned.state, next);
  rpcClient.reconfigure!.commit(pinned.state);
  t.like(await pinned.call(), { outcome: 'success', attempts: 1 });
  // Pins that are enforced from now on: the connection that stands is none of those that may.
  const lax = client(t, { peers: [peer(port, 'a'.repeat(64))], tls, enforcePins: false }, systemClock);
  t.like(await lax.call(), { outcome: 'success', attempts: 1 });
  const strict = { ...lax.config, peers: { ...lax.config.peers, enforcePins: true } };
  await rpcClient.reconfigure!.prepare(lax.state, strict);
  rpcClient.reconfigure!.commit(lax.state);
  t.like(await lax.call(), { outcome: 'tls_error', attempts: 1 });
});
