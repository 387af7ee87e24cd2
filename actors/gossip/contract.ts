// Messages of gossip. None yet: without peers the actor idles, and its place in the tree is already supervised.
import type { Policies } from '../../runtime/kernel/contract.js';

export type GossipContract = {
  tell: Record<never, never>;
  ask: Record<never, never>;
};

export const gossipPolicies: Policies<GossipContract> = { tell: {}, ask: {} };
