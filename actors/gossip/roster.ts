// All peers: who is configured, which connection belongs to whom, who hears that a peer came or went. Owned by the actor. It
// must never touch a connection that a reload does not concern.
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { WebSocket } from 'ws';
import type { PeersConfig } from '../../config/node.js';
import { maskFingerprint } from '../../observability/logs.js';
import { FRAME_MAX_BYTES, frameFamily } from '../../protocol/peer/frame.js';
import type { HelloRole } from '../../protocol/peer/hello.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import { judgePin } from '../peer/identity.js';
import { createContext } from '../peer/tls.js';
import { isRefusal } from './closing.js';
import { type ConnectionHandlers, PeerConnection, type Times } from './connection.js';
import type { Lane, PeerView } from './contract.js';
import type { Self } from './greeting.js';
import type { GossipMetrics } from './metrics.js';
import { QUEUE_MAX_BYTES } from './out-queue.js';
import { Peer, type PeerEvents } from './peer.js';

export interface RosterParts {
  readonly self: Self;
  readonly validators: ReadonlySet<string>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: GossipMetrics;
  readonly times: Times;
  readonly on: PeerEvents;
}

/** Of all peers together; with 32 of them or fewer each has its full share. */
const QUEUES_MAX_BYTES = 32 * QUEUE_MAX_BYTES;

export class Roster {
  readonly #parts: RosterParts;
  readonly #peers = new Map<string, Peer>();
  /** Accepted and not proven yet, or on their way out. */
  readonly #strangers = new Set<PeerConnection>();
  #config: PeersConfig;
  #context: SecureContext | null;

  /** Throws what OpenSSL says of TLS material that it does not take. */
  constructor(config: PeersConfig, parts: RosterParts) {
    this.#parts = parts;
    this.#config = config;
    this.#context = config.tls === null ? null : createContext(config.tls);
    for (const peer of config.peers) this.#add(peer);
  }

  get peers(): Iterable<Peer> {
    return this.#peers.values();
  }

  get config(): PeersConfig {
    return this.#config;
  }

  has(nodeId: string): boolean {
    return this.#peers.has(nodeId);
  }

  isConnected(nodeId: string): boolean {
    return this.#peers.get(nodeId)?.connection != null;
  }

