// Numbers of a PCS (proof-of-computation summary) as its Python agent writes them: rounded to 9 decimals, in repr style.
// Called for the signed bytes and the recomputed values of a PCS.
// Must never round by multiplying: x·1e9 moves ties; the shortest decimal string is what is rounded (FORMATS C3 rule a).

/** Above this every double is an integer. */
const INTEGRAL_FROM = 9007199254740992;

/** `x` rounded to 9 decimals, halves away from zero, on the shortest decimal string of `x` (Python Decimal of str). */
export function round9(x: number): number {
  const magnitude = x < 0 ? -x : x;
  if (magnitude >= INTEGRAL_FROM) return x;
  const text = plainDecimal(magnitude);
  const point = text.indexOf('.');
  if (point === -1 || text.length - point - 1 <= 9) return x;
  const kept = BigInt(text.slice(0, point) + text.slice(point + 1, point + 10));
  const up = text.charCodeAt(point + 10) >= 0x35;
  const digits = String(up ? kept + 1n : kept).padStart(10, '0');
  const rounded = Number(`${digits.slice(0, -9)}.${digits.slice(-9)}`);
  return x < 0 ? -rounded : rounded;
}

/** Shortest decimal string without an exponent, of 0 ≤ x < 2^53. */
function plainDecimal(x: number): string {
  const text = String(x);
  const e = text.indexOf('e');
  if (e === -1) return text;
  // ECMAScript turns to exponents below 1e-6 only, so the exponent is negative here.
  const digits = text.slice(0, e).replace('.', '');
  return `0.${'0'.repeat(-Number(text.slice(e + 1)) - 1)}${digits}`;
}

/** A float as Python's repr prints it: `1.0`, `0.35`, `1e-05`, `1e+16`; exponents below 1e-4 and from 1e16 on. */
export function pythonFloat(x: number): string {
  const magnitude = x < 0 ? -x : x;
  if (magnitude === 0) return Object.is(x, -0) ? '-0.0' : '0.0';
  if (magnitude < 1e-4 || magnitude >= 1e16) {
    const [mantissa, exponent] = x.toExponential().split('e') as [string, string];
    return `${mantissa}e${exponent.slice(0, 1)}${exponent.slice(1).padStart(2, '0')}`;
  }
  const text = String(x);
  return text.includes('.') ? text : `${text}.0`;
}

/** A string as Python's json.dumps writes it by default: everything but printable ASCII as lowercase \u escapes. */
export function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
