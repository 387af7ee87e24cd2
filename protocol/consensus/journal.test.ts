// The bytes of the consensus journal: every entry comes back as it went in, and nothing else is read.
// Run by ava. The conformance hash changes only with an approved change of the format.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256Hex } from '../crypto/hash.js';
import type { Certificate } from './certificate.js';
import { decodeJournal, encodeJournal, type JournalEntry, JournalError } from './journal.js';
import { FINALIZE, NOTARIZE, NULLIFY } from './vote.js';

const count = fc.oneof(fc.nat(), fc.maxSafeNat());
const bytes = (size: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: size, maxLength: size });
const hash = bytes(32).map((raw) => Buffer.from(raw).toString('hex'));
const ballot = fc.oneof(
  fc.record({ kind: fc.constantFrom(NOTARIZE, FINALIZE), view: count, hash }),
  fc.record({ kind: fc.constant(NULLIFY), view: count, hash: fc.constant(null) }),
);
const vote = fc
  .tuple(ballot, fc.nat({ max: 65_535 }), bytes(64))
  .map(([head, signer, signature]) => ({ ...head, signer, signature }));
const signed = fc.uniqueArray(fc.nat({ max: 65_535 }), { maxLength: 12 }).chain((signers) =>
  fc.record({
    signers: fc.constant([...signers].sort((a, b) => a - b)),
    signatures: fc.array(bytes(64), { minLength: signers.length, maxLength: signers.length }),
  }),
);
const certificate = fc.tuple(ballot, signed).map(([head, body]) => ({ ...head, ...body }));
const finalization = fc
  .tuple(count, hash, signed)
  .map(([view, block, body]) => ({ kind: FINALIZE, view, hash: block, ...body }));
const reason = fc.string({ maxLength: 100 });
const entry: fc.Arbitrary<JournalEntry> = fc.oneof(
  fc.record({ type: fc.constant('vote' as const), epoch: count, vote }),
  fc.record({ type: fc.constant('certificate' as const), epoch: count, certificate }),
  fc.record({ type: fc.constant('finalization' as const), epoch: count, height: count, certificate: finalization }),
  fc.record({ type: fc.constant('floor' as const), epoch: count, view: count }),
  fc.record({
    type: fc.constant('evidence' as const),
    epoch: count,
    evidence: fc.record({ rule: fc.constantFrom('E1', 'E2', 'E3', 'E4' as const), first: vote, second: vote }),
  }),
  fc.record({ type: fc.constantFrom('halt', 'quarantine'), epoch: count, reason }),
) as fc.Arbitrary<JournalEntry>;

test('every entry comes back as it went in', (t) => {
  fc.assert(
    fc.property(entry, (given) => void t.deepEqual(decodeJournal(encodeJournal(given)), given)),
    { numRuns: 500 },
  );
});

test('cut short or with a byte behind it, an entry is refused', (t) => {
  fc.assert(
    fc.property(entry, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (given, part) => {
      const data = encodeJournal(given);
      // The text of a halt or quarantine runs to the end, so any text is whole.
      if (given.type === 'halt' || given.type === 'quarantine') return;
      t.throws(() => decodeJournal(data.subarray(0, Math.floor(data.length * part))), { instanceOf: JournalError });
      t.throws(() => decodeJournal(Buffer.concat([data, Buffer.of(0)])), { instanceOf: JournalError });
    }),
  );
});

test('random bytes never do more than be refused', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 8 }), (raw, tag) => {
      const data = Buffer.from(raw);
      if (data.length > 1) {
        data[0] = 1;
        data[1] = tag;
      }
      try {
        const read = decodeJournal(data);
        if (read.type !== 'halt' && read.type !== 'quarantine') t.deepEqual(encodeJournal(read), data);
      } catch (error) {
        t.true(error instanceof JournalError, String(error));
      }
    }),
    { numRuns: 1_000 },
  );
});

test('what is found and what is allowed', (t) => {
  const vote: JournalEntry = { type: 'floor', epoch: 0, view: 7 };
  const data = encodeJournal(vote);
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(data);
    copy[at] = value;
    return copy;
  };
  t.throws(() => decodeJournal(changed(0, 2)), { message: 'journal entry of version 2, this node reads 1' });
  t.throws(() => decodeJournal(changed(1, 9)), { message: 'journal entry with tag 9, expected 1 to 8' });
  t.throws(() => decodeJournal(changed(2, 255)), { message: 'count at byte 2 is above 2^53' });
  t.throws(() => decodeJournal(data.subarray(0, 12)), { message: 'journal entry ends at byte 12, 6 too early' });
});

test('a long reason is cut, not refused', (t) => {
  const read = decodeJournal(encodeJournal({ type: 'halt', epoch: 0, reason: 'r'.repeat(5_000) }));
  t.is(read.type === 'halt' && read.reason.length, 1_024);
});

test('conformance: the bytes of one entry of each type', (t) => {
  const signature = new Uint8Array(64).fill(7);
  const block = 'c0'.repeat(32);
  const some: Certificate = {
    kind: FINALIZE,
    view: 2 ** 40,
    hash: block,
    signers: [0, 2, 300],
    signatures: [signature, signature, signature],
  };
  const entries: readonly JournalEntry[] = [
    { type: 'vote', epoch: 1, vote: { kind: NULLIFY, view: 3, hash: null, signer: 4, signature } },
    { type: 'certificate', epoch: 1, certificate: { ...some, kind: NOTARIZE } },
    { type: 'finalization', epoch: 1, height: 9, certificate: some },
    { type: 'floor', epoch: 1, view: 5 },
    {
      type: 'evidence',
      epoch: 1,
      evidence: {
        rule: 'E3',
        first: { kind: NULLIFY, view: 3, hash: null, signer: 4, signature },
        second: { kind: FINALIZE, view: 3, hash: block, signer: 4, signature },
      },
    },
    { type: 'halt', epoch: 1, reason: 'two blocks are final in view 1' },
    { type: 'quarantine', epoch: 1, reason: 'the log lost votes' },
  ];
  t.is(encodeJournal(entries[3]!).toString('hex'), '010400000000000000010000000000000005');
  t.is(
    sha256Hex(Buffer.concat(entries.map(encodeJournal))),
    'c28ee97c4d9557696338402c0b729b7f8d88d840afe8dc88ed15ef07add26717',
  );
});
