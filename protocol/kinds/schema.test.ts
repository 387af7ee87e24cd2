// Operator kinds: what a schema may say, what its payloads may be, and agreement with ajv on the subset; notes too.
import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import fc from 'fast-check';
import type { JsonObject, JsonValue } from '../json.js';
import { builtinKinds } from './builtin.js';
import { RESERVED_KIND_NAMES } from './kind.js';
import { note } from './note.js';
import { compileKind, SchemaError } from './schema.js';

const ORDER: JsonObject = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'An order',
  type: 'object',
  required: ['sku', 'quantity'],
  additionalProperties: false,
  properties: {
    sku: { type: 'string', minLength: 1, maxLength: 8, description: 'stock keeping unit' },
    quantity: { type: 'integer', minimum: 1, exclusiveMaximum: 100 },
    price: { type: 'number', exclusiveMinimum: 0, maximum: 1e6 },
    tags: { type: 'array', items: { enum: ['new', 'old', null] }, minItems: 1, maxItems: 2 },
    unit: { const: { name: 'kg', factor: 1 } },
    extra: { type: ['object', 'null'], additionalProperties: { type: 'boolean' }, minProperties: 1, maxProperties: 2 },
  },
};
const order = compileKind('order', ORDER);

test('IN-3: a payload that fits has the outcome of a note', (t) => {
  for (const payload of [
    { sku: 'a', quantity: 1 },
    {
      sku: '\u{1f600}'.repeat(8),
      quantity: 99,
      price: 0.5,
      tags: ['new', null],
      unit: { factor: 1, name: 'kg' },
      extra: { a: true },
    },
    { sku: 'x', quantity: 2, extra: null },
  ]) {
    t.deepEqual(order.check(payload), { ok: true, outcome: { accepted: true, status: 200 } });
  }
});

/** payload | pointer | found | allowed */
const FAULTS: readonly (readonly [payload: JsonObject, pointer: string, found: RegExp, allowed: RegExp])[] = [
  [{ quantity: 1 }, '/sku', /nothing/, /required/],
  [{ sku: '', quantity: 1 }, '/sku', /the string ""/, /at least 1 characters/],
  [{ sku: 'abcdefghi', quantity: 1 }, '/sku', /the string "abcdefghi"/, /at most 8/],
  [{ sku: 'a', quantity: 0 }, '/quantity', /the number 0/, /at least 1/],
  [{ sku: 'a', quantity: 100 }, '/quantity', /100/, /less than 100/],
  [{ sku: 'a', quantity: 1.5 }, '/quantity', /1.5/, /type integer/],
  [{ sku: 'a', quantity: 1, price: 0 }, '/price', /0/, /more than 0/],
  [{ sku: 'a', quantity: 1, price: 1e7 }, '/price', /10000000/, /at most 1000000/],
  [{ sku: 'a', quantity: 1, tags: [] }, '/tags', /an array of 0/, /at least 1 items/],
  [{ sku: 'a', quantity: 1, tags: ['new', 'odd'] }, '/tags/1', /"odd"/, /"new", "old", null/],
  [{ sku: 'a', quantity: 1, unit: { name: 'kg' } }, '/unit', /an object/, /{"factor":1,"name":"kg"}/],
  [{ sku: 'a', quantity: 1, extra: { 'a/b': 1 } }, '/extra/a~1b', /the number 1/, /type boolean/],
  [{ sku: 'a', quantity: 1, extra: {} }, '/extra', /an object/, /at least 1 members/],
  [{ sku: 'a', quantity: 1, more: 1 }, '/more', /an unknown member/, /only sku, quantity, price/],
];

for (const [payload, pointer, found, allowed] of FAULTS) {
  test(`IN-3: ${JSON.stringify(payload)} is refused at ${pointer}`, (t) => {
    const verdict = order.check(payload);
    if (verdict.ok) return t.fail('accepted');
    t.is(verdict.errors.length, 1);
    t.is(verdict.errors[0]?.pointer, pointer);
    t.regex(verdict.errors[0]?.found ?? '', found);
    t.regex(verdict.errors[0]?.allowed ?? '', allowed);
  });
}

test('a payload with very many faults is told some of them', (t) => {
  const verdict = compileKind('list', { properties: { a: { items: { type: 'string' } } } }).check({
    a: Array(1000).fill(0),
  });
  t.is(verdict.ok ? 0 : verdict.errors.length, 20);
});

/** schema | where | what: outside the subset or malformed. */
const REFUSED: readonly (readonly [schema: JsonObject, pointer: string, found: RegExp])[] = [
  [{ properties: { a: { pattern: '^(a+)+$' } } }, '/properties/a/pattern', /the keyword the string "pattern"/],
  [{ format: 'email' }, '/format', /keyword/],
  [{ $ref: '#/$defs/x' }, '/$ref', /keyword/],
  [{ $defs: {} }, '/$defs', /keyword/],
  [{ properties: { a: { const: 1, $data: '1/b' } } }, '/properties/a/$data', /keyword/],
  [{ items: { multipleOf: 0.1 } }, '/items/multipleOf', /keyword/],
  [{ anyOf: [{}] }, '/anyOf', /keyword/],
  [{ uniqueItems: true }, '/uniqueItems', /keyword/],
  [{ patternProperties: {} }, '/patternProperties', /keyword/],
  [{ __proto__x: 1 }, '/__proto__x', /keyword/],
  [{ constructor: 1 }, '/constructor', /keyword/],
  [{ type: 'text' }, '/type', /"text"/],
  [{ type: [] }, '/type', /array of 0/],
  [{ type: ['string', 'string'] }, '/type', /array of 2/],
  [{ required: 'a' }, '/required', /"a"/],
  [{ required: ['a', 'a'] }, '/required', /array of 2/],
  [{ enum: [] }, '/enum', /array of 0/],
  [{ minimum: '1' }, '/minimum', /"1"/],
  [{ maxLength: -1 }, '/maxLength', /-1/],
  [{ minItems: 1.5 }, '/minItems', /1.5/],
  [{ properties: [] }, '/properties', /array/],
  [{ properties: { 'a/b': true } }, '/properties/a~1b', /boolean true/],
  [{ items: [{}] }, '/items', /array of 1/],
  [{ additionalProperties: 'no' }, '/additionalProperties', /"no"/],
  [{ title: 1 }, '/title', /1/],
  [{ $schema: 'http://json-schema.org/draft-07/schema#' }, '/$schema', /draft-07/],
  [{ items: { $schema: 'https://json-schema.org/draft/2020-12/schema' } }, '/items/$schema', /2020-12/],
];

