// A peer that is configured and proven, and misbehaves: every misdeed is counted by its name and ends that connection alone.
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256 } from '../../protocol/crypto/hash.js';
import { EXPORTER_LABEL, encodeGreeting, helloSignedBytes } from '../../protocol/peer/hello.js';
import type { PeerAnswer } from '../ingress/contract.js';
import {
  Authorities,
  configOf,
  eventually,
  freePort,
  GossipNode,
  genesisOf,
  type Identity,
  identities,
  type NodeParts,
  peerOf,
} from './gossip-fixture.js';

let authorities: Authorities;
let ed25519: Ed25519;

test.before(async () => {
  authorities = await Authorities.make();
  ed25519 = await loadEd25519();
});

/** The odd peer's side of a connection, byte by byte in the hands of the test. */
class OddPeer {
  readonly identity: Identity;
  readonly #tls: { ca: string; cert: string; key: string };
  readonly #chainId: Buffer;
  readonly #port: number;
  ws!: WebSocket;
  socket!: TLSSocket;
  readonly closed: Promise<{ code: number; reason: string }>;
  #close!: (how: { code: number; reason: string }) => void;

  constructor(identity: Identity, tls: { ca: string; cert: string; key: string }, chainId: string, port: number) {
    this.identity = identity;
    this.#tls = tls;
    this.#chainId = Buffer.from(chainId, 'hex');
    this.#port = port;
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  /** TLS and the upgrade; nothing is said yet. */
  async connect(headers: Record<string, string> = {}): Promise<this> {
    this.socket = connectTls({ host: '127.0.0.1', port: this.#port, ...this.#tls });
    await new Promise((resolve, reject) => {
      this.socket.once('secureConnect', resolve);
      this.socket.once('error', reject);
    });
    this.ws = new WebSocket(`ws://127.0.0.1:${this.#port}/rpc/gossip`, {
      createConnection: () => this.socket,
      headers,
    });
    this.ws.on('close', (code, reason) => this.#close({ code, reason: reason.toString() }));
    this.ws.on('error', () => undefined);
    await new Promise((resolve) => this.ws.once('open', resolve));
    return this;
  }

  hello(change: { binding?: Uint8Array; chainId?: Uint8Array } = {}): Uint8Array {
    const { nodeId, publicKey, seed } = this.identity;
    const chainId = change.chainId ?? this.#chainId;
    const signed = helloSignedBytes({
      chainId,
      binding: change.binding ?? this.socket.exportKeyingMaterial(32, EXPORTER_LABEL, Buffer.alloc(0)),
      role: 'dialer',
      dialerCertificate: sha256(this.socket.getX509Certificate()!.raw),
      listenerCertificate: sha256(this.socket.getPeerCertificate().raw),
    });
    const signature = ed25519.sign(signed, ed25519.keyPair(seed).secretKey);
    const hello = { chainId, nodeId, publicKey: Buffer.from(publicKey, 'hex'), instance: new Uint8Array(8), signature };
    return encodeGreeting({ kind: 'hello', hello });
  }

  /** A proven connection. */
  async proven(): Promise<this> {
    await this.connect();
    this.ws.send(this.hello());
    this.ws.send(encodeGreeting({ kind: 'welcome' }));
    return this;
  }
}

async function setting(t: ExecutionContext, limits: NodeParts['limits'] = {}) {
  const [good, odd, other] = (await identities('node_1', 'node_2', 'node_3')) as [Identity, Identity, Identity];
  const own = await authorities.issue(['node_1', '127.0.0.1']);
  const theirs = await authorities.issue(['node_2', '127.0.0.1']);
  const genesis = genesisOf([good, odd]);
  const [port, dead] = [await freePort(), await freePort()];
  const ca = authorities.good.cert;
  const node = new GossipNode(
    configOf({
      identity: good,
      port,
      certificate: { ca, cert: own.cert, key: own.key },
      genesis,
      limits,
      peers: [peerOf(odd, dead, theirs.fingerprint), peerOf(other, dead + 1, 'e'.repeat(64))],
    }),
  );
  t.teardown(() => node.stop());
  await node.start();
  const peer = () => new OddPeer(odd, { ca, cert: theirs.cert, key: theirs.key }, genesis.chainId, port);
  const https = { host: '127.0.0.1', port, ca, cert: theirs.cert, key: theirs.key };
  const closed = (reason: string) => node.metric('quorate_peer_closed_total', { peer: 'node_2', reason });
  return { node, peer, https, closed };
}

const MISDEEDS: [title: string, reason: string, act: (peer: OddPeer) => Promise<void>][] = [
  ['says something else than hello', 'malformed-hello', async (peer) => void (await peer.connect()).ws.send('hello')],
  [
    'sends an overlong hello',
    'malformed-hello',
    async (peer) => void (await peer.connect()).ws.send(new Uint8Array(4096)),
  ],
  [
    'sends a frame before its hello',
    'malformed-hello',
    async (peer) => void (await peer.connect()).ws.send(Uint8Array.of(1, 2, 3)),
  ],
  [
    'replays a hello of another connection',
    'bad-proof',
    async (peer) => {
      await peer.connect();
      peer.ws.send(peer.hello({ binding: new Uint8Array(32).fill(1) }));
    },
  ],
  [
    'is of another chain',
    'other-chain',
    async (peer) => {
      await peer.connect();
      peer.ws.send(peer.hello({ chainId: new Uint8Array(32).fill(1) }));
    },
  ],
  ['sends text', 'malformed-frame', async (peer) => void (await peer.proven()).ws.send('text')],
  [
    'sends a frame of no type',
    'malformed-frame',
    async (peer) => void (await peer.proven()).ws.send(Uint8Array.of(200, 1)),
  ],
  ['sends an empty frame', 'malformed-frame', async (peer) => void (await peer.proven()).ws.send(new Uint8Array(0))],
  [
    'says hello twice',
    'malformed-frame',
    async (peer) => {
      await peer.proven();
      peer.ws.send(peer.hello());
    },
  ],
  [
    'sends more than a frame may have',
    'frame-too-large',
    async (peer) => void (await peer.proven()).ws.send(new Uint8Array(1_048_577).fill(1)),
  ],
  [
    'breaks the WebSocket',
    'protocol-error',
    async (peer) => void (await peer.proven()).socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff])),
  ],
];

for (const [title, reason, act] of MISDEEDS) {
  test(`NET-7: a peer that ${title} is closed as ${reason}, and may come again`, async (t) => {
    const { node, peer, closed } = await setting(t);
    const odd = peer();
    await act(odd);
    await odd.closed;
    await eventually(async () => (await closed(reason)) > 0, 'it is counted');
    t.is(await closed(reason), 1);
    const again = await peer().proven();
    again.ws.send(Uint8Array.of(5, 5));
    await eventually(() => node.framesFrom('node_2').some((frame) => frame[0] === 5), 'the next connection works');
    again.ws.close();
  });
}

test('NET-11: who says to be another than its certificate is answered 403 before anything else', async (t) => {
  const { peer, closed } = await setting(t);
  const odd = peer();
  const refused = odd.connect({ 'x-quorate-node': 'node_3' });
  void refused.catch(() => undefined);
  await eventually(async () => (await closed('wrong-identity')) === 1, 'it is counted');
  t.is((await odd.closed).code, 1006);
});

test('NET-7: a peer that never reads does not make this side grow', async (t) => {
  const { node, peer } = await setting(t);
  const odd = await peer().proven();
  await eventually(() => node.isConnected('node_2'), 'proven');
  odd.ws.pause();
  // Pings would be answered with pongs that nobody takes.
  for (let count = 0; count < 2000; count++) odd.ws.ping(Buffer.alloc(100));
  const frame = new Uint8Array(64 * 1024).fill(1);
  const before = process.memoryUsage().arrayBuffers;
  for (let count = 0; count < 1000; count++) node.send(['node_2'], 'live', frame);
  t.true(node.view('node_2').queuedBytes <= 8 * 1024 * 1024);
  t.true(process.memoryUsage().arrayBuffers - before < 80 * 1024 * 1024);
  t.true((await node.metric('quorate_peer_frames_dropped_total', { lane: 'live' })) > 800);
  odd.ws.terminate();
});

interface Asked {
  readonly status: number;
  readonly body: string;
  readonly headers: string;
}

/** One HTTP request over a connection of its own. */
function ask(https: ConnectionOptions, head: string, body: Uint8Array | string = ''): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const socket = connectTls(https);
    const parts: Buffer[] = [];
    socket.on('secureConnect', () => {
      socket.write(`${head}\r\nhost: x\r\nconnection: close\r\n\r\n`);
      socket.write(body);
    });
    socket.on('data', (part) => parts.push(part));
    socket.on('error', reject);
    socket.on('close', () => {
      const text = Buffer.concat(parts).toString();
      const [headers = '', answer = ''] = text.split('\r\n\r\n');
      resolve({ status: Number(text.slice(9, 12)), headers, body: answer });
    });
  });
}

