// The command line of the daemon: which flags there are, what they mean, and the help text. Called by load.ts. Every
// setting has a flag and an environment variable made from its path; this file knows no setting by itself.
import { parseArgs } from 'node:util';
import { ConfigError, type ConfigProblem, configProblem } from './errors.js';
import { allowedText, FIELDS, type Field, type FieldPath } from './fields.js';
import { didYouMean } from './suggest.js';

export type Action = 'run' | 'check' | 'print' | 'version' | 'help';

export interface Flags {
  readonly action: Action;
  /** The file named by --config, or null. */
  readonly configFile: string | null;
  readonly values: ReadonlyMap<FieldPath, string>;
}

const PATHS = Object.keys(FIELDS) as readonly FieldPath[];

/** `limits.body_bytes` → `limits-body-bytes`. */
export function flagName(path: FieldPath): string {
  return path.replaceAll(/[._]/g, '-');
}

/** `limits.body_bytes` → `QUORATE_LIMITS_BODY_BYTES`. */
export function environmentName(path: FieldPath): string {
  return `QUORATE_${path.replaceAll(/[.-]/g, '_').toUpperCase()}`;
}

/** What can be asked for, strongest first: with --help nothing else is looked at. */
const ACTIONS: readonly [flag: string, action: Action][] = [
  ['help', 'help'],
  ['version', 'version'],
  ['print-config', 'print'],
  ['check-config', 'check'],
];

/** Throws ConfigError with exit code 64 when the command line cannot be read. */
export function parseFlags(argv: readonly string[]): Flags {
  const byFlag = new Map(PATHS.map((path) => [flagName(path), path]));
  const switches = new Set(ACTIONS.map(([flag]) => flag));
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: {
      config: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(ACTIONS.slice(1).map(([flag]) => [flag, { type: 'boolean' as const }])),
      ...Object.fromEntries([...byFlag.keys()].map((flag) => [flag, { type: 'string' as const }])),
    },
  });
  const problems: ConfigProblem[] = [];
  const values = new Map<FieldPath, string>();
  const asked = new Set<string>();
  let configFile: string | null = null;
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      problems.push(stray(token.value));
      continue;
    }
    const path = byFlag.get(token.name);
    if (switches.has(token.name)) {
      if (token.value === undefined) asked.add(token.name);
      else problems.push(usage(token.rawName, `a value, ${JSON.stringify(token.value)}`, 'the flag alone'));
    } else if (path === undefined && token.name !== 'config') {
      const hint = didYouMean(token.rawName, [
        '--config',
        ...[...switches, ...byFlag.keys()].map((name) => `--${name}`),
      ]);
      problems.push(usage(token.rawName, 'an unknown flag', 'a flag that --help lists', hint));
    } else if (token.value === undefined || (token.value.startsWith('--') && !token.inlineValue)) {
      const allowed = path === undefined ? 'a path' : allowedText(FIELDS[path]);
      problems.push(usage(token.rawName, 'no value', allowed, `Write ${token.rawName}=VALUE.`));
    } else if (path === undefined) configFile = token.value;
    else values.set(path, token.value);
  }
  // Someone who asks for help gets it, whatever else is wrong with the line.
  if (asked.has('help')) return { action: 'help', configFile: null, values: new Map() };
  if (problems.length > 0) throw new ConfigError(problems, 64);
  const action = ACTIONS.find(([flag]) => asked.has(flag))?.[1] ?? 'run';
  return { action, configFile, values };
}

function usage(flag: string, found: string, allowed: string, hint: string | null = null): ConfigProblem {
  return configProblem({ file: `flag ${flag}`, found, allowed, hint });
}

function stray(word: string): ConfigProblem {
  return configProblem({
    file: 'command line',
    found: JSON.stringify(word),
    allowed: 'flags only',
    hint: 'A command such as "submit" must be the first word.',
  });
}

/** The settings that a first start may want; the rest is listed by --print-config. */
const FIRST_PATHS: readonly FieldPath[] = [
  'mode',
  'data_dir',
  'keys_dir',
  'listen',
  'ops_listen',
  'peer_listen',
  'peers_file',
  'clients_file',
  'kinds_dir',
  'log.level',
  'log.format',
];

/** Text of --help: what it is, how to try it, the flags, where values come from, how it ends. */
export function helpText(): string {
  return `quorate: a quorum node. Signed submissions in, agreement among validators, receipts that verify offline.

Start a node (without configuration: one validator, development mode, data in ./data)
  node runtime/main.js
  node runtime/main.js --data-dir /var/lib/quorate --listen 0.0.0.0:8080
  node runtime/main.js --config quorate.yaml --check-config     is this file right? starts nothing
  node runtime/main.js --config quorate.yaml --print-config     every setting, and where it came from

Then, in another terminal
  quorate submit --data '{"text":"hi"}' --json > receipt.json
  curl -s http://127.0.0.1:8080/v1/validators > validators.json
  quorate verify receipt.json --validators validators.json

Flags
  --config FILE             YAML; without it quorate.yaml in the working directory, when there is one
${FIRST_PATHS.map(flagLine).join('\n')}
  --check-config            read and check everything, say what is wrong with file and line, exit 0 or 78
  --print-config            the settings in force as YAML, each with its origin; no secrets
  --version, --help

Every setting of the file is a flag and a variable too: limits.body_bytes is --limits-body-bytes and
QUORATE_LIMITS_BODY_BYTES. Order: flag, then environment, then file, then default. "off" clears a setting that may be
empty. The node key may come from QUORATE_SIGNING_KEY (64 hex digits, PKCS#8 PEM, or its DER in base64).

Signals: TERM and INT stop cleanly (a second one at once), HUP reads the configuration again and keeps the old one if
the new one is wrong. Exit codes: 0 stopped, 64 usage, 70 restart budget spent, 74 disk error, 75 already running,
78 configuration.
`;
}

const TEXT_COLUMN = 28;
const LINE_MAX = 110;

function flagLine(path: FieldPath): string {
  const field: Field = FIELDS[path];
  const takes = field.schema.format === 'endpoint' ? 'HOST:PORT' : field.isPath ? 'PATH' : 'WORD';
  const choices = field.schema.enum === undefined ? '' : ` (${field.schema.enum.join(', ')})`;
  const words = `${field.about}${choices} [${defaultText(field)}]`.split(' ');
  const lines = [`  --${flagName(path)} ${takes}`.padEnd(TEXT_COLUMN - 1)];
  for (const word of words) {
    if (lines.at(-1)!.length + 1 + word.length > LINE_MAX) lines.push(' '.repeat(TEXT_COLUMN - 1));
    lines[lines.length - 1] += ` ${word}`;
  }
  return lines.join('\n');
}

/** A default as help and --print-config show it. */
export function defaultText(field: Field): string {
  if (field.default === null) return 'off';
  return typeof field.default === 'object' ? field.default.derived : String(field.default);
}
