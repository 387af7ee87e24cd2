// The node key: where it comes from, what its file must look like, and which key the data belongs to. Called by the
// daemon at start, by --check-config and by "quorate keys". It must never show a secret, nor overwrite a key.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import type { Ed25519 } from '../protocol/crypto/ed25519.js';
import { ConfigError, configProblem } from './errors.js';
import {
  checkPrivateDirectory,
  checkPrivateFile,
  createFile,
  exists,
  makePrivateDirectory,
  replaceFile,
} from './private-file.js';
import type { Mode } from './schema.js';
import { parseSigningKey, SEED_BYTES, SigningKeyError } from './signing-key.js';
import { readText } from './yaml-file.js';

export const SIGNING_KEY_VARIABLE = 'QUORATE_SIGNING_KEY';
const KEY_FILE = 'node.key';
const REMEMBERED_FILE = 'node.pub';

export interface NodeKey {
  readonly seed: Buffer;
  readonly publicKey: Buffer;
  /** Seed ‖ public key, as the signing functions take it. */
  readonly secretKey: Buffer;
  /** `node_` and the first 16 hex digits of the public key. */
  readonly nodeId: string;
  readonly origin: 'environment' | 'file' | 'generated';
  /** The file it came from or was written to; null when it came from the environment. */
  readonly file: string | null;
}

export interface KeyPlaces {
  readonly mode: Mode;
  readonly keysDir: string;
  readonly dataDir: string;
  /** The key is taken out of it, so that workers and crash bundles never see it. */
  readonly env: Record<string, string | undefined>;
}

type KeyPairs = Pick<Ed25519, 'keyPair'>;
/** 32 random bytes; a test passes its own. */
export type RandomSeed = () => Uint8Array;

export function nodeKeyFile(keysDir: string): string {
  return join(keysDir, KEY_FILE);
}

/**
 * The key of this start: environment, else file, else in development mode a new one, written to `<keysDir>/node.key`.
 * Remembers the public key in `<dataDir>/node.pub` and refuses another key on the same data. `dataDir` must exist.
 * Throws ConfigError.
 */
export function openNodeKey(places: KeyPlaces, ed25519: KeyPairs, random: RandomSeed = randomSeed): NodeKey {
  const found = findNodeKey(places, ed25519);
  if (found === null && places.mode === 'production') throw new ConfigError([missingKey(places.keysDir)]);
  // A lost key on data that belongs to one must not be papered over by a new key.
  if (found === null) checkRemembered(places.dataDir, null);
  const key = found ?? createNodeKey(places.keysDir, ed25519, random);
  if (checkRemembered(places.dataDir, key.publicKey) === 'unknown') {
    replaceFile(join(places.dataDir, REMEMBERED_FILE), `${key.publicKey.toString('hex')}\n`, 0o644);
  }
  return key;
}

/**
 * As openNodeKey, without writing anything: what --check-config needs. Null when development mode would make a key.
 * Throws ConfigError.
 */
export function checkNodeKey(places: KeyPlaces, ed25519: KeyPairs): NodeKey | null {
  const key = findNodeKey(places, ed25519);
  if (key === null && places.mode === 'production') throw new ConfigError([missingKey(places.keysDir)]);
  checkRemembered(places.dataDir, key?.publicKey ?? null);
  return key;
}

/** The configured key, or null when there is none. Throws ConfigError. */
export function findNodeKey(places: KeyPlaces, ed25519: KeyPairs): NodeKey | null {
  const text = places.env[SIGNING_KEY_VARIABLE];
  delete places.env[SIGNING_KEY_VARIABLE];
  if (text !== undefined && text !== '') {
    return toNodeKey(text, ed25519, {
      origin: 'environment',
      file: null,
      place: `environment ${SIGNING_KEY_VARIABLE}`,
    });
  }
  const file = nodeKeyFile(places.keysDir);
  if (!exists(places.keysDir)) return null;
  checkPrivateDirectory(places.keysDir);
  if (!exists(file)) return null;
  checkPrivateFile(file);
  return toNodeKey(readText(file), ed25519, { origin: 'file', file, place: file });
}

/** Makes a key and writes it to `<keysDir>/node.key` (0600, directory 0700). Throws ConfigError when one is there. */
export function createNodeKey(keysDir: string, ed25519: KeyPairs, random: RandomSeed = randomSeed): NodeKey {
  makePrivateDirectory(keysDir);
  const file = nodeKeyFile(keysDir);
  const text = Buffer.from(random()).toString('hex');
  const key = toNodeKey(text, ed25519, { origin: 'generated', file, place: 'the random generator' });
  createFile(file, `${text}\n`, 0o600);
  return key;
}

function toNodeKey(
  text: string,
  ed25519: KeyPairs,
  from: { origin: NodeKey['origin']; file: string | null; place: string },
): NodeKey {
  try {
    const { seed, statedPublicKey } = parseSigningKey(text);
    const pair = ed25519.keyPair(seed);
    const publicKey = Buffer.from(pair.publicKey);
    if (statedPublicKey !== null && !statedPublicKey.equals(publicKey)) {
      throw new SigningKeyError('a private key with the public key of another');
    }
    const nodeId = `node_${publicKey.toString('hex').slice(0, 16)}`;
    return { seed, publicKey, secretKey: Buffer.from(pair.secretKey), nodeId, origin: from.origin, file: from.file };
  } catch (error) {
    if (!(error instanceof SigningKeyError)) throw error;
    const { found, allowed, hint } = error;
    throw new ConfigError([configProblem({ file: from.place, found, allowed, hint })]);
  }
}

/** Throws ConfigError when the data belongs to another key, or to a key that is not there (`publicKey` null). */
function checkRemembered(dataDir: string, publicKey: Buffer | null): 'same' | 'unknown' {
  const file = join(dataDir, REMEMBERED_FILE);
  if (!exists(file)) return 'unknown';
  const remembered = readText(file).trim();
  if (!/^[0-9a-f]{64}$/.test(remembered)) {
    const hint = 'Restore it from a backup; delete it only when you are sure which key this data belongs to.';
    throw new ConfigError([
      configProblem({ file, found: 'something that is no public key', allowed: '64 hex digits', hint }),
    ]);
  }
  const found = publicKey?.toString('hex') ?? null;
  if (found === remembered) return 'same';
  throw new ConfigError([
    configProblem({
      file,
      found: found === null ? 'no key' : `the key ${found.slice(0, 16)}…`,
      allowed: `the key that this data belongs to, ${remembered.slice(0, 16)}…`,
      hint: 'Configure that key again, or start with an empty --data-dir: a node that changes its key is another node.',
    }),
  ]);
}

function missingKey(keysDir: string) {
  return configProblem({
    file: nodeKeyFile(keysDir),
    found: 'no key',
    allowed: `a key in that file or in ${SIGNING_KEY_VARIABLE} (production mode generates none)`,
    hint: `Make one: quorate keys init --keys-dir ${keysDir}`,
  });
}

function randomSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_BYTES));
}
