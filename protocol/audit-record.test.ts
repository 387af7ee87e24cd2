// One line of the audit log: its bytes are fixed, and nothing but these bytes is that record.
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import {
  AUDIT_START,
  type AuditValue,
  auditTail,
  decodeAuditRecord,
  encodeAuditRecord,
  isTorn,
  linesOf,
  RESERVED_MEMBERS,
} from './audit-record.js';

const NEW = {
  timestamp: '2026-11-20T12:00:00.000Z',
  event: 'actor_kill',
  by: 'operator at ::1',
  fields: { actor: 'dedup' },
};

test('ST-8: the bytes of a record and of what is hashed are fixed', (t) => {
  const { text, head } = encodeAuditRecord(AUDIT_START, NEW);
  const zeros = '0'.repeat(64);
  const hashed = `{"actor":"dedup","by":"operator at ::1","event":"actor_kill","prev":"${zeros}","seq":1,"timestamp":"2026-11-20T12:00:00.000Z"}`;
  const hash = createHash('sha256').update(`quorate/audit/1\n${hashed}`).digest('hex');
  t.is(head.hash, hash);
  t.is(hash, '104743df032b240f63b43720a3e0103f8f06d91f1f786a6eef396032b492ff67');
  t.is(text, hashed.replace('"prev"', `"hash":"${hash}","prev"`));
});

const value: fc.Arbitrary<AuditValue> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 1_200 }),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.string({ unit: 'binary', maxLength: 500 }), { maxLength: 30 }),
);
const name = fc.stringMatching(/^[a-z][a-z_]{0,20}$/).filter((one) => !RESERVED_MEMBERS.includes(one));
const fields = fc.dictionary(name, value, { maxKeys: 4 });

test('ST-8: property: whatever stands in a record, its line is one line below 64 KiB, and is read back', (t) => {
  fc.assert(
    fc.property(fields, fc.string({ unit: 'binary' }), (some, by) => {
      const { text, head } = encodeAuditRecord(AUDIT_START, { ...NEW, by, fields: some });
      const bytes = Buffer.from(text);
      const record = decodeAuditRecord(bytes);
      t.deepEqual(record?.head, head);
      t.is(linesOf(bytes).length, 1);
      t.true(bytes.length < 65_536);
    }),
    { numRuns: 200 },
  );
});

test('ST-8: lone surrogates and endless texts are mended, not refused: an event is never lost by its content', (t) => {
  const some = {
    text: `a\ud800b${'x'.repeat(5_000)}`,
    list: Array.from({ length: 50 }, () => '\udc00'),
    count: Number.NaN,
  };
  const { text } = encodeAuditRecord(AUDIT_START, { ...NEW, fields: some });
  const { line } = decodeAuditRecord(Buffer.from(text))!;
  t.is(line.text, `a\ufffdb${'x'.repeat(997)}…`);
  t.is((line.list as string[]).length, 20);
  t.is(line.count, null);
});

test('ST-8: property: no line with any byte changed, dropped or added is a record', (t) => {
  const whole = Buffer.from(encodeAuditRecord({ seq: 7, hash: 'ab'.repeat(32) }, NEW).text);
  const at = fc.nat(whole.length - 1);
  fc.assert(
    fc.property(at, fc.integer({ min: 1, max: 255 }), fc.constantFrom('change', 'drop', 'add'), (index, mask, how) => {
      const changed = Buffer.from(whole);
      changed[index]! ^= mask;
      const cut = Buffer.concat([whole.subarray(0, index), whole.subarray(index + 1)]);
      const added = Buffer.concat([whole.subarray(0, index), Buffer.from([mask]), whole.subarray(index)]);
      t.is(decodeAuditRecord(how === 'change' ? changed : how === 'drop' ? cut : added), null);
    }),
    { numRuns: 500 },
  );
});

test('ST-8: another spelling of the same object is no record', (t) => {
  const { text } = encodeAuditRecord(AUDIT_START, NEW);
  const object = JSON.parse(text) as Record<string, unknown>;
  const reversed = JSON.stringify(Object.fromEntries(Object.entries(object).reverse()));
  for (const other of [` ${text}`, `${text} `, reversed, text.replace('"seq":1', '"seq":1.0'), `[${text}]`, '', '{}']) {
    t.is(decodeAuditRecord(Buffer.from(other)), null, other);
  }
});

test('ST-8: property: cut anywhere, the end of a file is its whole records and a torn piece', (t) => {
  const first = encodeAuditRecord(AUDIT_START, NEW);
  const second = encodeAuditRecord(first.head, NEW);
  const bytes = Buffer.from(`${first.text}\n${second.text}\n`);
  const end = first.text.length + 1;
  for (let size = 0; size <= bytes.length; size += 1) {
    const { last, foreign, terminated } = auditTail(bytes.subarray(0, size));
    const records = size >= bytes.length - 1 ? 2 : size >= end - 1 ? 1 : 0;
    t.is(last?.head.seq ?? 0, records, `${size}`);
    const piece = records === 2 ? 0 : records === 1 ? Math.max(0, size - end) : size;
    t.is(foreign.length, piece, `${size}`);
    if (piece > 0) t.true(isTorn(foreign, terminated), `${size}`);
  }
});
