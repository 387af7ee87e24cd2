// The sign bytes are a wire format: the fixed vectors below change only together with the domain string.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { faults, quorum } from './quorum.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind, voteSignBytes } from './vote.js';

const chainId = Buffer.alloc(32, 0xc1);
const digest = Buffer.alloc(32, 0xd2);

test('sign bytes of the three kinds, byte for byte', (t) => {
  const head = `${Buffer.from('quorate/consensus/1\0').toString('hex')}${'c1'.repeat(32)}`;
  t.is(
    voteSignBytes(chainId, 1, NOTARIZE, 0x1_0000_0002, digest).toString('hex'),
    `${head}000000000000000101${'0000000100000002'}${'d2'.repeat(32)}`,
  );
  t.is(
    voteSignBytes(chainId, 0, NULLIFY, 7, null).toString('hex'),
    `${head}000000000000000002${'0000000000000007'}${'00'.repeat(32)}`,
  );
  t.is(
    voteSignBytes(chainId, 0, FINALIZE, Number.MAX_SAFE_INTEGER, digest).toString('hex'),
    `${head}000000000000000003${'001fffffffffffff'}${'d2'.repeat(32)}`,
  );
});

test('two different votes never share their sign bytes', (t) => {
  const count = fc.nat({ max: 2 ** 40 });
  const vote = fc.record({
    epoch: count,
    kind: fc.constantFrom<VoteKind>(NOTARIZE, NULLIFY, FINALIZE),
    view: count,
    fill: fc.nat({ max: 255 }),
  });
  const bytes = (v: { epoch: number; kind: VoteKind; view: number; fill: number }): string =>
    voteSignBytes(chainId, v.epoch, v.kind, v.view, v.kind === NULLIFY ? null : Buffer.alloc(32, v.fill)).toString(
      'hex',
    );
  fc.assert(
    fc.property(vote, vote, (a, b) => {
      const same =
        a.epoch === b.epoch && a.kind === b.kind && a.view === b.view && (a.kind === NULLIFY || a.fill === b.fill);
      return (bytes(a) === bytes(b)) === same;
    }),
  );
  t.pass();
});

test('what does not fit is refused, not truncated', (t) => {
  t.throws(() => voteSignBytes(chainId, -1, NOTARIZE, 0, digest), { message: /epoch -1/ });
  t.throws(() => voteSignBytes(chainId, 0, NOTARIZE, 2 ** 53, digest), { message: /view/ });
  t.throws(() => voteSignBytes(chainId, 0, NOTARIZE, 1.5, digest), { message: /view 1.5/ });
  t.throws(() => voteSignBytes(chainId.subarray(1), 0, NOTARIZE, 1, digest), { message: /chain id of 31 bytes/ });
  t.throws(() => voteSignBytes(chainId, 0, NOTARIZE, 1, digest.subarray(1)), { message: /block hash of 31 bytes/ });
  t.throws(() => voteSignBytes(chainId, 0, NULLIFY, 1, digest), { message: /names no block/ });
  t.throws(() => voteSignBytes(chainId, 0, FINALIZE, 1, null), { message: /must name a block/ });
});

test('faults and quorum as the table of CONSENSUS.md 1.3', (t) => {
  const table = [
    [1, 0, 1],
    [2, 0, 2],
    [3, 0, 2],
    [4, 1, 3],
    [5, 1, 4],
    [6, 1, 4],
    [7, 2, 5],
    [8, 2, 6],
    [9, 2, 6],
    [10, 3, 7],
    [100, 33, 67],
  ] as const;
  for (const [n, f, q] of table) {
    t.is(faults(n), f, `faults(${n})`);
    t.is(quorum(n), q, `quorum(${n})`);
  }
});

test('two quorums share at least f + 1 validators, and n − f of them can always act', (t) => {
  for (let n = 1; n <= 200; n += 1) {
    t.true(2 * quorum(n) - n >= faults(n) + 1, `n = ${n}`);
    t.true(n - faults(n) >= quorum(n), `n = ${n}`);
  }
});
