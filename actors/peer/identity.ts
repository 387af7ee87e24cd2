// Who a peer is by its certificate: chain first, then name, then pin. Used by gossip and rpc-client, on both ends of a
// connection. It must never take a name that the other side only claims.
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { PeerConfig, PeersConfig } from '../../config/node.js';
import { fingerprintOf, namesOf } from '../../protocol/crypto/certificate.js';
import type { HandshakeStatus } from './tls.js';

export const GOSSIP_PATH = '/rpc/gossip';
/** What a caller says it is, to be told early when its certificate says otherwise. It proves nothing. */
export const NODE_HEADER = 'x-quorate-node';

/** What the rules say of a certificate that TLS has verified up to the authority. */
export type Verdict =
  | { readonly ok: true; readonly warning: 'pin_mismatch' | 'unpinned' | null }
  | { readonly ok: false; readonly status: HandshakeStatus; readonly reason: string };

export type PinRules = Pick<PeersConfig, 'enforcePins' | 'requirePins'>;

/** Whether this certificate may stand for `peer`. */
export function judgeCertificate(certificate: PeerCertificate, peer: PeerConfig, rules: PinRules): Verdict {
  if (!names(certificate, peer)) {
    const reason = `the certificate names neither ${peer.nodeId} nor ${peer.host}`;
    return { ok: false, status: 'wrong_name', reason };
  }
  return judgePin(fingerprintOf(certificate.raw), peer, rules);
}

/** The pin alone: what a reload asks about a connection that stands. */
export function judgePin(fingerprint: string, peer: PeerConfig, { enforcePins, requirePins }: PinRules): Verdict {
  if (peer.pins.includes(fingerprint)) return { ok: true, warning: null };
  if (peer.pins.length > 0) {
    if (!enforcePins) return { ok: true, warning: 'pin_mismatch' };
    return { ok: false, status: 'pin_mismatch', reason: `the certificate is none of those pinned for ${peer.nodeId}` };
  }
  if (!requirePins) return { ok: true, warning: 'unpinned' };
  return { ok: false, status: 'pin_mismatch', reason: `no certificate is pinned for ${peer.nodeId}` };
}

/**
 * The peer that a client certificate stands for: the one whose pins have it, else, where pins are not required or not
 * enforced, the one that its names name. Null when it is nobody's.
 */
export function identify(certificate: PeerCertificate, peers: readonly PeerConfig[]): PeerConfig | null {
  const fingerprint = fingerprintOf(certificate.raw);
  const pinned = peers.find(({ pins }) => pins.includes(fingerprint));
  if (pinned !== undefined) return pinned;
  const own = namesOf(certificate.subjectaltname ?? '');
  return peers.find(({ nodeId }) => own.includes(nodeId)) ?? null;
}

function names(certificate: PeerCertificate, { nodeId, host }: PeerConfig): boolean {
  if (namesOf(certificate.subjectaltname ?? '').includes(nodeId)) return true;
  return checkServerIdentity(host, certificate) === undefined;
}

/** The name that TLS sends along; addresses have none (RFC 6066 section 3). */
export function serverName(host: string): string {
  return isIP(host) === 0 ? host : '';
}
