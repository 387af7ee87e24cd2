// rpc-client: talks to peers. Without configured peers it idles, supervised like every other actor; it must not open a socket.
import { defineActor } from '../../runtime/kernel/define.js';
import { type RpcClientContract, rpcClientPolicies } from './contract.js';

export default defineActor<RpcClientContract, null, Record<never, never>, null>({
  policies: rpcClientPolicies,
  init: () => null,
  tell: {},
  ask: {
    call: (_state, { nodeId }) => ({
      outcome: 'network_error' as const,
      status: null,
      body: new Uint8Array(0),
      attempts: 0,
      detail: `no peer ${nodeId} is configured`,
    }),
  },
  stop: () => undefined,
});
