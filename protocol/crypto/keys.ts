// Screens Ed25519 public keys at registration, by arithmetic of its own (BigInt, about a millisecond a key).
// Called when genesis or a registry entry names a key; never per submission.
// Must never accept a key under which two verifiers, or two kinds of verification, could differ.

export type PublicKeyFault = 'length' | 'non-canonical' | 'small-order' | 'not-on-curve' | 'mixed-order';

/** Field prime 2^255 − 19, group order L and curve constant d of RFC 8032 section 5.1. */
const P = (1n << 255n) - 19n;
const L = (1n << 252n) + 27742317777372353535851937790883648493n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
const SQRT_MINUS_1 = 19681161376707505956807079304988542015446066515923890162744021073123829784752n;

/** Extended coordinates (RFC 8032 section 5.1.4): x = X/Z, y = Y/Z, x·y = T/Z. */
interface Point {
  readonly X: bigint;
  readonly Y: bigint;
  readonly Z: bigint;
  readonly T: bigint;
}

/**
 * Null when the key is the canonical encoding of a point of order exactly L (an honest key always is); else the first
 * fault: not 32 bytes; y ≥ p or a sign bit on x = 0; no such point; order 1, 2, 4 or 8; order 2L, 4L or 8L.
 */
export function checkPublicKey(bytes: Uint8Array): PublicKeyFault | null {
  if (bytes.length !== 32) return 'length';
  let encoded = 0n;
  for (let i = 31; i >= 0; i -= 1) encoded = (encoded << 8n) | BigInt(bytes[i] as number);
  const sign = encoded >> 255n;
  const y = encoded & ((1n << 255n) - 1n);
  if (y >= P) return 'non-canonical';
  const x = recoverX(y, sign);
  if (x === null) return 'not-on-curve';
  if (x === 0n && sign === 1n) return 'non-canonical';
  const point = { X: x, Y: y, Z: 1n, T: mod(x * y) };
  if (isIdentity(double(double(double(point))))) return 'small-order';
  return isIdentity(multiply(L, point)) ? null : 'mixed-order';
}

/** x with the given lowest bit from x² = (y² − 1)/(dy² + 1), or null (RFC 8032 section 5.1.3). */
function recoverX(y: bigint, sign: bigint): bigint | null {
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  const v3 = mod(v * v * v);
  let x = mod(u * v3 * power(mod(u * v3 * v3 * v), (P - 5n) / 8n));
  const check = mod(v * x * x);
  if (check === mod(-u)) x = mod(x * SQRT_MINUS_1);
  else if (check !== u) return null;
  return (x & 1n) === sign || x === 0n ? x : P - x;
}

function mod(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let rest = exponent, square = base; rest > 0n; rest >>= 1n, square = mod(square * square)) {
    if ((rest & 1n) === 1n) result = mod(result * square);
  }
  return result;
}

function add(p: Point, q: Point): Point {
  const a = mod((p.Y - p.X) * (q.Y - q.X));
  const b = mod((p.Y + p.X) * (q.Y + q.X));
  const c = mod(2n * p.T * D * q.T);
  const d = mod(2n * p.Z * q.Z);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return { X: mod(e * f), Y: mod(g * h), Z: mod(f * g), T: mod(e * h) };
}

function double(p: Point): Point {
  const a = mod(p.X * p.X);
  const b = mod(p.Y * p.Y);
  const h = a + b;
  const e = h - mod((p.X + p.Y) * (p.X + p.Y));
  const g = a - b;
  const f = mod(2n * p.Z * p.Z) + g;
  return { X: mod(e * f), Y: mod(g * h), Z: mod(f * g), T: mod(e * h) };
}

function multiply(scalar: bigint, point: Point): Point {
  let result: Point = { X: 0n, Y: 1n, Z: 1n, T: 0n };
  for (let rest = scalar, power = point; rest > 0n; rest >>= 1n, power = double(power)) {
    if ((rest & 1n) === 1n) result = add(result, power);
  }
  return result;
}

function isIdentity(p: Point): boolean {
  return p.X === 0n && p.Y === p.Z;
}
