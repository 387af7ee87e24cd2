// Who may submit what, as ledger state: clients, keys with their windows, roles, operator kinds (DECISIONS 16).
// Called by admission to find keys and by apply() to judge them; a registry entry makes the next version.
// Must never be changed in place, nor read a clock: every question about time brings its block time along.
import { canonicalize } from './canonical.js';
import type { JsonObject, JsonValue } from './json.js';
import { ACCUSATION } from './kinds/accusation.js';
import { builtinKinds } from './kinds/builtin.js';
import type { Kind } from './kinds/kind.js';
import { OBSERVATION } from './kinds/observation.js';
import {
  type ClientRecord,
  type KeyRecord,
  parseWish,
  type RegistryFrame,
  type RegistryWish,
  type Role,
  registryKind,
  wishJson,
} from './kinds/registry-kind.js';

/** One version of the registry. Immutable. */
export interface Registry extends RegistryWish {
  /** 0 in the genesis, one more with every registry entry. */
  readonly version: number;
  readonly frame: RegistryFrame;
  /** Operator keys, and the validator where there is only one: they sign kind `registry` and nothing else. */
  readonly authorities: readonly ClientRecord[];
  /** Clients and authorities by issuer. */
  readonly issuers: ReadonlyMap<string, ClientRecord>;
  /** Who may sign observations, by node id: the validators, and clients with the role `observe`. */
  readonly observers: ReadonlyMap<string, ClientRecord>;
  /** Everything that can be submitted, by name. */
  readonly checks: ReadonlyMap<string, Kind>;
}

/** Any kind whose signers are the issuers of the registry. */
const ANY_KIND = '';

/** A key together with the client it belongs to. */
export interface KeyHolder {
  readonly client: ClientRecord;
  readonly key: KeyRecord;
}

export function createRegistry(
  frame: RegistryFrame,
  authorities: readonly ClientRecord[],
  wish: RegistryWish,
  version: number,
): Registry {
  const issuers = new Map<string, ClientRecord>();
  for (const client of [...authorities, ...wish.clients]) issuers.set(client.issuer, client);
  const observing = wish.clients.filter(({ roles }) => roles.includes('observe'));
  const observers = new Map([...frame.observers, ...observing].map((client) => [client.issuer, client]));
  const screened = new Set(publicKeysOf(wish.clients));
  const known = { ...frame, screened };
  const checks = new Map<string, Kind>(builtinKinds);
  checks.set('registry', registryKind(known));
  for (const record of wish.kinds) checks.set(record.kind, record.compiled);
  return { version, clients: wish.clients, kinds: wish.kinds, frame: known, authorities, issuers, observers, checks };
}

/** The registry after a registry entry with this payload. Throws ShapeError with everything wrong in it. */
export function nextRegistry(registry: Registry, payload: JsonValue): Registry {
  const wish = parseWish(payload, registry.frame);
  return createRegistry(registry.frame, registry.authorities, wish, registry.version + 1);
}

/** Canonical text of a version: what the state digest hashes and the store keeps. */
export function registryText(registry: Registry): string {
  return canonicalize({ ...wishJson(registry), version: registry.version });
}

/** A stored version again. `genesis` is the chain's version 0. Throws ShapeError when the text is not what registryText wrote. */
export function restoreRegistry(genesis: Registry, stored: JsonObject): Registry {
  const { version, ...wish } = stored;
  if (typeof version !== 'number') throw new TypeError('a stored registry has a version number');
  return createRegistry(genesis.frame, genesis.authorities, parseWish(wish, genesis.frame), version);
}

/** Who may sign under this name: observations and accusations have signers of their own; every other kind has the same. */
export function signerOf(registry: Registry, issuer: string, kind: string = ANY_KIND): ClientRecord | undefined {
  if (kind === ACCUSATION) return registry.frame.observers.find((validator) => validator.issuer === issuer);
  return (kind === OBSERVATION ? registry.observers : registry.issuers).get(issuer);
}

/** The role that signing a kind asks for. */
export function roleFor(kind: string): Role {
  return kind === OBSERVATION || kind === ACCUSATION ? 'observe' : 'submit';
}

/** All keys of an issuer, whatever their window; none for an unknown issuer. */
export function keysOf(registry: Registry, issuer: string, kind: string = ANY_KIND): readonly KeyRecord[] {
  return signerOf(registry, issuer, kind)?.keys ?? [];
}

export function keyOf(
  registry: Registry,
  issuer: string,
  keyId: string,
  kind: string = ANY_KIND,
): KeyRecord | undefined {
  return keysOf(registry, issuer, kind).find((key) => key.keyId === keyId);
}

/** Whether the key counts at this block time: not_before ≤ time < not_after. */
export function isOpen(key: KeyRecord, timeMs: number): boolean {
  return (
    (key.notBeforeMs === null || timeMs >= key.notBeforeMs) && (key.notAfterMs === null || timeMs < key.notAfterMs)
  );
}

/** Whether the key may sign this kind. Only an authority's keys name `registry`, see genesis. */
export function maySign(key: KeyRecord, kind: string): boolean {
  return key.kinds === null ? kind !== 'registry' : key.kinds.includes(kind);
}

/** Whether this node may attest for the key (DECISIONS 17). */
export function mayAttest(registry: Registry, key: KeyRecord, nodeId: string): boolean {
  return key.homes.length > 0 ? key.homes.includes(nodeId) : registry.frame.validators.has(nodeId);
}

/** Every open key that may sign the kind: for a PCS, which does not name its issuer, these are the keys to try, in registry order. */
export function keysForKind(registry: Registry, kind: string, timeMs: number): KeyHolder[] {
  const holders: KeyHolder[] = [];
  for (const client of registry.issuers.values()) {
    if (!client.roles.includes('submit')) continue;
    for (const key of client.keys) if (maySign(key, kind) && isOpen(key, timeMs)) holders.push({ client, key });
  }
  return holders;
}

function publicKeysOf(clients: readonly ClientRecord[]): string[] {
  return clients.flatMap((client) => client.keys.flatMap((key) => key.publicKey?.toString('hex') ?? []));
}
