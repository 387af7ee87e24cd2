// Makes the certificates of a network of one's own: an authority, node certificates, and the files that peers need of
// them. Called by "quorate certs", the testnet and tests. It must never be on the way of a handshake: node-forge only writes.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import forge from 'node-forge';
import { readCertificates } from '../protocol/crypto/certificate.js';
import { pinsText } from './pins-file.js';
import { replaceFile } from './private-file.js';

export interface KeyAndCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Issued extends KeyAndCertificate {
  /** 64 lowercase hex. */
  readonly fingerprint: string;
}

export interface CertificateOptions {
  readonly commonName: string;
  /** DNS names and IP addresses. */
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Private key in PEM to certify again; a new one of 2048 bits when absent. */
  readonly key?: string;
}

const DAY_MS = 86_400_000;
/** Clocks of a network differ: what was issued now must hold on a node that lags. */
const SKEW_MS = 3_600_000;
const AUTHORITY_MS = 3652 * DAY_MS;
const NODE_MS = 365 * DAY_MS;
const AUTHORITY_BITS = 4096;
const NODE_BITS = 2048;

/** An authority of ten years. RSA, since that is what node-forge can write; 4096 bits take seconds. */
export async function createAuthority(name: string, nowMs: number, bits = AUTHORITY_BITS): Promise<KeyAndCertificate> {
  const keys = await generateKeys(bits);
  const certificate = draft(keys.publicKey, name, nowMs - SKEW_MS, nowMs + AUTHORITY_MS);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return { cert: forge.pki.certificateToPem(certificate), key: privateKeyText(keys.privateKey) };
}

/** A certificate for both ends of a connection. */
export async function issueCertificate(authority: KeyAndCertificate, options: CertificateOptions): Promise<Issued> {
  const issuer = forge.pki.certificateFromPem(authority.cert);
  const issuerKey = forge.pki.privateKeyFromPem(authority.key);
  const keys = options.key === undefined ? await generateKeys(NODE_BITS) : keysOf(options.key);
  const { commonName, notBeforeMs, notAfterMs } = options;
  const certificate = draft(keys.publicKey, commonName, notBeforeMs, notAfterMs);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
    {
      name: 'subjectAltName',
      // GeneralName of RFC 5280: 2 is dNSName, 7 iPAddress.
      altNames: options.names.map((name) => (isIP(name) === 0 ? { type: 2, value: name } : { type: 7, ip: name })),
    },
    { name: 'subjectKeyIdentifier' },
  ]);
  certificate.sign(issuerKey, forge.md.sha256.create());
  const cert = forge.pki.certificateToPem(certificate);
  const { fingerprint } = readCertificates(cert)[0]!;
  return { cert, key: privateKeyText(keys.privateKey), fingerprint };
}

/** Options of a node's certificate of one year: its id, `quorate-` and its id as host names write it, and its addresses. */
export function nodeCertificate(nodeId: string, addresses: readonly string[], nowMs: number): CertificateOptions {
  const names = [nodeId, `quorate-${nodeId.replaceAll('_', '-')}`, 'localhost', '127.0.0.1', ...addresses];
  return {
    commonName: nodeId.slice(0, 64),
    names: [...new Set(names)],
    notBeforeMs: nowMs - SKEW_MS,
    notAfterMs: nowMs + NODE_MS,
  };
}

export interface ClusterNode {
  readonly nodeId: string;
  /** Host names and addresses under which peers reach it, beside localhost. */
  readonly addresses: readonly string[];
}

export interface ClusterCertificates {
  readonly ca: string;
  readonly pins: string;
  /** Node id → its files and fingerprint. */
  readonly nodes: ReadonlyMap<string, { readonly cert: string; readonly key: string; readonly fingerprint: string }>;
}

/**
 * Writes `ca.crt`, `ca.key`, `<node id>.crt`, `<node id>.key` and `pinned_certs.json` into `directory` (keys 0600) and
 * gives their paths. An authority that is there already is used again; node certificates are new.
 */
export async function writeClusterCertificates(
  directory: string,
  nodes: readonly ClusterNode[],
  options: { readonly nowMs: number; readonly authorityBits?: number },
): Promise<ClusterCertificates> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const ca = join(directory, 'ca.crt');
  const authority = await authorityIn(directory, options);
  const made = await Promise.all(
    nodes.map(async ({ nodeId, addresses }) => {
      const issued = await issueCertificate(authority, nodeCertificate(nodeId, addresses, options.nowMs));
      const cert = join(directory, `${nodeId}.crt`);
      const key = join(directory, `${nodeId}.key`);
      replaceFile(cert, issued.cert, 0o644);
      replaceFile(key, issued.key, 0o600);
      return [nodeId, { cert, key, fingerprint: issued.fingerprint }] as const;
    }),
  );
  const pins = join(directory, 'pinned_certs.json');
  replaceFile(pins, pinsText(new Map(made.map(([nodeId, { fingerprint }]) => [nodeId, [fingerprint]]))), 0o644);
  return { ca, pins, nodes: new Map(made) };
}

/** The authority of `directory`, made when there is none. */
export async function authorityIn(
  directory: string,
  { nowMs, authorityBits }: { readonly nowMs: number; readonly authorityBits?: number },
): Promise<KeyAndCertificate> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const [cert, key] = [join(directory, 'ca.crt'), join(directory, 'ca.key')];
  if (existsSync(cert) && existsSync(key)) {
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  }
  const made = await createAuthority('Quorate authority', nowMs, authorityBits);
  replaceFile(cert, made.cert, 0o644);
  replaceFile(key, made.key, 0o600);
  return made;
}

function draft(publicKey: forge.pki.rsa.PublicKey, name: string, fromMs: number, toMs: number): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = publicKey;
  // Positive and in its shortest form, as RFC 5280 section 4.1.2.2 and DER want it: the first byte is 0x40 to 0x7f.
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  certificate.serialNumber = serial.toString('hex');
  certificate.validity.notBefore = new Date(fromMs);
  certificate.validity.notAfter = new Date(toMs);
  certificate.setSubject([{ name: 'commonName', value: name }]);
  return certificate;
}

function privateKeyText(key: forge.pki.rsa.PrivateKey): string {
  return forge.pki.privateKeyInfoToPem(forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key)));
}

function keysOf(text: string): forge.pki.rsa.KeyPair {
  const privateKey = forge.pki.privateKeyFromPem(text);
  return { privateKey, publicKey: forge.pki.setRsaPublicKey(privateKey.n, privateKey.e) };
}

function generateKeys(bits: number): Promise<forge.pki.rsa.KeyPair> {
  return new Promise((resolve, reject) => {
    forge.pki.rsa.generateKeyPair({ bits }, (error, keys) => (error ? reject(error) : resolve(keys)));
  });
}
