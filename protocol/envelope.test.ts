// The envelope: every rule of its shape, its signed bytes, its time, and what preparing it yields.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { canonicalize } from './canonical.js';
import { loadEd25519 } from './crypto/ed25519.js';
import { sha256Hex } from './crypto/hash.js';
import { hmacSha256 } from './crypto/hmac.js';
import {
  decodeSignature,
  type Envelope,
  envelopeSignedBytes,
  parseEnvelope,
  parseTime,
  SignatureFormatError,
} from './envelope.js';
import { JsonError, type JsonObject, type JsonValue } from './json.js';
import { ShapeError } from './kinds/kind.js';
import { prepareEnvelope, signatureInput } from './submission.js';

const ed25519 = await loadEd25519();
const keys = ed25519.keyPair(Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'));

const base: Envelope = {
  kind: 'note',
  id: 'order-17',
  issuer: 'dev',
  issued_at: '2026-11-20T12:00:00Z',
  payload: { text: 'hi' },
  alg: 'ed25519',
  sig: Buffer.alloc(64, 1).toString('base64'),
};

test('the example of the interface is read as it is', (t) => {
  t.deepEqual(parseEnvelope(base), base);
});

/** member | value (undefined = left out) | what the answer says is allowed */
const SHAPES: readonly (readonly [member: string, value: JsonValue | undefined, allowed: RegExp])[] = [
  ['kind', undefined, /a lowercase letter/],
  ['kind', 'Note', /a lowercase letter/],
  ['kind', '1note', /a lowercase letter/],
  ['kind', `k${'x'.repeat(32)}`, /up to 31/],
  ['kind', 'note\n', /a lowercase letter/],
  ['kind', ['note'], /a lowercase letter/],
  ['id', '', /1 to 128/],
  ['id', 'a'.repeat(129), /1 to 128/],
  ['id', 'a b', /1 to 128/],
  ['id', 'é', /1 to 128/],
  ['id', 17, /1 to 128/],
  ['issuer', undefined, /1 to 128/],
  ['issuer', '', /1 to 128/],
  ['issuer', 'a/b', /1 to 128/],
  ['issuer', 'a'.repeat(129), /1 to 128/],
  ['issued_at', '2026-11-20T12:00:00+00:00', /RFC 3339 UTC/],
  ['issued_at', '2026-11-20 12:00:00Z', /RFC 3339 UTC/],
  ['issued_at', '2026-11-20t12:00:00z', /RFC 3339 UTC/],
  ['issued_at', '2026-02-29T12:00:00Z', /RFC 3339 UTC/],
  ['issued_at', '2026-13-01T12:00:00Z', /RFC 3339 UTC/],
  ['issued_at', '2026-11-20T24:00:00Z', /RFC 3339 UTC/],
  ['issued_at', '2026-11-20T12:00:60Z', /RFC 3339 UTC/],
  ['issued_at', '2026-11-20T12:00:00.Z', /RFC 3339 UTC/],
  ['issued_at', '2026-11-20T12:00:00.0123456789Z', /RFC 3339 UTC/],
  ['issued_at', '2026-11-20T12:00Z', /RFC 3339 UTC/],
  ['issued_at', 1763640000, /RFC 3339 UTC/],
  ['payload', undefined, /an object/],
  ['payload', null, /an object/],
  ['payload', [], /an object/],
  ['payload', 'text', /an object/],
  ['alg', 'none', /ed25519/],
  ['alg', 'Ed25519', /ed25519/],
  ['alg', null, /ed25519/],
  ['sig', undefined, /base64/],
  ['sig', null, /base64/],
  ['nonce', 1, /only kind, id/],
  ['__proto__', 1, /only kind, id/],
];

for (const [member, value, allowed] of SHAPES) {
  test(`IN-3: refused with the pointer /${member}: ${JSON.stringify(value)?.slice(0, 50) ?? 'left out'}`, (t) => {
    const copy = Object.fromEntries(Object.entries(base).filter(([name]) => name !== member)) as JsonObject;
    if (value !== undefined) Object.defineProperty(copy, member, { value, enumerable: true });
    const error = t.throws(() => parseEnvelope(copy), { instanceOf: ShapeError });
    t.is(error?.errors.length, 1);
    t.is(error?.errors[0]?.pointer, `/${member}`);
    t.regex(error?.errors[0]?.allowed ?? '', allowed);
    t.is(error?.status, 400);
  });
}

test('IN-3: all faults are told at once; what is no object is told as such', (t) => {
  const error = t.throws(() => parseEnvelope({ kind: 1, extra: true }), { instanceOf: ShapeError });
  t.deepEqual(
    error?.errors.map(({ pointer }) => pointer),
    ['/kind', '/id', '/issuer', '/issued_at', '/payload', '/alg', '/sig', '/extra'],
  );
  for (const value of [null, [], 'x', 1, true])
    t.throws(() => parseEnvelope(value), { instanceOf: ShapeError, message: /envelope object/ });
});

/** What base64 says, and why it is refused. 64 zero bytes are 85 A's, an A with four unused bits, and two pads. */
const ZEROS = `${'A'.repeat(86)}==`;
const SIGNATURES: readonly (readonly [sig: string, why: string])[] = [
  ['', 'empty'],
  [ZEROS.slice(0, -1), 'one pad short'],
  [ZEROS.slice(0, -2), 'no padding'],
  [`${ZEROS}=`, 'too much padding'],
  [`${'A'.repeat(85)}B==`, 'unused bits set'],
  [`${ZEROS}\n`, 'newline'],
  [` ${ZEROS}`, 'blank'],
  [ZEROS.replace('A', '-'), 'base64url'],
  [ZEROS.replace('A', '\u0100'), 'beyond ASCII'],
  [Buffer.alloc(32).toString('base64'), '32 bytes under ed25519'],
  [Buffer.alloc(65).toString('base64'), '65 bytes'],
];

for (const [sig, why] of SIGNATURES) {
  test(`ID-3: a signature that is none (${why}) is refused with 401`, (t) => {
    const error = t.throws(() => parseEnvelope({ ...base, sig }), { instanceOf: SignatureFormatError });
    t.is(error?.status, 401);
  });
}

test('ID-3: one signature has one base64 text', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 64, maxLength: 64 }),
      fc.nat(87),
      fc.constantFrom(...'Aa0+/=-_\n'),
      (bytes, at, char) => {
        const sig = Buffer.from(bytes).toString('base64');
        t.deepEqual(decodeSignature(sig, 64), Buffer.from(bytes));
        const other = sig.slice(0, at) + char + sig.slice(at + 1);
        fc.pre(other !== sig);
        try {
          t.notDeepEqual(decodeSignature(other, 64), Buffer.from(bytes));
        } catch (error) {
          t.true(error instanceof SignatureFormatError);
        }
      },
    ),
  );
});

