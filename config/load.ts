// Puts a node's configuration together: flags over environment over file over defaults, each value with its origin.
// Called by the daemon at start and on SIGHUP. It must never print, exit or write; what is wrong it throws.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { ConfigError, type ConfigProblem, configProblem } from './errors.js';
import { FIELDS, type Field, type FieldPath, type Leaf, nullable } from './fields.js';
import { type Action, environmentName, flagName, parseFlags } from './flags.js';
import { checkRelations } from './relations.js';
import { FIELD_PATHS, type QuorateConfig } from './schema.js';
import { didYouMean } from './suggest.js';
import { type Issue, validateSettings } from './validate.js';
import { readYamlFile, type YamlFile } from './yaml-file.js';

export interface Provenance {
  readonly source: 'flag' | 'environment' | 'file' | 'default';
  /** `flag --listen`, `environment QUORATE_LISTEN`, the file's path, or `default`. */
  readonly where: string;
  readonly line: number | null;
  readonly column: number | null;
}

export interface LoadInputs {
  /** Without the program's own two words. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Threads this machine runs at once; default: what Node reports. */
  readonly cores?: number;
}

export interface LoadedConfig {
  readonly config: QuorateConfig;
  readonly provenance: ReadonlyMap<FieldPath, Provenance>;
  /** One sentence each, for the log. */
  readonly warnings: readonly string[];
  readonly action: Action;
  /** Absolute path of the file that was read, or null. */
  readonly file: string | null;
  /** What a reload starts from again. Holds no signing key. */
  readonly inputs: LoadInputs;
}

interface Setting {
  readonly value: Leaf;
  readonly from: Provenance;
}

type Settings = Map<FieldPath, Setting>;

const DEFAULT_FILE = 'quorate.yaml';
const PREFIX = 'QUORATE_';
/** Variables of ours that are no setting of the daemon. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set(['CONFIG', 'SIGNING_KEY', 'API', 'KEY', 'TOKEN']);
/** Kubernetes puts these into every pod beside a Service called "quorate": QUORATE_SERVICE_HOST, QUORATE_PORT_80_TCP. */
const KUBERNETES = /^(SERVICE_(HOST|PORT)|PORT(_|$))/;
/** Two keep each other busy even on two cores (measured); beyond eight, other stages are the limit. */
const VERIFY_THREADS = { least: 2, most: 8 };

/**
 * The configuration of this start. --help and --version look at nothing else, so that they work with a broken file.
 * Throws ConfigError with every problem found: exit code 64 for the command line, 78 for the rest.
 */
export function loadConfig(inputs: LoadInputs): LoadedConfig {
  const flags = parseFlags(inputs.argv);
  const warnings: string[] = [];
  const settings: Settings = new Map();
  const cores = inputs.cores ?? availableParallelism();
  let file: string | null = null;
  if (flags.action !== 'help' && flags.action !== 'version') {
    const problems: ConfigProblem[] = [];
    file = fileToRead(flags.configFile, inputs);
    if (file !== null) addFile(settings, file, inputs.cwd, problems);
    addTexts(settings, environmentTexts(inputs.env, warnings), 'environment', inputs.cwd, problems);
    addTexts(settings, flags.values, 'flag', inputs.cwd, problems);
    if (problems.length > 0) throw new ConfigError(problems);
  }
  addDefaults(settings, inputs.cwd, cores);
  const config = assemble(settings);
  const provenance = new Map([...settings].map(([path, setting]) => [path, setting.from]));
  const relations = checkRelations(config, provenance);
  if (relations.problems.length > 0) throw new ConfigError(relations.problems);
  return {
    config,
    provenance,
    warnings: [...warnings, ...relations.warnings],
    action: flags.action,
    file,
    inputs: { argv: [...inputs.argv], env: ownVariables(inputs.env), cwd: inputs.cwd, cores },
  };
}

/** Absolute path of the file to read: the named one, or the one that lies here; null when there is none. */
function fileToRead(flag: string | null, inputs: LoadInputs): string | null {
  const named = flag ?? inputs.env[`${PREFIX}CONFIG`];
  if (named !== undefined && named !== '') return resolve(inputs.cwd, named);
  const here = join(inputs.cwd, DEFAULT_FILE);
  return existsSync(here) ? here : null;
}

function addFile(settings: Settings, path: string, cwd: string, problems: ConfigProblem[]): void {
  let yaml: YamlFile;
  const shown = shownPath(path, cwd);
  try {
    yaml = readYamlFile(path, shown);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return;
  }
  if (yaml.value === null || yaml.value === undefined) return;
  const issues = validateSettings(yaml.value);
  for (const issue of issues) {
    const place = issue.unknownKey ? yaml.placeOfKey(issue.path) : yaml.placeOf(issue.path);
    problems.push(
      configProblem({ ...issueText(issue), file: shown, line: place?.line ?? null, column: place?.column ?? null }),
    );
  }
  problems.sort((one, other) => (one.line ?? 0) - (other.line ?? 0));
  if (issues.length > 0) return;
  for (const [name, value] of leaves(yaml.value as Record<string, unknown>)) {
    const place = yaml.placeOf(name.split('.'));
    const from = { source: 'file', where: shown, line: place?.line ?? null, column: place?.column ?? null } as const;
    settings.set(name, { value: absolute(name, value, resolve(path, '..')), from });
  }
}

