// The bytes of consensus frames: every message comes back as it went in, and nothing else is read.
// Run by ava. The conformance hash changes only with an approved change of the format.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256Hex } from '../crypto/hash.js';
import type { Certificate } from './certificate.js';
import type { Message, ProposalMessage, Vote } from './message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';
import {
  decodeMessage,
  decodeProposal,
  encodeMessage,
  encodeProposal,
  FRAME,
  FRAME_BYTES_MAX,
  WireError,
} from './wire.js';

type Framed = Exclude<Message, ProposalMessage>;

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
const ascending = (max: number): fc.Arbitrary<number[]> =>
  fc.uniqueArray(fc.nat({ max }), { maxLength: 12 }).map((values) => [...values].sort((a, b) => a - b));
const certificate: fc.Arbitrary<Certificate> = fc.tuple(ballot, ascending(65_535)).chain(([head, signers]) =>
  fc.record({
    kind: fc.constant(head.kind),
    view: fc.constant(head.view),
    hash: fc.constant(head.hash),
    signers: fc.constant(signers),
    signatures: fc.array(bytes(64), { minLength: signers.length, maxLength: signers.length }),
  }),
);
const kinds = fc.subarray<VoteKind>([NOTARIZE, NULLIFY, FINALIZE]);
const open = fc
  .uniqueArray(count, { maxLength: 64 })
  .map((views) => views.sort((a, b) => a - b))
  .chain((views) =>
    fc.tuple(
      ...views.map((view) =>
        fc.record({
          view: fc.constant(view),
          certificates: kinds,
          votes: fc.tuple(ascending(255), ascending(255), ascending(255)),
        }),
      ),
    ),
  );
const epoch = count;
const message = fc.oneof(
  fc.record({ type: fc.constant('vote' as const), epoch, vote }),
  fc.record({ type: fc.constant('certificate' as const), epoch, certificate }),
  fc.record({
    type: fc.constant('status' as const),
    epoch,
    status: fc.record({ finalizedView: count, finalizedHash: hash, height: count, view: count, open }),
  }),
  fc.record({
    type: fc.constant('request' as const),
    epoch,
    view: count,
    kinds: fc.subarray<VoteKind>([NOTARIZE, NULLIFY, FINALIZE], { minLength: 1 }),
  }),
  fc.record({ type: fc.constant('recover' as const), epoch, nonce: hash }),
  fc.record({
    type: fc.constant('recovered' as const),
    epoch,
    nonce: hash,
    certificate: fc.option(certificate),
  }),
  fc.record({
    type: fc.constant('evidence' as const),
    epoch,
    evidence: fc.record({ rule: fc.constantFrom('E1', 'E2', 'E3', 'E4' as const), first: vote, second: vote }),
  }),
) as fc.Arbitrary<Framed>;

const block = {
  hash: 'c0'.repeat(32),
  height: 1,
  view: 1,
  parentView: 0,
  parentHash: 'd0'.repeat(32),
  timestamp: 0,
  entryCount: 0,
};
function proposal(signature: Uint8Array, justification: readonly Certificate[], of = 3): ProposalMessage {
  return { type: 'proposal', epoch: of, proposal: { block, signature, justification } };
}

test('NET-7: every message comes back as it went in', (t) => {
  fc.assert(
    fc.property(message, (given) => void t.deepEqual(decodeMessage(encodeMessage(given)), given)),
    { numRuns: 500 },
  );
});

test('a proposal comes back with its body, whatever that holds', (t) => {
  const body = fc.uint8Array({ minLength: 1, maxLength: 2_000 });
  const justification = fc.array(certificate, { maxLength: 64 });
  fc.assert(
    fc.property(bytes(64), justification, body, count, (signature, certificates, given, of) => {
      const read = decodeProposal(encodeProposal(proposal(signature, certificates, of), given));
      t.deepEqual(read.signature, signature);
      t.deepEqual(read.justification, certificates);
      t.is(read.epoch, of);
      t.deepEqual(new Uint8Array(read.body), given);
    }),
    { numRuns: 50 },
  );
});

