// Two and three gossip actors over real TLS on loopback: they find each other, keep one connection, carry frames, come
// back, and let go of what a reload takes away.
import test from 'ava';
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

test.before(async () => {
  authorities = await Authorities.make();
});

interface Member {
  readonly identity: Identity;
  readonly port: number;
  readonly certificate: NonNullable<NodeParts['certificate']>;
  readonly pin: string;
}

async function members(...nodeIds: string[]): Promise<Member[]> {
  return Promise.all(
    (await identities(...nodeIds)).map(async (identity) => {
      const { cert, key, fingerprint } = await authorities.issue([identity.nodeId, '127.0.0.1']);
      const certificate = { ca: authorities.good.cert, cert, key };
      return { identity, port: await freePort(), certificate, pin: fingerprint };
    }),
  );
}

/** Every member knows every other. */
function partsOf(all: readonly Member[], of: Member): NodeParts {
  return {
    identity: of.identity,
    port: of.port,
    certificate: of.certificate,
    genesis: genesisOf(all.map(({ identity }) => identity)),
    peers: all.filter((other) => other !== of).map(({ identity, port, pin }) => peerOf(identity, port, pin)),
  };
}

async function cluster(t: { teardown(run: () => unknown): void }, ...nodeIds: string[]) {
  const all = await members(...nodeIds);
  const nodes = all.map((member) => new GossipNode(configOf(partsOf(all, member))));
  t.teardown(() => Promise.all(nodes.map((node) => node.stop())));
  await Promise.all(nodes.map((node) => node.start()));
  return { all, nodes };
}

async function connected(...nodes: GossipNode[]): Promise<void> {
  await eventually(
    () => nodes.every((node) => nodes.every((other) => other === node || node.isConnected(other.nodeId))),
    'all are connected',
  );
}

const frame = (type: number, ...content: number[]): Uint8Array => Uint8Array.from([type, ...content]);

test('NET-1: two nodes connect over mutual TLS and carry frames both ways, each to whom it concerns', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2');
  const [one, two] = nodes as [GossipNode, GossipNode];
  await connected(one, two);
  one.send(null, 'live', frame(1, 7), frame(40, 8), frame(64, 9));
  two.send(['node_1'], 'bulk', frame(2, 5));
  await eventually(() => two.framesFrom('node_1').length === 2 && one.framesFrom('node_2').length === 1, 'frames');
  await eventually(() => two.framesFrom('node_1', 'ingress').length === 1, 'submissions');
  t.deepEqual(
    two.framesFrom('node_1').map((each) => [...each]),
    [
      [1, 7],
      [40, 8],
    ],
  );
  t.deepEqual(
    two.framesFrom('node_1', 'ingress').map((each) => [...each]),
    [[64, 9]],
  );
  t.deepEqual(
    one.framesFrom('node_2').map((each) => [...each]),
    [[2, 5]],
  );
  t.true((await two.metric('quorate_tls_handshakes_total', { status: 'success' })) >= 1);
  t.is(await two.metric('quorate_peer_frames_total', { direction: 'in', family: 'consensus' }), 1);
  t.is(await two.metric('quorate_peer_connected', { peer: 'node_1' }), 1);
  t.true((await one.metric('quorate_tls_certificate_expiry_seconds', { role: 'peer', peer: 'node_2' })) > 80 * 86_400);
  t.true((await one.metric('quorate_tls_certificate_expiry_seconds', { role: 'own' })) > 80 * 86_400);
  t.like(one.view('node_2'), { validator: true, breaker: 'closed' });
});

test('NET-5: of two nodes that dial each other one connection stays, and nobody is told of a change', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2');
  const [one, two] = nodes as [GossipNode, GossipNode];
  await connected(one, two);
  const directions = () => [one.view('node_2').direction, two.view('node_1').direction];
  // Both ends hold the same one: what one dialed the other accepted.
  await eventually(() => new Set(directions()).size === 2, 'one connection in use');
  one.send(null, 'live', frame(1));
  two.send(null, 'live', frame(1));
  await eventually(() => two.framesFrom('node_1').length === 1 && one.framesFrom('node_2').length === 1, 'frames');
  t.deepEqual(one.states('node_2'), [true]);
  t.deepEqual(two.states('node_1'), [true]);
});

