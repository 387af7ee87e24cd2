// gossip: talks to peers. Without configured peers it idles, supervised like every other actor; it must not open a socket.
import { defineActor } from '../../runtime/kernel/define.js';
import { type GossipContract, gossipPolicies } from './contract.js';

export default defineActor<GossipContract, null, Record<never, never>, null>({
  policies: gossipPolicies,
  init: () => null,
  tell: { send: () => undefined },
  ask: { peers: () => [] },
  stop: () => undefined,
});
