// Messages of rpc-client. None yet: without peers the actor idles, and its place in the tree is already supervised.
import type { Policies } from '../../runtime/kernel/contract.js';

export type RpcClientContract = {
  tell: Record<never, never>;
  ask: Record<never, never>;
};

export const rpcClientPolicies: Policies<RpcClientContract> = { tell: {}, ask: {} };
