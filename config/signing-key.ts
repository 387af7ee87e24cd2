// Turns the text of a signing key into its 32-byte seed: 64 hex digits, PKCS#8 PEM, or its DER in base64 (RFC 8410).
// Called by key-files.ts for files and the environment. It must never repeat any part of the key in an error.
import { Buffer } from 'node:buffer';

export const SEED_BYTES = 32;
const KEY_FORMS = '64 hex digits, an unencrypted PKCS#8 PEM, or its DER in base64, of an Ed25519 key';

/** What is wrong with the text, in words that fit "found …; allowed: …" and show nothing of it. */
export class SigningKeyError extends Error {
  readonly found: string;
  readonly allowed: string = KEY_FORMS;
  readonly hint: string | null;

  constructor(found: string, hint: string | null = null) {
    super(`found ${found}`);
    this.name = 'SigningKeyError';
    this.found = found;
    this.hint = hint;
  }
}

export interface ParsedSigningKey {
  readonly seed: Buffer;
  /** The public key that RFC 8410 lets the file carry beside the seed; to be compared with the derived one. */
  readonly statedPublicKey: Buffer | null;
}

/** Throws SigningKeyError. Spaces around the text do not matter, nor whether a PEM's line ends are written as `\n`. */
export function parseSigningKey(text: string): ParsedSigningKey {
  const trimmed = text.replaceAll('\\n', '\n').trim();
  if (trimmed === '') throw new SigningKeyError('an empty key', 'Make one with "quorate keys init".');
  const parsed = /^[0-9a-fA-F]+$/.test(trimmed) ? fromHex(trimmed) : fromPkcs8(derOf(trimmed));
  if (parsed.seed.every((byte) => byte === parsed.seed[0])) {
    throw new SigningKeyError('a seed of 32 equal bytes', 'Anyone can guess it: make a key with "quorate keys init".');
  }
  return parsed;
}

function fromHex(text: string): ParsedSigningKey {
  if (text.length !== 2 * SEED_BYTES) {
    const hint = text.length === 4 * SEED_BYTES ? 'Of a seed with its public key behind it, keep the first 64.' : null;
    throw new SigningKeyError(`${text.length} hex digits`, hint);
  }
  return { seed: Buffer.from(text, 'hex'), statedPublicKey: null };
}

function derOf(text: string): Buffer {
  const pem = /^-----BEGIN ([A-Z0-9 ]+)-----\s*([A-Za-z0-9+/=\s]+?)\s*-----END \1-----$/.exec(text);
  if (pem !== null) {
    if (pem[1] === 'ENCRYPTED PRIVATE KEY') {
      throw new SigningKeyError('an encrypted key', 'Decrypt it: openssl pkey -in FILE -out PLAIN, then chmod 0400.');
    }
    if (pem[1] !== 'PRIVATE KEY') throw new SigningKeyError(`a PEM block "${pem[1]}"`);
    return fromBase64(pem[2]!);
  }
  if (text.includes('-----')) throw new SigningKeyError('a PEM file that is damaged, or more than one block');
  return fromBase64(text);
}

function fromBase64(text: string): Buffer {
  const packed = text.replaceAll(/\s/g, '');
  const bytes = Buffer.from(packed, 'base64');
  if (bytes.toString('base64').replaceAll('=', '') !== packed.replaceAll('=', '')) {
    throw new SigningKeyError('text that is neither hex nor PEM nor base64');
  }
  return bytes;
}

const ED25519_OID = Buffer.from('2b6570', 'hex');

/** OneAsymmetricKey of RFC 5958, versions 1 and 2: SEQUENCE { version, SEQUENCE { OID }, OCTET STRING, [0]?, [1]? }. */
function fromPkcs8(der: Buffer): ParsedSigningKey {
  const outer = new DerReader(der);
  const key = new DerReader(outer.take(0x30));
  outer.end();
  const version = key.take(0x02);
  if (version.length !== 1 || version[0]! > 1) throw new SigningKeyError('PKCS#8 of an unknown version');
  const algorithm = new DerReader(key.take(0x30)).take(0x06);
  if (!algorithm.equals(ED25519_OID)) throw new SigningKeyError('the key of another algorithm than Ed25519');
  const inner = new DerReader(key.take(0x04));
  const seed = inner.take(0x04);
  inner.end();
  if (seed.length !== SEED_BYTES) throw new SigningKeyError(`a seed of ${seed.length} bytes`);
  if (key.next() === 0xa0) key.take(0xa0);
  // [1] IMPLICIT BIT STRING: one byte of unused bits, then the 32 bytes of the public key.
  const stated = key.next() === 0x81 ? key.take(0x81) : null;
  key.end();
  if (stated !== null && stated.length !== SEED_BYTES + 1)
    throw new SigningKeyError('a public key of the wrong length');
  return { seed, statedPublicKey: stated?.subarray(1) ?? null };
}

/** Reads tags one after the other; lengths of one or two bytes, more than any such key has. */
class DerReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  next(): number | undefined {
    return this.#bytes[this.#offset];
  }

  take(tag: number): Buffer {
    let length = this.#bytes[this.#offset + 1];
    let start = this.#offset + 2;
    if (length === 0x81) {
      length = this.#bytes[start];
      start += 1;
    }
    if (this.next() !== tag || length === undefined || start + length > this.#bytes.length) {
      throw new SigningKeyError('bytes that are not a PKCS#8 private key');
    }
    this.#offset = start + length;
    return this.#bytes.subarray(start, start + length);
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw new SigningKeyError('a PKCS#8 key with bytes behind its end');
  }
}
