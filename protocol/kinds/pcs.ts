// The built-in kind `pcs` (proof-of-computation summary of Fractal LBA): shape, identity, signed bytes, verdict.
// Called by admission (shape, signed bytes) and by ledger apply (verdict), through the table of built-in kinds.
// Must never use a float operation beyond + − × ÷, log2 and comparisons: every node must reach the same bits.
import { Buffer } from 'node:buffer';
import { sha256Hex } from '../crypto/hash.js';
import type { JsonObject, JsonValue } from '../json.js';
import { describe, type FieldError, type Kind, type Verdict } from './kind.js';
import { pythonFloat, pythonString, round9 } from './pcs-number.js';

/** The fields that decide identity, signature or verdict; the others are carried but never read. */
export interface Pcs {
  readonly pcs_id: string;
  readonly schema: string;
  readonly version: string;
  readonly shard_id: string;
  readonly epoch: number;
  readonly scales: readonly number[];
  readonly N_j: Readonly<Record<string, number>>;
  readonly coh_star: number;
  readonly D_hat: number;
  readonly r: number;
  readonly regime: string;
  readonly budget: number;
  readonly merkle_root: string;
}

/** Theil–Sen looks at every pair: 64 scales are 2 016 slopes. Powers of two up to 2^53 are 54. */
export const MAX_SCALES = 64;

const D_HAT_TOLERANCE = 0.15;
const COH_STAR_MAX = 1.05;
const BUDGET_TOLERANCE = 0.01;

/** FORMATS C7. Payloads of another shape are refused (422 inside an envelope); every other verdict is an outcome. */
export const pcs: Kind = {
  name: 'pcs',
  check(payload: JsonObject): Verdict {
    const errors = pcsShapeErrors(payload);
    return errors.length > 0 ? { ok: false, errors } : { ok: true, outcome: judge(asPcs(payload)) };
  },
};

type Test = (value: JsonValue | undefined) => boolean;
const isText: Test = (value) => typeof value === 'string';
const isFloat: Test = (value) => typeof value === 'number';
const isInteger: Test = (value) => Number.isSafeInteger(value);
const isObject: Test = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const optional =
  (test: Test): Test =>
  (value) =>
    value === undefined || test(value);

/** 2^63 */
const INT64_END = 0x8000000000000000;
const INTEGER_ALLOWED = 'an integer from -9007199254740991 to 9007199254740991';
const SHAPE: readonly (readonly [name: string, test: Test, allowed: string])[] = [
  // It becomes the id of the submission, so the alphabet of ids applies; whether it is the right hash is a verdict.
  ['pcs_id', (v) => typeof v === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(v), '64 lowercase hex digits'],
  ['schema', isText, 'a string'],
  ['version', isText, 'a string'],
  ['shard_id', isText, 'a string'],
  ['epoch', isInteger, INTEGER_ALLOWED],
  ['scales', (v) => Array.isArray(v) && v.length <= MAX_SCALES && v.every(isInteger), `at most ${MAX_SCALES} integers`],
  ['N_j', (v) => isObject(v) && Object.values(v as JsonObject).every(isInteger), 'an object of integers'],
  ['coh_star', isFloat, 'a number'],
  ['D_hat', isFloat, 'a number'],
  ['r', isFloat, 'a number'],
  ['regime', isText, 'a string'],
  ['budget', isFloat, 'a number'],
  ['merkle_root', isText, 'a string'],
  ['attempt', optional(isInteger), INTEGER_ALLOWED],
  ['sent_at', optional(isText), 'an RFC 3339 time'],
  // A 64-bit integer: beyond 2^53 its double is only near it, which nothing signs or computes with.
  [
    'seed',
    optional((v) => Number.isInteger(v) && (v as number) >= -INT64_END && (v as number) <= INT64_END),
    'a 64-bit integer',
  ],
  ['v_star', optional((v) => Array.isArray(v) && v.length === 3 && v.every(isFloat)), 'three numbers'],
  ['ft', optional(isObject), 'an object'],
];

/**
 * What makes a value no PCS at all; empty when it is one. Types only, apart from `sig`: a wrong constant or an id that
 * does not recompute is a verdict (C7 step 1). Unknown members are allowed, as later agents add some.
 */
export function pcsShapeErrors(payload: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, test, allowed] of SHAPE) {
    const value = Object.hasOwn(payload, name) ? payload[name] : undefined;
    if (!test(value)) errors.push({ pointer: `/${name}`, found: describe(value), allowed });
  }
  return errors;
}

/** A payload without shape errors, under its type. */
export function asPcs(payload: JsonObject): Pcs {
  return payload as unknown as Pcs;
}

/** Lowercase hex SHA-256 of `merkle_root|epoch|shard_id` (C2). */
export function pcsId(merkleRoot: string, epoch: number, shardId: string): string {
  return sha256Hex(`${merkleRoot}|${epoch}|${shardId}`);
}

/** The canonical 8-key subset as the Python agent writes it (C3, rule a): what digest and direct HMAC are taken over. */
export function pcsSignedBytes(p: Pcs): Buffer {
  const float = (value: number) => pythonFloat(round9(value));
  const numbers = `"D_hat":${float(p.D_hat)},"budget":${float(p.budget)},"coh_star":${float(p.coh_star)},"epoch":${p.epoch}`;
  const names = `"merkle_root":${pythonString(p.merkle_root)},"pcs_id":${pythonString(p.pcs_id)},"r":${float(p.r)}`;
  return Buffer.from(`{${numbers},${names},"shard_id":${pythonString(p.shard_id)}}`, 'latin1');
}

