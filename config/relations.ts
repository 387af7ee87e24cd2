// What must hold between settings, and what production asks for: the rules a schema of single values cannot say. Pure;
// called by load.ts on the assembled configuration. It must never look at files, except by the paths' text.
import { isAbsolute, relative } from 'node:path';
import { type ConfigProblem, configProblem } from './errors.js';
import { CORE_ACTORS, type FieldPath } from './fields.js';
import type { Provenance } from './load.js';
import { ACTOR_IDS, parseListen, type QuorateConfig } from './schema.js';

export interface RelationsVerdict {
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
}

interface Report {
  readonly config: QuorateConfig;
  /** `paths`: the settings of the rule; the problem is placed at the first that somebody chose. */
  refuse(paths: readonly FieldPath[], found: string, allowed: string, hint: string): void;
  warn(sentence: string): void;
}

export function checkRelations(
  config: QuorateConfig,
  provenance: ReadonlyMap<FieldPath, Provenance>,
): RelationsVerdict {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const report: Report = {
    config,
    refuse(paths, found, allowed, hint) {
      const path = paths.find((candidate) => provenance.get(candidate)?.source !== 'default') ?? paths[0]!;
      const from = provenance.get(path);
      const place = { file: from?.where ?? 'default', line: from?.line ?? null, column: from?.column ?? null };
      problems.push(configProblem({ ...place, path, found, allowed, hint }));
    },
    warn: (sentence) => warnings.push(sentence),
  };
  limits(report);
  disk(report);
  addresses(report);
  peers(report);
  supervision(report);
  if (config.mode === 'production') production(report);
  return { problems, warnings };
}

function limits(report: Report): void {
  const { limits: limit, idempotency, wal } = report.config;
  if (limit.wait_default_ms >= limit.server_timeout_ms) {
    report.refuse(
      ['limits.wait_default_ms', 'limits.server_timeout_ms'],
      `a default wait of ${limit.wait_default_ms} ms with a server timeout of ${limit.server_timeout_ms} ms`,
      'a wait shorter than the timeout',
      'Otherwise a submission that is durable would be answered as timed out.',
    );
  }
  if (limit.wait_default_ms > 2000) {
    report.warn('limits.wait_default_ms over 2000 races clients that give up after 2.5 s and then retry.');
  }
  if (limit.batch_bytes < limit.body_bytes) {
    report.refuse(
      ['limits.batch_bytes', 'limits.body_bytes'],
      `${limit.batch_bytes} for a batch and ${limit.body_bytes} for one submission`,
      'a batch at least as large as one submission',
      'Raise limits.batch_bytes or lower limits.body_bytes.',
    );
  }
  if (limit.batch_entries > limit.in_flight_max) {
    report.refuse(
      ['limits.batch_entries', 'limits.in_flight_max'],
      `batches of ${limit.batch_entries} with ${limit.in_flight_max} submissions in hand`,
      'batch_entries of at most in_flight_max',
      'A full batch could never be admitted.',
    );
  }
  if (idempotency.max < limit.in_flight_max) {
    report.refuse(
      ['idempotency.max', 'limits.in_flight_max'],
      `${idempotency.max} recorded answers with ${limit.in_flight_max} submissions in hand`,
      'idempotency.max of at least limits.in_flight_max',
      'An entry in flight is never evicted, so each needs its place.',
    );
  }
  if (wal.segment_bytes % 4096 !== 0) {
    report.refuse(
      ['wal.segment_bytes'],
      String(wal.segment_bytes),
      'a multiple of 4096',
      'Segments are written ahead in whole pages.',
    );
  }
}

function disk(report: Report): void {
  const { disk: limit, wal } = report.config;
  if (limit.stop_free_bytes > limit.error_free_bytes || limit.error_free_bytes > limit.warn_free_bytes) {
    report.refuse(
      ['disk.stop_free_bytes', 'disk.error_free_bytes', 'disk.warn_free_bytes'],
      `a stop below ${limit.stop_free_bytes}, an error below ${limit.error_free_bytes}, a warning below ${limit.warn_free_bytes}`,
      'stop_free_bytes of at most error_free_bytes, and that of at most warn_free_bytes',
      'A disk that fills passes the warning first, then the error, then admission stops.',
    );
  }
  if (limit.stop_free_bytes < 2 * wal.segment_bytes) {
    report.warn('disk.stop_free_bytes is less than two log segments: the log may find no room before admission stops.');
  }
}

function addresses(report: Report): void {
  const { listen, ops_listen, peer_listen, peers_file } = report.config;
  const named = [
    ['listen', listen],
    ['ops_listen', ops_listen],
    ['peer_listen', peer_listen],
  ] as const;
  const taken = new Map<string, FieldPath>();
  for (const [path, address] of named) {
    if (address === null || parseListen(address)?.port === 0) continue;
    const other = taken.get(address);
    if (other !== undefined) {
      report.refuse([path, other], `${address}, which is also ${other}`, 'an address of its own', 'Change the port.');
    }
    taken.set(address, path);
  }
  if (peers_file === null && peer_listen !== null) {
    report.warn('peer_listen is set, but without peers no peer port is opened.');
  }
}

