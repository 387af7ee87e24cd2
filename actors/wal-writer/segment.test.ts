import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import type { LogRecord } from '../../protocol/wal-record.js';
import {
  applyMask,
  batchLength,
  checkTrailer,
  createImage,
  decodeSegmentHeader,
  drawSeal,
  encodeBatch,
  encodeSegmentHeader,
  hashBatch,
  type Image,
  NO_HASH,
  readBatchHeader,
  type SegmentHeader,
  sealOf,
  walkRecords,
} from './segment.js';

const header: SegmentHeader = {
  sizeBytes: 8 * 1024 * 1024,
  chainId: new Uint8Array(32).fill(0x11),
  publicKey: new Uint8Array(32).fill(0x22),
  epoch: 3,
  seq: 7,
  firstLsn: 2 ** 40 + 5,
  previousHash: new Uint8Array(32).fill(0x33),
  mask: Uint8Array.from({ length: 32 }, (_, index) => index + 1),
  salt: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0xc8),
};
const records: LogRecord[] = [
  { type: 1, data: Buffer.from('first') },
  { type: 3, data: new Uint8Array(0) },
  { type: 255, data: new Uint8Array(700) },
];

function encode(
  batch: readonly LogRecord[],
  firstLsn: number,
  from = header,
): { image: Image; length: number; hash: Buffer } {
  const length = batchLength(batch);
  const image = createImage(length);
  const hash = encodeBatch(image, batch, firstLsn, NO_HASH, sealOf(from));
  return { image, length, hash };
}

test('conformance: the bytes of a header block and of a batch are those of version 1', (t) => {
  const { image, length, hash } = encode(records, 2 ** 33 + 9);
  t.deepEqual(
    {
      header: sha256Hex(encodeSegmentHeader(header)),
      batch: sha256Hex(image.bytes.subarray(0, length)),
      batchHash: hash.toString('hex'),
    },
    {
      header: '27d2c30a009745056c2f371b570e0ed700bfe189e340e40df2574bcb3aaf461c',
      batch: 'cf35cdfe83213762aa74e0cef8c6fe0231f8145c88ff8139bf004b8a8ce4c642',
      batchHash: 'b9e045242d64026b7e659dc1003ac64f3873003d23d5e66228ea06e85a0387e8',
    },
  );
});

test('a header block comes back as it was, and no flipped bit in it goes unseen', (t) => {
  const bytes = encodeSegmentHeader(header);
  t.deepEqual(decodeSegmentHeader(bytes), { ok: true, header });
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    t.false(decodeSegmentHeader(bytes).ok);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
  t.false(decodeSegmentHeader(bytes.subarray(0, 511)).ok);
});

test('any records come back from a batch, under any mask, and the hash does not depend on the mask', (t) => {
  const anyRecord = fc.record({ type: fc.nat({ max: 255 }), data: fc.uint8Array({ maxLength: 200 }) });
  const anyMask = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 20 }), anyMask, fc.nat(), (batch, mask, lsn) => {
      const { image, length, hash } = encode(batch, lsn, { ...header, mask });
      const found = readBatchHeader(image.bytes, 0);
      t.deepEqual(found, { length, firstLsn: lsn, count: batch.length });
      t.is(checkTrailer(image.bytes, 0, found!, sealOf({ ...header, mask })), null);
      applyMask(image.words, 52, length - 12, sealOf({ ...header, mask }).mask);
      t.deepEqual(hashBatch(image.bytes, 0, found!), hash);
      t.deepEqual(encode(batch, lsn).hash, hash);
      const payload = image.bytes.subarray(52, length - 12);
      const back: LogRecord[] = [];
      t.true(
        walkRecords(payload, batch.length, (type, from, to) =>
          back.push({ type, data: Uint8Array.from(payload.subarray(from, to)) }),
        ),
      );
      t.deepEqual(back, batch);
    }),
  );
});

test('a body of zeros leaves no sector of zeros on the disk', (t) => {
  const { image, length } = encode([{ type: 1, data: new Uint8Array(4000) }], 1);
  for (let sector = 0; sector + 512 <= length; sector += 512) {
    t.false(image.bytes.subarray(sector, sector + 512).every((byte) => byte === 0));
  }
});

test('records that do not fill their batch are seen', (t) => {
  const plain = Buffer.alloc(16);
  const visits: number[] = [];
  const visit = (type: number): void => {
    visits.push(type);
  };
  plain.writeUInt32LE(6, 0);
  plain[4] = 9;
  t.true(walkRecords(plain, 1, visit));
  t.deepEqual(visits, [9]);
  plain[15] = 1;
  t.false(walkRecords(plain, 1, visit), 'padding that is not zero');
  plain[15] = 0;
  plain.writeUInt32LE(8, 0);
  t.false(walkRecords(plain, 2, visit), 'a second record that is not there');
  plain.writeUInt32LE(12, 0);
  t.false(walkRecords(plain, 1, visit), 'a record past the end');
  plain.writeUInt32LE(3, 0);
  t.false(walkRecords(plain, 1, visit), 'eight bytes nobody claims');
});

test('a random source that gives no randomness is refused', (t) => {
  t.throws(() => drawSeal((sizeBytes) => new Uint8Array(sizeBytes)), { instanceOf: RangeError });
  t.throws(() => drawSeal(() => new Uint8Array(3).fill(1)), { instanceOf: RangeError });
  t.is(drawSeal((sizeBytes) => new Uint8Array(sizeBytes).fill(1)).salt[7], 0xc1);
});
