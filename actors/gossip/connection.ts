// One WebSocket to a peer after TLS: hello, frames in and out, pings, and a named end. Owned by the peer table. It must
// never hand over a frame before the peer is proven, and never keep more to send than the socket takes soon.
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { RawData, WebSocket } from 'ws';
import { fingerprintOf } from '../../protocol/crypto/certificate.js';
import { sha256 } from '../../protocol/crypto/hash.js';
import { frameFamily } from '../../protocol/peer/frame.js';
import { EXPORTER_LABEL, GREETING_MAX_BYTES, type HelloRole } from '../../protocol/peer/hello.js';
import type { Clock, Timer } from '../../runtime/kernel/contract.js';
import { CLOSE_CODES, type CloseReason, reasonOf } from './closing.js';
import { Greeting, type GreetingParts } from './greeting.js';

export const TIMES = {
  /** From the first byte of ours to a proven peer. */
  helloMs: 5_000,
  pingMs: 2_000,
  /** Nothing heard for this long, pongs included: the connection is dead. Three pings may get lost on the way. */
  silentMs: 6_000,
  /** How long a close may take to be answered. */
  closeMs: 2_000,
} as const;

export type Times = { readonly [Name in keyof typeof TIMES]: number };

/** Handed to the socket at once; more waits in the queue, where live frames overtake bulk ones. */
const SOCKET_MAX_BYTES = 128 * 1024;

export interface ConnectionHandlers {
  /** Proven by its hello, and this side by ours. */
  open(connection: PeerConnection): void;
  frame(connection: PeerConnection, frame: Buffer): void;
  /** Once. `detail` may hold what the peer said: never trust it. */
  closed(connection: PeerConnection, reason: CloseReason, detail: string): void;
  /** The next frame to send, null when nothing waits. */
  next(connection: PeerConnection): Uint8Array | null;
}

export interface ConnectionParts extends Pick<GreetingParts, 'self' | 'role' | 'expected' | 'peerOf' | 'nonce'> {
  readonly ws: WebSocket;
  readonly socket: Socket;
  readonly clock: Clock;
  readonly times: Times;
  readonly on: ConnectionHandlers;
}

type Phase = 'greeting' | 'open' | 'closing' | 'closed';

export class PeerConnection {
  readonly role: HelloRole;
  /** Of the certificate that the peer showed, 64 hex; null without TLS. */
  readonly fingerprint: string | null;
  /** Unix milliseconds until which that certificate is valid; null without TLS. */
  readonly certificateEndMs: number | null;
  readonly #parts: ConnectionParts;
  readonly #greeting: Greeting;
  #phase: Phase = 'greeting';
  #nodeId: string | null = null;
  #instance: Uint8Array = new Uint8Array(0);
  #timer: Timer;
  #bytesRead = 0;
  #heardMs: number;
  #silentMs: number;
  #pumping = false;
  #paused = false;
  /** Set by whoever ends it here, before the socket says so. */
  #ending: { reason: CloseReason; detail: string } | null = null;

