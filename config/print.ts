// --print-config: the settings in force as YAML that can be read back, each with its origin. Called by the daemon and
// the CLI. No setting holds a secret, and it must stay so: keys come from files and QUORATE_SIGNING_KEY only.
import { createRequire } from 'node:module';
import { FIELDS } from './fields.js';
import type { LoadedConfig, Provenance } from './load.js';
import { valueAt } from './reloadable.js';
import { FIELD_PATHS, type FieldPath } from './schema.js';

const COMMENT_COLUMN = 48;

export interface PrintOptions {
  /** Whether QUORATE_SIGNING_KEY is set; only that is said. */
  readonly signingKeyInEnvironment: boolean;
}

export function printConfig(loaded: LoadedConfig, options: PrintOptions): string {
  // Loaded only now: the daemon has this module, and prints nothing.
  const { stringify } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  const lines = [
    `# ${loaded.file === null ? 'no configuration file' : `from ${loaded.file}`}; order: flag, environment, file, default`,
    `# node key: ${options.signingKeyInEnvironment ? 'environment QUORATE_SIGNING_KEY (redacted)' : 'from keys_dir'}`,
  ];
  let open: readonly string[] = [];
  for (const path of inSections(FIELD_PATHS)) {
    const names = path.split('.');
    const sections = names.slice(0, -1);
    for (let depth = sharedPrefix(open, sections); depth < sections.length; depth++) {
      lines.push(`${'  '.repeat(depth)}${sections[depth]}:`);
    }
    open = sections;
    const value = stringify(valueAt(loaded.config, path), { lineWidth: 0 }).trimEnd();
    const setting = `${'  '.repeat(sections.length)}${names.at(-1)}: ${value}`;
    lines.push(`${setting.padEnd(COMMENT_COLUMN)} # ${origin(path, loaded.provenance.get(path))}`);
  }
  return `${lines.join('\n')}\n`;
}

function origin(path: FieldPath, from: Provenance | undefined): string {
  const change = FIELDS[path].change === 'reload' ? '' : `, ${FIELDS[path].change === 'chain' ? 'fixed' : 'restart'}`;
  if (from === undefined || from.source === 'default') return `default${change}`;
  return `${from.where}${from.line === null ? '' : `:${from.line}`}${change}`;
}

/** The table is in sections already; a YAML section that opened twice would be a duplicate key, so make sure. */
function inSections(paths: readonly FieldPath[]): FieldPath[] {
  const bySection = new Map<string, FieldPath[]>();
  for (const path of paths) {
    const section = path.includes('.') ? path.slice(0, path.indexOf('.')) : '';
    bySection.set(section, [...(bySection.get(section) ?? []), path]);
  }
  return [...bySection.values()].flat();
}

function sharedPrefix(a: readonly string[], b: readonly string[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
