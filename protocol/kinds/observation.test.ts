// Signed bytes of an observation byte for byte, the six decimals of every float, and what is no observation.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { loadEd25519 } from '../crypto/ed25519.js';
import { SignatureFormatError } from '../envelope.js';
import type { JsonObject } from '../json.js';
import { prepareEnvelope, prepareObservation } from '../submission.js';
import { ShapeError } from './kind.js';
import { fixed6, observation } from './observation.js';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
/** Secret key of RFC 8032, test 1. */
const SEED = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
const SIGNATURE =
  'f8f4ed45e4354eafbc18e40100a14ea5a781481ed0a55c6653c57a97d979395410cd4842f385ecb63d370d6dddc90432d9d5389df8fa99e73a45cf996c46fe0c';
const VECTOR: JsonObject = {
  node_id: 'node_d75a980182b10ab7',
  audit_id: 'audit_001',
  round_id: 'round_001',
  window_hours: 24,
  timestamp: '2025-11-12T12:00:00Z',
  forecast_hash: `sha256:${A}`,
  outcome_hash: `sha256:${B}`,
  tis_components: { prediction_accuracy: 0.85, ethical_alignment: 0.8, coherence_stability: 0.9 },
  tis_overall: 0.845,
  bias_flags: ['RecencyBias', 'StrainUnderestimation'],
  signature: [...Buffer.from(SIGNATURE, 'hex')],
};

const body = (changes: JsonObject = {}): Buffer =>
  Buffer.from(JSON.stringify({ observation: { ...VECTOR, ...changes } }));

test('IN-5: the signed bytes and the signature of the vector of FORMATS A1 hold byte for byte', async (t) => {
  const prepared = prepareObservation(body());
  const expected = `node_d75a980182b10ab7|audit_001|round_001|24|1762948800|sha256:${A}|sha256:${B}|0.845000|0.850000|0.800000|0.900000|RecencyBias,StrainUnderestimation`;
  t.is(prepared.signedBytes.toString(), expected);
  t.is(prepared.signedBytes.length, 269);
  const ed25519 = await loadEd25519();
  const { publicKey, secretKey } = ed25519.keyPair(SEED);
  t.is(Buffer.from(publicKey).toString('hex'), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  t.is(Buffer.from(ed25519.sign(prepared.signedBytes, secretKey)).toString('hex'), SIGNATURE);
  t.true(ed25519.verify(prepared.signature, prepared.signedBytes, publicKey));
  t.like(prepared, { kind: 'observation', issuer: 'node_d75a980182b10ab7', issuedAtMs: 1762948800000, alg: 'ed25519' });
  t.true(observation.check(prepared.payload).ok);
});

test('IN-5: no bias leaves the last part empty, their order is kept, and a fraction of a second is not signed', (t) => {
  const text = (changes: JsonObject) => prepareObservation(body(changes)).signedBytes.toString();
  t.true(text({ bias_flags: [] }).endsWith('|0.900000|'));
  t.true(text({ bias_flags: ['StrainUnderestimation', 'RecencyBias'] }).endsWith('|StrainUnderestimation,RecencyBias'));
  t.is(text({ timestamp: '2025-11-12T12:00:00.999999999Z' }), text({}));
});

test('IN-5: two bodies of one signed text are one submission, two texts of one audit are two', (t) => {
  const id = (changes: JsonObject) => prepareObservation(body(changes)).id;
  t.is(id({ tis_overall: 0.8450000001 }), id({}));
  t.not(id({ bias_flags: [] }), id({}));
  t.regex(id({}), /^observation\/[0-9a-f]{64}$/, 'no id of an envelope looks like it');
});

/** Six decimals of a double by exact integer arithmetic: x is a whole number of 2⁻¹⁰⁷⁴. */
function exact6(x: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const mantissa = exponent === 0 ? fraction : fraction | 0x10000000000000n;
  const scaled = 2n * mantissa * 1_000_000n;
  const shift = BigInt(1075 - Math.max(exponent, 1));
  const halves = scaled >> shift;
  const exact = halves << shift === scaled;
  let n = halves >> 1n;
  if ((halves & 1n) === 1n && (!exact || (n & 1n) === 1n)) n += 1n;
  const digits = String(n).padStart(7, '0');
  return `${(bits >> 63n) === 1n ? '-' : ''}${digits.slice(0, -6)}.${digits.slice(-6)}`;
}

test('IN-5: floats have six decimals of their exact binary value, ties to the even digit', (t) => {
  const ties: readonly (readonly [number, string])[] = [
    [1 / 128, '0.007812'],
    [3 / 128, '0.023438'],
    [5 / 128, '0.039062'],
    [127 / 128, '0.992188'],
    [0.5 + 1 / 128, '0.507812'],
    [1.0000005, '1.000000'],
    [2.5 / 1_000_000, '0.000002'],
    [-1 / 128, '-0.007812'],
    [0, '0.000000'],
    [-0, '-0.000000'],
    [1, '1.000000'],
    [-1e-9, '-0.000000'],
    [0.1 + 0.2, '0.300000'],
    [0.0000005, '0.000000'],
    [0.9999995, '1.000000'],
    [1e9, '1000000000.000000'],
  ];
  for (const [x, text] of ties) {
    t.is(exact6(x), fixed6(x), String(x));
    if (![2.5 / 1_000_000, 0.0000005, 0.9999995, 1.0000005].includes(x)) t.is(fixed6(x), text);
  }
  t.not((1 / 128).toFixed(6), fixed6(1 / 128), 'the language rounds this tie up');
  for (const x of [Number.NaN, Number.POSITIVE_INFINITY, 1e10]) t.throws(() => fixed6(x), { instanceOf: RangeError });
});

test('IN-5: the six decimals agree with exact integer arithmetic', (t) => {
  const unit = fc.double({ min: 0, max: 1, noNaN: true });
  const dyadic = fc.tuple(fc.integer({ min: -100_000, max: 100_000 }), fc.integer({ min: 0, max: 9 }));
  fc.assert(fc.property(unit, (x) => fixed6(x) === exact6(x)));
  fc.assert(fc.property(fc.double({ min: -1e9, max: 1e9, noNaN: true }), (x) => fixed6(x) === exact6(x)));
  fc.assert(fc.property(dyadic, ([n, bits]) => fixed6(n / (1 << bits)) === exact6(n / (1 << bits))));
  t.pass();
});

test('CO-4: a score that is not that of its components is refused; rounding to the signed decimals is not held against it', (t) => {
  const check = (tis_overall: number, components = {}) => {
    const tis_components = { ...(VECTOR.tis_components as JsonObject), ...components };
    return observation.check({ ...VECTOR, tis_overall, tis_components });
  };
  for (const wrong of [0.845002, 0.844998, 0, 1]) {
    const verdict = check(wrong);
    t.false(verdict.ok, String(wrong));
    if (!verdict.ok) {
      t.like(verdict.errors, [{ pointer: '/tis_overall', found: fixed6(wrong) }]);
      t.regex(verdict.errors[0]!.allowed, /^0\.845000, which is 0\.5 · prediction_accuracy/);
    }
  }
  const component = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(component, component, component, (p, e, c) => {
      const overall = Math.min(1, 0.5 * p + 0.3 * e + 0.2 * c);
      return check(overall, { prediction_accuracy: p, ethical_alignment: e, coherence_stability: c }).ok;
    }),
  );
});

