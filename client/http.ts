// What every caller of a node does with a raw HTTP outcome: a body that may be anything, a connection that failed.
// Called by client/submit.ts and the CLI. It makes no call itself.
import { type JsonObject, type JsonValue, parseStrict } from '../protocol/json.js';

/** The object in a body; empty when the body is anything else, since the status then says all there is. */
export function bodyObject(bytes: Uint8Array): JsonObject {
  try {
    const value = parseStrict(bytes);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** What went wrong below HTTP, in a few words; fetch hides it in `cause`. */
export function connectionReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  const inner: unknown = error.cause instanceof AggregateError ? error.cause.errors[0] : error.cause;
  return inner instanceof Error && inner.message !== '' ? inner.message : error.message;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
