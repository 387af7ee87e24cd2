// The table of settings: for each its schema, default, purpose and whether a running node can take a new value. Schema,
// flags, environment names, help, reload rules and --print-config all come from here. Data only, no behaviour.

export type Leaf = string | number | boolean | null;

/** JSON Schema of one value. */
export interface LeafSchema {
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | readonly ['string', 'null'];
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly format?: 'endpoint';
}

/**
 * reload: SIGHUP applies a new value. restart: only a new start does. chain: the value is part of what all nodes have
 * agreed on and is never changed on existing data.
 */
export type Change = 'reload' | 'restart' | 'chain';

export interface Field {
  readonly schema: LeafSchema;
  /** `derived`: made from other settings or the machine, see load.ts. */
  readonly default: Leaf | { readonly derived: string };
  readonly about: string;
  readonly change: Change;
  /** Relative values start at the file's folder, or at the working directory for flags and environment. */
  readonly isPath?: true;
}

/** Actors that the configuration can name, in start order. */
export const ACTOR_IDS = ['store', 'wal-writer', 'consensus', 'dedup', 'gossip', 'rpc-client', 'ingress'] as const;

/** Without these the node can do nothing for long: a breaker would leave the node up and useless, so these have the budget instead. */
export const CORE_ACTORS: readonly string[] = ['store', 'wal-writer', 'consensus'];

/** 2³¹−1 ms, the longest delay a timer takes (24.8 days). */
const TIMER_MAX_MS = 2_147_483_647;
const HOUR_MS = 3_600_000;
const TEBIBYTE = 2 ** 40;

function integer(minimum: number, maximum: number, value: number, about: string, change: Change = 'reload'): Field {
  return { schema: { type: 'integer', minimum, maximum }, default: value, about, change };
}

function choice(values: readonly string[], value: string, about: string, change: Change = 'reload'): Field {
  return { schema: { type: 'string', enum: values }, default: value, about, change };
}

function path(value: string | null | { derived: string }, about: string, change: Change): Field {
  const type = value === null ? (['string', 'null'] as const) : 'string';
  return { schema: { type, minLength: 1, maxLength: 4096 }, default: value, about, change, isPath: true };
}

function endpoint(value: string | null, about: string): Field {
  const type = value === null ? (['string', 'null'] as const) : 'string';
  return { schema: { type, format: 'endpoint' }, default: value, about, change: 'restart' };
}

type ActorField<Id extends string> = `supervision.actors.${Id}.${
  | 'restart'
  | 'heartbeat_ms'
  | 'memory_mb'
  | 'shutdown_ms'}`;

function actor<Id extends (typeof ACTOR_IDS)[number]>(
  id: Id,
  own: { restart: string; memoryMb: number; shutdownMs: number },
): Record<ActorField<Id>, Field> {
  const policies = CORE_ACTORS.includes(id) ? 'immediate or backoff' : 'immediate, backoff or circuit-breaker';
  return {
    [`supervision.actors.${id}.restart`]: choice(
      ['immediate', 'backoff', 'circuit-breaker'],
      own.restart,
      `how ${id} is started again after its death: ${policies}`,
    ),
    [`supervision.actors.${id}.heartbeat_ms`]: integer(
      100,
      HOUR_MS,
      2000,
      `silence after which ${id} counts as hung, declared native work apart`,
    ),
    [`supervision.actors.${id}.memory_mb`]: integer(
      32,
      65_536,
      own.memoryMb,
      `heap of the ${id} thread; more ends that thread, not the node (taken at its next start)`,
    ),
    [`supervision.actors.${id}.shutdown_ms`]: integer(
      100,
      HOUR_MS,
      own.shutdownMs,
      `time ${id} has to drain and stop before it is terminated`,
    ),
  } as Record<ActorField<Id>, Field>;
}