function peers(report: Report): void {
  const { mode, peer_listen, peers_file, pinned_certs, allow_insecure_peers, tls } = report.config;
  if (!tls.enabled && !allow_insecure_peers) {
    report.refuse(
      ['tls.enabled', 'allow_insecure_peers'],
      'TLS switched off',
      'tls.enabled: true, or allow_insecure_peers: true beside it',
      'Without TLS anybody on the network can read and forge what peers say.',
    );
  }
  if (allow_insecure_peers && mode === 'production') {
    report.refuse(
      ['allow_insecure_peers', 'mode'],
      'insecure peers in production',
      'allow_insecure_peers: false',
      'Give every node a certificate: tls.ca, tls.cert, tls.key.',
    );
  } else if (allow_insecure_peers && tls.enabled) {
    report.warn('allow_insecure_peers has no effect while tls.enabled is true.');
  }
  if (peers_file === null) {
    if (pinned_certs !== null) report.warn('pinned_certs is set, but without peers_file nobody is there to be pinned.');
    return;
  }
  if (peer_listen === null) {
    report.refuse(
      ['peer_listen', 'peers_file'],
      'peers and no port for them',
      'peer_listen: HOST:PORT',
      'Set it, for example to 0.0.0.0:8001: peers connect to it.',
    );
  }
  for (const file of ['ca', 'cert', 'key'] as const) {
    if (!tls.enabled || tls[file] !== null) continue;
    report.refuse(
      [`tls.${file}`, 'peers_file'],
      `peers and no tls.${file}`,
      `tls.${file}: a PEM file`,
      'For development, tls.enabled: false with allow_insecure_peers: true goes without.',
    );
  }
  if (mode === 'production' && pinned_certs === null) {
    report.refuse(
      ['pinned_certs', 'mode'],
      'peers without pins',
      'pinned_certs in production',
      'Write down which certificate each peer may show: {"peers": {"node_…": "sha256:…"}}.',
    );
  }
}

function supervision(report: Report): void {
  const { backoff, budget, actors } = report.config.supervision;
  if (backoff.floor_ms > backoff.ceiling_ms) {
    report.refuse(
      ['supervision.backoff.floor_ms', 'supervision.backoff.ceiling_ms'],
      `a floor of ${backoff.floor_ms} ms over a ceiling of ${backoff.ceiling_ms} ms`,
      'a floor of at most the ceiling',
      'Delays grow from the floor to the ceiling.',
    );
  }
  for (const id of ACTOR_IDS) {
    if (CORE_ACTORS.includes(id) && actors[id].restart === 'circuit-breaker') {
      report.refuse(
        [`supervision.actors.${id}.restart`],
        '"circuit-breaker"',
        'immediate | backoff',
        `Without ${id} the node can do nothing: it has the restart budget, which ends the process, instead.`,
      );
    }
  }
  if (longestCrashLoopMs(report.config) > budget.period_ms) {
    report.warn(
      'supervision.budget can never be spent by one crash loop: its restarts take longer than period_ms. ' +
        'Lower intensity or raise period_ms.',
    );
  }
  const stopsMs = ACTOR_IDS.reduce((sum, id) => sum + actors[id].shutdown_ms, 0);
  if (stopsMs > report.config.shutdown_ms) {
    report.warn(
      `the actors' shutdown_ms add up to ${stopsMs} ms; the whole stop is forced after ${report.config.shutdown_ms} ms.`,
    );
  }
}

/** Milliseconds from the first death of a crash loop to the one that spends the budget, jitter at its longest. */
function longestCrashLoopMs(config: QuorateConfig): number {
  const { backoff, budget } = config.supervision;
  let sumMs = 0;
  for (let restart = 0; restart < budget.intensity; restart++) {
    const delayMs = backoff.floor_ms * backoff.factor ** restart * (1 + backoff.jitter);
    sumMs += Math.min(backoff.ceiling_ms, delayMs);
  }
  return sumMs;
}

function production(report: Report): void {
  const { config } = report;
  if (isInside(config.keys_dir, config.data_dir)) {
    report.refuse(
      ['keys_dir', 'mode'],
      `keys in ${config.keys_dir}, inside the data directory`,
      'a keys_dir outside data_dir in production',
      'Set keys_dir, for example to /etc/quorate/keys: a copy of the data must not carry the key.',
    );
  }
  if (!config.backups.enabled) {
    report.refuse(
      ['backups.enabled', 'mode'],
      'backups off',
      'backups.enabled: true in production',
      'Set it, or run in development mode.',
    );
  }
  if (config.log.format !== 'json') {
    report.warn('log.format is not json: in production, lines that programs cannot read are lost to monitoring.');
  }
  const ops = parseListen(config.ops_listen);
  if (ops !== null && !isLoopback(ops.host)) {
    report.warn(`ops_listen ${config.ops_listen} is not loopback: keep metrics and admin off public networks.`);
  }
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || !(way === '..' || way.startsWith('../') || isAbsolute(way));
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
