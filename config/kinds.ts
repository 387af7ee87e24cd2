// Reads kinds_dir: one JSON Schema file a kind, `order.json` for kind "order". Called by the daemon at start and on
// SIGHUP. It must never accept a schema that compileKind refuses: two validators could judge by it differently.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalize } from '../protocol/canonical.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import { KIND_NAME } from '../protocol/envelope.js';
import { JsonError, type JsonObject, type JsonValue, parseStrict } from '../protocol/json.js';
import { RESERVED_KIND_NAMES } from '../protocol/kinds/kind.js';
import { compileKind, SchemaError } from '../protocol/kinds/schema.js';
import { ConfigError, type ConfigProblem, configProblem } from './errors.js';
import { parseYaml, readText, unreadable, type YamlFile } from './yaml-file.js';

/** One kind as genesis and registry entries take it. */
export type KindWish = {
  kind: string;
  schema: JsonObject;
  /** Hex SHA-256 of the schema's canonical form. */
  schema_sha256: string;
};

const KINDS_MAX = 256;

/** Sorted by name; files that do not end in .json are left alone. Throws ConfigError with every problem. */
export function loadKinds(directory: string): readonly KindWish[] {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
  } catch (error) {
    throw new ConfigError([unreadable(directory, error)]);
  }
  if (names.length > KINDS_MAX) {
    const found = `${names.length} kinds`;
    throw new ConfigError([configProblem({ file: directory, found, allowed: `at most ${KINDS_MAX}` })]);
  }
  const problems: ConfigProblem[] = [];
  const kinds: KindWish[] = [];
  for (const name of names.sort()) {
    try {
      kinds.push(loadKind(join(directory, name), name.slice(0, -'.json'.length)));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return kinds;
}

function loadKind(path: string, kind: string): KindWish {
  if (!KIND_NAME.test(kind)) {
    const allowed = 'a lowercase letter, then up to 31 of a-z 0-9 -, then .json';
    throw refused(path, `a file name that makes the kind ${JSON.stringify(kind)}`, allowed);
  }
  if (RESERVED_KIND_NAMES.includes(kind)) {
    throw refused(path, `the built-in kind ${kind}`, `a name other than ${RESERVED_KIND_NAMES.join(', ')}`);
  }
  const text = readText(path);
  const schema = readJson(path, text);
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw refused(path, 'a JSON value that is no object', 'a JSON Schema object');
  }
  try {
    compileKind(kind, schema);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const places = lineFinder(text, path);
    throw new ConfigError(
      error.errors.map(({ pointer, found, allowed }) =>
        configProblem({ file: path, path: pointer, found, allowed, ...places(pointer) }),
      ),
    );
  }
  return { kind, schema, schema_sha256: sha256Hex(canonicalize(schema)) };
}

function readJson(path: string, text: string): JsonValue {
  try {
    return parseStrict(new TextEncoder().encode(text));
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw refused(path, error.message, 'one JSON object without duplicate names');
  }
}

/** Lines of JSON Pointers: JSON is YAML enough for that, and where it is not, the file's name has to do. */
function lineFinder(text: string, path: string): (pointer: string) => { line: number | null; column: number | null } {
  let file: YamlFile | null = null;
  try {
    file = parseYaml(text, path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
  return (pointer) => {
    const steps = pointer
      .split('/')
      .slice(1)
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
    const place = file?.placeOf(steps) ?? null;
    return { line: place?.line ?? null, column: place?.column ?? null };
  };
}

function refused(file: string, found: string, allowed: string): ConfigError {
  return new ConfigError([configProblem({ file, found, allowed })]);
}
