// The shape of a node's configuration: the type, and the JSON Schema made from the field table. Imported by whoever
// reads a setting. Names are those of the file, so that a setting has one name in code, file, log and error.
import { ACTOR_IDS, FIELDS, type Field, type FieldPath } from './fields.js';

export { ACTOR_IDS, type FieldPath };
export type ActorId = (typeof ACTOR_IDS)[number];
export type Mode = 'development' | 'production';
export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';
export type RestartChoice = 'immediate' | 'backoff' | 'circuit-breaker';

/** Absolute paths, checked ranges and relations: what the rest of the node may rely on without looking again. */
export interface QuorateConfig {
  readonly mode: Mode;
  readonly data_dir: string;
  readonly keys_dir: string;
  /** The file with the parameters of the chain; changing it makes another chain. */
  readonly genesis: string;
  /** HOST:PORT, see `parseListen`. Port 0 takes a free one. */
  readonly listen: string;
  readonly ops_listen: string;
  readonly peer_listen: string | null;
  readonly peers_file: string | null;
  readonly pinned_certs: string | null;
  readonly allow_insecure_peers: boolean;
  readonly clients_file: string | null;
  readonly kinds_dir: string | null;
  readonly shutdown_ms: number;
  readonly stop_with_stdin: boolean;
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
    readonly format: 'auto' | 'json' | 'pretty';
    readonly file: string | null;
  };
  readonly tls: {
    readonly enabled: boolean;
    readonly ca: string | null;
    readonly cert: string | null;
    readonly key: string | null;
    readonly key_group_read: boolean;
    readonly min_version: TlsVersion;
  };
  readonly consensus: { readonly delta_ms: number };
  readonly limits: {
    readonly body_bytes: number;
    readonly batch_bytes: number;
    readonly batch_entries: number;
    readonly server_timeout_ms: number;
    readonly wait_default_ms: number;
    readonly in_flight_max: number;
    readonly connections_max: number;
    readonly peer_burst: number;
    readonly peer_sustained: number;
    readonly peer_bytes_per_second: number;
  };
  readonly idempotency: { readonly max: number; readonly ttl_ms: number };
  readonly verify: {
    readonly threads: number;
    readonly batch_max: number;
    readonly backend: 'auto' | 'sodium-native' | 'libsodium-wrappers';
  };
  readonly wal: {
    readonly segment_bytes: number;
    readonly retention_bytes: number;
    readonly retention_ms: number;
    readonly max_bytes: number;
    readonly compact_interval_ms: number;
  };
  readonly disk: {
    readonly warn_free_bytes: number;
    readonly error_free_bytes: number;
    readonly stop_free_bytes: number;
    readonly ballast_bytes: number;
  };
  readonly audit: { readonly file_bytes: number; readonly files_kept: number };
  readonly dedup: { readonly store: 'embedded' };
  readonly pcs: { readonly hmac_form: 'direct' | 'digest' };
  readonly backups: { readonly enabled: boolean };
  readonly supervision: {
    readonly backoff: {
      readonly floor_ms: number;
      readonly factor: number;
      readonly ceiling_ms: number;
      readonly jitter: number;
    };
    readonly breaker: { readonly failures: number; readonly open_ms: number; readonly successes: number };
    readonly budget: { readonly intensity: number; readonly period_ms: number };
    readonly standby: boolean;
    readonly actors: { readonly [Id in ActorId]: ActorSettings };
  };
}

export interface ActorSettings {
  readonly restart: RestartChoice;
  readonly heartbeat_ms: number;
  readonly memory_mb: number;
  readonly shutdown_ms: number;
}

type Primitive = string | number | boolean | null;
/** Dotted paths of the values of T: `limits.body_bytes`. */
export type LeafPath<T> = {
  [K in keyof T & string]: T[K] extends Primitive ? K : `${K}.${LeafPath<T[K]>}`;
}[keyof T & string];

/** Every setting of the type stands in the table and the other way round, or this does not compile. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
export const TABLE_IS_COMPLETE: Same<LeafPath<QuorateConfig>, FieldPath> = true;

export const FIELD_PATHS = Object.keys(FIELDS) as readonly FieldPath[];

export interface ObjectSchema {
  type: 'object';
  additionalProperties: false;
  properties: Record<string, ObjectSchema | (Field['schema'] & { description: string })>;
}

/**
 * JSON Schema (draft-07 vocabulary) of a configuration file. Nothing is required: what is absent comes from the
 * environment or the defaults. `endpoint` is the one format of our own, HOST:PORT.
 */
export function configSchema(): ObjectSchema {
  const root = emptyObject();
  for (const path of FIELD_PATHS) {
    const names = path.split('.');
    let parent = root;
    for (const name of names.slice(0, -1)) {
      const inner = parent.properties[name] ?? emptyObject();
      parent.properties[name] = inner;
      parent = inner as ObjectSchema;
    }
    const field = FIELDS[path];
    parent.properties[names.at(-1)!] = { ...field.schema, description: field.about };
  }
  return root;
}

function emptyObject(): ObjectSchema {
  return { type: 'object', additionalProperties: false, properties: {} };
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:8080`, `[::1]:0` or `localhost:8080` → host without brackets and port 0 … 65535; null for anything else. */
export function parseListen(text: string): ListenAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  return port > 65535 ? null : { host: match[1] ?? match[2]!, port };
}
