// Reads the TLS files of this node and judges them by content: modes, whether they can be read, whether key, certificate
// and authority belong together, and time. Called with the other named files. It must never show anything of a key.
import { statSync } from 'node:fs';
import {
  belongTogether,
  type Certificate,
  checkPrivateKey,
  PemError,
  readCertificates,
  signedBy,
} from '../protocol/crypto/certificate.js';
import { ConfigError, type ConfigProblem, configProblem } from './errors.js';
import type { PeerTls } from './node.js';
import { checkPrivateFile } from './private-file.js';
import type { QuorateConfig } from './schema.js';
import { readText } from './yaml-file.js';

export interface TlsFiles {
  readonly tls: PeerTls;
  /** This node's own certificate. */
  readonly own: Certificate;
  readonly authorities: readonly Certificate[];
  readonly warnings: readonly string[];
}

type TlsSettings = QuorateConfig['tls'];

const DAY_MS = 86_400_000;
export const EXPIRY_WARNING_MS = 30 * DAY_MS;
export const EXPIRY_CRITICAL_MS = 7 * DAY_MS;

/** @param nowMs unix milliseconds. Throws ConfigError with every problem of the three files. */
export function loadTlsFiles(settings: TlsSettings, nowMs: number): TlsFiles {
  const { ca, cert, key } = settings;
  if (ca === null || cert === null || key === null)
    throw new Error('the relations of settings ask for all three files');
  const problems: ConfigProblem[] = [];
  const authorities = reading(problems, () => readPublic(ca));
  const chain = reading(problems, () => readPublic(cert));
  const keyText = reading(problems, () => readKey(key, settings.key_group_read));
  if (authorities !== undefined) problems.push(...authorityProblems(ca, authorities, nowMs));
  const own = chain?.[0];
  if (own !== undefined) problems.push(...timeProblems(cert, own, nowMs));
  if (own !== undefined && keyText !== undefined && !belongTogether(own.pem, keyText)) {
    const found = 'a key that is not the one of the certificate';
    problems.push(configProblem({ file: key, path: 'tls.key', found, allowed: `the private key of ${cert}` }));
  }
  if (chain !== undefined && authorities !== undefined && !isAnchored(chain, authorities)) {
    const found = 'a certificate that this authority did not sign';
    const hint = 'Peers would refuse it: put the certificates in between into the same file, after the own one.';
    problems.push(configProblem({ file: cert, path: 'tls.cert', found, allowed: `one signed by ${ca}`, hint }));
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const pem = (certificates: readonly Certificate[]) => certificates.map((each) => `${each.pem}\n`).join('');
  return {
    tls: { ca: pem(authorities!), cert: pem(chain!), key: keyText!, minVersion: settings.min_version },
    own: own!,
    authorities: authorities!,
    warnings: [...expiryWarnings(cert, own!, nowMs), ...expiryWarnings(ca, authorities![0]!, nowMs)],
  };
}

function reading<T>(problems: ConfigProblem[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

function readPublic(path: string): Certificate[] {
  const text = readText(path);
  const mode = statSync(path).mode & 0o777;
  if (process.platform !== 'win32' && (mode & 0o022) !== 0) {
    const found = `mode ${mode.toString(8).padStart(4, '0')}, which others may write`;
    throw new ConfigError([
      configProblem({ file: path, found, allowed: '0644 or less', hint: `Fix it: chmod 0644 ${path}` }),
    ]);
  }
  try {
    return readCertificates(text);
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    throw new ConfigError([configProblem({ file: path, found: error.message, allowed: 'certificates in PEM' })]);
  }
}

function readKey(path: string, groupMayRead: boolean): string {
  checkPrivateFile(path, groupMayRead);
  const text = readText(path);
  try {
    checkPrivateKey(text);
    return text;
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    const allowed = 'one private key in PEM, without a passphrase';
    throw new ConfigError([configProblem({ file: path, path: 'tls.key', found: error.message, allowed })]);
  }
}

function authorityProblems(path: string, authorities: readonly Certificate[], nowMs: number): ConfigProblem[] {
  const problems = authorities.flatMap((authority) => timeProblems(path, authority, nowMs));
  if (authorities.some(({ isAuthority }) => !isAuthority)) {
    const found = 'a certificate that is no authority';
    problems.push(configProblem({ file: path, path: 'tls.ca', found, allowed: 'certificates with CA:TRUE' }));
  }
  return problems;
}

function timeProblems(path: string, certificate: Certificate, nowMs: number): ConfigProblem[] {
  const { notBeforeMs, notAfterMs } = certificate;
  if (nowMs >= notBeforeMs && nowMs < notAfterMs) return [];
  const found =
    nowMs < notBeforeMs
      ? `a certificate that begins to be valid at ${new Date(notBeforeMs).toISOString()}`
      : `a certificate that expired at ${new Date(notAfterMs).toISOString()}`;
  const hint = 'Check the clock, or issue a new one: peers refuse it as it is.';
  return [configProblem({ file: path, found, allowed: 'one that is valid now', hint })];
}

/** Whether the first certificate leads to one of the authorities, by those that follow it in its file. */
function isAnchored(chain: readonly Certificate[], authorities: readonly Certificate[]): boolean {
  let current = chain[0]!;
  for (const next of [...chain.slice(1), null]) {
    if (authorities.some((authority) => signedBy(current, authority))) return true;
    if (next === null || !signedBy(current, next)) return false;
    current = next;
  }
  return false;
}

function expiryWarnings(path: string, certificate: Certificate, nowMs: number): string[] {
  const leftMs = certificate.notAfterMs - nowMs;
  if (leftMs > EXPIRY_WARNING_MS) return [];
  const days = Math.floor(leftMs / DAY_MS);
  return [`the certificate in ${path} expires in ${days} days, at ${new Date(certificate.notAfterMs).toISOString()}.`];
}
