// The built-in kind `observation`: what one observer says about one audit in one round. Shape, signed bytes, TIS check.
// Called by admission (shape, signed bytes) and by ledger apply (verdict), through the table of built-in kinds.
// Must never use a value finer than what is signed: floats count as their six decimals, times as their seconds.
import { Buffer } from 'node:buffer';
import { IDENTIFIER, parseTime, SignatureFormatError } from '../envelope.js';
import type { JsonObject, JsonValue } from '../json.js';
import { describe, type FieldError, type Kind, ShapeError, type Verdict } from './kind.js';
import { RECORDED } from './note.js';

/** In this order they are listed wherever several observations are put together (FORMATS A4). */
export const BIASES = [
  'ConfirmationBias',
  'RecencyBias',
  'AvailabilityBias',
  'StrainUnderestimation',
  'HealthOverestimation',
  'EmpathyInconsistency',
] as const;
export type Bias = (typeof BIASES)[number];

/** An observation as it is signed. The three components and the overall score are in [0, 1]. */
export interface Observation {
  readonly node_id: string;
  readonly audit_id: string;
  readonly round_id: string;
  readonly window_hours: number;
  /** RFC 3339 UTC; signed as whole unix seconds. */
  readonly timestamp: string;
  readonly forecast_hash: string;
  readonly outcome_hash: string;
  readonly tis_components: {
    readonly prediction_accuracy: number;
    readonly ethical_alignment: number;
    readonly coherence_stability: number;
  };
  readonly tis_overall: number;
  /** In the order given, which is signed. */
  readonly bias_flags: readonly Bias[];
}

/** FORMATS A4: overall = 0.5 · accuracy + 0.3 · alignment + 0.2 · stability, here in tenths. */
const WEIGHTS = { prediction_accuracy: 5, ethical_alignment: 3, coherence_stability: 2 } as const;
const COMPONENTS = Object.keys(WEIGHTS) as (keyof typeof WEIGHTS)[];
const WEIGHT_SUM = 10;

/** TIS is signed in millionths. */
export const MICROS = 1_000_000;

/**
 * Millionths by which a claimed score may differ from that of its own components. Each signed value is rounded by at most half of one;
 * that moves the weighted sum of three by half of one at most, so that honest rounding is at most one apart.
 */
const TIS_TOLERANCE_MICROS = 1;

/** The one kind that comes in a form of its own and in no envelope. */
export const OBSERVATION = 'observation';

/** The kind for payloads that passed `observationShapeErrors`; what the observation does to its round is apply()'s to say. */
export const observation: Kind = {
  name: OBSERVATION,
  check(payload: JsonObject): Verdict {
    const errors = observationShapeErrors(payload);
    if (errors.length > 0) return { ok: false, errors };
    const fault = tisFault(asObservation(payload));
    return fault === null ? { ok: true, outcome: RECORDED } : { ok: false, errors: [fault] };
  },
};

function tisFault(claimed: Observation): FieldError | null {
  let sum = 0;
  for (const name of COMPONENTS) sum += WEIGHTS[name] * micros(claimed.tis_components[name]);
  const apart = WEIGHT_SUM * micros(claimed.tis_overall) - sum;
  if (apart <= WEIGHT_SUM * TIS_TOLERANCE_MICROS && apart >= -WEIGHT_SUM * TIS_TOLERANCE_MICROS) return null;
  return {
    pointer: '/tis_overall',
    found: fixed6(claimed.tis_overall),
    allowed: `${(sum / (WEIGHT_SUM * MICROS)).toFixed(6)}, which is 0.5 · prediction_accuracy + 0.3 · ethical_alignment + 0.2 · coherence_stability`,
  };
}

type Test = (value: JsonValue | undefined) => boolean;
const HASH = /^sha256:[0-9a-f]{64}$/;
const HASH_ALLOWED = '"sha256:" and 64 lowercase hex digits';
const ID_ALLOWED = '1 to 128 of A-Z a-z 0-9 . _ : - (a "|" or "," would make the signed text ambiguous)';
const UNIT_ALLOWED = 'a number from 0 to 1';
const isId: Test = (value) => typeof value === 'string' && IDENTIFIER.test(value);
const isHash: Test = (value) => typeof value === 'string' && HASH.test(value);
const isUnit: Test = (value) => typeof value === 'number' && value >= 0 && value <= 1;
const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const SHAPE: readonly (readonly [name: string, test: Test, allowed: string])[] = [
  ['node_id', isId, ID_ALLOWED],
  ['audit_id', isId, ID_ALLOWED],
  ['round_id', isId, ID_ALLOWED],
  ['window_hours', (v) => Number.isSafeInteger(v) && (v as number) >= 0, 'an integer from 0 to 9007199254740991'],
  ['timestamp', (v) => typeof v === 'string' && parseTime(v) !== null, 'RFC 3339 UTC such as 2026-11-20T12:00:00Z'],
  ['forecast_hash', isHash, HASH_ALLOWED],
  ['outcome_hash', isHash, HASH_ALLOWED],
  ['tis_overall', isUnit, UNIT_ALLOWED],
];
const MEMBERS = [...SHAPE.map(([name]) => name), 'tis_components', 'bias_flags', 'signature'];

