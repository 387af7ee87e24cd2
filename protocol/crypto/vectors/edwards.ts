// Edwards25519 in BigInt, slow and plain: makes crooked keys and signatures, and judges them by the written rule.
// Used by tests only; other formulas (projective, unified) than keys.ts, so that each checks the other.
// Must never be imported by anything that runs: not constant-time, not fast.
import { createHash } from 'node:crypto';

export const P = (1n << 255n) - 19n;
export const L = (1n << 252n) + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n));

/** Projective: x = X/Z, y = Y/Z. */
export interface Point {
  readonly X: bigint;
  readonly Y: bigint;
  readonly Z: bigint;
}

export const IDENTITY: Point = { X: 0n, Y: 1n, Z: 1n };
/** y = 4/5, x even. */
export const BASE: Point = pointOf(mod(4n * inverse(5n)), 0n) as Point;

export function mod(value: bigint, modulus: bigint = P): bigint {
  return ((value % modulus) + modulus) % modulus;
}

function power(base: bigint, exponent: bigint): bigint {
  if (exponent === 0n) return 1n;
  const half = power(mod(base * base), exponent >> 1n);
  return (exponent & 1n) === 1n ? mod(half * base) : half;
}

function inverse(value: bigint): bigint {
  return power(mod(value), P - 2n);
}

/** The point with this y and this lowest bit of x, or null; x = 0 ignores the bit. */
export function pointOf(y: bigint, sign: bigint): Point | null {
  const square = mod((y * y - 1n) * inverse(D * y * y + 1n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x) !== square) x = mod(x * power(2n, (P - 1n) / 4n));
  if (mod(x * x) !== square) return null;
  if (x !== 0n && (x & 1n) !== sign) x = P - x;
  return { X: x, Y: mod(y), Z: 1n };
}

/** Unified addition in projective coordinates for −x² + y² = 1 + dx²y² (Bernstein, Birkner, Joye, Lange, Peters 2008). */
export function add(p: Point, q: Point): Point {
  const a = mod(p.Z * q.Z);
  const b = mod(a * a);
  const c = mod(p.X * q.X);
  const d = mod(p.Y * q.Y);
  const e = mod(D * c * d);
  const f = mod(b - e);
  const g = mod(b + e);
  return { X: mod(a * f * ((p.X + p.Y) * (q.X + q.Y) - c - d)), Y: mod(a * g * (d + c)), Z: mod(f * g) };
}

export function multiply(scalar: bigint, point: Point): Point {
  let result = IDENTITY;
  for (const bit of scalar.toString(2)) {
    result = add(result, result);
    if (bit === '1') result = add(result, point);
  }
  return result;
}

export function negate(p: Point): Point {
  return { X: mod(-p.X), Y: p.Y, Z: p.Z };
}

export function equal(p: Point, q: Point): boolean {
  return mod(p.X * q.Z - q.X * p.Z) === 0n && mod(p.Y * q.Z - q.Y * p.Z) === 0n;
}

/** 32 bytes, little-endian; accepts numbers up to 2^256 − 1 for encodings that are not canonical. */
export function littleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

export function fromLittleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

export function encode(p: Point): Uint8Array {
  const z = inverse(p.Z);
  return littleEndian(mod(p.Y * z) | ((mod(p.X * z) & 1n) << 255n));
}

/** Eight points: the subgroup of order 8, as multiples 0…7 of one generator. */
export const TORSION: readonly Point[] = torsion();

function torsion(): Point[] {
  for (let y = 2n; ; y += 1n) {
    const point = pointOf(y, 0n);
    if (point === null) continue;
    const candidate = multiply(L, point);
    if (equal(multiply(4n, candidate), IDENTITY)) continue;
    return Array.from({ length: 8 }, (_, i) => multiply(BigInt(i), candidate));
  }
}

/** All 14 byte strings that decode to a point of order 1, 2, 4 or 8, the 8 canonical ones first. */
export const SMALL_ORDER_ENCODINGS: readonly Uint8Array[] = smallOrderEncodings();

function smallOrderEncodings(): Uint8Array[] {
  const canonical = TORSION.map(encode);
  const sign = 1n << 255n;
  // A sign bit on x = 0 (y = 1, y = −1), and y = 0, y = 1 written as p and p + 1.
  const crooked = [1n | sign, (P - 1n) | sign, P, P | sign, P + 1n, (P + 1n) | sign];
  return [...canonical, ...crooked.map(littleEndian)];
}

export function challenge(r: Uint8Array, a: Uint8Array, message: Uint8Array): bigint {
  const digest = createHash('sha512').update(r).update(a).update(message).digest();
  return mod(digest.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n), L);
}

/** The acceptance rule in the comment of ed25519.ts, numbers as there, by this file's arithmetic. */
export function acceptsByRule(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== 64 || publicKey.length !== 32) return false; // 1
  const r = signature.subarray(0, 32);
  const s = fromLittleEndian(signature.subarray(32));
  if (s >= L) return false; // 2
  const a = fromLittleEndian(publicKey);
  const y = a & (sign255 - 1n);
  if (y >= P) return false; // 3
  const point = pointOf(y, a >> 255n);
  if (point === null || isSmallOrderEncoding(publicKey)) return false; // 3
  if (isSmallOrderEncoding(r)) return false; // 4
  const h = challenge(r, publicKey, message);
  const expected = encode(add(multiply(s, BASE), negate(multiply(h, point))));
  return expected.every((byte, i) => byte === r[i]); // 5
}

const sign255 = 1n << 255n;

function isSmallOrderEncoding(bytes: Uint8Array): boolean {
  return SMALL_ORDER_ENCODINGS.some((encoding) => encoding.every((byte, i) => byte === bytes[i]));
}

/** A signature whose key and nonce carry torsion: A = a·B + T_i, R = r·B + T_j, S = r + h·a + lift·L. */
export function crookedSignature(options: {
  readonly secret: bigint;
  readonly nonce: bigint;
  readonly keyTorsion: number;
  readonly nonceTorsion: number;
  readonly lift?: bigint;
  readonly message: Uint8Array;
}): { publicKey: Uint8Array; signature: Uint8Array } {
  const { secret, nonce, keyTorsion, nonceTorsion, lift = 0n, message } = options;
  const publicKey = encode(add(multiply(secret, BASE), TORSION[keyTorsion] as Point));
  const r = encode(add(multiply(nonce, BASE), TORSION[nonceTorsion] as Point));
  const s = mod(nonce + challenge(r, publicKey, message) * secret, L) + lift * L;
  return { publicKey, signature: Uint8Array.from([...r, ...littleEndian(s)]) };
}
