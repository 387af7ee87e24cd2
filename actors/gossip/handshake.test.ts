// The handshake matrix: one node as it should be, and one that is wrong in one way. Each way has its name in the metrics,
// none comes to be a peer, and the good node goes on.
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import type { KeyAndCertificate } from '../../config/certificates.js';
import type { PeerConfig } from '../../config/node.js';
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
let good: Identity;
let odd: Identity;
let genesis: ReturnType<typeof genesisOf>;

test.before(async () => {
  authorities = await Authorities.make();
  [good, odd] = (await identities('node_1', 'node_2')) as [Identity, Identity];
  genesis = genesisOf([good, odd]);
});

type Pair = { readonly good: NodeParts; readonly odd: NodeParts };

/** Both as they should be; `change` makes the odd one, or what the good one thinks of it, wrong. */
async function pair(
  issue: { by?: KeyAndCertificate; days?: number; names?: readonly string[] } = {},
): Promise<Pair & { readonly goodPin: string; readonly oddPin: string }> {
  const { names = ['node_2', '127.0.0.1'], ...rest } = issue;
  const goodOwn = await authorities.issue(['node_1', '127.0.0.1']);
  const oddOwn = await authorities.issue(names, rest);
  const [goodPort, oddPort] = [await freePort(), await freePort()];
  const ca = authorities.good.cert;
  return {
    goodPin: goodOwn.fingerprint,
    oddPin: oddOwn.fingerprint,
    good: {
      identity: good,
      port: goodPort,
      certificate: { ca, cert: goodOwn.cert, key: goodOwn.key },
      genesis,
      peers: [peerOf(odd, oddPort, oddOwn.fingerprint)],
    },
    odd: {
      identity: odd,
      port: oddPort,
      certificate: { ca, cert: oddOwn.cert, key: oddOwn.key },
      genesis,
      peers: [peerOf(good, goodPort, goodOwn.fingerprint)],
    },
  };
}

async function started(t: ExecutionContext, parts: NodeParts): Promise<GossipNode> {
  const node = new GossipNode(configOf(parts));
  t.teardown(() => node.stop());
  return node.start();
}

interface Row {
  readonly title: string;
  readonly make: () => Promise<Pair>;
  /** What the good node counts, as listener or as dialer. */
  readonly handshake?: string;
  readonly closed?: string;
  readonly pinOf?: string;
}

const withPeer = (parts: NodeParts, change: Partial<PeerConfig>): NodeParts => ({
  ...parts,
  peers: parts.peers.map((peer) => ({ ...peer, ...change })),
});

const ROWS: readonly Row[] = [
  {
    title: 'NET-1: a certificate of another authority is refused',
    make: () => pair({ by: authorities.other }),
    handshake: 'cert_invalid',
  },
  {
    title: 'NET-1: an expired certificate is refused and not called invalid',
    make: () => pair({ days: -1 }),
    handshake: 'cert_expired',
  },
  {
    title: 'NET-1: a certificate that names somebody else is refused',
    make: () => pair({ names: ['elsewhere.example'] }),
    handshake: 'wrong_name',
  },
  {
    title: 'NET-2: a certificate that this node did not pin is refused and counted for the peer',
    make: async () => {
      const made = await pair();
      return { ...made, good: withPeer(made.good, { pins: ['b'.repeat(64)] }) };
    },
    handshake: 'pin_mismatch',
    pinOf: 'node_2',
  },
  {
    title: 'NET-2: a peer without any pin is refused where pins are required',
    make: async () => {
      const made = await pair();
      return { ...made, good: withPeer(made.good, { pins: [] }) };
    },
    handshake: 'pin_mismatch',
    pinOf: 'node_2',
  },
  {
    title: 'NET-11: a hello signed with another key than that of peers.yml is refused',
    make: async () => {
      const made = await pair();
      const [stranger] = (await identities('node_9')) as [Identity];
      const other = { ...odd, seed: new Uint8Array(32).fill(77), publicKey: stranger.publicKey };
      return { ...made, odd: { ...made.odd, identity: other } };
    },
    closed: 'wrong-identity',
  },
  {
    title: 'NET-11: a hello that claims the key without having it is refused',
    make: async () => {
      const made = await pair();
      return { ...made, odd: { ...made.odd, identity: { ...odd, seed: new Uint8Array(32).fill(78) } } };
    },
    closed: 'bad-proof',
  },
  {
    title: 'NET-11: a hello with another name than the certificate’s is refused',
    make: async () => {
      const made = await pair();
      return { ...made, odd: { ...made.odd, identity: { ...odd, nodeId: 'node_3' } } };
    },
    closed: 'wrong-identity',
  },
  {
    title: 'NET-1: a peer of another chain is refused',
    make: async () => {
      const made = await pair();
      return { ...made, odd: { ...made.odd, genesis: genesisOf([odd]) } };
    },
    closed: 'other-chain',
  },
];