/** What makes a value no observation; empty when it is one. `signature` is looked at by `observationSignature`. */
export function observationShapeErrors(payload: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  const member = (of: JsonObject, name: string) => (Object.hasOwn(of, name) ? of[name] : undefined);
  for (const [name, test, allowed] of SHAPE) {
    const value = member(payload, name);
    if (!test(value)) errors.push({ pointer: `/${name}`, found: describe(value), allowed });
  }
  const components = member(payload, 'tis_components');
  if (isObject(components)) {
    for (const name of COMPONENTS) {
      const value = member(components, name);
      if (!isUnit(value)) {
        errors.push({ pointer: `/tis_components/${name}`, found: describe(value), allowed: UNIT_ALLOWED });
      }
    }
    unknownMembers(components, '/tis_components', COMPONENTS, errors);
  } else {
    const allowed = `an object with ${COMPONENTS.join(', ')}`;
    errors.push({ pointer: '/tis_components', found: describe(components), allowed });
  }
  biasErrors(member(payload, 'bias_flags'), errors);
  unknownMembers(payload, '', MEMBERS, errors);
  return errors;
}

function biasErrors(flags: JsonValue | undefined, errors: FieldError[]): void {
  const allowed = `a list of ${BIASES.join(', ')}, each once at most`;
  if (!Array.isArray(flags) || flags.length > BIASES.length) {
    errors.push({ pointer: '/bias_flags', found: describe(flags), allowed });
    return;
  }
  for (const [index, flag] of flags.entries()) {
    if (BIASES.includes(flag as Bias) && flags.indexOf(flag) === index) continue;
    errors.push({ pointer: `/bias_flags/${index}`, found: describe(flag), allowed });
  }
}

/** Nothing rides along that nobody signed. */
function unknownMembers(value: JsonObject, pointer: string, members: readonly string[], errors: FieldError[]): void {
  for (const name of Object.keys(value)) {
    if (members.includes(name)) continue;
    errors.push({
      pointer: `${pointer}/${name}`,
      found: 'an unknown member',
      allowed: `only ${members.join(', ')}`,
    });
  }
}

/** A payload without shape errors, under its type. */
export function asObservation(payload: JsonObject): Observation {
  return payload as unknown as Observation;
}

/** The object under `observation`, the one member of a body. Throws ShapeError (400) with everything wrong. */
export function readObservationBody(value: JsonValue): JsonObject {
  const wrapped = isObject(value) && Object.hasOwn(value, 'observation') ? value.observation : undefined;
  if (!isObject(value) || !isObject(wrapped) || Object.keys(value).length !== 1) {
    const found = isObject(value) ? `an object with ${Object.keys(value).slice(0, 4).join(', ')}` : describe(value);
    throw new ShapeError([{ pointer: '', found, allowed: 'an object with the one member observation' }]);
  }
  const errors = observationShapeErrors(wrapped);
  if (errors.length === 0) return wrapped;
  throw new ShapeError(errors.map((error) => ({ ...error, pointer: `/observation${error.pointer}` })));
}

/** The 64 bytes of `signature`, a JSON list of 64 numbers (FORMATS A1). Throws SignatureFormatError (401). */
export function observationSignature(payload: JsonObject): Buffer {
  const value = Object.hasOwn(payload, 'signature') ? payload.signature : undefined;
  const isByte: Test = (item) => Number.isInteger(item) && (item as number) >= 0 && (item as number) <= 255;
  if (Array.isArray(value) && value.length === 64 && value.every(isByte)) return Buffer.from(value as number[]);
  throw new SignatureFormatError(describe(value), 'a list of 64 numbers from 0 to 255', 'signature');
}

/** Signed bytes of A1: twelve parts joined by `|`, UTF-8. Takes a checked observation; nothing in it needs escaping. */
export function observationSignedBytes(of: Observation): Buffer {
  const { prediction_accuracy, ethical_alignment, coherence_stability } = of.tis_components;
  const parts = [
    of.node_id,
    of.audit_id,
    of.round_id,
    String(of.window_hours),
    String(observedAtS(of)),
    of.forecast_hash,
    of.outcome_hash,
    fixed6(of.tis_overall),
    fixed6(prediction_accuracy),
    fixed6(ethical_alignment),
    fixed6(coherence_stability),
    of.bias_flags.join(','),
  ];
  return Buffer.from(parts.join('|'), 'latin1');
}

/** Unix seconds of a checked observation: its fraction is not signed. */
export function observedAtS(of: Observation): number {
  return Math.floor((parseTime(of.timestamp) as number) / 1000);
}

/** A signed score in millionths. */
export function micros(x: number): number {
  return Number(fixed6(x).replace('.', ''));
}

/**
 * Six decimals of the exact binary value of −1e9 ≤ x ≤ 1e9, ties to the even digit, as Rust's `{:.6}` writes it. toFixed works on the exact
 * value too, but takes the upper of two equally near. They are equally near only where x · 10⁶ is an odd number of halves, so where
 * x is an odd number of 128ths: 10⁶ has but six factors of two.
 */
export function fixed6(x: number): string {
  if (!(x >= -1e9 && x <= 1e9)) throw new RangeError(`${x} is outside -1e9 to 1e9`);
  const negative = x < 0 || Object.is(x, -0);
  const magnitude = negative ? -x : x;
  const of128 = magnitude * 128;
  if (of128 % 2 !== 1) return (negative ? '-' : '') + magnitude.toFixed(6);
  // magnitude · 10⁶ = of128 · 7812.5: the two nearest integers are half below and half above.
  const below = (BigInt(of128) * 15625n - 1n) / 2n;
  const even = below % 2n === 0n ? below : below + 1n;
  const digits = String(even).padStart(7, '0');
  return `${negative ? '-' : ''}${digits.slice(0, -6)}.${digits.slice(-6)}`;
}
