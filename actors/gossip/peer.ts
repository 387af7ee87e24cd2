// One configured peer: the connection in use, what waits for it, and the attempts to have one. Owned by the roster. It must
// never have two connections in use, and never dial faster than its backoff.
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Counter } from 'prom-client';
import type { WebSocket } from 'ws';
import type { PeerConfig } from '../../config/node.js';
import { FRAME_MAX_BYTES, frameFamily } from '../../protocol/peer/frame.js';
import { type BackoffSettings, backoffDelayMs } from '../../runtime/kernel/backoff.js';
import {
  afterFailure,
  afterSuccess,
  at,
  BREAKER_DEFAULTS,
  type Breaker,
  CLOSED,
} from '../../runtime/kernel/breaker.js';
import type { Clock, Timer } from '../../runtime/kernel/contract.js';
import { GOSSIP_PATH, NODE_HEADER, type PinRules } from '../peer/identity.js';
import { DialError, type Dialing, dial, handshakeStatus } from '../peer/tls.js';
import { type CloseReason, isRefusal } from './closing.js';
import type { ConnectionHandlers, PeerConnection } from './connection.js';
import type { Lane } from './contract.js';
import type { GossipMetrics } from './metrics.js';
import { OutQueue } from './out-queue.js';

const webSockets = createRequire(import.meta.url)('ws') as typeof import('ws');

/** A lost network is tried again soon: a cluster that heals must not wait for a long backoff. */
export const REDIAL: BackoffSettings = { floorMs: 100, factor: 2, ceilingMs: 2_000, jitter: 0.2 };
/** Of the two ends the one with the greater id waits a little, so that mostly one of them dials. */
const SECOND_DIALER_MS = 500;
const DIAL_TIMEOUT_MS = 3_000;
/** A connection that stood this long was a success. */
const STABLE_MS = 5_000;
/** The old connection of two has this long to show that it lives. */
const SUSPECT_MS = 1_500;

export interface PeerParts {
  readonly ownId: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: GossipMetrics;
  readonly queueMaxBytes: number;
  readonly dialing: () => { readonly context: SecureContext | null; readonly rules: PinRules };
  readonly greet: (
    ws: WebSocket,
    socket: Socket,
    role: 'dialer',
    expected: string,
    on: ConnectionHandlers,
  ) => PeerConnection;
  readonly on: PeerEvents;
}

export interface PeerEvents {
  /** `connected` changed. */
  changed(peer: Peer): void;
  frame(peer: Peer, connection: PeerConnection, frame: Buffer): void;
  ended(peer: Peer, connection: PeerConnection): void;
  refused(peer: Peer, reason: string, detail: string): void;
  pinMismatch(peer: Peer, fingerprint: string, refused: boolean): void;
}

export class Peer {
  config: PeerConfig;
  isValidator: boolean;
  readonly #parts: PeerParts;
  readonly queue: OutQueue;
  #connection: PeerConnection | null = null;
  #connectedMs = 0;
  #sinceMs: number | null = null;
  /** Of connections that are over. */
  #lastSeenMs: number | null = null;
  #lastError: string | null = null;
  #breaker: Breaker = CLOSED;
  #failures = 0;
  #timer: Timer | null = null;
  #dialing: Dialing | null = null;
  #greeting: PeerConnection | null = null;
  #stopped = false;
  readonly #counters = new Map<string, { readonly frames: Counter.Internal; readonly bytes: Counter.Internal }>();
  /** Seen on the last connection. */
  certificateEndMs: number | null = null;

  constructor(config: PeerConfig, isValidator: boolean, parts: PeerParts) {
    this.config = config;
    this.isValidator = isValidator;
    this.#parts = parts;
    const dropped = (lane: Lane) => parts.metrics.dropped.inc({ peer: config.nodeId, lane });
    this.queue = new OutQueue(dropped, parts.queueMaxBytes);
  }

  get nodeId(): string {
    return this.config.nodeId;
  }

  get connection(): PeerConnection | null {
    return this.#connection;
  }

  get sinceMs(): number | null {
    return this.#sinceMs;
  }

  /** Unix milliseconds at which something was heard; null when never. */
  get lastSeenMs(): number | null {
    return this.#connection === null ? this.#lastSeenMs : this.#heardAtMs(this.#connection);
  }

  get lastError(): string | null {
    return this.#lastError;
  }