  start(): void {
    for (const peer of this.#peers.values()) peer.start();
  }

  /** A WebSocket from the listener. @param expected whom its certificate names */
  accept(ws: WebSocket, socket: Socket, expected: string | null): void {
    // Proven, it is this peer's to its end, also when the peer is removed meanwhile.
    let owner: Peer | undefined;
    const on: ConnectionHandlers = {
      open: (connection) => {
        this.#strangers.delete(connection);
        owner = this.#peers.get(connection.nodeId);
        if (owner === undefined) return connection.end('unknown-peer', 'it was removed meanwhile');
        // A certificate that named nobody in the handshake: now it is known whose pins it has to be among.
        const verdict =
          connection.fingerprint === null ? null : judgePin(connection.fingerprint, owner.config, this.#config);
        if (verdict === null || verdict.ok) return owner.adopt(connection);
        this.#parts.on.pinMismatch(owner, connection.fingerprint!, true);
        owner = undefined;
        connection.end('wrong-identity', verdict.reason);
      },
      frame: (connection, frame) => owner?.frame(connection, frame),
      next: (connection) => owner?.next(connection) ?? null,
      closed: (connection, reason, detail) => {
        this.#strangers.delete(connection);
        if (owner !== undefined) return owner.closed(connection, reason, detail);
        const known = expected === null ? undefined : this.#peers.get(expected);
        this.#parts.metrics.closed.inc({ peer: known?.nodeId ?? 'unknown', reason });
        if (known !== undefined && isRefusal(reason)) this.#parts.on.refused(known, reason, detail);
      },
    };
    try {
      this.#strangers.add(this.#greet(ws, socket, 'listener', expected, on));
    } catch {
      // Gone before the first word.
      ws.terminate();
    }
  }

  /** Frames for these peers, or for every validator; what is malformed here is a mistake of our own and is dropped too. */
  send(to: readonly string[] | null, lane: Lane, frames: readonly Uint8Array[]): void {
    const peers = to === null ? this.#validators() : to.map((nodeId) => this.#peers.get(nodeId));
    const fit = frames.filter((frame) => frame.length <= FRAME_MAX_BYTES && isForPeers(frame));
    for (const peer of peers) {
      if (peer === undefined || peer.connection === null) continue;
      for (const frame of fit) peer.send(lane, frame);
      peer.pump();
    }
  }

  /** Takes over what `check` found good. Connections whose peer and pin are as before are not touched. */
  reconfigure(next: PeersConfig): void {
    const before = this.#config;
    const context = next.tls === null ? null : createContext(next.tls);
    this.#config = next;
    this.#context = context;
    const wanted = new Map(next.peers.map((peer) => [peer.nodeId, peer]));
    for (const [nodeId, peer] of this.#peers) {
      if (wanted.has(nodeId)) continue;
      this.#peers.delete(nodeId);
      peer.stop('peer-changed');
    }
    // A certificate of our own that peers refused may be good now; an attempt under other rules than these begins anew.
    const rulesChanged = before.enforcePins !== next.enforcePins || before.requirePins !== next.requirePins;
    const attemptsChanged = rulesChanged || !isDeepStrictEqual(before.tls, next.tls);
    for (const config of next.peers) {
      const peer = this.#peers.get(config.nodeId);
      if (peer === undefined) this.#add(config).start();
      else {
        const { connection } = peer;
        const pinGone = connection?.fingerprint != null && !judgePin(connection.fingerprint, config, next).ok;
        if (pinGone) connection?.end('pin-changed', 'its certificate is not pinned any more');
        const changed = !isDeepStrictEqual(peer.config, config);
        const retry = connection === null && (changed || attemptsChanged);
        if (changed || retry) peer.reconfigure(config, this.#parts.validators.has(config.nodeId));
      }
    }
  }

  stop(): void {
    for (const peer of this.#peers.values()) peer.stop('going-away');
    for (const stranger of this.#strangers) stranger.terminate();
  }

  terminate(): void {
    for (const peer of this.#peers.values()) peer.terminate();
    for (const stranger of this.#strangers) stranger.terminate();
  }

  view(): PeerView[] {
    return [...this.#peers.values()].map((peer) => ({
      nodeId: peer.nodeId,
      host: peer.config.host,
      port: peer.config.port,
      validator: peer.isValidator,
      connected: peer.connection !== null,
      sinceMs: peer.sinceMs,
      lastSeenMs: peer.lastSeenMs,
      direction: peer.connection === null ? null : peer.connection.role === 'dialer' ? 'dialed' : 'accepted',
      fingerprint: peer.connection?.fingerprint ? maskFingerprint(`sha256:${peer.connection.fingerprint}`) : null,
      certificateEndMs: peer.certificateEndMs,
      pins: peer.config.pins.map((pin) => maskFingerprint(`sha256:${pin}`)),
      queuedFrames: peer.queue.frames('live') + peer.queue.frames('bulk'),
      queuedBytes: peer.queue.bytes('live') + peer.queue.bytes('bulk'),
      breaker: peer.breakerPhase,
      lastError: peer.lastError,
    }));
  }

  #validators(): Peer[] {
    return [...this.#peers.values()].filter(({ isValidator }) => isValidator);
  }

  #add(config: PeersConfig['peers'][number]): Peer {
    const { self, clock, random, metrics, on, validators } = this.#parts;
    const peer: Peer = new Peer(config, validators.has(config.nodeId), {
      queueMaxBytes: Math.min(QUEUE_MAX_BYTES, Math.floor(QUEUES_MAX_BYTES / this.#config.peers.length)),
      ownId: self.nodeId,
      clock,
      random,
      metrics,
      on,
      dialing: () => ({ context: this.#context, rules: this.#config }),
      greet: (ws, socket, role, expected, handlers) => this.#greet(ws, socket, role, expected, handlers),
    });
    this.#peers.set(config.nodeId, peer);
    return peer;
  }

  #greet(
    ws: WebSocket,
    socket: Socket,
    role: HelloRole,
    expected: string | null,
    on: ConnectionHandlers,
  ): PeerConnection {
    const { self, clock, times } = this.#parts;
    return new PeerConnection({
      ws,
      socket,
      role,
      expected,
      self,
      clock,
      times,
      on,
      nonce: randomBytes(32),
      peerOf: (nodeId) => this.#peers.get(nodeId)?.config,
    });
  }
}

function isForPeers(frame: Uint8Array): boolean {
  const family = frameFamily(frame);
  return family !== null && family !== 'hello';
}
