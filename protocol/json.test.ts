// Strict JSON: what is refused and how it is told, and that the fast reading and the slow one never disagree.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { JsonError, type JsonErrorCode, type JsonValue, MAX_DEPTH, parseStrict } from './json.js';
import { diagnose } from './json-diagnose.js';

const read = (text: string) => parseStrict(Buffer.from(text));

/** text | code | line:column | pointer | found */
const REFUSED: readonly (readonly [
  text: string | Uint8Array,
  code: JsonErrorCode,
  at: string,
  pointer: string | undefined,
  found: RegExp,
])[] = [
  ['', 'syntax', '1:1', '', /the end of the text/],
  ['  \n ', 'syntax', '2:2', '', /the end of the text/],
  ['{', 'syntax', '1:2', '', /the end of the text/],
  ['[1,]', 'syntax', '1:4', '/1', /^\]$/],
  ['{"a":1,}', 'syntax', '1:8', '', /^}$/],
  ['{a:1}', 'syntax', '1:2', '', /^a$/],
  ['{"a" 1}', 'syntax', '1:6', '/a', /^1$/],
  ['{"a":1 "b":2}', 'syntax', '1:8', '', /^"$/],
  ["{'a':1}", 'syntax', '1:2', '', /^'$/],
  ['[1 2]', 'syntax', '1:4', '', /^2$/],
  ['1 2', 'syntax', '1:3', '', /^2$/],
  ['{"a":\n  tru}', 'syntax', '2:3', '/a', /^t$/],
  ['NaN', 'syntax', '1:1', '', /^N$/],
  ['-', 'syntax', '1:1', '', /^-$/],
  ['01', 'syntax', '1:2', '', /^1$/],
  ['1.', 'syntax', '1:2', '', /^\.$/],
  ['+1', 'syntax', '1:1', '', /^\+$/],
  ['.5', 'syntax', '1:1', '', /^\.$/],
  ['"a', 'syntax', '1:1', '', /without its closing quote/],
  ['"a\tb"', 'syntax', '1:3', '', /^U\+0009$/],
  ['"\\x41"', 'syntax', '1:2', '', /unknown escape/],
  ['"\\u12g4"', 'syntax', '1:2', '', /unknown escape/],
  ['/* */ 1', 'syntax', '1:1', '', /^\/$/],
  ['\ufeff{}', 'syntax', '1:1', '', /byte order mark/],
  ['[\u00a01]', 'syntax', '1:2', '/0', /^U\+00A0$/],
  ['{"a":{"b":1,"b":1}}', 'duplicate-name', '1:13', '/a/b', /second member "b"/],
  ['{"a":1,"\\u0061":2}', 'duplicate-name', '1:8', '/a', /second member "a"/],
  ['{"__proto__":1,"__proto__":2}', 'duplicate-name', '1:16', '/__proto__', /second member/],
  ['[{"":{"x":[]},"":0}]', 'duplicate-name', '1:15', '/0/', /second member ""/],
  ['{"a/b~c":1,"a/b~c":1}', 'duplicate-name', '1:12', '/a~1b~0c', /second member/],
  ['{"a":[1,9007199254740992]}', 'integer-range', '1:9', '/a/1', /9007199254740992/],
  ['-9007199254740992', 'integer-range', '1:1', '', /-9007199254740992/],
  [`1${'0'.repeat(400)}`, 'number-range', '1:1', '', /the number/],
  ['[1e400]', 'number-range', '1:2', '/0', /1e400/],
  ['-1e309', 'number-range', '1:1', '', /-1e309/],
  [`${'9'.repeat(310)}.5`, 'number-range', '1:1', '', /the number/],
  ['"\\ud800"', 'surrogate', '1:1', '', /a string with a lone surrogate/],
  ['["\\ude00\\ud83d"]', 'surrogate', '1:2', '/0', /lone surrogate/],
  ['{"\\uD83D":1}', 'surrogate', '1:2', '', /a member name with a lone surrogate/],
  ['['.repeat(65) + ']'.repeat(65), 'depth', '1:65', '/0'.repeat(64), /deeper than 64/],
  [`${'{"a":'.repeat(65)}0${'}'.repeat(65)}`, 'depth', '1:321', '/a'.repeat(64), /deeper than 64/],
  ['['.repeat(100_000), 'depth', '1:65', '/0'.repeat(64), /deeper than 64/],
  [Uint8Array.of(0x22, 0xff, 0x22), 'encoding', '1:2', undefined, /byte 0xff/],
  [Uint8Array.of(0x5b, 0x0a, 0x22, 0xc3, 0xa9, 0xc0, 0xaf, 0x22, 0x5d), 'encoding', '2:3', undefined, /byte 0xc0/],
  [Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), 'encoding', '1:2', undefined, /not UTF-8/],
  [Uint8Array.of(0x22, 0xe2, 0x82), 'encoding', '1:2', undefined, /not UTF-8|cut/],
];

for (const [input, code, at, pointer, found] of REFUSED) {
  const title = typeof input === 'string' ? JSON.stringify(input.slice(0, 40)) : Buffer.from(input).toString('hex');
  test(`refused as ${code} at ${at}: ${title} (${Buffer.byteLength(input)} bytes)`, (t) => {
    const error = t.throws(() => parseStrict(Buffer.from(input)), { instanceOf: JsonError });
    t.is(error?.code, code);
    t.is(`${error?.line}:${error?.column}`, at);
    t.is(error?.pointer, pointer);
    t.regex(error?.found ?? '', found);
    t.true((error?.allowed ?? '').length > 0);
    t.is(error?.status, 400);
    t.true((error?.message ?? '').length < 500, 'foreign text is cut');
  });
}