  get breakerPhase(): Breaker['phase'] {
    return at(this.#breaker, this.#parts.clock.monotonic()).phase;
  }

  /** Dials now, or a little later when the other side should. */
  start(): void {
    this.#dialAfter(this.#parts.ownId < this.nodeId ? 0 : SECOND_DIALER_MS);
  }

  send(lane: Lane, frame: Uint8Array): void {
    this.queue.add(lane, frame);
  }

  pump(): void {
    this.#connection?.pump();
  }

  /** What the socket takes next. */
  next(connection: PeerConnection): Uint8Array | null {
    if (connection !== this.#connection) return null;
    const next = this.queue.next();
    if (next === null) return null;
    this.#count('out', next.frame);
    return next.frame;
  }

  frame(connection: PeerConnection, frame: Buffer): void {
    if (this.#stopped) return;
    this.#count('in', frame);
    this.#parts.on.frame(this, connection, frame);
  }

  /**
   * A proven connection, dialed or accepted. Of two that live the one stays that the smaller id dialed, so that both ends
   * keep the same; one of another run of the peer means that the old one is dead.
   */
  adopt(connection: PeerConnection): void {
    if (this.#stopped) return void connection.end('going-away', 'this side closes');
    this.certificateEndMs = connection.certificateEndMs;
    const old = this.#connection;
    const isOtherRun = old !== null && Buffer.compare(old.instance, connection.instance) !== 0;
    if (old !== null && !isOtherRun && !this.#isBetter(connection, old)) {
      connection.end('duplicate', 'another connection to this peer is in use');
      old.suspect(SUSPECT_MS);
      return;
    }
    if (isOtherRun) {
      // Whoever counts on what the old run had been told has to know.
      this.#connection = null;
      this.#lastError = 'lost: the peer is another run of itself';
      this.queue.clear();
      this.#changed();
    }
    this.#timer?.cancel();
    this.#timer = null;
    this.#connection = connection;
    this.#connectedMs = this.#parts.clock.monotonic();
    const breaker = at(this.#breaker, this.#connectedMs);
    // One that the peer dialed proves as much as one of ours would have.
    this.#breaker = breaker.phase === 'open' ? CLOSED : afterSuccess(breaker, BREAKER_DEFAULTS, this.#connectedMs);
    if (old === null || isOtherRun) this.#changed();
    old?.end('duplicate', 'another connection to this peer took its place');
    connection.pump();
  }

  /** Whatever connection of this peer it was, in use or not. */
  closed(connection: PeerConnection, reason: CloseReason, detail: string): void {
    const { metrics, clock, on } = this.#parts;
    metrics.closed.inc({ peer: this.nodeId, reason });
    on.ended(this, connection);
    if (this.#greeting === connection) {
      this.#greeting = null;
      return void this.#attemptFailed(reason, detail, isRefusal(reason));
    }
    if (connection !== this.#connection) return;
    this.#connection = null;
    this.#lastSeenMs = this.#heardAtMs(connection);
    this.#lastError = `${reason}: ${detail}`;
    this.queue.clear();
    if (clock.monotonic() - this.#connectedMs >= STABLE_MS) this.#failures = 0;
    if (isRefusal(reason)) this.#breaker = afterFailure(this.#breaker, BREAKER_DEFAULTS, clock.monotonic());
    this.#changed();
    this.#failures += 1;
    this.#dialAfter(this.#delay() + (this.#parts.ownId < this.nodeId ? 0 : SECOND_DIALER_MS));
  }

  /** Another address, key or pins: what stands is judged by the caller; what was tried in vain may work now. */
  reconfigure(config: PeerConfig, isValidator: boolean): void {
    const moved = config.host !== this.config.host || config.port !== this.config.port;
    const rekeyed = config.publicKey !== this.config.publicKey;
    this.config = config;
    this.isValidator = isValidator;
    this.#breaker = CLOSED;
    this.#failures = 0;
    if (rekeyed) this.#connection?.end('peer-changed', 'its public key changed');
    else if (moved && this.#connection?.role === 'dialer') this.#connection.end('peer-changed', 'its address changed');
    if (this.#connection !== null) return;
    this.#abandonAttempt();
    this.#dialAfter(0);
  }

  stop(reason: 'going-away' | 'peer-changed'): void {
    this.#stopped = true;
    this.#abandonAttempt();
    this.#connection?.end(reason, 'this side closes');
  }

  terminate(): void {
    this.#stopped = true;
    this.#abandonAttempt();
    this.#connection?.terminate();
  }

  #isBetter(candidate: PeerConnection, old: PeerConnection): boolean {
    if (candidate.role === old.role) return true;
    const dialerIsSmaller = (candidate.role === 'dialer') === this.#parts.ownId < this.nodeId;
    return dialerIsSmaller;
  }

  #heardAtMs({ heardMs }: PeerConnection): number {
    const { clock } = this.#parts;
    return Math.round(clock.now() - (clock.monotonic() - heardMs));
  }

  #changed(): void {
    this.#sinceMs = this.#parts.clock.now();
    this.#parts.on.changed(this);
  }

  #abandonAttempt(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#dialing?.abort();
    this.#dialing = null;
    const greeting = this.#greeting;
    this.#greeting = null;
    greeting?.terminate();
  }

  #dialAfter(delayMs: number): void {
    if (this.#stopped || this.#connection !== null || this.#dialing !== null || this.#greeting !== null) return;
    this.#timer?.cancel();
    const { clock, metrics } = this.#parts;
    const breaker = at(this.#breaker, clock.monotonic());
    const waitMs = breaker.phase === 'open' ? Math.max(delayMs, breaker.untilMs - clock.monotonic()) : delayMs;
    if (waitMs > 0) metrics.backoff.observe({ peer: this.nodeId }, waitMs / 1000);
    this.#timer = clock.setTimer(waitMs, () => {
      this.#timer = null;
      void this.#dialOnce();
    });
  }

  #delay(): number {
    return backoffDelayMs(REDIAL, Math.max(1, this.#failures), this.#parts.random());
  }

  async #dialOnce(): Promise<void> {
    if (this.#stopped || this.#connection !== null) return;
    const { context, rules } = this.#parts.dialing();
    const dialing = dial({
      peer: this.config,
      context,
      rules,
      timeoutMs: DIAL_TIMEOUT_MS,
      onPinMismatch: (fingerprint, refused) => this.#parts.on.pinMismatch(this, fingerprint, refused),
    });
    this.#dialing = dialing;
    let socket: Socket;
    try {
      socket = await dialing.socket;
    } catch (error) {
      if (this.#dialing !== dialing) return;
      this.#dialing = null;
      return this.#dialFailed(error as DialError);
    }
    if (this.#dialing !== dialing) return void socket.destroy();
    this.#upgrade(dialing, socket, context !== null);
  }

  /** The certificates are checked: the first bytes of ours go out now. */
  #upgrade(dialing: Dialing, socket: Socket, isTls: boolean): void {
    const { metrics, greet, ownId } = this.#parts;
    const { host, port } = this.config;
    const ws = new webSockets.WebSocket(`ws://${host.includes(':') ? `[${host}]` : host}:${port}${GOSSIP_PATH}`, {
      createConnection: () => socket,
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: FRAME_MAX_BYTES,
      handshakeTimeout: DIAL_TIMEOUT_MS,
      autoPong: false,
      headers: { [NODE_HEADER]: ownId },
      // Under TLS nobody in between sees the bytes: a mask would only cost.
      ...(isTls ? { generateMask: () => undefined } : {}),
    });
    const failed = (error: Error): void => {
      if (this.#dialing !== dialing) return;
      this.#dialing = null;
      // The listener judges our certificate after its half of the handshake: its verdict comes as an alert, or as silence.
      this.#dialFailed(new DialError(isTls ? handshakeStatus(error) : null, upgradeFailure(error)));
    };
    ws.on('error', failed);
    ws.on('unexpected-response', (_request, response) => {
      response.resume();
      socket.destroy();
      const refused = response.statusCode === 403;
      if (this.#dialing !== dialing) return;
      this.#dialing = null;
      if (isTls) metrics.handshakes.inc({ status: 'success' });
      this.#attemptFailed('other', `the peer answered ${response.statusCode}`, refused);
    });
    ws.once('open', () => {
      ws.removeListener('error', failed);
      if (this.#dialing !== dialing) return ws.terminate();
      this.#dialing = null;
      if (isTls) metrics.handshakes.inc({ status: 'success' });
      this.#greeting = greet(ws, socket, 'dialer', this.nodeId, {
        open: (connection) => {
          this.#greeting = null;
          this.adopt(connection);
        },
        frame: (connection, frame) => this.frame(connection, frame),
        closed: (connection, reason, detail) => this.closed(connection, reason, detail),
        next: (connection) => this.next(connection),
      });
    });
  }

  #dialFailed(error: DialError): void {
    const { metrics } = this.#parts;
    const { status } = error;
    if (status !== null) metrics.handshakes.inc({ status });
    metrics.closed.inc({ peer: this.nodeId, reason: status === null || status === 'error' ? 'lost' : status });
    // A proxy or a dying peer also ends handshakes: only what is about certificates needs an operator.
    const isMistake = status !== null && status !== 'error' && status !== 'handshake_timeout';
    this.#attemptFailed(status ?? 'lost', error.message, isMistake);
  }

  #attemptFailed(reason: string, detail: string, isMistake: boolean): void {
    const { clock, on } = this.#parts;
    this.#lastError = `${reason}: ${detail}`;
    this.#failures += 1;
    if (isMistake) {
      this.#breaker = afterFailure(this.#breaker, BREAKER_DEFAULTS, clock.monotonic());
      if (reason !== 'pin_mismatch') on.refused(this, reason, detail);
    }
    this.#dialAfter(this.#delay());
  }

  /** Children are kept: looking labels up costs more than counting. */
  #count(direction: 'in' | 'out', frame: Uint8Array): void {
    const family = frameFamily(frame) ?? 'hello';
    const key = direction + family;
    let counters = this.#counters.get(key);
    if (counters === undefined) {
      const { frames, bytes } = this.#parts.metrics;
      counters = {
        frames: frames.labels(this.nodeId, direction, family),
        bytes: bytes.labels(this.nodeId, direction),
      };
      this.#counters.set(key, counters);
    }
    counters.frames.inc();
    counters.bytes.inc(frame.length);
  }
}

function upgradeFailure(error: Error): string {
  const { code } = error as { code?: string };
  const hint = code === 'ECONNRESET' ? '; the peer may not accept the certificate of this node' : '';
  return `${code ?? error.name}: ${error.message}${hint}`;
}
