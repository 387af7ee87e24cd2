// Operator kinds: a small, closed subset of JSON Schema, compiled to plain closures.
// Called when genesis or a registry entry brings a schema; the compiled kind judges payloads in ledger apply.
// Must never accept a keyword whose meaning could differ between nodes (pattern, format, $ref, multipleOf, …).
import { canonicalize } from '../canonical.js';
import type { JsonObject, JsonValue } from '../json.js';
import { describe, type FieldError, type Kind, RESERVED_KIND_NAMES, token } from './kind.js';
import { RECORDED } from './note.js';

/** The schema or the name cannot make a kind; `errors` points into the schema. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
  readonly errors: readonly FieldError[];

  constructor(kind: string, errors: readonly FieldError[]) {
    const list = errors.map((error) => `${error.pointer || '/'}: found ${error.found}; allowed: ${error.allowed}`);
    super(`kind ${JSON.stringify(kind)}: ${list.join('; ')}`);
    this.errors = errors;
  }
}

/** A payload is read no further after this many errors: an answer needs some, not all. */
const MAX_ERRORS = 20;

type Report = (pointer: string, found: string, allowed: string) => void;
type Check = (value: JsonValue, pointer: string, report: Report) => void;

const TYPES = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'] as const;
type Type = (typeof TYPES)[number];

/**
 * Compiles `schema` (JSON Schema 2020-12, restricted to KEYWORDS). Throws SchemaError naming every path with what was
 * found and what is allowed. A payload that fits has the outcome of a note.
 */
export function compileKind(name: string, schema: JsonObject): Kind {
  const errors: FieldError[] = [];
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name)) {
    errors.push({
      pointer: '',
      found: `the name ${describe(name)}`,
      allowed: 'a lowercase letter, then up to 31 of a-z 0-9 -',
    });
  } else if (RESERVED_KIND_NAMES.includes(name)) {
    errors.push({
      pointer: '',
      found: `the built-in name ${name}`,
      allowed: `any but ${RESERVED_KIND_NAMES.join(', ')}`,
    });
  }
  const check = compileSchema(schema, '', (pointer, found, allowed) => errors.push({ pointer, found, allowed }));
  if (errors.length > 0) throw new SchemaError(name, errors);
  return {
    name,
    check(payload) {
      const faults: FieldError[] = [];
      check(payload, '', (pointer, found, allowed) => {
        if (faults.length < MAX_ERRORS) faults.push({ pointer, found, allowed });
      });
      return faults.length > 0 ? { ok: false, errors: faults } : { ok: true, outcome: RECORDED };
    },
  };
}

type Keyword = (argument: JsonValue, pointer: string, report: Report, schema: JsonObject) => Check | null;

function compileSchema(schema: JsonValue, pointer: string, report: Report): Check {
  if (!isObject(schema)) {
    report(pointer, describe(schema), 'a schema object');
    return () => {};
  }
  const checks: Check[] = [];
  for (const [name, argument] of Object.entries(schema)) {
    const keyword = KEYWORDS.get(name);
    if (keyword === undefined) {
      report(`${pointer}${token(name)}`, `the keyword ${describe(name)}`, [...KEYWORDS.keys()].join(', '));
      continue;
    }
    const check = keyword(argument, `${pointer}${token(name)}`, report, schema);
    if (check !== null) checks.push(check);
  }
  return (value, at, fault) => {
    for (const check of checks) check(value, at, fault);
  };
}

function typeKeyword(argument: JsonValue, pointer: string, report: Report): Check | null {
  const types = Array.isArray(argument) ? argument : [argument];
  const known = types.every((type) => TYPES.includes(type as Type));
  if (!known || types.length === 0 || new Set(types).size !== types.length) {
    report(pointer, describe(argument), `one of ${TYPES.join(', ')}, or an array of different ones`);
    return null;
  }
  const allowed = `type ${types.join(' or ')}`;
  return (value, at, fault) => {
    if (!types.some((type) => isOfType(value, type as Type))) fault(at, describe(value), allowed);
  };
}

function isOfType(value: JsonValue, type: Type): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      // What is left are the names that JSON Schema and JavaScript share.
      return typeof value === type;
  }
}

function propertiesKeyword(argument: JsonValue, pointer: string, report: Report): Check | null {
  if (!isObject(argument)) {
    report(pointer, describe(argument), 'an object of schemas');
    return null;
  }
  const members = Object.entries(argument).map(([name, schema]) => {
    const step = token(name);
    return { name, step, check: compileSchema(schema, `${pointer}${step}`, report) };
  });
  return (value, at, fault) => {
    if (!isObject(value)) return;
    for (const { name, step, check } of members) {
      if (Object.hasOwn(value, name)) check(value[name] as JsonValue, `${at}${step}`, fault);
    }
  };
}

function additionalPropertiesKeyword(
  argument: JsonValue,
  pointer: string,
  report: Report,
  schema: JsonObject,
): Check | null {
  if (argument === true) return null;
  const named = new Set(isObject(schema.properties) ? Object.keys(schema.properties) : []);
  const allowed = named.size === 0 ? 'no members' : `only ${[...named].join(', ')}`;
  const check: Check =
    argument === false
      ? (_value, at, fault) => fault(at, 'an unknown member', allowed)
      : compileSchema(argument, pointer, report);
  return (value, at, fault) => {
    if (!isObject(value)) return;
    for (const name of Object.keys(value)) {
      if (!named.has(name)) check(value[name] as JsonValue, `${at}${token(name)}`, fault);
    }
  };
}

