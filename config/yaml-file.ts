// Reads one YAML (or JSON) file into plain data that remembers where each value stood. Called by the loaders of this
// folder. It must never run tags, follow unbounded aliases or let a duplicate key pass.
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Document } from 'yaml';
import { ConfigError, type ConfigProblem, configProblem } from './errors.js';

/** Loaded when the first file is read: most threads that can read one never do. */
const yaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml');

export interface Place {
  readonly line: number;
  readonly column: number;
}

export type YamlPath = readonly (string | number)[];

export interface YamlFile {
  /** As the operator named it. */
  readonly path: string;
  /** Plain data; null for an empty file. */
  readonly value: unknown;
  /** Where the value at `path` stands; the nearest enclosing place when it has none of its own. */
  placeOf(path: YamlPath): Place | null;
  /** Where the key itself stands, for keys that should not be there. */
  placeOfKey(path: YamlPath): Place | null;
}

/** A configuration larger than this is a mistake: a log or a database named by accident. */
const FILE_MAX_BYTES = 1024 * 1024;
/** Bound on what aliases may expand to, against "billion laughs" files. */
const ALIASES_MAX = 100;

/** Throws ConfigError: unreadable, too large, not YAML, duplicate keys, several documents, unknown tags. */
export function readYamlFile(path: string, shownAs: string = path): YamlFile {
  return parseYaml(readText(path, shownAs), shownAs);
}

export function readText(path: string, shownAs: string = path): string {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw refused(shownAs, 'something that is not a regular file', 'a readable file');
    if (stat.size > FILE_MAX_BYTES) throw refused(shownAs, `${stat.size} bytes`, `at most ${FILE_MAX_BYTES} bytes`);
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (error instanceof TypeError) throw refused(shownAs, 'bytes that are not UTF-8', 'a text file in UTF-8');
    throw new ConfigError([unreadable(shownAs, error)]);
  }
}

/** The problem of a file or directory that the operating system would not give us. */
export function unreadable(shownAs: string, error: unknown): ConfigProblem {
  const code = (error as { code?: string }).code ?? 'unknown error';
  const known: Record<string, [found: string, hint: string]> = {
    ENOENT: ['no such file', 'Check the path; it may be relative to another directory.'],
    EACCES: ['no permission to read it', 'Give the user of this process read access, or run as its owner.'],
    EISDIR: ['a directory', 'Name a file in it.'],
    ENOTDIR: ['a path through something that is not a directory', 'Check the path.'],
  };
  const [found, hint] = known[code] ?? [`an error when reading it (${code})`, 'Check the file system.'];
  return configProblem({ file: shownAs, found, allowed: 'a readable file', hint });
}

export function parseYaml(text: string, shownAs: string): YamlFile {
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, strict: true });
  const complaints = [...document.errors, ...document.warnings];
  if (complaints.length > 0) {
    throw new ConfigError(
      complaints.slice(0, 10).map((complaint) => {
        const place = lines.linePos(complaint.pos[0]);
        return configProblem({
          file: shownAs,
          line: place.line,
          column: place.col,
          // Some messages end with the text they stumbled over, which may be a secret.
          found: complaint.message.replace(/:\s*".*$/s, '').replace(/\.$/, ''),
          allowed: 'one YAML document with unique keys and no tags',
        });
      }),
    );
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch {
    throw refused(shownAs, 'aliases that expand beyond all measure', `at most ${ALIASES_MAX} expansions`);
  }
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  return {
    path: shownAs,
    value,
    placeOf: (path) => valueOffset(document, path, placeAt),
    placeOfKey: (path) => keyOffset(document, path, placeAt) ?? valueOffset(document, path, placeAt),
  };
}

function valueOffset(document: Document, path: YamlPath, placeAt: (offset: number) => Place): Place | null {
  for (let length = path.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    if (yaml().isNode(node) && node.range) return placeAt(node.range[0]);
  }
  return null;
}

function keyOffset(document: Document, path: YamlPath, placeAt: (offset: number) => Place): Place | null {
  const { isMap, isScalar } = yaml();
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (!isMap(parent)) return null;
  for (const { key } of parent.items) {
    if (isScalar(key) && String(key.value) === String(path.at(-1)) && key.range) return placeAt(key.range[0]);
  }
  return null;
}

function refused(file: string, found: string, allowed: string): ConfigError {
  return new ConfigError([configProblem({ file, found, allowed })]);
}