for (const { title, make, handshake, closed, pinOf } of ROWS) {
  test(title, async (t) => {
    const made = await make();
    const one = await started(t, made.good);
    const two = await started(t, made.odd);
    if (handshake !== undefined) {
      const counted = () => one.metric('quorate_tls_handshakes_total', { status: handshake });
      await eventually(async () => (await counted()) >= 1, `${handshake} is counted`);
    }
    if (closed !== undefined) {
      const count = () => one.metric('quorate_peer_closed_total', { reason: closed });
      await eventually(async () => (await count()) >= 1, `${closed} is counted`);
    }
    if (pinOf !== undefined) {
      const count = () => one.metric('quorate_pinning_violations_total', { peer: pinOf });
      await eventually(async () => (await count()) >= 1, 'the violation is counted for the peer');
      const line = one.recorded.lines.find(({ event }) => event === 'peer.pin_mismatch');
      t.like(line, { peer: pinOf, refused: true });
      t.regex(String(line?.fingerprint), /^sha256:[0-9a-f]{8}\.\.\.[0-9a-f]{8}$/, 'masked');
      const reported = one.recorded.reports.find(({ name }) => name === 'pin-violation');
      t.like(reported?.value, { ok: true, data: { peer: pinOf, refused: true } });
    }
    t.deepEqual([...one.states('node_2'), ...one.states('node_3')], []);
    t.deepEqual(two.states('node_1'), []);
    t.deepEqual(one.framesFrom('node_2'), []);
  });
}

test('NET-2: the dialer refuses a listener whose certificate it did not pin, before a byte of its own', async (t) => {
  const made = await pair();
  // The greater id dials second; the good node is gone by then, so that only the odd one dials.
  const listener = await started(t, made.good);
  const dialer = await started(t, withPeer(made.odd, { pins: ['c'.repeat(64)] }));
  const counted = () => dialer.metric('quorate_pinning_violations_total', { peer: 'node_1' });
  await eventually(async () => (await counted()) >= 1, 'the dialer counts it');
  await eventually(() => dialer.view('node_1').lastError?.split(':')[0] === 'pin_mismatch', 'the dial is refused');
  t.deepEqual(listener.states('node_2'), []);
  t.is(await listener.metric('quorate_peer_closed_total', { reason: 'malformed-hello' }), 0);
});

test('NET-2: pins that are not enforced are told and counted, and the peer is let in', async (t) => {
  const made = await pair();
  const one = await started(t, { ...withPeer(made.good, { pins: ['d'.repeat(64)] }), enforcePins: false });
  const two = await started(t, made.odd);
  await eventually(() => one.isConnected('node_2') && two.isConnected('node_1'), 'they connect');
  t.true((await one.metric('quorate_pinning_violations_total', { peer: 'node_2' })) >= 1);
});

test('NET-2: without pins a certificate of the authority with the right name is enough in development', async (t) => {
  const made = await pair();
  const loose = (parts: NodeParts) => ({ ...withPeer(parts, { pins: [] }), requirePins: false });
  const one = await started(t, loose(made.good));
  const two = await started(t, loose(made.odd));
  await eventually(() => one.isConnected('node_2') && two.isConnected('node_1'), 'they connect');
  t.is(await one.metric('quorate_pinning_violations_total'), 0);
});

