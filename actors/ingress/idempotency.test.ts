import test from 'ava';
import fc from 'fast-check';
import { IdempotencyKeys, parseIdempotencyKey } from './idempotency.js';

function keysAt(options: { readonly max?: number; readonly ttlMs?: number } = {}) {
  const clock = { nowMs: 1_000 };
  const keys = new IdempotencyKeys(options.max ?? 100, options.ttlMs ?? 1_000, () => clock.nowMs);
  return { keys, clock };
}

test('IN-6: new, running, finished; another body is refused at each step', (t) => {
  const { keys } = keysAt();
  t.is(keys.begin('dev', 'k', 'A'), 'new');
  t.is(keys.begin('dev', 'k', 'A'), 'running');
  t.is(keys.begin('dev', 'k', 'B'), 'other-body');
  keys.end('dev', 'k');
  t.is(keys.begin('dev', 'k', 'B'), 'other-body');
  t.is(keys.begin('dev', 'k', 'A'), 'same');
  t.is(keys.begin('dev', 'k', 'A'), 'running');
});

test('a key is of its subject: two clients may use one', (t) => {
  const { keys } = keysAt();
  t.is(keys.begin('dev', 'k', 'A'), 'new');
  t.is(keys.begin('other', 'k', 'B'), 'new');
});

test('IN-6: a finished use is forgotten after its time, a running one never', (t) => {
  const { keys, clock } = keysAt({ ttlMs: 1_000, max: 2 });
  keys.begin('dev', 'done', 'A');
  keys.end('dev', 'done');
  keys.begin('dev', 'running', 'A');
  clock.nowMs += 1_001;
  t.is(keys.begin('dev', 'done', 'B'), 'new');
  t.is(keys.begin('dev', 'running', 'A'), 'running');
  for (let i = 0; i < 10; i++) {
    keys.begin('dev', `k${i}`, 'A');
    keys.end('dev', `k${i}`);
  }
  t.is(keys.begin('dev', 'running', 'A'), 'running');
  t.is(keys.begin('dev', 'k0', 'B'), 'new', 'beyond the bound the oldest finished ones go');
  t.is(keys.begin('dev', 'k9', 'B'), 'other-body');
});

test('ending what does not run changes nothing', (t) => {
  const { keys } = keysAt();
  keys.end('dev', 'k');
  t.is(keys.size, 0);
  t.is(keys.begin('dev', 'k', 'A'), 'new');
});

const HEADERS: readonly (readonly [header: string, key: string | null])[] = [
  ['"8e03978e-40d5-43e8-bc93-6894a57f9324"', '8e03978e-40d5-43e8-bc93-6894a57f9324'],
  [' "a b" ', 'a b'],
  ['"say \\"hi\\" \\\\ bye"', 'say "hi" \\ bye'],
  ['""', null],
  ['token', null],
  ['"a"b"', null],
  ['"a\\n"', null],
  ['"tab\there"', null],
  ['"é"', null],
  ['"a";p=1', null],
  [`"${'k'.repeat(255)}"`, 'k'.repeat(255)],
  [`"${'k'.repeat(256)}"`, null],
];

for (const [header, key] of HEADERS) {
  test(`Idempotency-Key: ${header.slice(0, 40)} → ${key === null ? 'refused' : 'taken'}`, (t) => {
    t.is(parseIdempotencyKey(header), key);
  });
}

test('every printable ASCII text survives quoting', (t) => {
  const printable = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 120 });
  fc.assert(
    fc.property(printable, (text) => {
      const quoted = `"${text.replace(/["\\]/g, '\\$&')}"`;
      t.is(parseIdempotencyKey(quoted), text);
    }),
  );
});