test('NET-5: a node that was killed is connected again when it is back', async (t) => {
  const { nodes, all } = await cluster(t, 'node_1', 'node_2');
  const [one, two] = nodes as [GossipNode, GossipNode];
  await connected(one, two);
  two.kill();
  await eventually(() => !one.isConnected('node_2'), 'the loss is noticed');
  const again = new GossipNode(configOf(partsOf(all, all[1]!)));
  t.teardown(() => again.stop());
  await again.start();
  await connected(one, again);
  t.deepEqual(one.states('node_2'), [true, false, true]);
  one.send(['node_2'], 'live', frame(3));
  await eventually(() => again.framesFrom('node_1').length === 1, 'a frame');
});

test('NET-5: a node that comes back before its death was noticed takes the place of the old connection', async (t) => {
  const { nodes, all } = await cluster(t, 'node_1', 'node_2');
  const [one, two] = nodes as [GossipNode, GossipNode];
  await connected(one, two);
  // The old incarnation stays silent but alive: only the hello of the new one says that it is another run.
  const twin = all[1]!;
  const port = await freePort();
  const again = new GossipNode(configOf(partsOf(all, { ...twin, port })));
  t.teardown(() => again.stop());
  await again.start();
  await eventually(() => again.isConnected('node_1') && one.isConnected('node_2'), 'the new one is in use');
  again.send(['node_1'], 'live', frame(9, 9));
  await eventually(() => one.framesFrom('node_2').some((each) => each[1] === 9), 'its frame');
  t.deepEqual(one.states('node_2').slice(0, 3), [true, false, true], 'consensus hears that it is another run');
  await two.stop();
});

test('NET-2, NET-6: a reload closes the connection whose pin is gone and touches no other', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2', 'node_3');
  const [one, two, three] = nodes as [GossipNode, GossipNode, GossipNode];
  await connected(one, two, three);
  const peers = one.config.peers;
  const repinned = (nodeId: string, pins: string[]) => ({
    ...peers,
    peers: peers.peers.map((peer) => (peer.nodeId === nodeId ? { ...peer, pins } : peer)),
  });
  const { lastSeenMs: _, ...before } = one.view('node_3');
  // A second pin beside the first: nothing happens.
  const pin = peers.peers.find(({ nodeId }) => nodeId === 'node_2')!.pins[0]!;
  await one.reload(repinned('node_2', [pin, 'a'.repeat(64)]));
  t.deepEqual(one.states('node_2'), [true]);
  await one.reload(repinned('node_2', ['a'.repeat(64)]));
  await eventually(() => one.states('node_2').includes(false), 'node_2 is closed');
  t.true((await one.metric('quorate_peer_closed_total', { peer: 'node_2', reason: 'pin-changed' })) >= 1);
  t.like(one.view('node_3'), before);
  t.deepEqual(one.states('node_3'), [true]);
  await one.reload(repinned('node_2', [pin]));
  await eventually(() => one.isConnected('node_2') && two.isConnected('node_1'), 'the pin is back');
  t.deepEqual(one.states('node_3'), [true]);
});

test('NET-6: peers are added and removed by a reload', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2', 'node_3');
  const [one, two, three] = nodes as [GossipNode, GossipNode, GossipNode];
  await connected(one, two, three);
  const { peers } = one.config;
  await one.reload({ ...peers, peers: peers.peers.filter(({ nodeId }) => nodeId !== 'node_3') });
  await eventually(() => one.states('node_3').at(-1) === false, 'node_3 is gone');
  // Its session is over at its end too, and what it tries next is no session.
  await eventually(() => three.states('node_1').includes(false), 'node_3 hears it');
  t.true((await one.metric('quorate_peer_closed_total', { peer: 'node_3', reason: 'peer-changed' })) >= 1);
  t.deepEqual(one.states('node_2'), [true]);
  t.throws(() => one.view('node_3'));
  await one.reload(peers);
  await eventually(() => one.isConnected('node_3'), 'node_3 is back', 90_000);
  t.deepEqual(one.states('node_2'), [true]);
  // The session that node_1 dialed ends also when the one who accepted it lets it go.
  t.is(one.view('node_3').direction, 'dialed');
  await three.reload({ ...three.config.peers, peers: [] });
  await eventually(() => one.states('node_3').at(-1) === false, 'node_1 hears it');
});

