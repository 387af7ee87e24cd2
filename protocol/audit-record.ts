// One line of the audit log: a canonical JSON object that carries its number, the hash of the line before it and its own.
// Called by the writer of audit.jsonl and by whoever verifies or searches it. It must never write two texts for one record,
// nor take a line for a record that is not one byte for byte.
import { Buffer } from 'node:buffer';
import { canonicalize } from './canonical.js';
import { sha256Hex } from './crypto/hash.js';
import type { JsonObject, JsonValue } from './json.js';

/** Where a chain stands: the number of its newest record, and the hash of it (64 hex). */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

/** Before the first record. */
export const AUDIT_START: AuditHead = { seq: 0, hash: '0'.repeat(64) };

/** What a record may hold beside the members that every record has. */
export type AuditValue = string | number | boolean | null | readonly string[];

export interface AuditRecord {
  readonly head: AuditHead;
  /** Hash of the record before this one, 64 hex. */
  readonly prev: string;
  /** RFC 3339 UTC. */
  readonly timestamp: string;
  readonly event: string;
  /** Who did it. */
  readonly by: string;
  /** The whole line as an object, for showing and searching. */
  readonly line: JsonObject;
}

export interface NewAuditRecord {
  readonly timestamp: string;
  readonly event: string;
  readonly by: string;
  readonly fields: Readonly<Record<string, AuditValue>>;
}

/** Members that every record has; a field of an event cannot have such a name. */
export const RESERVED_MEMBERS: readonly string[] = ['seq', 'timestamp', 'event', 'by', 'prev', 'hash'];

/** First bytes of what is hashed: another version of this format would have another text here. */
export const AUDIT_HASH_PREFIX = 'quorate/audit/1\n';

/** Put behind a piece of a line that a crash has cut off, before the log goes on: it ends the line. */
export const TORN_MARK = '#torn\n';

const TEXT_MAX = 1_000;
const LIST_MAX = 20;
const LIST_TEXT_MAX = 400;

/**
 * The line after `head`, without its end of line. Its hash is SHA-256 over AUDIT_HASH_PREFIX and the canonical JSON of the
 * record without the member `hash`. Long texts and lists are cut, so that a line stays below 64 KiB.
 */
export function encodeAuditRecord(
  head: AuditHead,
  { timestamp, event, by, fields }: NewAuditRecord,
): { readonly text: string; readonly head: AuditHead } {
  const record: JsonObject = {};
  for (const [name, value] of Object.entries(fields)) record[name] = bounded(value);
  Object.assign(record, { seq: head.seq + 1, timestamp, event, by: cut(by, TEXT_MAX), prev: head.hash });
  const hash = hashOf(record);
  return { text: canonicalize({ ...record, hash }), head: { seq: head.seq + 1, hash } };
}

/** The record that these bytes are, or null. True only of the exact bytes that encodeAuditRecord writes. */
export function decodeAuditRecord(bytes: Uint8Array): AuditRecord | null {
  const line = jsonObjectOf(bytes);
  if (line === null) return null;
  const { seq, timestamp, event, by, prev, hash, ...fields } = line;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return null;
  if (typeof timestamp !== 'string' || typeof event !== 'string' || typeof by !== 'string') return null;
  if (typeof prev !== 'string' || typeof hash !== 'string') return null;
  try {
    if (hash !== hashOf({ ...fields, seq, timestamp, event, by, prev })) return null;
    if (!Buffer.from(canonicalize(line)).equals(bytes)) return null;
  } catch {
    return null;
  }
  return { head: { seq, hash }, prev, timestamp, event, by, line };
}

/** The lines of a file; the last one is empty when the file ends with an end of line. */
export function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(LINE_END); end !== -1; end = bytes.indexOf(LINE_END, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  lines.push(bytes.subarray(start));
  return lines;
}

export interface AuditTail {
  /** The last record of the file; null when there is none. */
  readonly last: AuditRecord | null;
  /** What stands behind it and is no record, without the end of its last line. Empty in a sound file. */
  readonly foreign: Buffer;
  /** Does the file end with an end of line? Also true of an empty one. */
  readonly terminated: boolean;
}

/** The end of a file, where a writer goes on. Looks back as far as the last record. */
export function auditTail(bytes: Buffer): AuditTail {
  const terminated = bytes.length === 0 || bytes.at(-1) === LINE_END;
  let end = terminated && bytes.length > 0 ? bytes.length - 1 : bytes.length;
  const contentEnd = end;
  while (end > 0) {
    const start = bytes.lastIndexOf(LINE_END, end - 1) + 1;
    const last = decodeAuditRecord(bytes.subarray(start, end));
    if (last !== null) {
      const foreign = bytes.subarray(Math.min(end + 1, contentEnd), contentEnd);
      return { last, foreign, terminated };
    }
    end = start - 1;
  }
  return { last: null, foreign: bytes.subarray(0, contentEnd), terminated };
}

/**
 * Could an append that was cut short have left these lines? A cut line is no whole JSON object, and either has no end of
 * line, or got TORN_MARK as one, or has holes of zero bytes where the disk never had its data.
 */
export function isTorn(foreign: Buffer, terminated: boolean): boolean {
  const lines = linesOf(foreign);
  return lines.every((line, index) => {
    if (line.length === 0 || jsonObjectOf(line) !== null) return false;
    const isOpen = index === lines.length - 1 && !terminated;
    return isOpen || line.includes(0) || line.subarray(-MARK.length).equals(MARK);
  });
}

/** A line of before there was a chain: an object without number and hash. */
export function isUnchained(line: Buffer): boolean {
  const object = jsonObjectOf(line);
  return object !== null && !('seq' in object) && !('hash' in object) && !('prev' in object);
}

function hashOf(record: JsonObject): string {
  return sha256Hex(`${AUDIT_HASH_PREFIX}${canonicalize(record)}`);
}

function jsonObjectOf(bytes: Uint8Array): JsonObject | null {
  if (bytes[0] !== OPENING_BRACE) return null;
  try {
    const value: JsonValue = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function bounded(value: AuditValue): JsonValue {
  if (typeof value === 'string') return cut(value, TEXT_MAX);
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value !== 'object' || value === null) return value;
  return value.slice(0, LIST_MAX).map((text) => cut(text, LIST_TEXT_MAX));
}

/** Canonical JSON has no lone surrogates, which a cut may leave. */
function cut(text: string, most: number): string {
  const short = text.length > most ? `${text.slice(0, most)}…` : text;
  return short.replace(/\p{Surrogate}/gu, '\ufffd');
}

const LINE_END = 0x0a;
const OPENING_BRACE = 0x7b;
const MARK = Buffer.from(TORN_MARK.trimEnd());