test('accepted at the edges', (t) => {
  t.deepEqual(
    read('[9007199254740991,-9007199254740991,-0,1e308,9007199254740993.0,1E+2,0.5e-400]'),
    [9007199254740991, -9007199254740991, -0, 1e308, 9007199254740992, 100, 0],
  );
  t.deepEqual(read(' {"a:b":":","c":"{[,]}","d\\"":"\\\\","e":"\\\\\\""} '), {
    'a:b': ':',
    c: '{[,]}',
    'd"': '\\',
    e: '\\"',
  });
  t.is(read('"\\ud83d\\ude00 \\\\ud800 \u{1f600}"'), '\u{1f600} \\ud800 \u{1f600}');
  t.is(read('"\ufffd"'), '\ufffd');
  t.deepEqual(read('['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH)), JSON.parse('['.repeat(64) + ']'.repeat(64)));
  t.is(read('null'), null);
  const object = read('{"__proto__":{"x":1},"constructor":2}') as Record<string, unknown>;
  t.true(Object.hasOwn(object, '__proto__'));
  t.is(Object.getPrototypeOf(object), Object.prototype);
});

test('wide integers: rounded where asked for, every other rule kept', (t) => {
  const wide = (text: string) => parseStrict(Buffer.from(text), { wideIntegers: true });
  t.is(wide('9223372036854775807'), 2 ** 63);
  t.throws(() => wide('{"seed":9223372036854775807,"seed":1}'), {
    instanceOf: JsonError,
    message: /second member "seed"/,
  });
  t.throws(() => wide('1e999'), { instanceOf: JsonError });
});

test('a view into a larger buffer is read within its bounds', (t) => {
  const bytes = Buffer.from('xx{"a":1}xx');
  t.deepEqual(parseStrict(new Uint8Array(bytes.buffer, bytes.byteOffset + 2, 7)), { a: 1 });
});

const jsonText = fc.json({ maxDepth: 4, noUnicodeString: false });

test('whatever JSON.stringify writes is read back equal', (t) => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 5, noUnicodeString: false }),
      fc.constantFrom(undefined, 2, '\t'),
      (value, space) => {
        const text = JSON.stringify(value, null, space);
        // Random doubles of integral value beyond 2^53 print as integers, which are refused on purpose.
        const tokens = text.match(/-?\d{16,}(?![\d.]|e)/g) ?? [];
        fc.pre(tokens.every((token) => Number.isSafeInteger(Number(token))));
        t.deepEqual(read(text), JSON.parse(text) as JsonValue);
      },
    ),
    { numRuns: 500 },
  );
});

/** JSON text with a few edits made of JSON's own characters: half of it stays readable. */
const edited = fc
  .tuple(
    jsonText,
    fc.array(
      fc.tuple(fc.nat(), fc.constantFrom(...'{}[]",:\\u0d8e-+.19 \n\x07é\u{1f600}', '"a":', '\\ud800', '1e999')),
      { maxLength: 4 },
    ),
  )
  .map(([text, edits]) =>
    edits.reduce((now, [place, insert]) => {
      const at = place % (now.length + 1);
      return now.slice(0, at) + insert + now.slice(at + (place % 3));
    }, text),
  );

test('the fast reading refuses exactly what the slow one refuses', (t) => {
  let refused = 0;
  fc.assert(
    fc.property(edited, fc.boolean(), (draft, wideIntegers) => {
      const text = Buffer.from(draft).toString();
      const slow = diagnose(text, MAX_DEPTH, wideIntegers);
      let fast: JsonError | null = null;
      try {
        const value = parseStrict(Buffer.from(text), { wideIntegers });
        t.deepEqual(value, JSON.parse(text) as JsonValue);
      } catch (error) {
        if (!(error instanceof JsonError)) throw error;
        fast = error;
        refused += 1;
      }
      t.is(fast?.code, slow?.code);
      t.is(fast?.column, slow?.column);
    }),
    { numRuns: 5000 },
  );
  t.true(refused > 500 && refused < 4900, `${refused} of 5000 refused`);
});

test('a duplicate of any member anywhere is found, under its pointer', (t) => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 3 }),
      fc.string({ unit: 'grapheme' }),
      fc.jsonValue({ maxDepth: 2 }),
      (value, name, other) => {
        const key = JSON.stringify(name);
        const text = `[{"first":0,${key}:${JSON.stringify(value)},"last":[{}],${key}:${JSON.stringify(other)}}]`;
        fc.pre(name !== 'first' && name !== 'last' && !/\d{16}/.test(text));
        const error = t.throws(() => read(text), { instanceOf: JsonError });
        t.is(error?.code, 'duplicate-name');
        t.is(error?.pointer, `/0/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
      },
    ),
  );
});

test('any bytes at all: a value or a JsonError', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        parseStrict(bytes);
        t.notThrows(() => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
      } catch (error) {
        t.true(error instanceof JsonError);
      }
    }),
    { numRuns: 2000 },
  );
});