function environmentTexts(env: LoadInputs['env'], warnings: string[]): Map<FieldPath, string> {
  const byName = new Map(FIELD_PATHS.map((path) => [environmentName(path), path]));
  const texts = new Map<FieldPath, string>();
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || text === undefined || text === '') continue;
    const path = byName.get(name);
    const rest = name.slice(PREFIX.length);
    if (path !== undefined) texts.set(path, text);
    else if (!OTHER_VARIABLES.has(rest) && !KUBERNETES.test(rest)) {
      const hint = didYouMean(name, [...byName.keys()]);
      warnings.push(`environment ${name} is not a setting and was ignored.${hint === null ? '' : ` ${hint}`}`);
    }
  }
  return texts;
}

function addTexts(
  settings: Settings,
  texts: ReadonlyMap<FieldPath, string>,
  source: 'environment' | 'flag',
  cwd: string,
  problems: ConfigProblem[],
): void {
  for (const [path, text] of texts) {
    const where = source === 'flag' ? `flag --${flagName(path)}` : `environment ${environmentName(path)}`;
    const value = fromText(FIELDS[path], text);
    const issues = validateSettings(nest(path, value));
    for (const issue of issues) problems.push(configProblem({ ...issueText(issue), file: where }));
    if (issues.length > 0) continue;
    settings.set(path, { value: absolute(path, value, cwd), from: { source, where, line: null, column: null } });
  }
}

/** Text → the type the field wants, or the text itself, which the schema then refuses by name. */
function fromText(field: Field, text: string): Leaf {
  if (nullable(field) && text === 'off') return null;
  const type = field.schema.type;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (type === 'integer' || type === 'number') return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  return text;
}

function addDefaults(settings: Settings, cwd: string, cores: number): void {
  const from: Provenance = { source: 'default', where: 'default', line: null, column: null };
  for (const path of FIELD_PATHS) {
    const field: Field = FIELDS[path];
    if (settings.has(path) || (typeof field.default === 'object' && field.default !== null)) continue;
    settings.set(path, { value: absolute(path, field.default as Leaf, cwd), from });
  }
  const dataDir = String(settings.get('data_dir')?.value);
  const derived: Partial<Record<FieldPath, Leaf>> = {
    keys_dir: join(dataDir, 'keys'),
    genesis: join(dataDir, 'genesis.json'),
    'verify.threads': Math.min(VERIFY_THREADS.most, Math.max(VERIFY_THREADS.least, cores - 1)),
  };
  for (const [path, value] of Object.entries(derived) as [FieldPath, Leaf][]) {
    if (!settings.has(path)) settings.set(path, { value, from });
  }
}

function absolute(path: FieldPath, value: Leaf, base: string): Leaf {
  const field: Field = FIELDS[path];
  return field.isPath && typeof value === 'string' ? resolve(base, value) : value;
}

function assemble(settings: Settings): QuorateConfig {
  const root: Record<string, unknown> = {};
  for (const path of FIELD_PATHS) {
    const setting = settings.get(path);
    if (setting === undefined) throw new Error(`no value for ${path}: every field needs a default`);
    const names = path.split('.');
    let section = root;
    for (const name of names.slice(0, -1)) {
      section[name] ??= {};
      section = section[name] as Record<string, unknown>;
    }
    section[names.at(-1)!] = setting.value;
  }
  return root as unknown as QuorateConfig;
}

/** Values of a validated mapping with their dotted paths; sections left empty in the file hold none. */
function* leaves(value: Record<string, unknown>, prefix = ''): Generator<[FieldPath, Leaf]> {
  for (const [name, inner] of Object.entries(value)) {
    const path = prefix + name;
    if (path in FIELDS) yield [path as FieldPath, inner as Leaf];
    else yield* leaves(inner as Record<string, unknown>, `${path}.`);
  }
}

function nest(path: FieldPath, value: Leaf): unknown {
  return path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
}

function issueText(issue: Issue): { path: string; found: string; allowed: string; hint: string | null } {
  return { path: issue.path.join('.'), found: issue.found, allowed: issue.allowed, hint: issue.hint };
}

function shownPath(path: string, cwd: string): string {
  const shown = relative(cwd, path);
  return shown.startsWith('..') || isAbsolute(shown) ? path : shown;
}

function ownVariables(env: LoadInputs['env']): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [name, text] of Object.entries(env)) {
    if (name.startsWith(PREFIX) && name !== `${PREFIX}SIGNING_KEY` && text !== undefined) own[name] = text;
  }
  return own;
}