for (const [schema, pointer, found] of REFUSED) {
  test(`DECISIONS 23: the schema ${JSON.stringify(schema)} is refused at ${pointer}`, (t) => {
    const error = t.throws(() => compileKind('mine', schema), { instanceOf: SchemaError, message: /kind "mine"/ });
    t.is(error?.errors.length, 1);
    t.is(error?.errors[0]?.pointer, pointer);
    t.regex(error?.errors[0]?.found ?? '', found);
  });
}

test('names of kinds: the rule of envelopes, and no built-in one', (t) => {
  for (const name of ['', 'A', '1a', 'a_b', 'a'.repeat(33), 'a\n', ...RESERVED_KIND_NAMES]) {
    t.throws(() => compileKind(name, {}), { instanceOf: SchemaError });
  }
  t.is(compileKind('a'.repeat(32), {}).name.length, 32);
  for (const name of builtinKinds.keys()) t.true(RESERVED_KIND_NAMES.includes(name));
  t.deepEqual([...builtinKinds.keys()], ['note', 'pcs', 'observation', 'accusation']);
});

const leaf = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(0.5, -0, 1e300, '', 'a', 'ab', '\u{1f600}', 'é'),
  fc.boolean(),
  fc.constant(null),
);
// Not `__proto__` or `toString`: ajv's own code takes these for JavaScript's; the next test has them.
const name = fc.constantFrom('a', 'b', 'c');
const entries = <T>(value: fc.Arbitrary<T>) =>
  fc.array(fc.tuple(name, value), { maxLength: 3 }).map((list) => Object.fromEntries(list) as JsonObject);
const value: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('value'), { maxLength: 3 }), entries(tie('value'))),
})).value;
const type = fc.constantFrom('null', 'boolean', 'object', 'array', 'number', 'string', 'integer');
const count = fc.nat(3);
const schema: fc.Arbitrary<JsonObject> = fc.letrec<{ schema: JsonObject }>((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small' },
    fc.constant({}),
    fc
      .record(
        {
          type: fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 3 })),
          properties: entries(tie('schema')),
          required: fc.uniqueArray(name, { maxLength: 2 }),
          additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
          items: tie('schema'),
          enum: fc.array(value, { minLength: 1, maxLength: 3 }),
          const: value,
          minimum: leaf.filter((limit) => typeof limit === 'number'),
          exclusiveMaximum: leaf.filter((limit) => typeof limit === 'number'),
          minLength: count,
          maxLength: count,
          minItems: count,
          maxItems: count,
          minProperties: count,
          maxProperties: count,
        },
        { requiredKeys: [] },
      )
      .map((whole) => whole as JsonObject),
  ),
})).schema;

test('the subset means what ajv takes it to mean', (t) => {
  let fits = 0;
  fc.assert(
    fc.property(schema, fc.array(entries(value), { minLength: 1, maxLength: 5 }), (rules, payloads) => {
      const oracle = new Ajv2020({ strict: false, validateSchema: false, logger: false, ownProperties: true }).compile(
        rules,
      );
      const kind = compileKind('mine', rules);
      for (const payload of payloads) {
        const fit = oracle(payload);
        if (fit) fits += 1;
        t.is(kind.check(payload).ok, fit, JSON.stringify({ rules, payload }));
      }
    }),
    { numRuns: 1000 },
  );
  t.true(fits > 100, `${fits} payloads fitted`);
});

test('a member called __proto__ is a member', (t) => {
  const kind = compileKind(
    'mine',
    JSON.parse(
      '{"properties":{"__proto__":{"type":"string"}},"required":["__proto__"],"additionalProperties":false}',
    ) as JsonObject,
  );
  t.true(kind.check(JSON.parse('{"__proto__":"x"}') as JsonObject).ok);
  t.false(kind.check(JSON.parse('{"__proto__":1}') as JsonObject).ok);
  t.false(kind.check({}).ok);
  t.false(compileKind('mine', { required: ['toString'] }).check({}).ok);
});

test('IN-3: a note is exactly {text: string}', (t) => {
  t.deepEqual(note.check({ text: '' }), { ok: true, outcome: { accepted: true, status: 200 } });
  for (const [payload, pointers] of [
    [{}, ['/text']],
    [{ text: 1 }, ['/text']],
    [{ text: 'a', more: 1 }, ['/more']],
    [{ texts: 'a', 'x/y': 1 }, ['/text', '/texts', '/x~1y']],
  ] as const) {
    const verdict = note.check(payload);
    t.deepEqual(verdict.ok ? [] : verdict.errors.map(({ pointer }) => pointer), [...pointers]);
  }
});
