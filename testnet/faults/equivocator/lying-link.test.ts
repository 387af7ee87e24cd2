// Each peer of an equivocator is deceived in its turn, and in a view only one of them, by all that is said in it.
import test from 'ava';
import type { GossipContract } from '../../../actors/gossip/contract.js';
import { FakeLink } from '../../../actors/testing/links.js';
import { packBytes, unpackBytes } from '../../../runtime/kernel/batch.js';
import { lyingLink, turns } from './lying-link.js';

const PEERS = ['node_1', 'node_2', 'node_3'];

test('an equivocator takes each peer in turn, by its seed', (t) => {
  const firsts = new Set<string>();
  for (let seed = 0; seed < 16; seed++) {
    const deceivedIn = turns(PEERS, seed);
    firsts.add(deceivedIn(1));
    for (let view = 1; view < 10; view++) {
      t.deepEqual([0, 1, 2].map((more) => deceivedIn(view + more)).sort(), PEERS);
      t.is(deceivedIn(view), turns(PEERS, seed)(view));
    }
  }
  t.deepEqual([...firsts].sort(), PEERS);
});

test('the deceived hears the lie, the others the frame, in the order in which they were said', (t) => {
  const link = new FakeLink<GossipContract>('gossip');
  // A frame: whether there is something to lie about, and its view.
  const contradict = (frame: Uint8Array) =>
    frame[0] === 1 ? { view: frame[1]!, frame: Uint8Array.of(9, frame[1]!) } : null;
  const deceivedIn = turns(PEERS, 7);
  const liar = lyingLink(link, PEERS, deceivedIn, contradict);
  const said = [Uint8Array.of(1, 4), Uint8Array.of(2, 4), Uint8Array.of(1, 5)];
  liar.tell('send', { to: null, lane: 'live', frames: packBytes(said) });
  liar.tell('send', { to: [deceivedIn(6)], lane: 'bulk', frames: packBytes([Uint8Array.of(1, 6)]) });
  const heard = (peer: string) =>
    link
      .told('send')
      .flatMap(({ to, frames }) => (to?.[0] === peer ? unpackBytes(frames).map((each) => [...each]) : []));
  for (const peer of PEERS) {
    const kind = (view: number) => (deceivedIn(view) === peer ? 9 : 1);
    const more = deceivedIn(6) === peer ? [[9, 6]] : [];
    t.deepEqual(heard(peer), [[kind(4), 4], [2, 4], [kind(5), 5], ...more]);
  }
});
