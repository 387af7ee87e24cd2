// The key file of a client, as `quorate submit --key` takes it, and the record that registers its public key. Called by the
// daemon for the development client, by `quorate keys client` and by `quorate init`. The seed goes into the file alone.
import { Buffer } from 'node:buffer';
import type { Ed25519 } from '../protocol/crypto/ed25519.js';
import type { ClientWish } from './clients.js';
import { createFile } from './private-file.js';
import { SEED_BYTES } from './signing-key.js';

/** In the keys directory: the client of development mode, issuer `dev`. */
export const DEV_CLIENT_FILE = 'dev-client.json';
export const DEV_CLIENT_ISSUER = 'dev';

export interface ClientKeyFile {
  readonly issuer: string;
  /** 64 lowercase hex digits. */
  readonly publicKey: string;
}

/**
 * Makes a key and writes {"issuer","public_key","seed"} durably, mode 0600. The directory must exist.
 * @throws ConfigError when there is such a file already.
 */
export function createClientKey(
  path: string,
  issuer: string,
  ed25519: Pick<Ed25519, 'keyPair'>,
  random: () => Uint8Array = () => crypto.getRandomValues(new Uint8Array(SEED_BYTES)),
): ClientKeyFile {
  const seed = Buffer.from(random());
  const publicKey = Buffer.from(ed25519.keyPair(seed).publicKey).toString('hex');
  createFile(path, `${JSON.stringify({ issuer, public_key: publicKey, seed: seed.toString('hex') })}\n`, 0o600);
  return { issuer, publicKey };
}

/** The record for the genesis or clients.yml: one key, named as its issuer, that may submit. */
export function clientWish({ issuer, publicKey }: ClientKeyFile): ClientWish {
  return { issuer, roles: ['submit'], keys: [{ key_id: issuer, alg: 'ed25519', public_key: publicKey }] };
}
