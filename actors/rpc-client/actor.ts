// rpc-client: calls the peer ports of other nodes over pinned mTLS. Called by ingress and consensus. Without configured
// peers it idles. It must never throw for what the network or a peer did: that is an outcome.

import type { SecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { ActorContext } from '../../runtime/kernel/contract.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { createContext } from '../peer/tls.js';
import { loadUndici, PeerCaller } from './caller.js';
import { type PeerReply, type RpcClientContract, rpcClientPolicies } from './contract.js';
import { createMetrics, type RpcClientMetrics } from './metrics.js';
import type { RpcClientConfig } from './spec.js';

type NoLinks = Record<never, never>;

interface State {
  readonly context: ActorContext<NoLinks, RpcClientConfig | null>;
  readonly metrics: RpcClientMetrics;
  readonly callers: Map<string, PeerCaller>;
  config: RpcClientConfig | null;
  tls: SecureContext | null;
  prepared: { readonly config: RpcClientConfig | null; readonly tls: SecureContext | null } | null;
}

export default defineActor<RpcClientContract, State, NoLinks, RpcClientConfig | null>({
  policies: rpcClientPolicies,

  async ahead(config) {
    if (config !== null) loadUndici();
  },

  init(context) {
    const { config } = context;
    const metrics = createMetrics(context.registry);
    const state: State = { context, metrics, callers: new Map(), config, tls: contextOf(config), prepared: null };
    adopt(state, true);
    return state;
  },

  tell: {},

  ask: {
    call: ({ callers }, call) => callers.get(call.nodeId)?.call(call) ?? unknownPeer(call.nodeId),
  },

  reconfigure: {
    prepare(state, next) {
      state.prepared = { config: next, tls: contextOf(next) };
    },
    commit(state) {
      const { config, tls } = state.prepared!;
      const keep = sameRules(state.config, config);
      state.prepared = null;
      state.config = config;
      state.tls = tls;
      adopt(state, keep);
    },
    abort(state) {
      state.prepared = null;
    },
  },

  async stop({ callers }) {
    await Promise.all([...callers.values()].map((caller) => caller.destroy()));
  },

  /** Answers that are being read would be read on in a thread that ends. */
  abandon({ callers }) {
    for (const caller of callers.values()) void caller.destroy();
  },

  inspect: ({ callers }) => ({
    peers: [...callers.values()].map(({ config, breakerPhase }) => ({ nodeId: config.nodeId, breaker: breakerPhase })),
  }),
});

function contextOf(config: RpcClientConfig | null): SecureContext | null {
  return config === null || config.peers.tls === null ? null : createContext(config.peers.tls);
}

/** Connections that were made under other rules of pinning may be such as are refused now. */
function sameRules(before: RpcClientConfig | null, next: RpcClientConfig | null): boolean {
  return before?.peers.enforcePins === next?.peers.enforcePins && before?.peers.requirePins === next?.peers.requirePins;
}

/** One caller for each peer that is configured now. With `keep` those of unchanged peers, and their connections, stay. */
function adopt(state: State, keep: boolean): void {
  const { callers, config, context, metrics } = state;
  const wanted = new Map((config?.peers.peers ?? []).map((peer) => [peer.nodeId, peer]));
  for (const [nodeId, caller] of callers) {
    if (keep && isDeepStrictEqual(wanted.get(nodeId), caller.config)) continue;
    callers.delete(nodeId);
    void caller.destroy();
  }
  for (const [nodeId, peer] of wanted) {
    if (callers.has(nodeId)) continue;
    const caller = new PeerCaller(peer, {
      ownId: config!.nodeId,
      clock: context.clock,
      random: Math.random,
      metrics,
      dialing: () => ({ context: state.tls, rules: state.config!.peers }),
    });
    callers.set(nodeId, caller);
  }
}

function unknownPeer(nodeId: string): PeerReply {
  const detail = `no peer ${nodeId} is configured`;
  return { outcome: 'network_error', status: null, body: new Uint8Array(0), attempts: 0, detail };
}
