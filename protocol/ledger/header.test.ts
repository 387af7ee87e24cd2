// The header's bytes, its time, and what it must agree with.
import test from 'ava';
import fc from 'fast-check';
import type { JsonObject } from '../json.js';
import { ShapeError } from '../kinds/kind.js';
import {
  blockHash,
  blockTimeMs,
  enterEpoch,
  genesisTip,
  type Header,
  headerFault,
  headerText,
  makeHeader,
  nextTip,
  parseHeader,
  type Tip,
} from './header.js';

const NOON_MS = Date.UTC(2026, 10, 20, 12);
const result = { entriesRoot: 'e1'.repeat(32), entryCount: 8, stateDigest: 'd1'.repeat(32) };
const tipOf = (validatorCount: number): Tip => genesisTip('c1'.repeat(32), 'b1'.repeat(32), validatorCount);
const first = makeHeader(tipOf(1), { view: 3, proposer: 'node_0', timestampMs: NOON_MS + 7 }, result);

test('conformance: header bytes and block hash', (t) => {
  t.is(
    headerText(first),
    `{"chain_id":"${'c1'.repeat(32)}","entries_root":"${'e1'.repeat(32)}","entry_count":8,"epoch":0,"first_seq":1,` +
      `"height":1,"parent_hash":"${'c1'.repeat(32)}","parent_view":0,"proposer":"node_0",` +
      `"state_digest":"${'d1'.repeat(32)}","timestamp":"2026-11-20T12:00:00.007Z",` +
      `"validators_hash":"${'b1'.repeat(32)}","view":3}`,
  );
  t.is(
    blockHash(headerText(first)).toString('hex'),
    '68bd4cec1460f90f9b110ad9b1086a6b610c9c9c4adbf9f6189c6764f7c2aaf6',
  );
});

test('a header is read back as it was written', (t) => {
  t.deepEqual(parseHeader(JSON.parse(headerText(first))), first);
});

test('a header with a member too many, too few or of another form is refused with its place', (t) => {
  const pointers = (change: JsonObject): string[] => {
    const error = t.throws(() => parseHeader({ ...(first as JsonObject), ...change }), { instanceOf: ShapeError });
    return error?.errors.map(({ pointer }) => pointer) ?? [];
  };
  t.deepEqual(pointers({ more: 1 }), ['/more']);
  t.deepEqual(pointers({ height: 0, view: -1 }), ['/view', '/height']);
  t.deepEqual(pointers({ parent_hash: 'C1'.repeat(32) }), ['/parent_hash']);
  for (const timestamp of ['2026-11-20T12:00:00Z', '2026-11-20T12:00:00.0070Z', 'noon', 5]) {
    t.true(pointers({ timestamp }).includes('/timestamp'), String(timestamp));
  }
  const { state_digest: _, ...short } = first;
  t.throws(() => parseHeader(short), { message: /state_digest: found nothing/ });
  t.throws(() => parseHeader([]), { message: /an array of 0/ });
});

test('a header must agree with tip and entries in every member', (t) => {
  const tip = tipOf(1);
  t.is(headerFault(tip, first, result), null);
  const free = new Set(['view', 'proposer', 'timestamp']);
  for (const [member, value] of Object.entries(first)) {
    if (free.has(member)) continue;
    const changed = typeof value === 'number' ? value + 1 : value.replace(/^./, '0');
    t.regex(headerFault(tip, { ...first, [member]: changed }, result) ?? '', new RegExp(`^${member} is`), member);
  }
  t.regex(headerFault(tip, { ...first, view: 0 }, result) ?? '', /view 0 is not after/);
});

test('the next header continues height, hash, view and sequence', (t) => {
  const tip = nextTip(tipOf(1), first, 'f1'.repeat(32));
  const second = makeHeader(tip, { view: 4, proposer: 'node_0', timestampMs: NOON_MS }, result);
  t.like(second, { height: 2, parent_hash: 'f1'.repeat(32), parent_view: 3, first_seq: 9 });
  t.is(headerFault(tip, second, result), null);
  t.not(headerFault(tip, first, result), null);
});

/** Applies timestamps one after the other; answers the block times. */
function times(validatorCount: number, timestamps: readonly number[]): number[] {
  let tip = tipOf(validatorCount);
  return timestamps.map((timestampMs, i) => {
    const header = makeHeader(tip, { view: i + 1, proposer: 'node_0', timestampMs }, result);
    const own = blockTimeMs(tip, timestampMs);
    tip = nextTip(tip, header, 'f1'.repeat(32));
    return own === tip.blockTimeMs ? own : Number.NaN;
  });
}

test('block time of one validator is its clock, but never goes back', (t) => {
  t.deepEqual(times(1, [10, 20, 15, 30]), [10, 20, 20, 30]);
});

test('block time of several is the lower median of the last n timestamps', (t) => {
  t.deepEqual(times(3, [10, 30, 20, 21, 1000]), [10, 10, 20, 21, 21]);
  t.deepEqual(times(4, [10, 20, 30, 40, 50]), [10, 10, 20, 20, 30]);
});

test('block time equals the definition over the whole history, and one liar of four moves it nowhere', (t) => {
  const history = fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), history, (n, timestamps) => {
      let last = 0;
      const expected = timestamps.map((_, h) => {
        const window = timestamps.slice(Math.max(0, h + 1 - n), h + 1).sort((a, b) => a - b);
        last = Math.max(last, window[Math.floor((window.length - 1) / 2)]!);
        return last;
      });
      return expected.join() === times(n, timestamps).join();
    }),
  );
  fc.assert(
    fc.property(history, fc.nat({ max: 3 }), fc.integer({ min: 1, max: 2 ** 40 }), (noise, liar, lie) => {
      const honest = noise.map((_, h) => 1000 + 10 * h);
      const seen = times(
        4,
        honest.map((time, h) => (h % 4 === liar ? lie : time)),
      );
      // From the fourth block on a median lies between honest timestamps of the window.
      return seen.every((time, h) => h < 3 || (time >= Math.min(1000, lie) && time <= Math.max(honest[h]!, seen[2]!)));
    }),
  );
  t.pass();
});

test('a new epoch keeps the chain and takes the new validators', (t) => {
  const tip = nextTip(tipOf(4), first, 'f1'.repeat(32));
  const alone = enterEpoch(tip, 1, 'a2'.repeat(32), 1);
  t.like(alone, { epoch: 1, height: 1, validatorsHash: 'a2'.repeat(32), validatorCount: 1, timestampsMs: [] });
  t.deepEqual(enterEpoch(tip, 1, 'a2'.repeat(32), 4).timestampsMs, [NOON_MS + 7]);
  const header: Header = makeHeader(alone, { view: 4, proposer: 'node_0', timestampMs: NOON_MS }, result);
  t.like(header, { epoch: 1, parent_view: 3, validators_hash: 'a2'.repeat(32) });
});
