// The link to gossip of a validator that says one thing to most and another to one: in each view another peer is the deceived,
// so that several come to hold evidence. Used by actor.ts. With one deceived of three, those who were told the same are a quorum.
import type { GossipContract, SendFrames } from '../../../actors/gossip/contract.js';
import { packBytes, unpackBytes } from '../../../runtime/kernel/batch.js';
import type { Link } from '../../../runtime/kernel/contract.js';
import { Random } from '../../drills/random.js';
import type { Contradiction } from './contradiction.js';

/** @returns who is deceived in a view: each in turn, in an order that the seed gives */
export function turns(peers: readonly string[], seed: number): (view: number) => string {
  const random = new Random(seed);
  const order = peers.map((peer) => ({ peer, at: random.next() })).sort((one, other) => one.at - other.at);
  return (view) => order[view % order.length]!.peer;
}

/** @param contradict what is said instead of a frame; null where there is nothing to lie about */
export function lyingLink(
  link: Link<GossipContract>,
  peers: readonly string[],
  deceivedIn: (view: number) => string,
  contradict: (frame: Uint8Array) => Contradiction | null,
): Link<GossipContract> {
  const send = (message: SendFrames) => link.tell('send', message, [message.frames]);
  return {
    peer: link.peer,
    get up() {
      return link.up;
    },
    tell(_, { to, lane, frames }) {
      const said = unpackBytes(frames).map((frame) => ({ frame, lie: contradict(frame) }));
      const results = (to ?? peers).map((peer) => {
        const heard = said.map(({ frame, lie }) => (lie !== null && deceivedIn(lie.view) === peer ? lie.frame : frame));
        return send({ to: [peer], lane, frames: packBytes(heard) });
      });
      return results.find((result) => result !== 'ok') ?? 'ok';
    },
    ask: (name, request, options) => link.ask(name, request, options),
    onUp: (listener) => link.onUp(listener),
    onDown: (listener) => link.onDown(listener),
  };
}
