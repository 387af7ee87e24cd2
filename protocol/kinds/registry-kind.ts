// The built-in kind `registry`: the operator's full wish of clients, their keys, and kinds, as it stands in genesis and in the ledger.
// Called by the genesis, by admission (payload check) and by apply(), on every node alike.
// Must never accept a record that two nodes could read differently, or a key that cannot be told from another client's.
import type { Buffer } from 'node:buffer';
import { canonicalize } from '../canonical.js';
import { sha256Hex } from '../crypto/hash.js';
import { IDENTIFIER, KIND_NAME } from '../envelope.js';
import type { JsonObject, JsonValue } from '../json.js';
import { Fields, Mistakes } from '../shape.js';
import { readPublicKey } from '../validators.js';
import { type Kind, ShapeError, type Verdict } from './kind.js';
import { compileKind, SchemaError } from './schema.js';

export type Role = 'submit' | 'read' | 'operate' | 'observe';

export interface KeyRecord {
  readonly keyId: string;
  readonly alg: 'ed25519' | 'hmac-sha256';
  /** Null for hmac-sha256: secrets are never in the ledger. */
  readonly publicKey: Buffer | null;
  /** Validators that may attest for this key. Of an Ed25519 key an empty list means every validator. */
  readonly homes: readonly string[];
  /** How an HMAC of a PCS is computed: over the canonical bytes, or over their SHA-256. */
  readonly form: 'direct' | 'digest';
  /** Kinds this key may sign; null means every kind but `registry`. */
  readonly kinds: readonly string[] | null;
  /** First millisecond of block time at which the key counts; null means from the start. */
  readonly notBeforeMs: number | null;
  /** First millisecond of block time at which it no longer counts; null means no end. */
  readonly notAfterMs: number | null;
}

export interface ClientRecord {
  readonly issuer: string;
  readonly roles: readonly Role[];
  readonly keys: readonly KeyRecord[];
}

export interface KindRecord {
  readonly kind: string;
  readonly schema: JsonObject;
  /** Hex SHA-256 of the schema's canonical form. */
  readonly schemaSha256: string;
  readonly compiled: Kind;
}

export interface RegistryWish {
  readonly clients: readonly ClientRecord[];
  readonly kinds: readonly KindRecord[];
}

/** What a registry is judged against: names that are taken, and nodes that a home may name. All from the genesis. */
export interface RegistryFrame {
  readonly validators: ReadonlySet<string>;
  /** Issuers that are not clients: operator keys and validators. */
  readonly reserved: ReadonlySet<string>;
  /** Validators as observers: their keys sign observations and accusations, and nothing else that comes in as a submission. */
  readonly observers: readonly ClientRecord[];
  /** Public keys, hex, that were screened before and need not be again (a screening costs a millisecond). */
  readonly screened: ReadonlySet<string>;
}

const ROLES = ['submit', 'read', 'operate', 'observe'];
const ROLE = /^(?:submit|read|operate|observe)$/;
const KIND_ALLOWED = 'a lowercase letter, then up to 31 of a-z 0-9 -';
const WISH_MEMBERS = ['clients', 'kinds'];
const CLIENT_MEMBERS = ['issuer', 'roles', 'keys'];
const KIND_MEMBERS = ['kind', 'schema', 'schema_sha256'];
const KEY_MEMBERS = ['key_id', 'alg', 'public_key', 'homes', 'form', 'kinds', 'not_before', 'not_after'];

/** Keys a client may hold: enough for rotation with overlap, few enough to try each for a PCS. */
const MAX_KEYS_A_CLIENT = 16;

/** The kind as admission sees it: its payload against the frame of this chain. The outcome of an accepted one is apply()'s. */
export function registryKind(frame: RegistryFrame): Kind {
  return {
    name: 'registry',
    check(payload: JsonObject): Verdict {
      try {
        parseWish(payload, frame);
      } catch (error) {
        if (error instanceof ShapeError) return { ok: false, errors: error.errors };
        throw error;
      }
      return { ok: true, outcome: { accepted: true, status: 200 } };
    },
  };
}

/** Payload of a registry entry: exactly `{clients, kinds}`. Throws ShapeError with everything wrong. */
export function parseWish(payload: JsonValue, frame: RegistryFrame): RegistryWish {
  const mistakes = new Mistakes();
  const wish = readWish(new Fields(payload, '', WISH_MEMBERS, mistakes), frame);
  mistakes.done();
  return wish;
}

/** The members `clients` and `kinds` of a larger document. */
export function readWish(fields: Fields, frame: RegistryFrame): RegistryWish {
  const issuers = new Set<string>();
  const publicKeys = new Set<string>();
  const kindNames = new Set<string>();
  return {
    clients: fields.objects('clients', CLIENT_MEMBERS, (client) => readClient(client, frame, issuers, publicKeys)),
    kinds: fields.objects('kinds', KIND_MEMBERS, (kind) => readKind(kind, kindNames)),
  };
}

