// What a kind of submission is: a name and a pure judgement of a payload.
// Implemented by the built-in kinds and by compiled operator schemas; called by ledger apply on every node.
// Must never depend on time, configuration or anything else that two nodes could see differently.
import type { JsonObject } from '../json.js';

/** One thing wrong with a value. `pointer` is RFC 6901 within the value judged. */
export interface FieldError {
  readonly pointer: string;
  readonly found: string;
  readonly allowed: string;
}

/** `ok: false` means HTTP 422 and no entry in the ledger; a negative verdict that is recorded is `ok: true`. */
export type Verdict =
  | { readonly ok: true; readonly outcome: JsonObject }
  | { readonly ok: false; readonly errors: readonly FieldError[] };

export interface Kind {
  readonly name: string;
  check(payload: JsonObject): Verdict;
}

/** Names that operator schemas cannot take: built in now, or promised by the interface. */
export const RESERVED_KIND_NAMES: readonly string[] = ['note', 'pcs', 'observation', 'accusation', 'registry'];

/** The value is JSON but not the shape asked for (HTTP 400). */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
  readonly status = 400;
  readonly errors: readonly FieldError[];

  constructor(errors: readonly FieldError[]) {
    super(errors.map((error) => `${error.pointer || '/'}: found ${error.found}; allowed: ${error.allowed}`).join('; '));
    this.errors = errors;
  }
}

/** A short description of a value for messages: its type, and the value itself where it is short. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object') return 'an object';
  if (typeof value !== 'string') return `the ${typeof value} ${String(value)}`;
  return value.length > 60 ? `a string of ${value.length} characters` : `the string ${JSON.stringify(value)}`;
}

/** RFC 6901 reference token. */
export function token(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