function requiredKeyword(argument: JsonValue, pointer: string, report: Report): Check | null {
  const names = Array.isArray(argument) ? argument.filter((name) => typeof name === 'string') : [];
  if (!Array.isArray(argument) || names.length !== argument.length || new Set(names).size !== names.length) {
    report(pointer, describe(argument), 'an array of different member names');
    return null;
  }
  return (value, at, fault) => {
    if (!isObject(value)) return;
    for (const name of names) {
      if (!Object.hasOwn(value, name)) fault(`${at}${token(name)}`, 'nothing', 'a required member');
    }
  };
}

function itemsKeyword(argument: JsonValue, pointer: string, report: Report): Check | null {
  const check = compileSchema(argument, pointer, report);
  return (value, at, fault) => {
    if (!Array.isArray(value)) return;
    for (let i = 0; i < value.length; i += 1) check(value[i] as JsonValue, `${at}/${i}`, fault);
  };
}

function enumKeyword(argument: JsonValue, pointer: string, report: Report): Check | null {
  if (!Array.isArray(argument) || argument.length === 0) {
    report(pointer, describe(argument), 'an array of at least one value');
    return null;
  }
  return oneOf(argument);
}

/** Equality is equality of canonical text: 1 and 1.0 are one value, member order does not matter. */
function oneOf(values: readonly JsonValue[]): Check {
  const texts = new Set(values.map((value) => canonicalize(value)));
  const list = [...texts].join(', ');
  const allowed = list.length > 200 ? `one of ${texts.size} values of the schema` : list;
  return (value, at, fault) => {
    if (!texts.has(canonicalize(value))) fault(at, describe(value), allowed);
  };
}

/** A keyword whose argument is a bound on some measure of the value; null means that the bound does not apply. */
function bound(
  measure: (value: JsonValue) => number | null,
  holds: (measured: number, limit: number) => boolean,
  says: (limit: number) => string,
  isCount: boolean,
): Keyword {
  return (argument, pointer, report) => {
    if (typeof argument !== 'number' || (isCount && (!Number.isSafeInteger(argument) || argument < 0))) {
      report(pointer, describe(argument), isCount ? 'a whole number from 0 up' : 'a number');
      return null;
    }
    const allowed = says(argument);
    return (value, at, fault) => {
      const measured = measure(value);
      if (measured !== null && !holds(measured, argument)) fault(at, describe(value), allowed);
    };
  };
}

const amount = (value: JsonValue) => (typeof value === 'number' ? value : null);
const itemCount = (value: JsonValue) => (Array.isArray(value) ? value.length : null);
const memberCount = (value: JsonValue) => (isObject(value) ? Object.keys(value).length : null);

/** In Unicode code points, as JSON Schema counts. */
function textLength(value: JsonValue): number | null {
  if (typeof value !== 'string') return null;
  let pairs = 0;
  for (let i = 0; i < value.length; i += 1) if ((value.charCodeAt(i) & 0xfc00) === 0xdc00) pairs += 1;
  return value.length - pairs;
}

const atLeast = (measured: number, limit: number) => measured >= limit;
const atMost = (measured: number, limit: number) => measured <= limit;

const annotation: Keyword = (argument, pointer, report) => {
  if (typeof argument !== 'string') report(pointer, describe(argument), 'a string');
  return null;
};

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
const dialect: Keyword = (argument, pointer, report) => {
  if (argument !== DIALECT || pointer !== '/$schema')
    report(pointer, describe(argument), `"${DIALECT}", at the top only`);
  return null;
};

/** Everything a schema may say. Patterns backtrack, formats and plugins differ between versions, references hide size. */
const KEYWORDS: ReadonlyMap<string, Keyword> = new Map<string, Keyword>([
  ['type', typeKeyword],
  ['properties', propertiesKeyword],
  ['required', requiredKeyword],
  ['additionalProperties', additionalPropertiesKeyword],
  ['items', itemsKeyword],
  ['enum', enumKeyword],
  ['const', (argument) => oneOf([argument])],
  ['minimum', bound(amount, atLeast, (limit) => `at least ${limit}`, false)],
  ['maximum', bound(amount, atMost, (limit) => `at most ${limit}`, false)],
  [
    'exclusiveMinimum',
    bound(
      amount,
      (measured, limit) => measured > limit,
      (limit) => `more than ${limit}`,
      false,
    ),
  ],
  [
    'exclusiveMaximum',
    bound(
      amount,
      (measured, limit) => measured < limit,
      (limit) => `less than ${limit}`,
      false,
    ),
  ],
  ['minLength', bound(textLength, atLeast, (limit) => `at least ${limit} characters`, true)],
  ['maxLength', bound(textLength, atMost, (limit) => `at most ${limit} characters`, true)],
  ['minItems', bound(itemCount, atLeast, (limit) => `at least ${limit} items`, true)],
  ['maxItems', bound(itemCount, atMost, (limit) => `at most ${limit} items`, true)],
  ['minProperties', bound(memberCount, atLeast, (limit) => `at least ${limit} members`, true)],
  ['maxProperties', bound(memberCount, atMost, (limit) => `at most ${limit} members`, true)],
  ['title', annotation],
  ['description', annotation],
  ['$comment', annotation],
  ['$schema', dialect],
]);

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