test('NET-11: a request on the peer port reaches ingress with the name that the certificate proves', async (t) => {
  const { node, https } = await setting(t);
  const answer: PeerAnswer = { status: 200, headers: { 'content-type': 'application/json' }, body: '{"rounds":[]}' };
  node.ingress.answer('rpc', () => answer);
  const got = await ask(https, 'GET /rpc/status?round_id=r1 HTTP/1.1\r\nx-request-id: abc');
  t.is(got.status, 200);
  t.regex(got.body, /\{"rounds":\[\]\}/);
  t.regex(got.headers, /x-request-id: abc/);
  const [asked] = node.ingress.asked('rpc');
  t.like(asked?.request, {
    from: 'node_2',
    method: 'GET',
    path: '/rpc/status',
    query: 'round_id=r1',
    requestId: 'abc',
  });
  t.is(await node.metric('quorate_peer_served_total', { peer: 'node_2', route: '/rpc/status', status: '200' }), 1);
});

test('NET-11: every call of the peer port with another name in its header is 403', async (t) => {
  const { node, https } = await setting(t);
  for (const call of ['POST /rpc/submit', 'GET /rpc/status', 'POST /rpc/reconcile', 'GET /rpc/blocks']) {
    const got = await ask(https, `${call} HTTP/1.1\r\nx-quorate-node: node_3`);
    t.is(got.status, 403, call);
  }
  t.deepEqual(node.ingress.asked('rpc'), []);
});