test('NET-11: a certificate that names nobody stands for no peer that has pins, whatever its hello proves', async (t) => {
  const made = await pair({ names: ['elsewhere.example'] });
  // node_2 is pinned to another certificate; a third peer without pins makes the handshake lenient.
  const [third] = (await identities('node_3')) as [Identity];
  const parts = withPeer(made.good, { pins: ['f'.repeat(64)] });
  const peers = [...parts.peers, peerOf(third, await freePort())];
  const one = await started(t, { ...parts, peers, requirePins: false });
  const two = await started(t, made.odd);
  await eventually(
    async () => (await one.metric('quorate_peer_closed_total', { reason: 'wrong-identity' })) >= 1,
    'it is closed when its hello says who it is',
  );
  t.deepEqual(one.states('node_2'), []);
  t.deepEqual(one.framesFrom('node_2'), []);
  t.truthy(two);
});

test('NET-1: who shows no certificate is refused by TLS and gets no byte', async (t) => {
  const made = await pair();
  const one = await started(t, made.good);
  const heard: Buffer[] = [];
  await new Promise<void>((resolve) => {
    const socket = connectTls({ host: '127.0.0.1', port: made.good.port, ca: authorities.good.cert });
    socket.on('secureConnect', () => socket.write('GET /rpc/status HTTP/1.1\r\nhost: x\r\n\r\n'));
    socket.on('data', (data) => heard.push(data));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
  t.deepEqual(heard, []);
  await eventually(
    async () => (await one.metric('quorate_tls_handshakes_total', { status: 'no_certificate' })) === 1,
    'it is counted',
  );
});

test('NET-2: no session is ever resumed', async (t) => {
  const made = await pair();
  const one = await started(t, made.good);
  const { ca, cert, key } = made.odd.certificate!;
  const sessions: Buffer[] = [];
  const connect = (session?: Buffer) =>
    new Promise<boolean>((resolve, reject) => {
      const socket = connectTls({
        host: '127.0.0.1',
        port: made.good.port,
        ca,
        cert,
        key,
        ...(session && { session }),
      });
      socket.on('session', (given) => sessions.push(given));
      socket.on('error', reject);
      let reused = false;
      socket.on('secureConnect', () => {
        reused = socket.isSessionReused();
        socket.write('GET /rpc/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
        socket.resume();
      });
      socket.on('close', () => resolve(reused));
    });
  t.false(await connect());
  const [session] = sessions;
  if (session !== undefined) t.false(await connect(session));
  t.is(await one.metric('quorate_peer_served_total', { peer: 'node_2', status: '404' }), session === undefined ? 1 : 2);
});

test('NET-3: without TLS peers connect by the hello alone, and the log says so loudly', async (t) => {
  const made = await pair();
  const plain = (parts: NodeParts) => ({ ...withPeer(parts, { pins: [] }), certificate: null, requirePins: false });
  const one = await started(t, plain(made.good));
  const two = await started(t, plain(made.odd));
  await eventually(() => one.isConnected('node_2') && two.isConnected('node_1'), 'they connect');
  const line = one.recorded.lines.find(({ event }) => event === 'peers.insecure');
  t.regex(line?.msg ?? '', /^INSECURE PEERS/);
  t.is(await one.metric('quorate_tls_handshakes_total'), 0);
});

test('NET-3: without TLS a hello still has to prove the key', async (t) => {
  const made = await pair();
  const plain = (parts: NodeParts) => ({ ...withPeer(parts, { pins: [] }), certificate: null, requirePins: false });
  const one = await started(t, plain(made.good));
  const liar = { ...odd, seed: new Uint8Array(32).fill(79) };
  await started(t, { ...plain(made.odd), identity: liar });
  const counted = () => one.metric('quorate_peer_closed_total', { reason: 'bad-proof' });
  await eventually(async () => (await counted()) >= 1, 'it is refused');
  t.deepEqual(one.states('node_2'), []);
});