test('NET-7: cut short or with a byte behind it, a frame is refused', (t) => {
  fc.assert(
    fc.property(message, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (given, part) => {
      const data = encodeMessage(given);
      const cut = Math.floor(data.length * part);
      // A `recovered` without its certificate is whole: it says view 1.
      if (given.type === 'recovered' && (cut === 42 || given.certificate === null)) return;
      t.throws(() => decodeMessage(data.subarray(0, cut)), { instanceOf: WireError });
      t.throws(() => decodeMessage(Buffer.concat([data, Buffer.of(0)])), { instanceOf: WireError });
    }),
  );
});

test('NET-7: random bytes are refused, or are exactly what would be written', (t) => {
  // Sizes of a request, a recover, an empty status, a bodyless and a short proposal, a vote, evidence.
  const sizes = fc.constantFrom(19, 42, 67, 75, 80, 117, 225);
  const raws = fc.oneof(fc.uint8Array({ maxLength: 400 }), sizes.chain(bytes));
  let read = 0;
  fc.assert(
    fc.property(raws, fc.nat({ max: 9 }), (raw, type) => {
      const data = Buffer.from(raw);
      if (data.length > 3) {
        data[0] = type;
        data[1] = 1;
        data[2] = 0;
        data[3] = 0;
      }
      try {
        if (type === FRAME.proposal) decodeProposal(data);
        else t.deepEqual(encodeMessage(decodeMessage(data)), data);
        read += 1;
      } catch (error) {
        t.true(error instanceof WireError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
  t.true(read > 0);
});

test('NET-7: any changed byte of a frame is refused, or says something else', (t) => {
  fc.assert(
    fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, place, change) => {
      const data = encodeMessage(given);
      data[place % data.length]! ^= change;
      try {
        t.notDeepEqual(decodeMessage(data), given);
      } catch (error) {
        t.true(error instanceof WireError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

const signature = new Uint8Array(64).fill(7);
const some: Certificate = {
  kind: FINALIZE,
  view: 2 ** 40,
  hash: 'c0'.repeat(32),
  signers: [0, 2, 300],
  signatures: [signature, signature, signature],
};

test('what is found and what is allowed', (t) => {
  const data = encodeMessage({ type: 'request', epoch: 0, view: 7, kinds: [NULLIFY] });
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(data);
    copy[at] = value;
    return copy;
  };
  const says = (frame: Uint8Array, text: string) => t.throws(() => decodeMessage(frame), { message: text });
  says(changed(0, 1), 'consensus frame of type 1, expected 2 to 8');
  says(changed(0, 32), 'consensus frame of type 32, expected 2 to 8');
  says(changed(1, 2), 'consensus frame of version 2, this node reads 1');
  says(changed(2, 255), 'count at byte 2 is above 2^53');
  says(changed(18, 0), 'a request for certificates of no kind');
  says(changed(18, 8), 'kinds 8, expected bits 0 to 2');
  says(data.subarray(0, 12), 'consensus frame ends at byte 12, 6 too early');
  says(Buffer.alloc(0), 'consensus frame ends at byte 0, 1 too early');
  says(Buffer.alloc(FRAME_BYTES_MAX + 1, 2), `frame of ${FRAME_BYTES_MAX + 1} bytes, at most ${FRAME_BYTES_MAX}`);
  t.throws(() => decodeProposal(data), { message: 'frame of type 5, expected a proposal (1)' });
  const whole = encodeProposal(proposal(signature, [some]), Buffer.of(1));
  t.throws(() => decodeProposal(whole.subarray(0, whole.length - 1)), { message: 'a proposal without a body' });
  const many = Buffer.from(whole);
  many[74] = 65;
  t.throws(() => decodeProposal(many), { message: '65 certificates in a proposal, at most 64' });
});

test('NET-7: a length is checked against the bytes present before anything is made of it', (t) => {
  const data = encodeMessage({ type: 'certificate', epoch: 0, certificate: { ...some, signers: [], signatures: [] } });
  data.writeUInt16BE(65_535, data.length - 2);
  t.throws(() => decodeMessage(data), {
    message: `consensus frame ends at byte ${data.length}, ${65_535 * 66} too early`,
  });
  const status = encodeMessage({
    type: 'status',
    epoch: 0,
    status: { finalizedView: 0, finalizedHash: 'c0'.repeat(32), height: 0, view: 1, open: [] },
  });
  status[status.length - 1] = 65;
  t.throws(() => decodeMessage(status), { message: '65 open views in a status, at most 64' });
});

test('a status has one spelling', (t) => {
  const status = (votes: readonly number[], views: readonly number[] = [9]): Framed => ({
    type: 'status',
    epoch: 0,
    status: {
      finalizedView: 8,
      finalizedHash: 'c0'.repeat(32),
      height: 4,
      view: 9,
      open: views.map((view) => ({ view, certificates: [], votes: [votes, [], []] })),
    },
  });
  const data = encodeMessage(status([0, 9]));
  t.is(data.subarray(-5).toString('hex'), '0201020000');
  const longer = Buffer.concat([data.subarray(0, -5), Buffer.from('030102000000', 'hex')]);
  t.throws(() => decodeMessage(longer), { message: 'a bitmap ends with an empty byte' });
  t.throws(() => decodeMessage(encodeMessage(status([], [9, 9]))), {
    message: 'the open views of a status do not ascend',
  });
  const wide = Buffer.concat([data.subarray(0, -5), Buffer.of(33), Buffer.alloc(33, 1), Buffer.of(0, 0)]);
  t.throws(() => decodeMessage(wide), { message: 'bitmap of 33 bytes, at most 32' });
});

test('what no peer would read is not written', (t) => {
  t.throws(() => encodeMessage({ type: 'recover', epoch: 0, nonce: 'AB' }), { instanceOf: RangeError });
  t.throws(() => encodeProposal(proposal(signature, []), Buffer.alloc(FRAME_BYTES_MAX)), {
    message: `proposal of ${FRAME_BYTES_MAX + 75} bytes, at most ${FRAME_BYTES_MAX}`,
  });
});

test('a certificate of 100 validators and a full proposal fit a frame', (t) => {
  const signers = [...Array(67).keys()];
  const large: Certificate = { ...some, signers, signatures: signers.map(() => signature) };
  t.is(encodeMessage({ type: 'certificate', epoch: 0, certificate: large }).length, 4_475);
  const justification = Array.from({ length: 64 }, () => large);
  const frame = encodeProposal(proposal(signature, justification), Buffer.alloc(640 * 1024));
  t.true(frame.length < FRAME_BYTES_MAX);
});

test('conformance: the bytes of one frame of each type', (t) => {
  const first: Vote = { kind: NULLIFY, view: 3, hash: null, signer: 4, signature };
  const second: Vote = { kind: FINALIZE, view: 3, hash: 'c0'.repeat(32), signer: 4, signature };
  const nonce = 'ab'.repeat(32);
  const messages: readonly Framed[] = [
    { type: 'vote', epoch: 1, vote: first },
    { type: 'certificate', epoch: 1, certificate: some },
    {
      type: 'status',
      epoch: 1,
      status: {
        finalizedView: 8,
        finalizedHash: 'c0'.repeat(32),
        height: 4,
        view: 11,
        open: [
          { view: 10, certificates: [NOTARIZE], votes: [[], [1], [0, 2, 9]] },
          { view: 11, certificates: [], votes: [[3], [], []] },
        ],
      },
    },
    { type: 'request', epoch: 1, view: 5, kinds: [NOTARIZE, FINALIZE] },
    { type: 'recover', epoch: 1, nonce },
    { type: 'recovered', epoch: 1, nonce, certificate: null },
    { type: 'recovered', epoch: 1, nonce, certificate: some },
    { type: 'evidence', epoch: 1, evidence: { rule: 'E3', first, second } },
  ];
  const frames = [...messages.map(encodeMessage), encodeProposal(proposal(signature, [some]), Buffer.from('body'))];
  t.is(frames[3]!.toString('hex'), '05010000000000000001000000000000000505');
  t.is(sha256Hex(Buffer.concat(frames)), '9a5a10ae2b1f12640d84ab8a7b073fa2b5f3bae8186723602640abeb6c9e03e3');
});
