// Two gossip actors that reach each other through faulty links only: what is lost is noticed, and what heals is used again,
// without a restart and without an operator. Mostly waiting: silence is told from slowness by time alone.
import test, { type ExecutionContext } from 'ava';
import {
  Authorities,
  configOf,
  eventually,
  freePort,
  GossipNode,
  genesisOf,
  type Identity,
  identities,
  peerOf,
} from '../../actors/gossip/gossip-fixture.js';
import { FaultyProxy } from './proxy.js';

let authorities: Authorities;

test.before(async () => {
  authorities = await Authorities.make();
});

async function pair(t: ExecutionContext) {
  const [first, second] = (await identities('node_1', 'node_2')) as [Identity, Identity];
  const genesis = genesisOf([first, second]);
  const ca = authorities.good.cert;
  const own = [
    await authorities.issue(['node_1', '127.0.0.1']),
    await authorities.issue(['node_2', '127.0.0.1']),
  ] as const;
  const ports = [await freePort(), await freePort()] as const;
  const toSecond = await FaultyProxy.open({ host: '127.0.0.1', port: ports[1] });
  const toFirst = await FaultyProxy.open({ host: '127.0.0.1', port: ports[0] });
  const one = new GossipNode(
    configOf({
      identity: first,
      port: ports[0],
      certificate: { ca, cert: own[0].cert, key: own[0].key },
      genesis,
      peers: [peerOf(second, toSecond.port, own[1].fingerprint)],
    }),
  );
  const two = new GossipNode(
    configOf({
      identity: second,
      port: ports[1],
      certificate: { ca, cert: own[1].cert, key: own[1].key },
      genesis,
      peers: [peerOf(first, toFirst.port, own[0].fingerprint)],
    }),
  );
  t.teardown(async () => {
    one.kill();
    two.kill();
    await Promise.all([toSecond.close(), toFirst.close()]);
  });
  await Promise.all([one.start(), two.start()]);
  const connected = () => one.isConnected('node_2') && two.isConnected('node_1');
  await eventually(connected, 'they connect');
  return { one, two, links: [toSecond, toFirst], connected };
}

/** A frame each way arrives. */
async function talks(one: GossipNode, two: GossipNode, mark: number): Promise<void> {
  const arrived = (at: GossipNode, from: string) => at.framesFrom(from).some((frame) => frame[1] === mark);
  await eventually(() => {
    one.send(null, 'live', Uint8Array.of(1, mark));
    two.send(null, 'live', Uint8Array.of(1, mark));
    return arrived(one, 'node_2') && arrived(two, 'node_1');
  }, 'frames both ways');
}

test('NET-5: a partition is noticed on both sides, and after it heals they talk again', async (t) => {
  const { one, two, links, connected } = await pair(t);
  for (const link of links) link.stall();
  await eventually(() => !one.isConnected('node_2') && !two.isConnected('node_1'), 'the silence is noticed');
  t.true((await one.metric('quorate_peer_closed_total', { reason: 'silent' })) >= 1);
  for (const link of links) link.heal();
  const healedMs = Date.now();
  await eventually(connected, 'they connect again');
  t.log(`connected ${Date.now() - healedMs} ms after the heal`);
  await talks(one, two, 7);
});

test('NET-5: a partition in one direction ends the connection for both, and heals', async (t) => {
  const { one, two, links } = await pair(t);
  // What node_1 says does not arrive, whoever dialed.
  links[0]!.stall('forward');
  links[1]!.stall('backward');
  await eventually(() => two.states('node_1').includes(false), 'who hears nothing ends it');
  for (const link of links) link.heal();
  await eventually(() => one.isConnected('node_2') && two.isConnected('node_1'), 'they connect again');
  await talks(one, two, 8);
  t.is(two.states('node_1').at(-1), true);
});

test('NET-5: links that are refused for a while are tried until they work', async (t) => {
  const { one, two, links, connected } = await pair(t);
  for (const link of links) link.refuse();
  await eventually(() => !one.isConnected('node_2') && !two.isConnected('node_1'), 'the loss is noticed');
  await eventually(() => links.every(({ accepted }) => accepted >= 5), 'they keep trying');
  t.is(one.view('node_2').breaker, 'closed', 'a lost network is nothing that an operator has to mend');
  for (const link of links) link.heal();
  await eventually(connected, 'they connect again');
  await talks(one, two, 9);
});

test('NET-5: a connection whose far end is gone without a word is replaced', async (t) => {
  const { one, two, links, connected } = await pair(t);
  for (const link of links) link.halfOpen();
  await eventually(() => one.states('node_2').length + two.states('node_1').length > 2, 'one of them notices');
  await eventually(connected, 'they connect again');
  await talks(one, two, 10);
  t.is(one.states('node_2').at(-1), true);
});