test('NET-2: a new certificate serves new connections, and those that stand stay', async (t) => {
  const all = await members('node_1', 'node_2');
  const [first, second] = all as [Member, Member];
  const renewed = await authorities.issue(['node_1', '127.0.0.1'], { days: 60 });
  const parts = partsOf(all, second);
  const peers = parts.peers.map((peer) => ({ ...peer, pins: [...peer.pins, renewed.fingerprint] }));
  const one = new GossipNode(configOf(partsOf(all, first)));
  const two = new GossipNode(configOf({ ...parts, peers }));
  t.teardown(() => Promise.all([one.stop(), two.stop()]));
  await Promise.all([one.start(), two.start()]);
  await connected(one, two);
  const { lastSeenMs, ...before } = two.view('node_1');
  const tls = { ...one.config.peers.tls!, cert: renewed.cert };
  await one.reload({ ...one.config.peers, tls });
  t.like(two.view('node_1'), before);
  t.true(two.view('node_1').lastSeenMs! >= lastSeenMs!);
  t.true((await one.metric('quorate_tls_certificate_expiry_seconds', { role: 'own' })) < 61 * 86_400);
  two.kill();
  const again = new GossipNode(configOf({ ...parts, peers }));
  t.teardown(() => again.stop());
  await again.start();
  await connected(one, again);
  t.not(again.view('node_1').fingerprint, before.fingerprint);
});

test('consensus that starts anew is told again who is connected', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2');
  const [one, two] = nodes as [GossipNode, GossipNode];
  await connected(one, two);
  one.consensus.goDown();
  one.consensus.goUp();
  t.deepEqual(one.states('node_2'), [true, true]);
});

test('NET-5: a receiver that has no room stops the sender, and neither side grows', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2');
  const [one, two] = nodes as [GossipNode, GossipNode];
  await connected(one, two);
  two.consensus.tellResult = 'overloaded';
  const big = new Uint8Array(512 * 1024);
  big[0] = 33;
  for (let count = 0; count < 64; count++) one.send(null, 'bulk', big);
  const queued = () => one.view('node_2').queuedBytes;
  t.true(queued() <= 8 * 1024 * 1024);
  const dropped = await one.metric('quorate_peer_frames_dropped_total', { peer: 'node_2', lane: 'bulk' });
  t.true(dropped >= 40, `${dropped} of 64 were dropped`);
  await eventually(async () => (await two.metric('quorate_peer_inbound_bytes')) >= 1024 * 1024, 'the reader is full');
  t.true((await two.metric('quorate_peer_inbound_bytes')) <= 2 * 1024 * 1024 + 65_536);
  // A live frame comes before the bulk frames that still wait.
  one.send(null, 'live', frame(1, 42));
  two.consensus.tellResult = 'ok';
  await eventually(() => queued() === 0, 'the queue is sent');
  await eventually(() => two.framesFrom('node_1').length === 64 - dropped + 1, 'everything that was not dropped');
  const types = two.framesFrom('node_1').map((each) => each[0]);
  t.true(types.indexOf(1) < types.length - 1, 'the live frame did not wait for the last bulk frame');
  t.true(one.isConnected('node_2'));
});

test('NET-5: fifty relays at once are all delivered, each once and in order', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2', 'node_3');
  const [one, two, three] = nodes as [GossipNode, GossipNode, GossipNode];
  await connected(one, two, three);
  const relays = Array.from({ length: 50 }, (_, number) => number);
  for (const number of relays) {
    for (const from of [one, two]) {
      from.send(null, number % 2 === 0 ? 'live' : 'bulk', frame(64, number), frame(1, number));
    }
  }
  for (const from of ['node_1', 'node_2']) {
    for (const receiver of ['consensus', 'ingress'] as const) {
      await eventually(() => three.framesFrom(from, receiver).length >= 50, `${from} to ${receiver}`);
      const got = three.framesFrom(from, receiver).map((each) => each[1]!);
      t.deepEqual(
        [...got].sort((a, b) => a - b),
        relays,
      );
      for (const parity of [0, 1]) {
        const lane = got.filter((number) => number % 2 === parity);
        t.deepEqual(
          lane,
          [...lane].sort((a, b) => a - b),
          'in order within its lane',
        );
      }
    }
  }
});

test('NET-7: a flood of tiny frames is held back by its number too', async (t) => {
  const { nodes } = await cluster(t, 'node_1', 'node_2');
  const [one, two] = nodes as [GossipNode, GossipNode];
  await connected(one, two);
  two.consensus.tellResult = 'overloaded';
  const tiny = Array.from({ length: 1000 }, () => frame(1));
  for (let turn = 0; turn < 8; turn++) one.send(null, 'live', ...tiny);
  await eventually(async () => (await two.metric('quorate_peer_inbound_bytes')) >= 4096, 'the bound');
  two.consensus.tellResult = 'ok';
  const sent = await one.metric('quorate_peer_frames_total', { direction: 'out' });
  t.true(sent > 4096);
  await eventually(() => two.framesFrom('node_1').length === 8000, 'and then everything comes');
});
