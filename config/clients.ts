// Reads clients.yml: the operator's wish of who may submit, with which keys, plus the HMAC secrets this node holds.
// Called by the daemon at start and on SIGHUP. The records it returns are for the ledger: no secret may be in them.
import { Buffer } from 'node:buffer';
import { dirname, resolve } from 'node:path';
import { checkPublicKey } from '../protocol/crypto/keys.js';
import { parseTime } from '../protocol/envelope.js';
import { type ClientEntry, type KeyEntry, pathText, placed, readEntries } from './clients-shape.js';
import { ConfigError, type ConfigProblem, describeFound } from './errors.js';
import { checkPrivateFile } from './private-file.js';
import { readText, readYamlFile, type YamlFile, type YamlPath } from './yaml-file.js';

/** One client as genesis and registry entries take it. */
export type ClientWish = {
  issuer: string;
  roles: string[];
  keys: KeyWish[];
};

export type KeyWish = {
  key_id: string;
  alg: 'ed25519' | 'hmac-sha256';
  /** 64 lowercase hex digits; only with ed25519. */
  public_key?: string;
  /** Validators that hold the secret; only with hmac-sha256 unless given. */
  homes?: string[];
  form?: 'direct' | 'digest';
  kinds?: string[];
  not_before?: string;
  not_after?: string;
};

export interface HmacSecret {
  readonly issuer: string;
  readonly keyId: string;
  readonly secret: Buffer;
}

export interface ClientsFile {
  readonly clients: readonly ClientWish[];
  readonly secrets: readonly HmacSecret[];
  /** One sentence each, for the log. */
  readonly warnings: readonly string[];
}

export interface ClientsOptions {
  /** This node: the home of HMAC keys that name none, and the node whose secrets must be here. */
  readonly nodeId: string;
  readonly hmacForm: 'direct' | 'digest';
  /** Unix milliseconds: keys whose window has closed are warned about. */
  readonly nowMs: number;
}

/** RFC 2104 section 3: shorter keys than the hash's output weaken the function. */
const SECRET_ADVISED_BYTES = 32;
const SECRET_FORMS = {
  secret_hex: 'hex digits',
  secret_base64: 'base64',
  secret_file: 'a file that is not empty',
} as const;
type SecretField = keyof typeof SECRET_FORMS;
const SECRET_FIELDS = Object.keys(SECRET_FORMS) as readonly SecretField[];

/** Throws ConfigError with every problem of the file. */
export function loadClients(path: string, options: ClientsOptions): ClientsFile {
  const file = readYamlFile(path);
  const reading = new Reading(file, path, options);
  const clients = readEntries(file).map((client, index) => reading.client(client, ['clients', index]));
  if (reading.problems.length > 0) throw new ConfigError(reading.problems);
  return { clients, secrets: reading.secrets, warnings: reading.warnings };
}

/** One pass over the file: what it has seen so far decides what is a repetition. */
class Reading {
  readonly problems: ConfigProblem[] = [];
  readonly secrets: HmacSecret[] = [];
  readonly warnings: string[] = [];
  readonly #file: YamlFile;
  readonly #path: string;
  readonly #options: ClientsOptions;
  readonly #issuers = new Set<string>();
  /** Public keys and secrets, in hex: one key must tell its client. */
  readonly #keys = new Set<string>();

  constructor(file: YamlFile, path: string, options: ClientsOptions) {
    this.#file = file;
    this.#path = path;
    this.#options = options;
  }

  client(entry: ClientEntry, at: YamlPath): ClientWish {
    const { issuer } = entry;
    if (this.#issuers.has(issuer)) this.#refuse([...at, 'issuer'], `a second client ${issuer}`, 'every issuer once');
    this.#issuers.add(issuer);
    const keyIds = new Set<string>();
    const keys = entry.keys.map((key, index) => {
      const place = [...at, 'keys', index];
      if (keyIds.has(key.key_id)) {
        this.#refuse([...place, 'key_id'], `a second key ${key.key_id}`, 'every key_id once within a client');
      }
      keyIds.add(key.key_id);
      return this.#key(issuer, key, place);
    });
    if (keys.every((key) => key.not_after !== undefined && (parseTime(key.not_after) ?? 0) <= this.#options.nowMs)) {
      this.warnings.push(`client ${issuer} has no key that is still valid.`);
    }
    return { issuer, roles: entry.roles ?? ['submit'], keys };
  }

  #key(issuer: string, entry: KeyEntry, at: YamlPath): KeyWish {
    const wish: KeyWish = { key_id: entry.key_id, alg: entry.alg };
    if (entry.alg === 'ed25519') this.#ed25519(entry, at, wish);
    else this.#hmac(issuer, entry, at, wish);
    if (entry.kinds !== undefined) {
      wish.kinds = entry.kinds;
      if (entry.kinds.includes('registry')) {
        this.#refuse([...at, 'kinds'], 'the kind registry', 'kinds of clients: operator keys sign the registry');
      }
    }
    this.#window(entry, at, wish);
    return wish;
  }

  #ed25519(entry: KeyEntry, at: YamlPath, wish: KeyWish): void {
    for (const field of [...SECRET_FIELDS, 'form'] as const) {
      if (entry[field] !== undefined) this.#refuse([...at, field], `${field} on an ed25519 key`, 'public_key alone');
    }
    if (entry.homes !== undefined) wish.homes = entry.homes;
    if (entry.public_key === undefined) {
      this.#refuse(at, 'an ed25519 key without public_key', 'public_key: 64 hex digits, or 32 bytes in base64');
      return;
    }
    const bytes = publicKeyBytes(entry.public_key);
    const fault = bytes === null ? 'length' : checkPublicKey(bytes);
    if (bytes === null || fault !== null) {
      const found = fault === 'length' ? 'something that is not 32 bytes' : `a weak or invalid key (${fault})`;
      this.#refuse([...at, 'public_key'], found, 'an Ed25519 public key: 64 hex digits, or 32 bytes in base64');
      return;
    }
    wish.public_key = bytes.toString('hex');
    this.#once(wish.public_key, [...at, 'public_key']);
  }

