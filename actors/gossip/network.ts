// The peer network of one configuration: port, peers, what they send and ask, and what is told about it. Made by the actor
// when there are peers. It must never take part of a configuration: all of the next one, or the last one.
import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { PeersConfig } from '../../config/node.js';
import { event } from '../../observability/events.js';
import { maskFingerprint } from '../../observability/logs.js';
import { frameFamily } from '../../protocol/peer/frame.js';
import type { ActorContext, Timer } from '../../runtime/kernel/contract.js';
import type { ConsensusContract } from '../consensus/contract.js';
import type { IngressContract } from '../ingress/contract.js';
import { RateLimit, type RateWindow } from '../peer/rate-limit.js';
import { createContext } from '../peer/tls.js';
import { Certificates } from './certificates.js';
import { TIMES, type Times } from './connection.js';
import type { Lane, PeerView } from './contract.js';
import type { Self } from './greeting.js';
import { Inbound } from './inbound.js';
import { PeerListener } from './listener.js';
import type { Figures, GossipMetrics } from './metrics.js';
import type { Peer } from './peer.js';
import { Roster } from './roster.js';
import { RpcDoor } from './rpc.js';
import type { GossipConfig, PeerLimits } from './spec.js';
import { StateTeller } from './state-teller.js';

export type GossipLinks = { consensus: ConsensusContract; ingress: IngressContract };
export type GossipContext = ActorContext<GossipLinks, GossipConfig | null>;

export interface NetworkParts {
  readonly context: GossipContext;
  readonly config: GossipConfig;
  readonly self: Self;
  readonly validators: ReadonlySet<string>;
  readonly metrics: GossipMetrics;
  readonly times?: Times;
}

const INSECURE_WARNING_MS = 60_000;
/** One line about refused strangers in this time; the rest is counted. */
const REFUSED_LINE_MS = 10_000;
const DRAIN_MS = 1_000;

export class Network implements Figures {
  readonly #parts: NetworkParts;
  readonly #roster: Roster;
  readonly #listener: PeerListener;
  readonly #inbound: Inbound;
  readonly #teller: StateTeller;
  readonly #certificates: Certificates;
  readonly #rate: RateLimit;
  #limits: PeerLimits;
  #insecure: Timer | null = null;
  #refusedLineMs = Number.NEGATIVE_INFINITY;
  #notLogged = 0;
  /** Peer → the last thing that was logged about it: a refusal repeats itself with every attempt. */
  readonly #lastRefusal = new Map<string, string>();

