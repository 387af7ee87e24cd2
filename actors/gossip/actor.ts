// gossip: the connections to peers, and the port at which they connect. Called by consensus and ingress with frames for
// peers. Without configured peers it idles and opens nothing. It must never say for a peer what the peer did not prove.
import { listenRefusal } from '../../config/listen-refusal.js';
import { event } from '../../observability/events.js';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { parseGenesis } from '../../protocol/genesis.js';
import type { JsonObject } from '../../protocol/json.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import { defineActor } from '../../runtime/kernel/define.js';
import { type GossipContract, gossipPolicies } from './contract.js';
import { createMetrics, type Figures, type GossipMetrics } from './metrics.js';
import { type GossipContext, type GossipLinks, Network, newInstance } from './network.js';
import type { GossipConfig } from './spec.js';

interface State {
  readonly context: GossipContext;
  readonly ed25519: Ed25519;
  readonly instance: Uint8Array;
  readonly metrics: GossipMetrics;
  network: Network | null;
  prepared: Prepared | null;
}

interface Prepared {
  readonly config: GossipConfig | null;
  /** Made for a node that had no peers, its port open already. */
  readonly fresh: Network | null;
}

export default defineActor<GossipContract, State, GossipLinks, GossipConfig | null>({
  policies: gossipPolicies,

  async init(context) {
    const { config } = context;
    const figures: Figures = {
      peers: () => state.network?.peers() ?? [],
      certificates: () => state.network?.certificates() ?? [],
      inboundBytes: () => state.network?.inboundBytes() ?? 0,
    };
    const state: State = {
      context,
      ed25519: await loadEd25519(),
      instance: newInstance(),
      metrics: createMetrics(context.registry, figures),
      network: null,
      prepared: null,
    };
    if (config === null) return state;
    const network = createNetwork(state, config);
    try {
      await open(state, network, config);
    } catch (error) {
      // At the first start a port that cannot be had ends the process: waiting would not free it.
      const named = `${config.host}:${config.port}`;
      const refusal = context.incarnation === 1 ? listenRefusal(error, '--peer-listen', named) : null;
      if (refusal !== null) context.fatal(refusal.exitCode, refusal.reason);
      throw error;
    }
    state.network = network;
    network.start();
    return state;
  },

  tell: {
    send: ({ network }, { to, lane, frames }) => network?.send(to, lane, unpackBytes(frames)),
  },

  ask: {
    peers: ({ network }) => network?.view() ?? [],
  },

  reconfigure: {
    async prepare(state, next) {
      if (next === null || state.network !== null) {
        if (next !== null) state.network?.check(next.peers);
        state.prepared = { config: next, fresh: null };
        return;
      }
      const fresh = createNetwork(state, next);
      try {
        await open(state, fresh, next);
      } catch (error) {
        fresh.stop();
        throw error;
      }
      state.prepared = { config: next, fresh };
    },

    commit(state) {
      const { config, fresh } = state.prepared!;
      state.prepared = null;
      if (fresh !== null) {
        state.network = fresh;
        fresh.start();
      } else if (config === null) {
        state.network?.stop();
        state.network = null;
        state.context.report('peer-listening', { ok: true, data: { host: null, port: null, tls: null } });
      } else state.network?.reconfigure(config);
    },

    abort(state) {
      state.prepared?.fresh?.stop();
      state.prepared = null;
    },
  },

  drain: ({ network }) => network?.drain(),

  stop: ({ network }) => network?.stop(),

  /** Sockets in the middle of TLS or of a request would be read on in a thread that ends. */
  abandon: ({ network }) => network?.stop(),

  inspect: ({ network }) => ({ peers: network?.view() ?? [] }),
});

function createNetwork({ context, ed25519, instance, metrics }: State, config: GossipConfig): Network {
  const genesis = parseGenesis(JSON.parse(config.genesis) as JsonObject);
  return new Network({
    context,
    config,
    metrics,
    validators: new Set(genesis.validators.map(({ nodeId }) => nodeId)),
    self: {
      nodeId: config.nodeId,
      chainId: Buffer.from(config.chainId, 'hex'),
      publicKey: Buffer.from(config.publicKey, 'hex'),
      secretKey: ed25519.keyPair(config.seed).secretKey,
      instance,
      ed25519,
    },
  });
}

async function open({ context }: State, network: Network, { peers }: GossipConfig): Promise<void> {
  const { address, port } = await network.listen();
  const tls = peers.tls !== null;
  context.report('peer-listening', { ok: true, data: { host: address, port, tls } });
  event(context.log, 'peers.listening', { address, port, peers: peers.peers.length, tls });
}
