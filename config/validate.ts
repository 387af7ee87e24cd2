// Checks plain data against the JSON Schema and says in an operator's words what is wrong. Called by load.ts for the
// file, the environment and the flags alike. It must never change the data (no coercion, no defaults).
import type { ErrorObject, ValidateFunction } from 'ajv';
import { schemaCompiler } from './ajv.js';
import { describeFound } from './errors.js';
import { allowedText, FIELDS, type Field, type FieldPath } from './fields.js';
import { configSchema, type ObjectSchema, parseListen } from './schema.js';
import { didYouMean } from './suggest.js';

export interface Issue {
  readonly path: readonly string[];
  /** The key itself should not be there, so the key's place is meant and not its value's. */
  readonly unknownKey: boolean;
  readonly found: string;
  readonly allowed: string;
  readonly hint: string | null;
}

/** Keys that people look for here and that stand somewhere else. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  chain: 'Parameters of the chain stand in genesis.json and never change on existing data.',
  validators: 'Validators stand in genesis.json and change through the ledger.',
  clients: 'Clients stand in a file of their own: clients_file.',
  kinds: 'Kinds stand in a folder of their own: kinds_dir.',
  signing_key: 'Keys never stand here: put the key into keys_dir or QUORATE_SIGNING_KEY.',
  peers: 'Peers stand in a file of their own: peers_file.',
};

let compiled: { validate: ValidateFunction; schema: ObjectSchema } | null = null;

function validator(): { validate: ValidateFunction; schema: ObjectSchema } {
  if (compiled === null) {
    const schema = configSchema();
    const ajv = schemaCompiler();
    ajv.addFormat('endpoint', { type: 'string', validate: (text: string) => parseListen(text) !== null });
    compiled = { validate: ajv.compile(schema), schema };
  }
  return compiled;
}

/** All issues of `value`, which is a mapping of settings or whatever a file held instead; empty when it is right. */
export function validateSettings(value: unknown): Issue[] {
  const { validate, schema } = validator();
  if (validate(value)) return [];
  const issues = new Map<string, Issue>();
  for (const error of validate.errors ?? []) {
    const issue = asIssue(error, schema);
    const place = issue.path.join('.');
    if (!issues.has(place)) issues.set(place, issue);
  }
  return [...issues.values()];
}

function asIssue(error: ErrorObject, schema: ObjectSchema): Issue {
  const path = error.instancePath === '' ? [] : error.instancePath.slice(1).split('/').map(unescapePointer);
  if (error.keyword === 'additionalProperties') {
    const key = String((error.params as { additionalProperty: unknown }).additionalProperty);
    const known = Object.keys(sectionAt(schema, path).properties);
    return {
      path: [...path, key],
      unknownKey: true,
      found: 'an unknown setting',
      allowed: known.join(', '),
      hint: (path.length === 0 ? ELSEWHERE[key] : undefined) ?? didYouMean(key, known),
    };
  }
  const field = (FIELDS as Readonly<Record<string, Field>>)[path.join('.') as FieldPath];
  const allowed =
    field === undefined
      ? `a mapping of ${Object.keys(sectionAt(schema, path).properties).join(', ')}`
      : allowedText(field);
  return {
    path,
    unknownKey: false,
    found: describeFound(error.data),
    allowed,
    hint: field?.about ? `(${field.about})` : null,
  };
}

function sectionAt(schema: ObjectSchema, path: readonly string[]): ObjectSchema {
  let section = schema;
  for (const name of path) section = section.properties[name] as ObjectSchema;
  return section;
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}