  #hmac(issuer: string, entry: KeyEntry, at: YamlPath, wish: KeyWish): void {
    if (entry.public_key !== undefined) {
      this.#refuse([...at, 'public_key'], 'public_key on an hmac-sha256 key', SECRET_FIELDS.join(' | '));
    }
    wish.homes = entry.homes ?? [this.#options.nodeId];
    wish.form = entry.form ?? this.#options.hmacForm;
    const given = SECRET_FIELDS.filter((field) => entry[field] !== undefined);
    const isHome = wish.homes.includes(this.#options.nodeId);
    // A key at home elsewhere only has to be known here: its secret stays there.
    if (given.length === 0 && !isHome) return;
    const field = given[0];
    if (field === undefined || given.length > 1) {
      const found = field === undefined ? 'an hmac-sha256 key without its secret' : `${given.join(' and ')} together`;
      this.#refuse(at, found, `one of ${SECRET_FIELDS.join(', ')}`);
      return;
    }
    const secret = this.#secret(field, entry[field] ?? '', [...at, field]);
    if (secret === null) return;
    this.#once(secret.toString('hex'), [...at, field]);
    if (secret.length < SECRET_ADVISED_BYTES) {
      this.warnings.push(
        `key ${issuer}/${entry.key_id} has a secret of ${secret.length} bytes; use ${SECRET_ADVISED_BYTES} random ones.`,
      );
    }
    this.secrets.push({ issuer, keyId: entry.key_id, secret });
  }

  #secret(field: SecretField, value: string, at: YamlPath): Buffer | null {
    let secret: Buffer | null;
    try {
      if (field === 'secret_file') {
        const path = resolve(dirname(this.#path), value);
        checkPrivateFile(path);
        secret = Buffer.from(readText(path).replace(/\r?\n$/, ''), 'utf8');
      } else {
        checkPrivateFile(this.#path);
        secret = field === 'secret_hex' ? hexBytes(value) : base64Bytes(value);
      }
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.problems.push(...error.problems.map((problem) => ({ ...problem, path: pathText(at) })));
      return null;
    }
    if (secret !== null && secret.length > 0) return secret;
    this.#refuse(at, 'no usable secret (not shown)', SECRET_FORMS[field]);
    return null;
  }

  #window(entry: KeyEntry, at: YamlPath, wish: KeyWish): void {
    const times: (number | null)[] = [];
    for (const field of ['not_before', 'not_after'] as const) {
      const value = entry[field];
      const time = value === undefined ? null : parseTime(value);
      times.push(time);
      if (value === undefined) continue;
      if (time === null) this.#refuse([...at, field], describeFound(value), 'RFC 3339 UTC, as 2026-11-20T12:00:00Z');
      else wish[field] = value;
    }
    const [from, to] = times;
    if (typeof from === 'number' && typeof to === 'number' && to <= from) {
      this.#refuse([...at, 'not_after'], `${entry.not_after}, not after not_before`, 'a time after not_before');
    }
  }

  #once(keyHex: string, at: YamlPath): void {
    if (this.#keys.has(keyHex))
      this.#refuse(at, 'a key that stands here already', 'every key once: it tells the client');
    this.#keys.add(keyHex);
  }

  #refuse(at: YamlPath, found: string, allowed: string): void {
    this.problems.push(placed(this.#file, at, { found, allowed }));
  }
}

function publicKeyBytes(value: string): Buffer | null {
  const bytes = /^[0-9a-fA-F]{64}$/.test(value) ? Buffer.from(value, 'hex') : base64Bytes(value);
  return bytes?.length === 32 ? bytes : null;
}

function hexBytes(value: string): Buffer | null {
  return /^([0-9a-fA-F]{2})+$/.test(value) ? Buffer.from(value, 'hex') : null;
}

function base64Bytes(value: string): Buffer | null {
  const bytes = Buffer.from(value, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === value.replace(/=+$/, '') ? bytes : null;
}
