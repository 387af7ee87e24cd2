// The peer port: TLS with a client certificate always, then name and pin, and only then HTTP for /rpc/* and the upgrade to
// gossip. Owned by the actor. Nothing that a stranger sends may get past the handshake.
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { createRequire } from 'node:module';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { WebSocketServer } from 'ws';
import type { PeerConfig, PeersConfig } from '../../config/node.js';
import { NO_SESSION_TICKETS } from '../../protocol/crypto/certificate.js';
import { FRAME_MAX_BYTES } from '../../protocol/peer/frame.js';
import { GOSSIP_PATH, identify, judgeCertificate, judgePin, NODE_HEADER } from '../peer/identity.js';
import { type HandshakeStatus, handshakeStatus } from '../peer/tls.js';
import { Arrivals } from './arrivals.js';

const webSockets = createRequire(import.meta.url)('ws') as typeof import('ws');

export interface ListenerEvents {
  handshake(status: HandshakeStatus): void;
  /** `peer` null: nobody's certificate. */
  pinMismatch(peer: PeerConfig | null, fingerprint: string, refused: boolean): void;
  /** A handshake that was refused, for the log. */
  refused(remote: string, status: HandshakeStatus, detail: string): void;
  /** A WebSocket; `expected` is whom the certificate names, null where nothing names it. */
  accepted(ws: import('ws').WebSocket, socket: Socket, expected: string | null): void;
  request(request: IncomingMessage, response: ServerResponse, from: string | null): void;
  /** A connection for `/rpc/*`, or one that asked for more than it may, was ended: whose, and why. */
  closed(peer: string, reason: 'wrong-identity' | 'peer-changed' | 'pin-changed' | 'too-many'): void;
}

const HANDSHAKE_MS = 5_000;
const REQUEST_MS = 5_000;
const HEADERS_MAX_BYTES = 8 * 1024;
/**
 * What peers need, twice over, and room for strangers, who are gone after HANDSHAKE_MS at the latest: to keep peers out they
 * would have to come at a hundred a second, and peers would still be dialed from here.
 */
const CONNECTIONS_BASE = 512;
/** Of one peer at once, gossip included: it needs two and its peer client four; twice over, and room for those that die. */
const CONNECTIONS_OF_PEER = 16;

type AnyServer = Server | HttpsServer;

/** Whom a connection's certificate stands for, and which certificate it is. */
interface Proven {
  readonly nodeId: string;
  /** 64 lowercase hex. */
  readonly fingerprint: string;
  /** Gossip: the roster ends it. */
  isUpgraded: boolean;
}

export class PeerListener {
  readonly #on: ListenerEvents;
  readonly #arrivals: Arrivals;
  #config: PeersConfig;
  readonly #server: AnyServer;
  readonly #upgrades: WebSocketServer;
  readonly #identities = new Map<Socket, Proven>();
  readonly #sockets = new Set<Socket>();

