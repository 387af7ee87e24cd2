// Strict reading of I-JSON (RFC 7493) from bytes: what two parsers could read differently is refused, never repaired.
// Called wherever bytes from outside become values: submissions, genesis, receipts, peer messages.
// Must never accept text that JSON.parse would silently change (duplicate names, large integers, lone surrogates).
import { Buffer, isUtf8 } from 'node:buffer';
import { diagnose, lineAndColumn, numberFault } from './json-diagnose.js';

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [name: string]: JsonValue };

/** Nesting allowed: the outermost array or object is depth 1. Keeps every recursive walk over a value shallow. */
export const MAX_DEPTH = 64;

export type JsonErrorCode =
  | 'encoding'
  | 'syntax'
  | 'depth'
  | 'duplicate-name'
  | 'integer-range'
  | 'number-range'
  | 'surrogate';

export interface JsonErrorDetail {
  readonly code: JsonErrorCode;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 code units. */
  readonly column: number;
  /** RFC 6901 pointer of the value in question; absent where no place inside a value can be named. */
  readonly pointer?: string;
  readonly found: string;
  readonly allowed: string;
}

/** The body is not strict JSON (HTTP 400). The first fault in document order is reported. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  readonly status = 400;
  readonly code: JsonErrorCode;
  readonly line: number;
  readonly column: number;
  readonly pointer?: string;
  readonly found: string;
  readonly allowed: string;

  constructor(detail: JsonErrorDetail) {
    const at = detail.pointer === undefined || detail.pointer === '' ? '' : ` at ${detail.pointer}`;
    super(`line ${detail.line}, column ${detail.column}${at}: found ${detail.found}; allowed: ${detail.allowed}`);
    this.code = detail.code;
    this.line = detail.line;
    this.column = detail.column;
    if (detail.pointer !== undefined) this.pointer = detail.pointer;
    this.found = detail.found;
    this.allowed = detail.allowed;
  }
}

export interface ParseOptions {
  /**
   * Accept integer tokens beyond ±(2^53 − 1), rounded to the nearest double. Only for formats with a 64-bit field that
   * nothing signs or computes with; the caller must check every other integer itself. Default false.
   */
  readonly wideIntegers?: boolean;
}

/**
 * Reads one JSON text. Refuses: invalid UTF-8, a byte order mark, depth over 64, duplicate names, integers beyond
 * ±(2^53 − 1), numbers that overflow, lone surrogates. Throws JsonError. RFC 8259, 7493 (I-JSON), 8785 section 3.1.
 */
export function parseStrict(bytes: Uint8Array, options?: ParseOptions): JsonValue {
  if (!isUtf8(bytes)) throw encodingError(bytes);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const wide = options?.wideIntegers === true;
  let value: JsonValue;
  try {
    value = JSON.parse(text);
  } catch {
    throw fault(text, wide);
  }
  const members = scan(text, wide);
  // Equal counts mean that no member was overwritten: JSON.parse keeps the last of two equal names and drops the rest.
  if (members < 0 || members !== countMembers(value)) throw fault(text, wide);
  return value;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Number of name/value colons in well-formed JSON text, or −1 when a rule other than duplicate names is broken. */
function scan(text: string, wide: boolean): number {
  const escapes = text.includes('\\');
  // Decoded UTF-8 holds no lone surrogate, so only an escape can write one; a hit here only starts the slow check.
  if (escapes && /\\u[dD][89a-fA-F]/.test(text) && diagnose(text, MAX_DEPTH, wide) !== null) return -1;
  let depth = 0;
  let colons = 0;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      i = text.indexOf('"', i + 1);
      if (escapes) while (isEscaped(text, i)) i = text.indexOf('"', i + 1);
    } else if (code === 0x3a) {
      colons += 1;
    } else if (code === 0x7b || code === 0x5b) {
      depth += 1;
      if (depth > MAX_DEPTH) return -1;
    } else if (code === 0x7d || code === 0x5d) {
      depth -= 1;
    } else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      const start = i;
      while (isNumberCode(text.charCodeAt(i + 1))) i += 1;
      // Up to 15 characters hold neither an integer past 2^53 nor, without an exponent of three digits, an overflow.
      if (
        (i - start > 14 || numberMayOverflow(text, start, i)) &&
        numberFault(text.slice(start, i + 1), wide) !== null
      ) {
        return -1;
      }
    }
  }
  return colons;
}

/** Whether the quote at `index` is preceded by an odd number of backslashes. */
function isEscaped(text: string, index: number): boolean {
  let start = index;
  while (text.charCodeAt(start - 1) === BACKSLASH) start -= 1;
  return (index - start) % 2 === 1;
}

function isNumberCode(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) || code === 0x2e || code === 0x65 || code === 0x45 || code === 0x2b || code === 0x2d
  );
}

/** A short token overflows only with an exponent of at least three digits: `1e300` has five characters. */
function numberMayOverflow(text: string, start: number, end: number): boolean {
  if (end - start < 4) return false;
  for (let i = start + 1; i < end; i += 1) {
    const code = text.charCodeAt(i);
    if (code === 0x65 || code === 0x45) return true;
  }
  return false;
}

function countMembers(value: JsonValue): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) {
      const item = value[i];
      if (typeof item === 'object') count += countMembers(item as JsonValue);
    }
    return count;
  }
  for (const name in value) {
    count += 1;
    const member = value[name];
    if (typeof member === 'object') count += countMembers(member as JsonValue);
  }
  return count;
}

function encodingError(bytes: Uint8Array): JsonError {
  // Decoding replaces each invalid sequence by U+FFFD; the first place where encoding again differs is the first fault.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const again = Buffer.from(text, 'utf8');
  let offset = 0;
  while (offset < bytes.length && bytes[offset] === again[offset]) offset += 1;
  const before = Buffer.from(bytes.subarray(0, offset))
    .toString('utf8')
    .replace(/\ufffd+$/, '');
  const byte = bytes[offset];
  return new JsonError({
    code: 'encoding',
    ...lineAndColumn(before, before.length),
    found:
      byte === undefined ? 'a cut UTF-8 sequence' : `byte 0x${byte.toString(16).padStart(2, '0')} that is not UTF-8`,
    allowed: 'UTF-8 text',
  });
}

/** The error of text that is known to break a rule. */
function fault(text: string, wide: boolean): JsonError {
  const unnamed = {
    code: 'syntax',
    line: 1,
    column: 1,
    found: 'text that is not JSON',
    allowed: 'RFC 8259 JSON',
  } as const;
  return new JsonError(diagnose(text, MAX_DEPTH, wide) ?? unnamed);
}
