import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256Hex } from '../crypto/hash.js';
import { headerText } from '../ledger/header.js';
import { devEntry, hmacEntry, makeBlock, makeTestkit, pcsEntry } from '../ledger/testkit.js';
import { InboxRoute } from '../wal-record.js';
import { type BodyEntry, decodeBlockBody, encodeBlockBody, entryOf, prepareEntry } from './block-body.js';
import { type BlockExchange, decodeBlockFrame, encodeBlockFrame } from './block-frames.js';
import { FrameError } from './bytes.js';
import { FRAME_MAX_BYTES } from './frame.js';
import { decodeSubmissions, encodeSubmissions, type SharedSubmission } from './submission-frames.js';

async function sample() {
  const kit = await makeTestkit(4);
  const entries = [devEntry(kit, { id: 'a' }), hmacEntry(kit, 'b'), pcsEntry(kit)];
  const made = makeBlock(kit, kit.view, entries);
  const bodies = entries.map(({ raw, issuer, key, attestation, prepared }): BodyEntry => {
    const route = prepared.alg === null ? InboxRoute.pcs : InboxRoute.envelope;
    return { route, raw, issuer, key, attestation };
  });
  return { made, entries, bodies, bytes: encodeBlockBody(headerText(made.header), bodies) };
}

test('a block body comes out as it went in, with the hash that its header has', async (t) => {
  const { made, entries, bodies, bytes } = await sample();
  const body = decodeBlockBody(bytes);
  t.is(body.hash, made.hash);
  t.deepEqual(body.header, made.header);
  t.deepEqual(
    body.entries.map((entry) => ({ ...entry, raw: Buffer.from(entry.raw) })),
    bodies.map((entry) => ({ ...entry, raw: Buffer.from(entry.raw) })),
  );
  t.deepEqual(
    body.entries.map((entry) => entryOf(entry, prepareEntry(entry)).prepared.digest),
    entries.map(({ prepared }) => prepared.digest),
  );
});

test('conformance: the bytes of body and frames', async (t) => {
  const { bytes, bodies } = await sample();
  t.is(sha256Hex(bytes), 'b3da3d3f932a24e4ac1790fa95fa2bb036242b89249cc47ec15cd05e2cf34b3c');
  const shared = bodies.map(({ route, raw, attestation }): SharedSubmission => ({ route, raw, attestation }));
  t.is(
    sha256Hex(Buffer.concat(encodeSubmissions(shared))),
    'a9558adf76a004f2e9fb124f2e7f31a8bb9551221bc9293b0cf79d8ac70a8692',
  );
  t.is(
    encodeBlockFrame({ type: 'request', hash: 'ab'.repeat(32), view: 7 }).toString('hex'),
    `20${'ab'.repeat(32)}${'7'.padStart(16, '0')}`,
  );
  t.is(
    encodeBlockFrame({ type: 'range', from: 1, to: 2 }).toString('hex'),
    `23${'1'.padStart(16, '0')}${'2'.padStart(16, '0')}`,
  );
});

test('NET-7: a cut, longer or foreign block body is refused with a reason', async (t) => {
  const { bytes } = await sample();
  for (let size = 0; size < bytes.length; size += 7) {
    t.throws(() => decodeBlockBody(bytes.subarray(0, size)), { instanceOf: FrameError });
  }
  t.throws(() => decodeBlockBody(Buffer.concat([bytes, Buffer.of(0)])), { message: /1 bytes after the end/ });
  t.throws(() => decodeBlockBody(Buffer.concat([Buffer.of(2), bytes.subarray(1)])), { message: /version 2/ });
  const spaced = bytes.toString('latin1').replace('{"chain_id"', '{ "chain_id"');
  t.throws(() => decodeBlockBody(Buffer.from(spaced, 'latin1')), { instanceOf: FrameError });
});

test('NET-7: whatever is changed in a block body, it is refused or decodes to other bytes that encode to the same', async (t) => {
  const { bytes } = await sample();
  const text = headerText(decodeBlockBody(bytes).header);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(bytes);
      changed[at]! ^= change;
      try {
        const { headerText: found, entries } = decodeBlockBody(changed);
        return found !== text ? true : encodeBlockBody(found, entries).equals(changed);
      } catch (error) {
        return error instanceof FrameError;
      }
    }),
    { numRuns: 300 },
  );
  t.pass();
});

const count = fc.nat(Number.MAX_SAFE_INTEGER);
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const carried = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
const frame: fc.Arbitrary<BlockExchange> = fc.oneof(
  fc.record({ type: fc.constant('request' as const), hash, view: count }),
  fc.record({ type: fc.constant('body' as const), body: carried }),
  fc.record({ type: fc.constant('absent' as const), hash }),
  fc.record({ type: fc.constant('range' as const), from: count, to: count }),
  fc.record({ type: fc.constant('stored' as const), block: carried }),
  fc.record({ type: fc.constant('end' as const), from: count, next: count, tip: count }),
);

test('every frame of block exchange comes out as it went in', (t) => {
  fc.assert(fc.property(frame, (each) => t.deepEqual(decodeBlockFrame(encodeBlockFrame(each)), each)));
});

test('NET-7: random bytes are no frame, or are read as the one they are; nothing else is thrown', (t) => {
  const bytes = fc.tuple(fc.integer({ min: 30, max: 70 }), fc.uint8Array({ maxLength: 90 }));
  fc.assert(
    fc.property(bytes, ([type, rest]) => {
      for (const decode of [decodeBlockFrame, decodeSubmissions, decodeBlockBody]) {
        try {
          decode(Buffer.of(type, ...rest));
        } catch (error) {
          if (!(error instanceof FrameError)) throw error;
        }
      }
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('submissions come out as they went in, in frames that are small enough', async (t) => {
  const { bodies } = await sample();
  const shared = bodies.map(
    ({ route, raw, attestation }): SharedSubmission => ({ route, raw: Buffer.from(raw), attestation }),
  );
  const large: SharedSubmission = { route: InboxRoute.envelope, raw: Buffer.alloc(200_000, 'x'), attestation: null };
  const list = [...shared, large, large, large, ...shared];
  const frames = encodeSubmissions(list);
  t.true(frames.length >= 3);
  for (const each of frames) t.true(each.length <= FRAME_MAX_BYTES);
  t.deepEqual(
    frames.flatMap((each) => decodeSubmissions(each)).map((each) => ({ ...each, raw: Buffer.from(each.raw) })),
    list,
  );
  t.deepEqual(encodeSubmissions([]), []);
});

test('NET-7: a frame of submissions that is cut or claims more than it holds is refused', async (t) => {
  const { bodies } = await sample();
  const [bytes] = encodeSubmissions(bodies.map(({ route, raw, attestation }) => ({ route, raw, attestation })));
  for (let size = 0; size < bytes!.length; size += 11) {
    t.throws(() => decodeSubmissions(bytes!.subarray(0, size)), { instanceOf: FrameError });
  }
  t.throws(() => decodeSubmissions(Buffer.of(64, 255, 255)), { message: /65535 submissions/ });
  t.throws(() => decodeSubmissions(Buffer.of(64, 0, 1, 1, 0, 255, 255, 255, 255)), { message: /too early/ });
  t.throws(() => decodeSubmissions(Buffer.of(65)), { message: /type 65/ });
});
