// The shape of clients.yml as JSON Schema, and what is wrong with a file in an operator's words. Called by clients.ts.
// It must never show the value of a secret.
import type { ErrorObject, ValidateFunction } from 'ajv';
import { IDENTIFIER, KIND_NAME } from '../protocol/envelope.js';
import { schemaCompiler } from './ajv.js';
import { ConfigError, type ConfigProblem, configProblem, describeFound, type ProblemParts } from './errors.js';
import { didYouMean } from './suggest.js';
import type { YamlFile, YamlPath } from './yaml-file.js';

export interface KeyEntry {
  key_id: string;
  alg: 'ed25519' | 'hmac-sha256';
  public_key?: string;
  secret_hex?: string;
  secret_base64?: string;
  secret_file?: string;
  homes?: string[];
  form?: 'direct' | 'digest';
  kinds?: string[];
  not_before?: string;
  not_after?: string;
}

export interface ClientEntry {
  issuer: string;
  roles?: string[];
  keys: KeyEntry[];
}

interface Entries {
  clients?: ClientEntry[] | null;
}

const KEYS_MAX = 16;

const text = (pattern: RegExp) => ({ type: 'string', pattern: pattern.source });
const KEY_PROPERTIES = {
  key_id: text(IDENTIFIER),
  alg: { enum: ['ed25519', 'hmac-sha256'] },
  public_key: { type: 'string' },
  secret_hex: { type: 'string' },
  secret_base64: { type: 'string' },
  secret_file: { type: 'string', minLength: 1 },
  homes: { type: 'array', items: text(IDENTIFIER), minItems: 1, uniqueItems: true },
  form: { enum: ['direct', 'digest'] },
  kinds: { type: 'array', items: text(KIND_NAME), minItems: 1, uniqueItems: true },
  not_before: { type: 'string' },
  not_after: { type: 'string' },
};
const CLIENT_PROPERTIES = {
  issuer: text(IDENTIFIER),
  roles: {
    type: 'array',
    items: { enum: ['submit', 'read', 'operate', 'observe'] },
    minItems: 1,
    uniqueItems: true,
  },
  keys: {
    type: 'array',
    minItems: 1,
    maxItems: KEYS_MAX,
    items: { type: 'object', additionalProperties: false, required: ['key_id', 'alg'], properties: KEY_PROPERTIES },
  },
};
const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    clients: {
      type: ['array', 'null'],
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['issuer', 'keys'],
        properties: CLIENT_PROPERTIES,
      },
    },
  },
};

let compiled: ValidateFunction<Entries> | null = null;

/** The clients of a file that has the right shape. Throws ConfigError with every problem of its shape. */
export function readEntries(file: YamlFile): readonly ClientEntry[] {
  compiled ??= schemaCompiler().compile<Entries>(SCHEMA);
  const value = file.value ?? {};
  if (!compiled(value)) throw new ConfigError(shapeProblems(file, compiled.errors ?? []));
  return value.clients ?? [];
}

function shapeProblems(file: YamlFile, errors: readonly ErrorObject[]): ConfigProblem[] {
  const problems = errors.map((error) => {
    const at: YamlPath = error.instancePath === '' ? [] : error.instancePath.slice(1).split('/').map(asStep);
    if (error.keyword === 'additionalProperties') {
      const key = String((error.params as { additionalProperty: unknown }).additionalProperty);
      const known = Object.keys((error.parentSchema as { properties: object }).properties);
      const place = file.placeOfKey([...at, key]);
      const parts = { found: 'an unknown member', allowed: known.join(', '), hint: didYouMean(key, known) };
      return { ...placed(file, [...at, key], parts), ...(place ?? {}) };
    }
    const isSecret = String(at.at(-1)).startsWith('secret');
    const found = error.keyword === 'required' ? 'a missing member' : describeFound(error.data, isSecret);
    return placed(file, at, { found, allowed: allowedBy(error) });
  });
  return problems.sort((one, other) => (one.line ?? 0) - (other.line ?? 0));
}

function allowedBy(error: ErrorObject): string {
  const params = error.params as Record<string, unknown>;
  if (error.keyword === 'enum') return (params.allowedValues as string[]).join(' | ');
  if (error.keyword === 'pattern') {
    const isKind = params.pattern === KIND_NAME.source;
    return isKind ? 'a lowercase letter, then up to 31 of a-z 0-9 -' : '1 to 128 of A-Z a-z 0-9 . _ : -';
  }
  if (error.keyword === 'required') return `with ${String(params.missingProperty)}`;
  return error.message?.replace(/^must (be|have|NOT have) /, '$1 ') ?? error.keyword;
}

function asStep(part: string): string | number {
  return /^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~');
}

export function placed(file: YamlFile, at: YamlPath, parts: ProblemParts): ConfigProblem {
  const place = file.placeOf(at);
  return configProblem({
    ...parts,
    file: file.path,
    line: place?.line ?? null,
    column: place?.column ?? null,
    path: pathText(at),
  });
}

/** `clients[0].keys[1].public_key` */
export function pathText(at: YamlPath): string {
  return at.reduce<string>((path, step) => {
    if (typeof step === 'number') return `${path}[${step}]`;
    return path === '' ? step : `${path}.${step}`;
  }, '');
}
