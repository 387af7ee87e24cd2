// X.509 certificates, read and compared: what a file holds, whether key and certificate belong together, who signed it.
// Called by the loaders of TLS files and by whoever shows a certificate. It must never decide whom to trust: TLS verifies
// the chain in the handshake, and the pins say who is who.
import { Buffer } from 'node:buffer';
import { constants, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { sha256Hex } from './hash.js';

export interface Certificate {
  /** SHA-256 of the DER bytes, 64 lowercase hex: what a pin names. */
  readonly fingerprint: string;
  readonly pem: string;
  readonly subject: string;
  /** Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DNS names and IP addresses of subjectAltName. */
  readonly names: readonly string[];
  readonly isAuthority: boolean;
}

/** What is wrong with a PEM text, in words that fit "found …"; shows nothing of a key. */
export class PemError extends Error {}

/** OpenSSL's flag for no session tickets: a resumed session would skip the check of the pin. */
export const NO_SESSION_TICKETS = constants.SSL_OP_NO_TICKET;

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[A-Za-z0-9+/=\s]+?-----END \1-----/g;
const CERTIFICATES_MAX = 16;

/** The certificates of a PEM text, in its order. Throws PemError: none, too many, one that cannot be read. */
export function readCertificates(text: string): Certificate[] {
  const blocks = [...text.matchAll(BLOCK)].filter(([, kind]) => kind === 'CERTIFICATE').map(([block]) => block);
  if (blocks.length === 0) throw new PemError('no certificate');
  if (blocks.length > CERTIFICATES_MAX) throw new PemError(`${blocks.length} certificates`);
  return blocks.map((pem, index) => {
    try {
      return factsOf(new X509Certificate(pem), pem);
    } catch {
      throw new PemError(`certificate ${index + 1} that cannot be read`);
    }
  });
}

/** Throws PemError unless the text is one private key without a passphrase. */
export function checkPrivateKey(text: string): void {
  privateKeyOf(text);
}

/** Whether `keyPem` is the private key of `certificatePem`. Throws PemError for a key that cannot be read. */
export function belongTogether(certificatePem: string, keyPem: string): boolean {
  return new X509Certificate(certificatePem).checkPrivateKey(privateKeyOf(keyPem));
}

/** Whether `authority` signed `certificate`; says nothing about time or purpose. */
export function signedBy(certificate: Certificate, authority: Certificate): boolean {
  const issuer = new X509Certificate(authority.pem);
  const signed = new X509Certificate(certificate.pem);
  return signed.checkIssued(issuer) && signed.verify(issuer.publicKey);
}

/** Fingerprint of a certificate in DER. */
export function fingerprintOf(der: Uint8Array): string {
  return sha256Hex(der);
}

function privateKeyOf(text: string): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(text)) {
    throw new PemError('a key with a passphrase');
  }
  try {
    return createPrivateKey(text);
  } catch {
    throw new PemError('no private key that can be read');
  }
}

function factsOf(certificate: X509Certificate, pem: string): Certificate {
  return {
    fingerprint: fingerprintOf(certificate.raw),
    pem,
    subject: certificate.subject.replaceAll('\n', ', '),
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
    names: namesOf(certificate.subjectAltName ?? ''),
    isAuthority: certificate.ca,
  };
}

/** `DNS:node_1, IP Address:127.0.0.1` → the names. Quoted entries, which hold odd characters, match nothing of ours. */
export function namesOf(subjectAltName: string): string[] {
  return subjectAltName
    .split(', ')
    .map((entry) => /^(?:DNS|IP Address):([A-Za-z0-9._:*-]+)$/.exec(entry)?.[1])
    .filter((name) => name !== undefined);
}

/** DER of the first certificate of a PEM text; throws PemError. */
export function derOf(pem: string): Buffer {
  try {
    return Buffer.from(new X509Certificate(pem).raw);
  } catch {
    throw new PemError('a certificate that cannot be read');
  }
}