test('signed bytes are the prefix and the canonical envelope without sig', (t) => {
  const id = fc.string({ unit: fc.constantFrom(...'abcXYZ019._:-'), minLength: 1, maxLength: 128 });
  const payload = fc.dictionary(
    fc.string({ unit: 'grapheme' }),
    fc.jsonValue({ noUnicodeString: false }),
  ) as fc.Arbitrary<JsonObject>;
  fc.assert(
    fc.property(
      id,
      id,
      payload,
      fc.constantFrom('ed25519' as const, 'hmac-sha256' as const),
      (name, issuer, content, alg) => {
        const { sig: _, ...unsigned } = { ...base, id: name, issuer, payload: content, alg };
        t.is(envelopeSignedBytes(unsigned).toString(), `quorate/envelope/1\n${canonicalize(unsigned)}`);
      },
    ),
  );
});

test('the signed bytes of the example, byte for byte', (t) => {
  const text =
    'quorate/envelope/1\n{"alg":"ed25519","id":"order-17","issued_at":"2026-11-20T12:00:00Z","issuer":"dev","kind":"note","payload":{"text":"hi"}}';
  t.is(envelopeSignedBytes(base).toString(), text);
  t.is(sha256Hex(text), 'e04e625d76cfa2f0b3e700d2d4e21ad8ebb22649c957c033e15a2173cccebb2a');
});

