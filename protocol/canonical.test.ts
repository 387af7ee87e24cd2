// RFC 8785: its own examples, and agreement with an independent implementation on random values.
import { Buffer } from 'node:buffer';
import test from 'ava';
import reference from 'canonicalize';
import fc from 'fast-check';
import { canonicalize } from './canonical.js';
import { type JsonValue, parseStrict } from './json.js';

test('RFC 8785 section 3.2.2 and 3.2.3: literals, numbers, strings', (t) => {
  const text = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
    "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
  t.is(
    canonicalize(parseStrict(Buffer.from(text))),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
});

test('RFC 8785 section 3.2.3: names are sorted by UTF-16 code units', (t) => {
  const names = ['\u20ac', '\r', '\ufb33', '1', '\u{1f600}', '\u0080', '\u00f6'];
  const sorted = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\u{1f600}', '\ufb33'];
  const text = canonicalize(Object.fromEntries(names.map((name) => [name, name.length])));
  t.deepEqual(
    Object.keys(JSON.parse(text)).filter((name) => name !== '1'),
    sorted.filter((name) => name !== '1'),
  );
  t.is(text, `{${sorted.map((name) => `${JSON.stringify(name)}:${name.length}`).join(',')}}`);
});

/** IEEE 754 bits in hex | text, from RFC 8785 appendix B. */
const NUMBERS = [
  ['0000000000000000', '0'],
  ['8000000000000000', '0'],
  ['0000000000000001', '5e-324'],
  ['8000000000000001', '-5e-324'],
  ['7fefffffffffffff', '1.7976931348623157e+308'],
  ['ffefffffffffffff', '-1.7976931348623157e+308'],
  ['4340000000000000', '9007199254740992'],
  ['c340000000000000', '-9007199254740992'],
  ['4430000000000000', '295147905179352830000'],
  ['44b52d02c7e14af5', '9.999999999999997e+22'],
  ['44b52d02c7e14af6', '1e+23'],
  ['44b52d02c7e14af7', '1.0000000000000001e+23'],
  ['444b1ae4d6e2ef4e', '999999999999999700000'],
  ['444b1ae4d6e2ef4f', '999999999999999900000'],
  ['444b1ae4d6e2ef50', '1e+21'],
  ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
  ['3eb0c6f7a0b5ed8d', '0.000001'],
  ['41b3de4355555553', '333333333.3333332'],
  ['41b3de4355555554', '333333333.33333325'],
  ['41b3de4355555555', '333333333.3333333'],
  ['41b3de4355555556', '333333333.3333334'],
  ['41b3de4355555557', '333333333.33333343'],
  ['becbf647612f3696', '-0.0000033333333333333333'],
  ['43143ff3c1cb0959', '1424953923781206.2'],
] as const;

test('RFC 8785 appendix B: numbers', (t) => {
  for (const [bits, text] of NUMBERS) t.is(canonicalize(Buffer.from(bits, 'hex').readDoubleBE()), text, bits);
});

test('what has no canonical form throws instead of writing something else', (t) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    t.throws(() => canonicalize([value]), { instanceOf: TypeError, message: /no number/ });
  }
  for (const text of ['\ud800', 'a\udc00b', '\ude00\ud83d']) {
    t.throws(() => canonicalize(text), { instanceOf: TypeError, message: /lone surrogate/ });
    t.throws(() => canonicalize({ [text]: 1 }), { instanceOf: TypeError, message: /lone surrogate/ });
  }
  for (const value of [undefined, 1n, Symbol('x'), () => 1]) {
    t.throws(() => canonicalize({ a: value as unknown as JsonValue }), { instanceOf: TypeError, message: /has no/ });
  }
});

test('every control character is escaped as the RFC asks', (t) => {
  const short: Record<string, string> = { '\b': '\\b', '\t': '\\t', '\n': '\\n', '\f': '\\f', '\r': '\\r' };
  for (let code = 0; code < 0x20; code += 1) {
    const char = String.fromCharCode(code);
    t.is(canonicalize(char), `"${short[char] ?? `\\u${code.toString(16).padStart(4, '0')}`}"`);
  }
  t.is(canonicalize('\x7f\u2028/'), '"\x7f\u2028/"');
});

// Lone surrogates are left out here: ours refuses them, which the test above shows.
const values = fc.jsonValue({ maxDepth: 5, noUnicodeString: false }) as fc.Arbitrary<JsonValue>;

test('equal to the npm package canonicalize on random values', (t) => {
  fc.assert(
    fc.property(values, (value) => {
      t.is(canonicalize(value) as string | undefined, reference(value));
    }),
    { numRuns: 2000 },
  );
});

test('a value read back from its canonical text is the value, and prints the same', (t) => {
  fc.assert(
    fc.property(values, (value) => {
      const text = canonicalize(value);
      t.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      t.is(canonicalize(JSON.parse(text) as JsonValue), text);
    }),
  );
});