export const FIELDS = {
  mode: choice(
    ['development', 'production'],
    'development',
    'production refuses what would be unsafe: generated keys, keys beside the data, no backups',
    'restart',
  ),
  data_dir: path('data', 'log, ledger and run files; one process at a time', 'restart'),
  keys_dir: path({ derived: '<data_dir>/keys' }, 'the node key; outside data_dir in production', 'restart'),
  genesis: path(
    { derived: '<data_dir>/genesis.json' },
    'parameters of the chain, made once by "quorate init"',
    'chain',
  ),
  listen: endpoint('127.0.0.1:8080', 'client API; port 0 takes a free one'),
  ops_listen: endpoint('127.0.0.1:9090', 'metrics, health, admin; keep it on loopback or a private network'),
  peer_listen: endpoint(null, 'peers; opened only when there are peers'),
  peers_file: path(null, 'peers.yml: the other validators, where they listen and their public keys', 'reload'),
  pinned_certs: path(null, 'pinned_certs.json: which certificates each peer may show', 'reload'),
  allow_insecure_peers: {
    schema: { type: 'boolean' },
    default: false,
    about: 'peers without TLS, when tls.enabled is false; refused in production',
    change: 'restart',
  },
  clients_file: path(null, 'clients.yml: who may submit, with which keys', 'reload'),
  kinds_dir: path(null, 'folder of JSON Schema files, one a kind: order.json registers kind "order"', 'reload'),
  shutdown_ms: integer(1000, HOUR_MS, 30_000, 'time for a clean stop before it is forced'),
  stop_with_stdin: {
    schema: { type: 'boolean' },
    default: false,
    about:
      'stop when standard input ends: whoever started the node is gone, as the driver of a testnet; not for services',
    change: 'restart',
  },

  'log.level': choice(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
    'lines below this level are not written',
  ),
  'log.format': choice(['auto', 'json', 'pretty'], 'auto', 'auto: readable on a terminal, JSON elsewhere', 'restart'),
  'log.file': path(null, 'file instead of standard output; opened anew on SIGHUP', 'restart'),

  'tls.enabled': {
    schema: { type: 'boolean' },
    default: true,
    about: 'peers speak mutual TLS; false only together with allow_insecure_peers',
    change: 'restart',
  },
  'tls.ca': path(null, 'certificates of the authority that signed those of all peers, PEM', 'reload'),
  'tls.cert': path(null, 'certificate of this node, for both ends of a connection, PEM', 'reload'),
  'tls.key': path(null, 'its private key, PEM, mode 0600 or 0400', 'reload'),
  'tls.key_group_read': {
    schema: { type: 'boolean' },
    default: false,
    about: 'let the group read the key file too (0640, 0440), as secrets mounted by Kubernetes are',
    change: 'reload',
  },
  'tls.min_version': choice(['TLSv1.2', 'TLSv1.3'], 'TLSv1.3', 'oldest TLS that peers may speak', 'restart'),

  // The inbox takes 256 KiB a batch: a larger body could never be written.
  'limits.body_bytes': integer(1024, 262_144, 65_536, 'one submission; more is 413'),
  'limits.batch_bytes': integer(1024, 16_777_216, 1_048_576, 'one batch call; more is 413'),
  // A block takes 1 000 entries.
  'limits.batch_entries': integer(1, 1000, 1000, 'submissions in one batch call'),
  'limits.server_timeout_ms': integer(100, 600_000, 5000, 'longest time a request may take; 408 or 202 after it'),
  'limits.wait_default_ms': integer(
    0,
    600_000,
    2000,
    'wait for finality when the client names none; 2000 leaves a client timeout of 2.5 s room',
  ),
  // 4 096 × 64 KiB = 256 MiB at worst; one verifying core (≈ 17 000/s) with 100 ms to finality needs 1 700.
  'limits.in_flight_max': integer(1, 50_000, 4096, 'submissions in hand at once; more is 503'),
  'limits.connections_max': integer(1, 65_535, 2048, 'open client connections'),
  'limits.peer_burst': integer(1, 10_000, 20, 'requests of one peer on /rpc/* in 10 s; more is 429'),
  'limits.peer_sustained': integer(1, 10_000, 100, 'the same in 60 s'),
  // A node at its fastest tells each peer about 20 MB/s of submissions; a frame counts as 512 bytes at least.
  'limits.peer_bytes_per_second': integer(
    1_048_576,
    1_073_741_824,
    33_554_432,
    'gossip of one peer; of who sends more nothing is read for a while',
  ),

  'idempotency.max': integer(1, 10_000_000, 10_000, 'recorded answers kept for Idempotency-Key'),
  'idempotency.ttl_ms': integer(1000, TIMER_MAX_MS, 600_000, 'how long a recorded answer is kept'),

  'verify.threads': {
    schema: { type: 'integer', minimum: 1, maximum: 64 },
    default: { derived: 'one less than the cores, 2 to 8' },
    about: 'threads that check signatures',
    change: 'restart',
  },
  // Measured: two verifiers stay busy with 16 to 32 a batch; 256 left the CPU idle.
  'verify.batch_max': integer(1, 256, 32, 'signatures handed to a verifier at once'),
  'verify.backend': choice(
    ['auto', 'sodium-native', 'libsodium-wrappers'],
    'auto',
    'auto: sodium-native when it loads, else libsodium-wrappers; the verdicts are the same',
    'restart',
  ),

  // Δ0: about a round trip and the write of a vote. Several nodes on one machine share its disk and its cores.
  'consensus.delta_ms': integer(
    10,
    5000,
    100,
    'time a message and its write need between validators; views end after twice to thrice this; 250 for a testnet on one machine',
    'restart',
  ),

  'wal.segment_bytes': integer(
    1_048_576,
    1_073_741_824,
    8_388_608,
    'size of a log segment, a multiple of 4096',
    'restart',
  ),

  'wal.retention_bytes': integer(0, TEBIBYTE, 33_554_432, 'this much of the newest log is kept, needed or not'),
  'wal.retention_ms': integer(0, 365 * 24 * HOUR_MS, 0, 'log segments younger than this are kept, needed or not'),
  'wal.max_bytes': integer(
    1_048_576,
    TEBIBYTE,
    67_108_864,
    'log beyond what is kept or unsettled; more is an error and the node is not ready',
  ),
  'wal.compact_interval_ms': integer(
    1000,
    24 * HOUR_MS,
    300_000,
    'a checkpoint and a compaction of the log at least this often; under load and on a full disk also in between',
    'restart',
  ),

  'disk.warn_free_bytes': integer(0, TEBIBYTE, 1_073_741_824, 'less free space than this is a warning'),
  'disk.error_free_bytes': integer(0, TEBIBYTE, 104_857_600, 'less is an error and the node is not ready'),
  'disk.stop_free_bytes': integer(0, TEBIBYTE, 67_108_864, 'less stops admission: submissions get 507'),
  // Two log segments of the default size, or some thousand blocks of the ledger.
  'disk.ballast_bytes': integer(
    0,
    1_073_741_824,
    16_777_216,
    'file that is deleted when the disk is full, so that votes and the ledger can still be written',
  ),

  // 4 MiB are some 15 000 lines; 16 files and the one that is written make 68 MiB at most.
  'audit.file_bytes': integer(
    65_536,
    1_073_741_824,
    4_194_304,
    'size after which audit.jsonl is followed by a new file',
  ),
  'audit.files_kept': integer(1, 10_000, 16, 'full audit files kept beside audit.jsonl; older ones are removed'),

  'dedup.store': choice(['embedded'], 'embedded', 'memory, rebuilt from log and ledger at every start', 'restart'),

  'pcs.hmac_form': choice(
    ['direct', 'digest'],
    'direct',
    'HMAC over the canonical bytes, or over their SHA-256, for client keys that name no form',
  ),

  'backups.enabled': {
    schema: { type: 'boolean' },
    default: false,
    about: 'online backups; production requires true',
    change: 'reload',
  },

  'supervision.backoff.floor_ms': integer(1, HOUR_MS, 100, 'first delay before a restart'),
  'supervision.backoff.factor': {
    schema: { type: 'number', minimum: 1, maximum: 10 },
    default: 2,
    about: 'each further delay is this many times the one before',
    change: 'reload',
  },
  'supervision.backoff.ceiling_ms': integer(1, HOUR_MS, 30_000, 'longest delay before a restart'),
  'supervision.backoff.jitter': {
    schema: { type: 'number', minimum: 0, maximum: 0.9 },
    default: 0.25,
    about: 'each delay varies by this share up and down, then is clamped to floor and ceiling',
    change: 'reload',
  },
  'supervision.breaker.failures': integer(1, 1000, 5, 'deaths that open the breaker'),
  'supervision.breaker.open_ms': integer(100, 24 * HOUR_MS, 60_000, 'time an open breaker waits before one trial'),
  'supervision.breaker.successes': integer(1, 1000, 3, 'successes in a row that close it again'),
  // A crash loop under the default backoff dies for the ninth time after 100 ms × (2⁸ − 1) = 25.5 s (31.9 s with
  // jitter): inside the minute, so the budget is really spent and the service manager takes over.
  'supervision.budget.intensity': integer(0, 1000, 8, 'restarts allowed within the period; one more gives up'),
  'supervision.budget.period_ms': integer(100, 24 * HOUR_MS, 60_000, 'period of the restart budget'),
  'supervision.standby': {
    schema: { type: 'boolean' },
    default: true,
    about:
      'a second thread for each busy actor, loaded and waiting (about 15 MB each): a restart takes a third of the time',
    change: 'reload',
  },
  // Memory: consensus holds a mempool of at most 64 MiB, ingress the bodies in hand. Shutdown: together 30 s, the
  // default of shutdown_ms.
  ...actor('wal-writer', { restart: 'backoff', memoryMb: 128, shutdownMs: 5000 }),
  ...actor('store', { restart: 'backoff', memoryMb: 256, shutdownMs: 5000 }),
  ...actor('consensus', { restart: 'backoff', memoryMb: 512, shutdownMs: 5000 }),
  ...actor('dedup', { restart: 'circuit-breaker', memoryMb: 256, shutdownMs: 2000 }),
  ...actor('gossip', { restart: 'circuit-breaker', memoryMb: 128, shutdownMs: 1500 }),
  ...actor('rpc-client', { restart: 'circuit-breaker', memoryMb: 64, shutdownMs: 1500 }),
  ...actor('ingress', { restart: 'immediate', memoryMb: 512, shutdownMs: 10_000 }),
} satisfies Record<string, Field>;

export type FieldPath = keyof typeof FIELDS;

/** What a field takes, for errors and help: `integer 1 to 1000`. */
export function allowedText(field: Field): string {
  const { schema } = field;
  if (schema.enum !== undefined) return schema.enum.join(' | ');
  if (schema.format === 'endpoint') return `HOST:PORT with port 0 to 65535${nullable(field) ? ', or nothing' : ''}`;
  if (field.isPath) return `a path${nullable(field) ? ', or nothing' : ''}`;
  if (schema.type === 'boolean') return 'true | false';
  const range = schema.minimum === undefined ? '' : ` ${schema.minimum} to ${schema.maximum}`;
  return `${String(schema.type)}${range}`;
}

export function nullable(field: Field): boolean {
  return Array.isArray(field.schema.type);
}