  /** Throws when the socket has TLS without certificates on both ends. */
  constructor(parts: ConnectionParts) {
    const { ws, socket, clock, role } = parts;
    this.#parts = parts;
    this.role = role;
    const seen = socket instanceof TLSSocket ? channelOf(socket) : null;
    this.fingerprint = seen === null ? null : fingerprintOf(seen.otherDer);
    this.certificateEndMs = seen?.otherEndMs ?? null;
    this.#greeting = new Greeting({
      ...parts,
      channel: seen === null ? null : { binding: seen.binding, own: sha256(seen.ownDer), other: sha256(seen.otherDer) },
      send: (greeting) => ws.send(greeting),
    });
    this.#heardMs = clock.monotonic();
    this.#silentMs = parts.times.silentMs;
    ws.on('message', (data, isBinary) => this.#message(data, isBinary));
    ws.on('ping', (data) => {
      // A peer that pings and does not read must not make this side grow.
      if (ws.bufferedAmount < SOCKET_MAX_BYTES) ws.pong(data);
    });
    ws.on('error', (error) => this.#failed(error));
    ws.on('close', (code, text) => this.#closed(code, text.toString('latin1')));
    this.#timer = clock.setTimer(parts.times.helloMs, () => this.end('hello-timeout', 'no hello in time'));
    this.#greeting.start();
  }

  /** Empty before it is proven. */
  get nodeId(): string {
    return this.#nodeId ?? '';
  }

  get instance(): Uint8Array {
    return this.#instance;
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** Monotonic milliseconds at which something was heard, as far as this side has looked. */
  get heardMs(): number {
    return this.#parts.socket.bytesRead === this.#bytesRead ? this.#heardMs : this.#parts.clock.monotonic();
  }

  /** Bytes that the socket has not taken yet. */
  get bufferedBytes(): number {
    return this.#parts.ws.bufferedAmount;
  }

  /** Sends what waits, as far as the socket takes it. Call when a frame was queued. */
  pump(): void {
    const { ws, socket, on } = this.#parts;
    if (this.#pumping || this.#phase !== 'open' || this.#ending !== null) return;
    this.#pumping = true;
    socket.cork();
    while (ws.bufferedAmount < SOCKET_MAX_BYTES) {
      const frame = on.next(this);
      if (frame === null) break;
      ws.send(frame, this.#sent);
    }
    socket.uncork();
    this.#pumping = false;
  }

  /** Stops reading: what the peer sends stays with it. */
  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#parts.ws.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#heardMs = this.#parts.clock.monotonic();
    this.#parts.ws.resume();
  }

  /** Is it still alive? Asks at once, and ends it when nothing is heard within `limitMs`. */
  suspect(limitMs: number): void {
    if (this.#phase !== 'open' || this.#ending !== null) return;
    this.#silentMs = Math.min(this.#silentMs, limitMs);
    this.#heardMs = this.#parts.clock.monotonic();
    this.#parts.ws.ping();
    this.#timer.cancel();
    this.#watch(limitMs);
  }

  /** Says why and closes; what was handed to the socket is still sent, what the peer has sent is still heard. */
  end(reason: keyof typeof CLOSE_CODES, detail: string): void {
    if (this.#phase === 'closing' || this.#phase === 'closed') return;
    this.#phase = this.#phase === 'open' && reason === 'duplicate' ? 'open' : 'closing';
    this.#ending = { reason, detail };
    const { ws, clock, times } = this.#parts;
    this.#timer.cancel();
    this.#timer = clock.setTimer(times.closeMs, () => ws.terminate());
    this.resume();
    if (reason === 'silent') return void ws.terminate();
    ws.close(CLOSE_CODES[reason], reason);
  }

  /** Ends it without a word. */
  terminate(): void {
    this.#parts.ws.terminate();
  }

  readonly #sent = (): void => this.pump();

  #message(data: RawData, isBinary: boolean): void {
    const frame = data as Buffer;
    const { on } = this.#parts;
    if (this.#phase === 'greeting') {
      if (!isBinary || frame.length > GREETING_MAX_BYTES)
        return void this.end('malformed-hello', `${frame.length} bytes`);
      const result = this.#greeting.take(frame);
      if (result.kind === 'refused') return void this.end(result.reason as keyof typeof CLOSE_CODES, result.detail);
      if (result.kind === 'more') return;
      this.#phase = 'open';
      this.#nodeId = result.nodeId;
      this.#instance = result.instance;
      this.#timer.cancel();
      this.#watch(this.#parts.times.pingMs);
      return void on.open(this);
    }
    if (this.#phase !== 'open') return;
    const family = isBinary ? frameFamily(frame) : null;
    if (family === null || family === 'hello') {
      return void this.end('malformed-frame', isBinary ? `a frame of type ${frame[0] ?? 'none'}` : 'a text frame');
    }
    on.frame(this, frame);
  }

  #watch(afterMs: number): void {
    const { ws, socket, clock, times } = this.#parts;
    this.#timer = clock.setTimer(afterMs, () => {
      const nowMs = clock.monotonic();
      if (socket.bytesRead !== this.#bytesRead || this.#paused) {
        this.#bytesRead = socket.bytesRead;
        this.#heardMs = nowMs;
        this.#silentMs = times.silentMs;
      } else if (nowMs - this.#heardMs >= this.#silentMs) {
        return this.end('silent', `nothing heard for ${Math.round(nowMs - this.#heardMs)} ms`);
      }
      if (ws.bufferedAmount < SOCKET_MAX_BYTES) ws.ping();
      this.#watch(times.pingMs);
    });
  }

  #failed(error: Error): void {
    const { code } = error as { code?: string };
    if (this.#ending !== null) return;
    const tooLarge = code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH';
    const ofProtocol = code?.startsWith('WS_ERR') ?? false;
    const reason: CloseReason = tooLarge ? 'frame-too-large' : ofProtocol ? 'protocol-error' : 'lost';
    this.#ending = { reason, detail: `${code ?? error.name}: ${error.message}` };
  }

  #closed(code: number, text: string): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#timer.cancel();
    const { reason, detail } = this.#ending ?? {
      reason: reasonOf(code),
      detail: `the peer closed: ${code} ${said(text)}`,
    };
    this.#parts.on.closed(this, reason, detail);
  }
}

/** What a peer said, fit for a log. */
function said(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 60);
}

interface Channel {
  readonly binding: Buffer;
  readonly ownDer: Buffer;
  readonly otherDer: Buffer;
  readonly otherEndMs: number;
}

function channelOf(socket: TLSSocket): Channel {
  const own = socket.getX509Certificate();
  // Not getPeerX509Certificate: on the dialing side each call of it takes the certificate out of the connection's chain.
  const other = socket.getPeerCertificate();
  if (own === undefined || other.raw === undefined) throw new Error('TLS without certificates on both ends');
  return {
    binding: socket.exportKeyingMaterial(32, EXPORTER_LABEL, Buffer.alloc(0)),
    ownDer: own.raw,
    otherDer: other.raw,
    otherEndMs: Date.parse(other.valid_to),
  };
}