function judge(p: Pcs): JsonObject {
  const fault = structureFault(p);
  if (fault !== null) return outcome(p, false, `structure: ${fault}`);
  const dHat = recomputeDHat(p.scales, p.N_j);
  if (typeof dHat === 'string') return outcome(p, false, `D_hat cannot be recomputed: ${dHat}`);
  if (distance(p.D_hat, dHat) > D_HAT_TOLERANCE) {
    return outcome(p, false, `D_hat: claimed ${p.D_hat}, recomputed ${dHat}, tolerance ${D_HAT_TOLERANCE}`, dHat);
  }
  if (p.coh_star < 0 || p.coh_star > COH_STAR_MAX) {
    return outcome(p, false, `coh_star: claimed ${p.coh_star}, allowed 0 to ${COH_STAR_MAX}`, dHat);
  }
  const budget = expectedBudget(p.D_hat, p.coh_star, p.r);
  const regime = classifyRegime(p.D_hat, p.coh_star);
  if (p.regime !== regime) {
    return outcome(p, true, `regime: claimed ${describe(p.regime)}, expected ${regime}`, dHat, budget);
  }
  if (distance(p.budget, budget) > BUDGET_TOLERANCE) {
    const reason = `budget: claimed ${p.budget}, recomputed ${budget}, tolerance ${BUDGET_TOLERANCE}`;
    return outcome(p, true, reason, dHat, budget);
  }
  return outcome(p, true, null, dHat, budget);
}

/** Escalated, and 202, unless there is no reason at all. Zero values are left out, as the result type of C7 does. */
function outcome(p: Pcs, accepted: boolean, reason: string | null, dHat = 0, budget = 0): JsonObject {
  const result: JsonObject = {
    accepted,
    escalated: reason !== null,
    pcs_id: p.pcs_id,
    status: reason === null ? 200 : 202,
  };
  if (dHat !== 0) result.recomputed_D_hat = dHat;
  if (budget !== 0) result.recomputed_budget = budget;
  if (reason !== null) result.reason = reason;
  return result;
}

function structureFault(p: Pcs): string | null {
  if (p.schema !== 'fractal-lba-kakeya') return `schema is ${describe(p.schema)}, allowed "fractal-lba-kakeya"`;
  if (p.version !== '0.1') return `version is ${describe(p.version)}, allowed "0.1"`;
  if (p.shard_id === '') return 'shard_id is empty';
  if (p.epoch < 0) return `epoch is ${p.epoch}, allowed 0 and up`;
  if (p.scales.length === 0) return 'scales is empty';
  if (p.merkle_root === '') return 'merkle_root is empty';
  const expected = pcsId(p.merkle_root, p.epoch, p.shard_id);
  return p.pcs_id === expected ? null : `pcs_id is ${describe(p.pcs_id)}, recomputed ${expected}`;
}

/**
 * Theil–Sen slope of log2(N_j) over log2(scale), rounded to 9 decimals (C7 step 2): all pairs with |dx| ≥ 1e-9, upper
 * median. A string says why there is none.
 */
export function recomputeDHat(scales: readonly number[], counts: Readonly<Record<string, number>>): number | string {
  if (scales.length < 2) return 'at least 2 scales are needed';
  const x: number[] = [];
  const y: number[] = [];
  for (const scale of scales) {
    const count = Object.hasOwn(counts, String(scale)) ? counts[String(scale)] : undefined;
    if (scale < 1) return `scale ${scale} is not positive`;
    if (count === undefined) return `N_j has no scale ${scale}`;
    if (count < 1) return `N_j at scale ${scale} is not positive`;
    x.push(Math.log2(scale));
    y.push(Math.log2(count));
  }
  const slopes: number[] = [];
  for (let i = 0; i < x.length; i += 1) {
    for (let j = i + 1; j < x.length; j += 1) {
      const dx = (x[j] as number) - (x[i] as number);
      if (dx < 1e-9 && dx > -1e-9) continue;
      slopes.push(((y[j] as number) - (y[i] as number)) / dx);
    }
  }
  if (slopes.length === 0) return 'all scales are equal';
  slopes.sort((a, b) => a - b);
  return round9(slopes[Math.floor(slopes.length / 2)] as number);
}

/** C7 step 4, on the claimed D_hat. */
export function classifyRegime(dHat: number, cohStar: number): 'sticky' | 'mixed' | 'non_sticky' {
  if (cohStar >= 0.7 && dHat <= 1.5) return 'sticky';
  return dHat >= 2.6 ? 'non_sticky' : 'mixed';
}

/** C7 step 5, on the claimed D_hat: base 0.10, alpha 0.30, beta 0.50 above 2.2, gamma 0.20. */
export function expectedBudget(dHat: number, cohStar: number, r: number): number {
  const excess = dHat > 2.2 ? dHat - 2.2 : 0;
  const budget = 0.1 + 0.3 * (1 - r) + 0.5 * excess + 0.2 * cohStar;
  if (budget < 0) return 0;
  return budget < 1 ? round9(budget) : 1;
}

function distance(a: number, b: number): number {
  return a > b ? a - b : b - a;
}