function readClient(fields: Fields, frame: RegistryFrame, issuers: Set<string>, publicKeys: Set<string>): ClientRecord {
  const issuer = fields.identifier('issuer');
  if (frame.reserved.has(issuer)) fields.wrong('issuer', 'a name that no operator key and no validator has');
  if (issuers.has(issuer)) fields.wrong('issuer', 'every issuer once');
  issuers.add(issuer);
  const keyIds = new Set<string>();
  return {
    issuer,
    roles: fields.texts('roles', ROLE, `one of ${ROLES.join(', ')}`, 1) as Role[],
    keys: fields.objects('keys', KEY_MEMBERS, (key) => readKey(key, frame, keyIds, publicKeys), 1, MAX_KEYS_A_CLIENT),
  };
}

function readKey(fields: Fields, frame: RegistryFrame, keyIds: Set<string>, publicKeys: Set<string>): KeyRecord {
  const keyId = fields.identifier('key_id');
  if (keyIds.has(keyId)) fields.wrong('key_id', 'every key id once within a client');
  keyIds.add(keyId);
  const alg = fields.oneOf('alg', ['ed25519', 'hmac-sha256']);
  const isHmac = alg === 'hmac-sha256';
  if (isHmac && fields.has('public_key')) fields.wrong('public_key', 'no public key with hmac-sha256');
  if (!isHmac && fields.has('form')) fields.wrong('form', 'no form with ed25519, which always signs the digest');
  const homes =
    isHmac || fields.has('homes') ? fields.texts('homes', IDENTIFIER, 'a node_id of the genesis', isHmac ? 1 : 0) : [];
  for (const home of homes) {
    if (!frame.validators.has(home)) fields.wrong('homes', 'validators of the genesis', `the unknown node ${home}`);
  }
  const kinds = fields.has('kinds') ? fields.texts('kinds', KIND_NAME, KIND_ALLOWED, 1) : null;
  if (kinds?.includes('registry')) {
    fields.wrong('kinds', 'kinds of clients: the registry is signed by operator keys', 'the kind registry');
  }
  const notBeforeMs = fields.has('not_before') ? fields.time('not_before') : null;
  const notAfterMs = fields.has('not_after') ? fields.time('not_after') : null;
  if (notBeforeMs !== null && notAfterMs !== null && notAfterMs <= notBeforeMs) {
    fields.wrong('not_after', 'a time after not_before');
  }
  return {
    keyId,
    alg,
    publicKey: isHmac ? null : readPublicKey(fields, publicKeys, frame.screened),
    homes,
    form: fields.has('form') ? fields.oneOf('form', ['direct', 'digest']) : 'direct',
    kinds,
    notBeforeMs,
    notAfterMs,
  };
}

function readKind(fields: Fields, names: Set<string>): KindRecord {
  const kind = fields.text('kind', KIND_NAME, KIND_ALLOWED);
  if (names.has(kind)) fields.wrong('kind', 'every kind once');
  names.add(kind);
  const schema = fields.anyObject('schema');
  const schemaSha256 = sha256Hex(canonicalize(schema));
  if (fields.hex('schema_sha256') !== schemaSha256) {
    fields.wrong('schema_sha256', `${schemaSha256}, the SHA-256 of the canonical schema`);
  }
  return { kind, schema, schemaSha256, compiled: readSchema(fields, kind, schema) };
}

function readSchema(fields: Fields, kind: string, schema: JsonObject): Kind {
  try {
    return compileKind(kind, schema);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    for (const { pointer, found, allowed } of error.errors) {
      fields.mistakes.add(fields.at('schema') + pointer, found, allowed);
    }
    return { name: kind, check: () => ({ ok: false, errors: error.errors }) };
  }
}

/** Back to the JSON of genesis and payload. Members that only repeat a default are left out. */
export function wishJson(wish: RegistryWish): JsonObject {
  return { clients: wish.clients.map(clientJson), kinds: wish.kinds.map(kindJson) };
}

function clientJson({ issuer, roles, keys }: ClientRecord): JsonObject {
  return { issuer, roles: [...roles], keys: keys.map(keyJson) };
}

function keyJson(key: KeyRecord): JsonObject {
  const json: JsonObject = { key_id: key.keyId, alg: key.alg };
  if (key.publicKey !== null) json.public_key = key.publicKey.toString('hex');
  if (key.homes.length > 0) json.homes = [...key.homes];
  if (key.form !== 'direct') json.form = key.form;
  if (key.kinds !== null) json.kinds = [...key.kinds];
  if (key.notBeforeMs !== null) json.not_before = new Date(key.notBeforeMs).toISOString();
  if (key.notAfterMs !== null) json.not_after = new Date(key.notAfterMs).toISOString();
  return json;
}

function kindJson({ kind, schema, schemaSha256 }: KindRecord): JsonObject {
  return { kind, schema, schema_sha256: schemaSha256 };
}