test('NET-2, NET-6: a reload that takes peer or pin away ends the connections that stand, also in the middle of a call', async (t) => {
  const { node, https } = await setting(t);
  const { peers } = node.config;
  const [odd, ...others] = peers.peers;
  const without = { 'pin-changed': [{ ...odd!, pins: ['f'.repeat(64)] }, ...others], 'peer-changed': others };
  for (const reason of ['pin-changed', 'peer-changed'] as const) {
    node.ingress.answer('rpc', () => ({ status: 200, headers: {}, body: '{}' }));
    const [idle, busy] = [connectTls(https), connectTls(https)];
    let heard = '';
    idle.on('data', (part) => (heard += part.toString()));
    const over = [idle, busy].map((socket) => {
      socket.on('error', () => undefined);
      return new Promise<void>((resolve) => void socket.resume().once('close', () => resolve()));
    });
    const call = 'GET /rpc/status HTTP/1.1\r\nhost: x\r\n\r\n';
    idle.write(call);
    await eventually(() => heard.includes('200 OK'), 'an answer on a connection that is kept');
    const asked = node.ingress.asked('rpc').length;
    node.ingress.answer('rpc', () => new Promise<never>(() => undefined));
    busy.write(call);
    await eventually(() => node.ingress.asked('rpc').length > asked, 'a call in hand');
    await node.reload({ ...peers, peers: without[reason] });
    await Promise.all(over);
    t.is(await node.metric('quorate_peer_closed_total', { peer: 'node_2', reason }), 2, reason);
    await node.reload(peers);
  }
});