test('IN-5: what makes a body no observation is named with its place (400)', (t) => {
  const fault = (bytes: Buffer) => t.throws(() => prepareObservation(bytes), { instanceOf: ShapeError })!.errors[0]!;
  const cases: readonly (readonly [JsonObject, string, RegExp])[] = [
    [{ audit_id: 'a|b' }, '/observation/audit_id', /"\|" or "," would make/],
    [{ round_id: 'a,b' }, '/observation/round_id', /1 to 128/],
    [{ node_id: '' }, '/observation/node_id', /1 to 128/],
    [{ window_hours: 1.5 }, '/observation/window_hours', /an integer from 0/],
    [{ window_hours: -1 }, '/observation/window_hours', /an integer from 0/],
    [{ timestamp: '2025-11-12 12:00' }, '/observation/timestamp', /RFC 3339/],
    [{ forecast_hash: `sha256:${A.toUpperCase()}` }, '/observation/forecast_hash', /lowercase hex/],
    [{ outcome_hash: B }, '/observation/outcome_hash', /"sha256:"/],
    [{ tis_overall: 1.01 }, '/observation/tis_overall', /from 0 to 1/],
    [{ tis_components: { prediction_accuracy: 1 } }, '/observation/tis_components/ethical_alignment', /from 0 to 1/],
    [{ tis_components: [] }, '/observation/tis_components', /an object with/],
    [{ bias_flags: ['Recency'] }, '/observation/bias_flags/0', /each once/],
    [{ bias_flags: ['RecencyBias', 'RecencyBias'] }, '/observation/bias_flags/1', /each once/],
    [{ bias_flags: null }, '/observation/bias_flags', /a list of/],
    [{ more: 1 }, '/observation/more', /only node_id/],
  ];
  for (const [changes, pointer, allowed] of cases) {
    const error = fault(body(changes));
    t.is(error.pointer, pointer);
    t.regex(error.allowed, allowed);
  }
  const bare = Buffer.from(JSON.stringify(VECTOR));
  t.like(fault(bare), { pointer: '', allowed: 'an object with the one member observation' });
  t.like(fault(Buffer.from('[]')), { pointer: '' });
});

test('IN-5: a signature that cannot be one is unauthenticated (401), not malformed', (t) => {
  const bytes = VECTOR.signature as number[];
  for (const signature of [null, SIGNATURE, bytes.slice(1), [...bytes.slice(1), 256], [...bytes.slice(1), 0.5]]) {
    const error = t.throws(() => prepareObservation(body({ signature })), { instanceOf: SignatureFormatError })!;
    t.regex(error.message, /^signature: found .*; allowed: a list of 64 numbers from 0 to 255$/);
  }
});

test('an envelope carries no observation, which has a signature of its own', (t) => {
  const envelope = {
    kind: 'observation',
    id: 'x',
    issuer: 'dev',
    issued_at: '2026-11-20T12:00:00Z',
    payload: VECTOR,
    alg: 'ed25519',
    sig: Buffer.alloc(64).toString('base64'),
  };
  const error = t.throws(() => prepareEnvelope(Buffer.from(JSON.stringify(envelope))), { instanceOf: ShapeError })!;
  t.like(error.errors, [{ pointer: '/kind' }]);
  t.regex(error.errors[0]!.allowed, /\/v1\/observations/);
});
