// TLS between peers, both ends: the settings of a context, dialing with the check of name and pin inside the handshake,
// and what a failed handshake is called. Used by gossip and rpc-client. No byte of ours may leave before the check.
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import type { PeerConfig, PeerTls } from '../../config/node.js';
import { fingerprintOf, NO_SESSION_TICKETS } from '../../protocol/crypto/certificate.js';
import { judgeCertificate, type PinRules, serverName } from './identity.js';

/** Label of quorate_tls_handshakes_total. */
export type HandshakeStatus =
  | 'success'
  | 'no_certificate'
  | 'cert_invalid'
  | 'cert_expired'
  | 'wrong_name'
  | 'pin_mismatch'
  | 'handshake_timeout'
  | 'error';

export const HANDSHAKE_STATUSES: readonly HandshakeStatus[] = [
  'success',
  'no_certificate',
  'cert_invalid',
  'cert_expired',
  'wrong_name',
  'pin_mismatch',
  'handshake_timeout',
  'error',
];

/** A connection that did not come about. `status` is null when it failed before TLS began. */
export class DialError extends Error {
  readonly status: HandshakeStatus | null;

  constructor(status: HandshakeStatus | null, message: string) {
    super(message);
    this.name = 'DialError';
    this.status = status;
  }
}

/** One context serves both ends. Throws what OpenSSL says of material that it does not take. */
export function createContext({ ca, cert, key, minVersion }: PeerTls): SecureContext {
  return createSecureContext({ ca, cert, key, minVersion, secureOptions: NO_SESSION_TICKETS });
}

export interface DialOptions {
  readonly peer: PeerConfig;
  /** Null: plain TCP. */
  readonly context: SecureContext | null;
  readonly rules: PinRules;
  readonly timeoutMs: number;
  /** Told of a certificate that none of the peer's pins names; `refused` false: it is let in all the same. */
  readonly onPinMismatch: (fingerprint: string, refused: boolean) => void;
}

export interface Dialing {
  /** Rejects with DialError. */
  readonly socket: Promise<TLSSocket | Socket>;
  abort(): void;
}

/** Connects, and with TLS finishes the handshake: authority, name and pin are checked in it, in this order. */
export function dial(options: DialOptions): Dialing {
  const { peer, context, timeoutMs } = options;
  const { host, port } = peer;
  const socket = context === null ? connectTcp({ host, port, noDelay: true }) : startTls(options, context);
  let connected = false;
  const promise = new Promise<TLSSocket | Socket>((resolve, reject) => {
    const inTls = () => connected && context !== null;
    const timer = setTimeout(() => {
      onError(new DialError(inTls() ? 'handshake_timeout' : null, `no connection within ${timeoutMs} ms`));
    }, timeoutMs);
    const onError = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error instanceof DialError ? error : dialErrorOf(error, inTls()));
    };
    const onClose = () => onError(new DialError(inTls() ? 'error' : null, 'the connection was closed'));
    // Stays: an error after the handshake must not find nobody listening. A promise settles once.
    socket.on('error', onError);
    socket.once('close', onClose);
    socket.once('connect', () => {
      connected = true;
    });
    socket.once(context === null ? 'connect' : 'secureConnect', () => {
      clearTimeout(timer);
      socket.removeListener('close', onClose);
      resolve(socket);
    });
  });
  return { socket: promise, abort: () => void socket.destroy() };
}

function startTls({ peer, rules, onPinMismatch }: DialOptions, secureContext: SecureContext): TLSSocket {
  const socket = connectTls({
    host: peer.host,
    port: peer.port,
    secureContext,
    servername: serverName(peer.host),
    rejectUnauthorized: true,
    // Called when the chain has been verified, inside the handshake.
    checkServerIdentity: (_host, certificate) => {
      const verdict = judgeCertificate(certificate, peer, rules);
      if (verdict.ok) {
        if (verdict.warning === 'pin_mismatch') onPinMismatch(fingerprintOf(certificate.raw), false);
        return undefined;
      }
      if (verdict.status === 'pin_mismatch') onPinMismatch(fingerprintOf(certificate.raw), true);
      return new DialError(verdict.status, verdict.reason);
    },
  });
  socket.setNoDelay(true);
  return socket;
}

function dialErrorOf(error: Error, inTls: boolean): DialError {
  return new DialError(inTls ? handshakeStatus(error) : null, `${codeOf(error) ?? error.name}: ${error.message}`);
}

const EXPIRED = /EXPIRED|NOT_YET_VALID/;
const MISSING = /PEER_DID_NOT_RETURN_A_CERTIFICATE|CERTIFICATE_REQUIRED|NO_CERTIFICATE/;
const INVALID =
  /CERT|UNABLE_TO_|SELF_SIGNED|UNKNOWN_CA|DEPTH_ZERO|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|BAD_CERTIFICATE|HOSTNAME_MISMATCH/;

/** The name of a failure by what node or OpenSSL says: expired before invalid, since its code has "CERT" in it too. */
export function handshakeStatus(error: Error, authorizationError?: unknown): HandshakeStatus {
  const text = `${authorizationError ?? ''} ${codeOf(error) ?? ''}`.toUpperCase();
  if (text.includes('HANDSHAKE_TIMEOUT')) return 'handshake_timeout';
  if (MISSING.test(text)) return 'no_certificate';
  if (EXPIRED.test(text)) return 'cert_expired';
  if (INVALID.test(text)) return 'cert_invalid';
  return 'error';
}

function codeOf(error: Error): string | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