  constructor(config: PeersConfig, nowMs: () => number, on: ListenerEvents) {
    this.#config = config;
    this.#arrivals = new Arrivals(nowMs);
    this.#on = on;
    this.#upgrades = new webSockets.WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: FRAME_MAX_BYTES,
      autoPong: false,
    });
    const http = {
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: 500,
      maxHeaderSize: HEADERS_MAX_BYTES,
    };
    const { tls } = config;
    if (tls === null) this.#server = createHttpServer(http);
    else {
      this.#server = createHttpsServer({
        ...http,
        ca: tls.ca,
        cert: tls.cert,
        key: tls.key,
        minVersion: tls.minVersion,
        secureOptions: NO_SESSION_TICKETS,
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: HANDSHAKE_MS,
      });
      this.#guard(this.#server as HttpsServer);
    }
    this.#server.maxConnections = CONNECTIONS_BASE + 2 * config.peers.length;
    this.#server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      on.request(request, response, this.#identities.get(request.socket)?.nodeId ?? null);
    });
    this.#server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#upgrade(request, socket, head);
    });
    this.#server.on('clientError', (_error: Error, socket: Socket) => socket.destroy());
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  async listen(host: string, port: number): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.removeListener('error', reject);
        // What fails later, as accept() does without file descriptors, must not end the thread.
        this.#server.on('error', () => undefined);
        resolve();
      });
    });
    return this.#server.address() as AddressInfo;
  }

  /** New certificates, for connections from now on; those whose peer or pin is gone end, with what they are asking. */
  reconfigure(config: PeersConfig): void {
    this.#config = config;
    this.#server.maxConnections = CONNECTIONS_BASE + 2 * config.peers.length;
    for (const [socket, { nodeId, fingerprint, isUpgraded }] of this.#identities) {
      if (isUpgraded) continue;
      const peer = config.peers.find((each) => each.nodeId === nodeId);
      if (peer !== undefined && judgePin(fingerprint, peer, config).ok) continue;
      this.#on.closed(nodeId, peer === undefined ? 'peer-changed' : 'pin-changed');
      socket.destroy();
    }
    if (config.tls === null || !('setSecureContext' in this.#server)) return;
    const { ca, cert, key, minVersion } = config.tls;
    this.#server.setSecureContext({ ca, cert, key, minVersion, secureOptions: NO_SESSION_TICKETS });
  }

  /** No new connections; those that were upgraded live on. */
  close(): void {
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  destroy(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Puts itself between the handshake and the HTTP server: what does not pass is destroyed before a byte is read. */
  #guard(server: HttpsServer): void {
    const begin = server.listeners('connection') as ((this: HttpsServer, socket: Duplex) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket) => {
      if (!this.#arrivals.take(remoteOf(socket as Socket))) {
        this.#on.handshake('error');
        return void socket.destroy();
      }
      for (const each of begin) each.call(server, socket);
    });
    const serve = server.listeners('secureConnection') as ((this: HttpsServer, socket: TLSSocket) => void)[];
    server.removeAllListeners('secureConnection');
    server.on('secureConnection', (socket) => {
      if (!this.#passes(socket)) return void socket.destroy();
      for (const each of serve) each.call(server, socket);
    });
    server.on('tlsClientError', (error, socket) => {
      const status = handshakeStatus(error, socket.authorizationError);
      this.#on.handshake(status);
      this.#on.refused(remoteOf(socket), status, `${socket.authorizationError ?? error.message}`);
      socket.destroy();
    });
  }

  #passes(socket: TLSSocket): boolean {
    const certificate = socket.getPeerCertificate();
    // Without tickets and without a cache nothing can be resumed; if it were, nobody would have looked at the pin.
    if (!socket.authorized || socket.isSessionReused() || certificate?.raw === undefined) {
      return this.#refuse(socket, 'no_certificate', 'no certificate that was checked in this handshake');
    }
    const { peers, enforcePins, requirePins } = this.#config;
    const peer = identify(certificate, peers);
    const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    if (peer === null) {
      const refused = requirePins || peers.every(({ pins }) => pins.length > 0);
      this.#on.pinMismatch(null, fingerprint, refused);
      if (refused) return this.#refuse(socket, 'pin_mismatch', 'the certificate is pinned for nobody');
      this.#on.handshake('success');
      return true;
    }
    const verdict = judgeCertificate(certificate, peer, { enforcePins, requirePins });
    if (!verdict.ok) {
      if (verdict.status === 'pin_mismatch') this.#on.pinMismatch(peer, fingerprint, true);
      return this.#refuse(socket, verdict.status, verdict.reason);
    }
    if (verdict.warning === 'pin_mismatch') this.#on.pinMismatch(peer, fingerprint, false);
    if (this.#countOf(peer.nodeId) >= CONNECTIONS_OF_PEER) {
      this.#on.handshake('success');
      this.#on.closed(peer.nodeId, 'too-many');
      return false;
    }
    this.#identities.set(socket, { nodeId: peer.nodeId, fingerprint, isUpgraded: false });
    socket.once('close', () => this.#identities.delete(socket));
    this.#on.handshake('success');
    return true;
  }

  #countOf(nodeId: string): number {
    let count = 0;
    for (const proven of this.#identities.values()) if (proven.nodeId === nodeId) count += 1;
    return count;
  }

  #refuse(socket: TLSSocket, status: HandshakeStatus, detail: string): false {
    this.#on.handshake(status);
    this.#on.refused(remoteOf(socket), status, detail);
    return false;
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const from = this.#identities.get(socket)?.nodeId ?? null;
    const claimed = request.headers[NODE_HEADER];
    if (request.url !== GOSSIP_PATH) return void refuseUpgrade(socket, '404 Not Found');
    if (from !== null && claimed !== undefined && claimed !== from) {
      this.#on.closed(from, 'wrong-identity');
      return void refuseUpgrade(socket, '403 Forbidden');
    }
    this.#upgrades.handleUpgrade(request, socket, head, (ws) => {
      const proven = this.#identities.get(socket);
      if (proven !== undefined) proven.isUpgraded = true;
      // Of the HTTP server no limit on time stays.
      socket.setTimeout(0);
      socket.setNoDelay(true);
      this.#on.accepted(ws, socket, from);
    });
  }
}

function refuseUpgrade(socket: Socket, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}

function remoteOf(socket: Socket): string {
  return socket.remoteAddress ?? 'unknown';
}