  /** Opens nothing yet. Throws what OpenSSL says of TLS material that it does not take. */
  constructor(parts: NetworkParts) {
    this.#parts = parts;
    const { context, config, self, validators, metrics } = parts;
    const { clock, links, log } = context;
    this.#limits = config.limits;
    this.#rate = new RateLimit(
      () => clock.monotonic(),
      () => windowsOf(this.#limits),
    );
    this.#inbound = new Inbound({
      links,
      clock,
      onDrop: (from, frames) => metrics.dropped.inc({ peer: from, lane: 'inbound' }, frames),
      rate: () => this.#limits.peer_bytes_per_second,
      onExceeded: (from) => metrics.violations.inc({ scope: 'peer_bytes', peer: from }),
    });
    this.#roster = new Roster(config.peers, {
      self,
      validators,
      clock,
      random: Math.random,
      metrics,
      times: parts.times ?? TIMES,
      on: {
        changed: (peer) => this.#changed(peer),
        frame: (peer, connection, frame) => {
          const receiver = frameFamily(frame) === 'submissions' ? 'ingress' : 'consensus';
          this.#inbound.receive(peer.nodeId, connection, receiver, frame);
        },
        ended: (peer, connection) => this.#inbound.ended(peer.nodeId, connection),
        refused: (peer, reason, detail) => this.#refused(peer, reason, detail),
        pinMismatch: (peer, fingerprint, refused) => this.#pinMismatch(peer.nodeId, fingerprint, refused),
      },
    });
    this.#teller = new StateTeller(links.consensus, clock, (nodeId) => this.#roster.isConnected(nodeId));
    this.#certificates = new Certificates({ clock, log, ownId: self.nodeId, peers: () => this.#roster.peers });
    this.#listener = this.#createListener();
  }

  /** Opens the port. Rejects when it cannot be had. */
  listen(): Promise<AddressInfo> {
    const { host, port } = this.#parts.config;
    return this.#listener.listen(host, port);
  }

  /** From here on peers are dialed and told about. */
  start(): void {
    const { links } = this.#parts.context;
    links.consensus.onUp(() => {
      for (const peer of this.#roster.peers) if (peer.connection !== null) this.#teller.changed(peer.nodeId);
    });
    const { tls, peers } = this.#roster.config;
    this.#certificates.use(tls);
    if (tls === null) this.#warnInsecure(peers.length);
    this.#roster.start();
  }

  /** Throws when `next` cannot be taken; changes nothing. */
  check({ tls }: PeersConfig): void {
    if (tls !== null) createContext(tls);
  }

  reconfigure({ peers: next, limits }: Pick<GossipConfig, 'peers' | 'limits'>): void {
    this.#limits = limits;
    const gone = [...this.#roster.peers].map(({ nodeId }) => nodeId);
    this.#roster.reconfigure(next);
    this.#listener.reconfigure(next);
    this.#certificates.use(next.tls);
    this.#lastRefusal.clear();
    for (const nodeId of gone) {
      if (this.#roster.has(nodeId)) continue;
      this.#inbound.forget(nodeId);
      this.#rate.forget(nodeId);
    }
  }

  send(to: readonly string[] | null, lane: Lane, frames: readonly Uint8Array[]): void {
    this.#roster.send(to, lane, frames);
  }

  view(): PeerView[] {
    return this.#roster.view();
  }

  peers() {
    return [...this.#roster.peers].map(({ nodeId, connection, queue }) => ({
      nodeId,
      connected: connection !== null,
      liveBytes: queue.bytes('live'),
      bulkBytes: queue.bytes('bulk'),
    }));
  }

  certificates() {
    return this.#certificates.figures();
  }

  inboundBytes(): number {
    return this.#inbound.bytes;
  }

  /** Says goodbye and waits a little for the answers. */
  async drain(): Promise<void> {
    this.#listener.close();
    this.#roster.stop();
    const { clock } = this.#parts.context;
    const endMs = clock.monotonic() + DRAIN_MS;
    while ([...this.#roster.peers].some(({ connection }) => connection !== null) && clock.monotonic() < endMs) {
      await new Promise<void>((resolve) => void clock.setTimer(10, resolve));
    }
  }

  stop(): void {
    this.#insecure?.cancel();
    this.#teller.stop();
    this.#certificates.stop();
    this.#inbound.stop();
    this.#roster.terminate();
    this.#listener.destroy();
  }

  #createListener(): PeerListener {
    const { context, metrics, config } = this.#parts;
    const { links } = context;
    const rpc = new RpcDoor({
      ingress: links.ingress,
      trustHeader: () => this.#roster.config.tls === null,
      isPeer: (nodeId) => this.#roster.has(nodeId),
      answered: (peer, route, status) => metrics.served.inc({ peer, route, status: String(status) }),
      clock: context.clock,
      rate: this.#rate,
      exceeded: (peer, window) => metrics.violations.inc({ scope: `peer_${window}`, peer }),
    });
    return new PeerListener(config.peers, () => context.clock.monotonic(), {
      handshake: (status) => metrics.handshakes.inc({ status }),
      pinMismatch: (peer, fingerprint, refused) => this.#pinMismatch(peer?.nodeId ?? 'unknown', fingerprint, refused),
      refused: (address, reason, detail) => this.#strangerRefused(address, reason, detail),
      accepted: (ws, socket, expected) => this.#roster.accept(ws, socket, expected),
      request: (request, response, from) => void rpc.handle(request, response, from),
      closed: (peer, reason) => metrics.closed.inc({ peer, reason }),
    });
  }

  #changed(peer: Peer): void {
    const { log } = this.#parts.context;
    const { nodeId, connection } = peer;
    this.#teller.changed(nodeId);
    if (connection === null) {
      return void event(log, 'peer.disconnected', { peer: nodeId, reason: peer.lastError ?? 'closed' });
    }
    this.#lastRefusal.delete(nodeId);
    const direction = connection.role === 'dialer' ? 'dialed' : 'accepted';
    event(log, 'peer.connected', { peer: nodeId, direction, address: `${peer.config.host}:${peer.config.port}` });
  }

  #refused({ nodeId }: Peer, reason: string, detail: string): void {
    if (this.#isNews(nodeId, reason)) event(this.#parts.context.log, 'peer.refused', { peer: nodeId, reason, detail });
  }

  #pinMismatch(peer: string, fingerprint: string, refused: boolean): void {
    const { metrics, context } = this.#parts;
    metrics.pinningViolations.inc({ peer });
    const fields = { peer, fingerprint: maskFingerprint(`sha256:${fingerprint}`), refused };
    if (!this.#isNews(peer, `pin ${fields.fingerprint}`)) return;
    event(context.log, 'peer.pin_mismatch', fields);
    // For the audit log. The node is no less ready for it: it is the other side that is not let in.
    context.report('pin-violation', { ok: true, data: fields });
  }

  #isNews(peer: string, what: string): boolean {
    if (this.#lastRefusal.get(peer) === what) return false;
    this.#lastRefusal.set(peer, what);
    return true;
  }

  #strangerRefused(address: string, reason: string, detail: string): void {
    const { clock, log } = this.#parts.context;
    const nowMs = clock.monotonic();
    if (nowMs - this.#refusedLineMs < REFUSED_LINE_MS) {
      this.#notLogged += 1;
      return;
    }
    event(log, 'peer.handshake_refused', { address, reason, detail, not_logged: this.#notLogged });
    this.#refusedLineMs = nowMs;
    this.#notLogged = 0;
  }

  #warnInsecure(peers: number): void {
    const { clock, log } = this.#parts.context;
    event(log, 'peers.insecure', { peers });
    this.#insecure = clock.setTimer(INSECURE_WARNING_MS, () => this.#warnInsecure(peers));
  }
}

/** What a node needs of another is far below: an observation a round, and a look at the rounds now and then. */
function windowsOf({ peer_burst, peer_sustained }: PeerLimits): readonly RateWindow[] {
  return [
    { name: 'burst', quota: peer_burst, windowS: 10 },
    { name: 'sustained', quota: peer_sustained, windowS: 60 },
  ];
}

/** 8 random bytes that name a run of gossip. */
export function newInstance(): Uint8Array {
  return Uint8Array.from(randomBytes(8));
}