test('NET-7: requests that do not fit are answered, and ingress is not asked', async (t) => {
  const { node, https } = await setting(t);
  const ROWS: [head: string, body: Uint8Array | string, status: number][] = [
    ['GET /rpc/other HTTP/1.1', '', 404],
    ['GET /rpc/gossip HTTP/1.1', '', 404],
    ['GET /v1/status HTTP/1.1', '', 404],
    ['GET /rpc/submit HTTP/1.1', '', 405],
    ['POST /rpc/submit HTTP/1.1\r\ncontent-length: 70000', '', 413],
    ['POST /rpc/submit HTTP/1.1\r\ntransfer-encoding: chunked', `12000\r\n${'x'.repeat(0x12000)}\r\n0\r\n\r\n`, 413],
  ];
  for (const [head, body, status] of ROWS) {
    const got = await ask(https, head, body);
    t.is(got.status, status, head);
    t.regex(got.headers, /application\/problem\+json/, head);
  }
  t.deepEqual(node.ingress.asked('rpc'), []);
});

test('IN-9, NET-7: a peer that asks too often is told when to come back, and ingress hears nothing of it', async (t) => {
  const { node, https } = await setting(t, { peer_burst: 5, peer_sustained: 100 });
  node.ingress.answer('rpc', () => ({ status: 200, headers: {}, body: '{}' }));
  const socket = connectTls(https);
  t.teardown(() => socket.destroy());
  let heard = '';
  socket.on('data', (part) => (heard += part.toString())).on('error', () => undefined);
  const call = 'GET /rpc/status HTTP/1.1\r\nhost: x\r\n\r\n';
  for (let count = 0; count < 12; count++) socket.write(call);
  const answers = () => heard.split('HTTP/1.1 ').slice(1);
  await eventually(() => answers().length === 12, 'all are answered');
  const refused = answers().filter((text) => text.startsWith('429'));
  t.is(refused.length, 7);
  t.is(node.ingress.asked('rpc').length, 5);
  for (const text of refused) {
    t.regex(text, /\r\nretry-after: (9|10)\r\n/i);
    t.regex(text, /\r\nratelimit-policy: "burst";q=5;w=10, "sustained";q=100;w=60\r\n/);
    t.regex(text, /\r\nratelimit: "burst";r=0;t=(9|10), "sustained";r=95;t=(59|60)\r\n/);
    t.regex(text, /"type":"urn:problem-type:quorate:rate-limited"/);
  }
  t.is(await node.metric('quorate_rate_limit_violations_total', { scope: 'peer_burst', peer: 'node_2' }), 7);
  t.is(await node.metric('quorate_peer_served_total', { peer: 'node_2', status: '429' }), 7);
  // A reload that allows more is in force at once.
  const limits = { ...node.config.limits, peer_burst: 50 };
  await node.reload(node.config.peers, limits);
  socket.write(call);
  await eventually(() => answers().length === 13, 'one more answer');
  t.regex(answers()[12]!, /^200 /);
});

test('NET-7: a peer that asks on without waiting for answers is not read on, and costs no more than its places', async (t) => {
  const { node, https } = await setting(t, { peer_burst: 5, peer_sustained: 100 });
  node.ingress.answer('rpc', () => ({ status: 200, headers: {}, body: '{}' }));
  const socket = connectTls(https);
  let heard = '';
  socket.on('data', (part) => (heard += part.toString())).on('error', () => undefined);
  const over = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  socket.write('GET /rpc/status HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(40));
  await over;
  const statuses = heard
    .split('HTTP/1.1 ')
    .slice(1)
    .map((text) => text.slice(0, 3));
  t.deepEqual(statuses, [...Array(5).fill('200'), ...Array(11).fill('429'), '503']);
  t.is(node.ingress.asked('rpc').length, 5);
});

test('NET-7: connections that come without end are turned away before the handshake', async (t) => {
  const { node, peer } = await setting(t);
  const sockets: Socket[] = [];
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()));
  await eventually(async () => {
    const more = Array.from({ length: 80 }, () => connectTcp({ host: '127.0.0.1', port: node.config.port }));
    for (const socket of more) socket.on('error', () => undefined);
    sockets.push(...more);
    await Promise.all(more.map((socket) => new Promise((resolve) => void socket.once('connect', resolve))));
    return (await node.metric('quorate_tls_handshakes_total', { status: 'error' })) > 0;
  }, 'some are turned away');
  for (const socket of sockets) socket.destroy();
  // A peer gets through as soon as the second is over.
  await eventually(async () => {
    const again = peer();
    await Promise.race([
      again.proven().catch(() => undefined),
      new Promise((resolve) => void setTimeout(resolve, 200)),
    ]);
    return node.isConnected('node_2');
  }, 'the peer is connected');
  t.deepEqual(node.recorded.fatals, []);
});