test('times: as Date reads them, finer digits cut, years before 100 too', (t) => {
  const oneDay = 86_400_000;
  fc.assert(
    fc.property(fc.integer({ min: -719_528, max: 2_932_896 }), fc.nat(oneDay - 1), (day, ms) => {
      const time = new Date(day * oneDay + ms).toISOString();
      t.is(parseTime(time), day * oneDay + ms);
    }),
    { numRuns: 2000 },
  );
  t.is(parseTime('1970-01-01T00:00:00Z'), 0);
  t.is(parseTime('1970-01-01T00:00:00.5Z'), 500);
  t.is(parseTime('1970-01-01T00:00:01.999999999Z'), 1999);
  t.is(parseTime('2000-02-29T00:00:00Z'), Date.UTC(2000, 1, 29));
  t.is(parseTime('1900-02-29T00:00:00Z'), null);
  t.is(parseTime('2026-04-31T00:00:00Z'), null);
  t.is(parseTime('2026-00-10T00:00:00Z'), null);
  t.is(parseTime('soon'), null);
});

test('IN-3: a prepared envelope verifies, its digest is over the signed bytes and its body over the raw bytes', (t) => {
  const { sig: _, ...unsigned } = { ...base, issued_at: '2026-11-20T12:00:00.250Z' };
  const sig = Buffer.from(ed25519.sign(envelopeSignedBytes(unsigned), keys.secretKey)).toString('base64');
  const raw = Buffer.from(` ${JSON.stringify({ sig, ...unsigned }, null, 2)}\n`);
  const prepared = prepareEnvelope(raw);
  t.like(prepared, {
    kind: 'note',
    issuer: 'dev',
    id: 'order-17',
    alg: 'ed25519',
    issuedAtMs: Date.UTC(2026, 10, 20, 12) + 250,
  });
  t.deepEqual(prepared.payload, { text: 'hi' });
  t.is(prepared.body.toString('hex'), sha256Hex(raw));
  t.is(prepared.digest.toString('hex'), sha256Hex(prepared.signedBytes));
  t.is(signatureInput(prepared, 'ed25519'), prepared.signedBytes);
  t.true(ed25519.verify(prepared.signature, signatureInput(prepared, 'ed25519'), keys.publicKey));

  const again = prepareEnvelope(Buffer.from(JSON.stringify({ ...unsigned, sig })));
  t.deepEqual(again.digest, prepared.digest, 'white space and order are not signed');
  t.notDeepEqual(again.body, prepared.body, 'but they are the body');
});

test('IN-3: HMAC envelopes carry 32 bytes over the same signed bytes', (t) => {
  const { sig: _, ...unsigned } = { ...base, alg: 'hmac-sha256' as const };
  const mac = hmacSha256(Buffer.from('secret'), envelopeSignedBytes(unsigned));
  const prepared = prepareEnvelope(Buffer.from(JSON.stringify({ ...unsigned, sig: mac.toString('base64') })));
  t.deepEqual(prepared.signature, mac);
  t.is(signatureInput(prepared, 'hmac-sha256', 'digest'), prepared.signedBytes, 'the digest form is for PCS only');
  t.throws(() => prepareEnvelope(Buffer.from(JSON.stringify({ ...unsigned, sig: base.sig }))), {
    instanceOf: SignatureFormatError,
  });
});

test('any bytes: an envelope or one of the three errors', (t) => {
  const nearly = fc
    .tuple(fc.constantFrom(...Object.keys(base)), fc.jsonValue())
    .map(([member, value]) => Buffer.from(JSON.stringify({ ...base, [member]: value })));
  fc.assert(
    fc.property(fc.oneof(nearly, fc.uint8Array()), (bytes) => {
      try {
        t.is(prepareEnvelope(bytes).digest.length, 32);
      } catch (error) {
        t.true(
          error instanceof JsonError || error instanceof ShapeError || error instanceof SignatureFormatError,
          String(error),
        );
      }
    }),
  );
});
