// The generic signed submission: its shape, its signed bytes, its time.
// Called at admission, by block validation, by receipt verification and by signing clients.
// Must never verify a signature or look up a key: it only says what would have to be signed.
import { Buffer } from 'node:buffer';
import { canonicalize } from './canonical.js';
import type { JsonObject, JsonValue } from './json.js';
import { describe, type FieldError, ShapeError, token } from './kinds/kind.js';

export type SignatureAlgorithm = 'ed25519' | 'hmac-sha256';

export type Envelope = {
  /** `[a-z][a-z0-9-]{0,31}` */
  kind: string;
  /** 1–128 of `[A-Za-z0-9._:-]`, unique per issuer. */
  id: string;
  /** Same alphabet and length as id. */
  issuer: string;
  /** RFC 3339, UTC with `Z`. */
  issued_at: string;
  payload: JsonObject;
  alg: SignatureAlgorithm;
  /** Canonical base64 of 64 bytes (ed25519) or 32 bytes (hmac-sha256). */
  sig: string;
};

/** A signature that cannot be one: missing, not canonical base64, or of the wrong length (HTTP 401). */
export class SignatureFormatError extends Error {
  override readonly name = 'SignatureFormatError';
  readonly status = 401;
  readonly found: string;
  readonly allowed: string;

  constructor(found: string, allowed: string, member = 'sig') {
    super(`${member}: found ${found}; allowed: ${allowed}`);
    this.found = found;
    this.allowed = allowed;
  }
}

export const KIND_NAME = /^[a-z][a-z0-9-]{0,31}$/;
/** Submission ids, issuers and key ids. */
export const IDENTIFIER = /^[A-Za-z0-9._:-]{1,128}$/;
const IDENTIFIER_ALLOWED = '1 to 128 of A-Z a-z 0-9 . _ : -';
const TIME_ALLOWED = 'RFC 3339 UTC such as 2026-11-20T12:00:00Z, at most 9 fraction digits';
const MEMBERS = new Set(['kind', 'id', 'issuer', 'issued_at', 'payload', 'alg', 'sig']);

/** An envelope with what its texts say. */
export interface ReadEnvelope {
  readonly envelope: Envelope;
  readonly issuedAtMs: number;
  readonly signature: Buffer;
}

/**
 * Throws ShapeError with everything wrong at once (400), then SignatureFormatError (401) when only `sig` is no
 * signature. The result shares the payload with `value`.
 */
export function parseEnvelope(value: JsonValue): Envelope {
  return readEnvelope(value).envelope;
}

/** The same, and the time and the signature with it: whoever prepares a submission needs both (hot path). */
export function readEnvelope(value: JsonValue): ReadEnvelope {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ShapeError([{ pointer: '', found: describe(value), allowed: 'an envelope object' }]);
  }
  const { kind, id, issuer, issued_at, payload, alg, sig } = value;
  const timeMs = typeof issued_at === 'string' ? parseTime(issued_at) : null;
  if (
    Object.keys(value).length === MEMBERS.size &&
    typeof kind === 'string' &&
    KIND_NAME.test(kind) &&
    typeof id === 'string' &&
    IDENTIFIER.test(id) &&
    typeof issuer === 'string' &&
    IDENTIFIER.test(issuer) &&
    typeof issued_at === 'string' &&
    timeMs !== null &&
    typeof payload === 'object' &&
    payload !== null &&
    !Array.isArray(payload) &&
    (alg === 'ed25519' || alg === 'hmac-sha256') &&
    typeof sig === 'string'
  ) {
    return {
      envelope: { kind, id, issuer, issued_at, payload, alg, sig },
      issuedAtMs: timeMs,
      signature: decodeSignature(sig, signatureBytes(alg)),
    };
  }
  throw new ShapeError(shapeErrors(value));
}

function shapeErrors(value: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  const expect = (name: string, fine: (member: JsonValue | undefined) => boolean, allowed: string) => {
    const member = Object.hasOwn(value, name) ? value[name] : undefined;
    if (!fine(member)) errors.push({ pointer: token(name), found: describe(member), allowed });
  };
  const matches = (form: RegExp) => (member: JsonValue | undefined) => typeof member === 'string' && form.test(member);
  expect('kind', matches(KIND_NAME), 'a lowercase letter, then up to 31 of a-z 0-9 -');
  expect('id', matches(IDENTIFIER), IDENTIFIER_ALLOWED);
  expect('issuer', matches(IDENTIFIER), IDENTIFIER_ALLOWED);
  expect('issued_at', (member) => typeof member === 'string' && parseTime(member) !== null, TIME_ALLOWED);
  expect('payload', (m) => typeof m === 'object' && m !== null && !Array.isArray(m), 'an object');
  expect('alg', (member) => member === 'ed25519' || member === 'hmac-sha256', '"ed25519" or "hmac-sha256"');
  expect('sig', (member) => typeof member === 'string', 'the signature in base64');
  for (const name of Object.keys(value)) {
    if (!MEMBERS.has(name)) {
      errors.push({ pointer: token(name), found: 'an unknown member', allowed: `only ${[...MEMBERS].join(', ')}` });
    }
  }
  return errors;
}

export function signatureBytes(alg: SignatureAlgorithm): 32 | 64 {
  return alg === 'ed25519' ? 64 : 32;
}

/**
 * UTF-8 `quorate/envelope/1\n` and the canonical form (RFC 8785) of the envelope without `sig`. Takes a checked
 * envelope: every string but those of the payload is plain ASCII and needs no escaping.
 */
export function envelopeSignedBytes(envelope: Omit<Envelope, 'sig'>): Buffer {
  const { alg, id, issued_at, issuer, kind, payload } = envelope;
  const head = `quorate/envelope/1\n{"alg":"${alg}","id":"${id}","issued_at":"${issued_at}","issuer":"${issuer}"`;
  return Buffer.from(`${head},"kind":"${kind}","payload":${canonicalize(payload)}}`, 'utf8');
}

const TIME = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?Z$/;

/** Unix milliseconds of an RFC 3339 UTC time (upper-case T and Z, no leap second), or null. */
export function parseTime(text: string): number | null {
  const match = TIME.exec(text);
  if (match === null) return null;
  const year = Number(match[1]);
  const month = Number(match[2]);
  const day = Number(match[3]);
  const hour = Number(match[4]);
  const minute = Number(match[5]);
  const second = Number(match[6]);
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  const fraction = match[7] === undefined ? 0 : Number(match[7].padEnd(3, '0').slice(0, 3));
  return (((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000 + fraction;
}

function daysInMonth(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/** Proleptic Gregorian calendar. Years are counted from March, so that the leap day ends its year. */
function daysSince1970(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const monthFromMarch = (month + 9) % 12;
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  const daysBeforeMonth = Math.floor((153 * monthFromMarch + 2) / 5);
  return 365 * marchYear + leapDays + daysBeforeMonth + day - 1 - 719468;
}

/**
 * Bytes of canonical base64 (RFC 4648 section 4: padding, no other characters, unused bits zero). Throws SignatureFormatError.
 * Node's decoder skips what it does not know; what it read is canonical if and only if it is spelled the same again.
 */
export function decodeSignature(sig: string, ...lengths: readonly number[]): Buffer {
  const bytes = Buffer.from(sig, 'base64');
  if (bytes.toString('base64') !== sig) {
    throw new SignatureFormatError(`${sig.length} characters that are not`, 'canonical base64 with padding');
  }
  if (!lengths.includes(bytes.length)) {
    throw new SignatureFormatError(`${bytes.length} bytes`, `${lengths.join(' or ')} bytes in base64`);
  }
  return bytes;
}
