// What SIGHUP may change, as types and as a function. Called by the daemon on SIGHUP and by the admin call. It must
// never let a value through that only a new start, or another chain, may have, and never throws: the node runs on.
import { ConfigError, type ConfigProblem, configProblem } from './errors.js';
import { type Change, FIELDS } from './fields.js';
import { type LoadedConfig, loadConfig } from './load.js';
import { FIELD_PATHS, type FieldPath, type QuorateConfig } from './schema.js';

/** Sections and settings that a running node takes anew. All of `limits` reloads, of `log` only the level. */
export interface ReloadableConfig
  extends Pick<
    QuorateConfig,
    | 'peers_file'
    | 'pinned_certs'
    | 'clients_file'
    | 'kinds_dir'
    | 'shutdown_ms'
    | 'limits'
    | 'idempotency'
    | 'audit'
    | 'disk'
    | 'pcs'
    | 'backups'
    | 'supervision'
  > {
  readonly log: Pick<QuorateConfig['log'], 'level'>;
  readonly tls: Pick<QuorateConfig['tls'], 'ca' | 'cert' | 'key' | 'key_group_read'>;
  readonly verify: Pick<QuorateConfig['verify'], 'batch_max'>;
  readonly wal: Omit<QuorateConfig['wal'], 'segment_bytes' | 'compact_interval_ms'>;
}

export interface Reload {
  /** What is in force from now on: the new configuration, or `previous` itself when it was refused. */
  readonly next: LoadedConfig;
  /** Settings whose value differs; empty when nothing does, or when the reload is refused. */
  readonly changed: readonly FieldPath[];
  readonly refused?: ConfigError;
}

/** Reads flags, environment and file again, as at the start. Contents of the files it names are compared elsewhere. */
export function reloadConfig(previous: LoadedConfig): Reload {
  let next: LoadedConfig;
  try {
    next = loadConfig(previous.inputs);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { next: previous, changed: [], refused: error };
  }
  const changed = FIELD_PATHS.filter((path) => valueAt(previous.config, path) !== valueAt(next.config, path));
  const problems = changed
    .filter((path) => FIELDS[path].change !== 'reload')
    .map((path) => fixed(previous, next, path));
  if (problems.length > 0) return { next: previous, changed: [], refused: new ConfigError(problems) };
  return { next, changed };
}

const WHY_FIXED: Readonly<Record<Exclude<Change, 'reload'>, string>> = {
  restart: 'Only a restart takes a new value: put the old one back, or restart the node.',
  chain: 'It is part of the chain: the data belongs to the old value. A new chain needs its own data_dir.',
};

function fixed(previous: LoadedConfig, next: LoadedConfig, path: FieldPath): ConfigProblem {
  const from = next.provenance.get(path);
  const change: Change = FIELDS[path].change;
  return configProblem({
    file: from?.where ?? 'default',
    line: from?.line ?? null,
    column: from?.column ?? null,
    path,
    found: JSON.stringify(valueAt(next.config, path)),
    allowed: `${JSON.stringify(valueAt(previous.config, path))} while this node runs`,
    hint: change === 'reload' ? null : WHY_FIXED[change],
  });
}

/** The value of one setting. */
export function valueAt(config: QuorateConfig, path: FieldPath): string | number | boolean | null {
  let value: unknown = config;
  for (const name of path.split('.')) value = (value as Record<string, unknown>)[name];
  return value as string | number | boolean | null;
}