test('NET-7: a peer holds a bounded number of connections, whatever they are for', async (t) => {
  const { node, peer, https, closed } = await setting(t);
  const sockets = Array.from({ length: 14 }, () => connectTls(https));
  const silent = [await peer().connect(), await peer().connect()];
  t.teardown(() => [...sockets, ...silent.map(({ socket }) => socket)].forEach((socket) => void socket.destroy()));
  for (const socket of sockets) socket.on('error', () => undefined);
  const handshakes = () => node.metric('quorate_tls_handshakes_total', { status: 'success' });
  await eventually(async () => (await handshakes()) >= 16, 'sixteen connections');
  t.is(await closed('too-many'), 0);
  const one = connectTls(https).on('error', () => undefined);
  await new Promise((resolve) => void one.resume().once('close', resolve));
  t.is(await closed('too-many'), 1);
  for (const socket of sockets) socket.destroy();
  await eventually(async () => {
    const again = await ask(https, 'GET /rpc/status HTTP/1.1\r\nx-quorate-node: node_3').catch(() => null);
    return again?.status === 403;
  }, 'room again');
});

test('a request while ingress is away is 503 and may be sent again', async (t) => {
  const { node, https } = await setting(t);
  node.ingress.goDown();
  const got = await ask(https, 'GET /rpc/status HTTP/1.1');
  t.is(got.status, 503);
  t.regex(got.headers, /retry-after/);
});

test('NET-7: garbage at every depth (TCP, HTTP, WebSocket, frames) ends its own connection, and the node goes on', async (t) => {
  const { node, peer, https } = await setting(t);
  const gone = (socket: Socket) =>
    new Promise<void>((resolve) => {
      socket.on('error', () => undefined);
      socket.once('close', () => resolve());
      socket.resume();
    });
  const blobs = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 600 }), { numRuns: 24, seed: 7 });
  const { port } = node.config;
  for (const [index, blob] of blobs.entries()) {
    if (index % 4 === 0) {
      const socket = connectTcp({ host: '127.0.0.1', port });
      const ended = gone(socket);
      socket.end(blob);
      await ended;
    } else if (index % 4 === 1) {
      const socket = connectTls(https);
      const ended = gone(socket);
      socket.once('secureConnect', () => socket.end(blob));
      await ended;
    } else if (index % 4 === 2) {
      const odd = await peer().proven();
      odd.socket.write(blob);
      odd.socket.end();
      await odd.closed;
    } else {
      const odd = await peer().proven();
      odd.ws.send(blob);
      odd.ws.close();
      await odd.closed;
    }
  }
  const last = await peer().proven();
  last.ws.send(Uint8Array.of(7, 7, 7));
  await eventually(
    () => node.framesFrom('node_2').some((frame) => frame[1] === 7 && frame[2] === 7),
    'the node goes on',
  );
  last.ws.terminate();
  t.deepEqual(node.recorded.fatals, []);
  // Every frame that came through had a type; none was handed on before its peer was proven.
  t.true(node.framesFrom('node_2').every((frame) => frame[0]! >= 1 && frame[0]! <= 63));
  t.true(node.framesFrom('node_2', 'ingress').every((frame) => frame[0]! >= 64 && frame[0]! <= 95));
});
