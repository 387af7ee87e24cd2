// The bytes of a segment: its header block, and batches that are masked, checksummed and chained.
// Called by the log (to write), recovery (to judge) and the reader (to serve). It holds no file and never does I/O.
// A released layout never changes: a new one gets a new version number, and the conformance hashes show any drift.
//
// Header block, 512 bytes, little-endian like everything here:
//   0 magic(8) · 8 version u32 · 12 size of the file u32 · 16 chainId(32) · 48 publicKey(32) · 80 epoch u64 · 88 seq u64
//   96 firstLsn u64 · 104 hash of the batch before(32) · 136 mask(32) · 168 salt(8) · zeros · 508 crc of bytes 0–507
// Batch, at a multiple of 8:
//   0 length of the batch u32 · 4 crc u32 of bytes 8–51 begun from the length · 8 firstLsn u64 · 16 count u32
//   20 hash of the batch before(32) · 52 payload XOR mask, padded with zeros to a multiple of 8 · crc u32 of the payload as
//   stored · end marker u64 = salt XOR firstLsn
// Payload: count × { length u32 · type u8 · data }.
// The hash of a batch is SHA-256 over bytes 8 to the end of the padded payload before masking, so a batch that is rewritten
// under another mask keeps its hash, and each batch proves that the one before it was complete.
//
// The checksum is CRC-32 from node:zlib: native in every supported Node, no dependency, and it finds every burst up to 32
// bits. CRC-32C would be equal in strength here and needs a package; against what a CRC cannot find there is the hash chain.
import { Buffer } from 'node:buffer';
import { crc32 } from 'node:zlib';
import { sha256 } from '../../protocol/crypto/hash.js';
import type { LogRecord } from '../../protocol/wal-record.js';

/** What a disk writes whole or not at all; the header block takes one, so that no batch shares its sector. */
export const SECTOR_BYTES = 512;
export const SEGMENT_HEADER_BYTES = SECTOR_BYTES;
export const BATCH_HEADER_BYTES = 52;
export const BATCH_TRAILER_BYTES = 12;
/** A batch costs this beside its records, and each record costs RECORD_OVERHEAD_BYTES beside its data. */
export const BATCH_OVERHEAD_BYTES = BATCH_HEADER_BYTES + BATCH_TRAILER_BYTES;
export const RECORD_OVERHEAD_BYTES = 5;
export const HASH_BYTES = 32;
export const FORMAT_VERSION = 1;
/** The "batch before" of the first batch of a log. */
export const NO_HASH: Uint8Array = new Uint8Array(HASH_BYTES);

const MAGIC = Buffer.from('QUORWAL\0', 'latin1');
const HEADER_CRC_AT = SEGMENT_HEADER_BYTES - 4;
const TWO_32 = 0x1_0000_0000;

export interface SegmentHeader {
  readonly sizeBytes: number;
  readonly chainId: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly epoch: number;
  readonly seq: number;
  readonly firstLsn: number;
  readonly previousHash: Uint8Array;
  readonly mask: Uint8Array;
  readonly salt: Uint8Array;
}

/** Mask and salt of one segment in the form the hot path wants. */
export interface Seal {
  readonly mask: Int32Array;
  readonly saltLow: number;
  readonly saltHigh: number;
}

/** Memory that batches are written to or judged in: one buffer seen as bytes and as 32-bit words. */
export interface Image {
  readonly bytes: Buffer;
  readonly words: Int32Array;
}

export interface BatchHeader {
  /** Of the whole batch, header and trailer included. */
  readonly length: number;
  readonly firstLsn: number;
  readonly count: number;
}

/**
 * glibc gives back at once what was larger than this when it was asked for. Anything from its threshold to here stays in the
 * arena of the thread that let it go, and raises the threshold: after some restarts each arena keeps a segment for nothing.
 */
const GIVEN_BACK_BYTES = 33 * 1024 * 1024;
const LARGE_BYTES = 1024 * 1024;

/** Zeros, rounded up to sectors. Memory that is not touched takes no room, so a large image may be backed by more. */
export function createImage(sizeBytes: number): Image {
  const length = Math.ceil(sizeBytes / SECTOR_BYTES) * SECTOR_BYTES;
  const buffer = new ArrayBuffer(length > LARGE_BYTES ? Math.max(length, GIVEN_BACK_BYTES) : length);
  return { bytes: Buffer.from(buffer, 0, length), words: new Int32Array(buffer, 0, length / 4) };
}

/**
 * Mask and salt for a new segment. The mask keeps zeros in a body from looking like a sector that was never written; the
 * two top bits of the salt keep an end marker from being, or becoming by one flipped bit, a row of zeros.
 */
export function drawSeal(random: (sizeBytes: number) => Uint8Array): { mask: Uint8Array; salt: Uint8Array } {
  const mask = Uint8Array.from(random(32));
  const salt = Uint8Array.from(random(8));
  if (mask.length !== 32 || salt.length !== 8 || mask.every((byte) => byte === 0)) {
    throw new RangeError(
      'the random source gave no usable mask and salt; allowed: 32 bytes, not all zero, and 8 bytes',
    );
  }
  salt[7] = salt[7]! | 0xc0;
  return { mask, salt };
}

export function sealOf(header: Pick<SegmentHeader, 'mask' | 'salt'>): Seal {
  const mask = new Int32Array(8);
  Buffer.from(mask.buffer).set(header.mask);
  const salt = Buffer.from(header.salt);
  return { mask, saltLow: salt.readUInt32LE(0), saltHigh: salt.readUInt32LE(4) };
}

export function encodeSegmentHeader(header: SegmentHeader, version: number = FORMAT_VERSION): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  bytes.set(MAGIC, 0);
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(header.sizeBytes, 12);
  bytes.set(header.chainId, 16);
  bytes.set(header.publicKey, 48);
  bytes.writeBigUInt64LE(BigInt(header.epoch), 80);
  bytes.writeBigUInt64LE(BigInt(header.seq), 88);
  bytes.writeBigUInt64LE(BigInt(header.firstLsn), 96);
  bytes.set(header.previousHash, 104);
  bytes.set(header.mask, 136);
  bytes.set(header.salt, 168);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_CRC_AT)), HEADER_CRC_AT);
  return bytes;
}

/** The header, or why these 512 bytes are none. `version` is told apart: such a file is whole, but not for this release. */
export function decodeSegmentHeader(
  bytes: Buffer,
): { ok: true; header: SegmentHeader } | { ok: false; fault: 'header' | 'version'; reason: string } {
  if (bytes.length < SEGMENT_HEADER_BYTES) {
    return { ok: false, fault: 'header', reason: `the file ends inside its header block (${bytes.length} bytes)` };
  }
  if (!bytes.subarray(0, 8).equals(MAGIC)) {
    return {
      ok: false,
      fault: 'header',
      reason: 'the header block does not begin with the magic bytes of a log segment',
    };
  }
  if (crc32(bytes.subarray(0, HEADER_CRC_AT)) !== bytes.readUInt32LE(HEADER_CRC_AT)) {
    return { ok: false, fault: 'header', reason: 'the checksum of the header block is wrong' };
  }
  const version = bytes.readUInt32LE(8);
  if (version !== FORMAT_VERSION) {
    return { ok: false, fault: 'version', reason: `format version ${version}; this release reads ${FORMAT_VERSION}` };
  }
  const part = (from: number, length: number) => new Uint8Array(bytes.subarray(from, from + length));
  return {
    ok: true,
    header: {
      sizeBytes: bytes.readUInt32LE(12),
      chainId: part(16, 32),
      publicKey: part(48, 32),
      epoch: readUint64(bytes, 80),
      seq: readUint64(bytes, 88),
      firstLsn: readUint64(bytes, 96),
      previousHash: part(104, HASH_BYTES),
      mask: part(136, 32),
      salt: part(168, 8),
    },
  };
}

/** Bytes that a batch of these records takes in a segment. */
export function batchLength(records: readonly LogRecord[]): number {
  let payload = 0;
  for (let index = 0; index < records.length; index += 1)
    payload += RECORD_OVERHEAD_BYTES + records[index]!.data.length;
  return BATCH_OVERHEAD_BYTES + ((payload + 7) & ~7);
}

/**
 * Writes one batch at the start of `image`, which must hold batchLength(records) bytes, and returns its hash. Hot: per
 * record one copy of the data; per batch one SHA-256, two CRCs and one XOR pass over 32-bit words.
 */
export function encodeBatch(
  image: Image,
  records: readonly LogRecord[],
  firstLsn: number,
  previousHash: Uint8Array,
  seal: Seal,
): Buffer {
  const { bytes } = image;
  let at = BATCH_HEADER_BYTES;
  for (let index = 0; index < records.length; index += 1) {
    const { type, data } = records[index]!;
    bytes.writeUInt32LE(data.length, at);
    bytes.writeUInt8(type, at + 4);
    bytes.set(data, at + RECORD_OVERHEAD_BYTES);
    at += RECORD_OVERHEAD_BYTES + data.length;
  }
  const payloadEnd = BATCH_HEADER_BYTES + ((at - BATCH_HEADER_BYTES + 7) & ~7);
  bytes.fill(0, at, payloadEnd);
  const length = payloadEnd + BATCH_TRAILER_BYTES;
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt32LE(firstLsn % TWO_32, 8);
  bytes.writeUInt32LE(Math.floor(firstLsn / TWO_32), 12);
  bytes.writeUInt32LE(records.length, 16);
  bytes.set(previousHash, 20);
  bytes.writeUInt32LE(crc32(bytes.subarray(8, BATCH_HEADER_BYTES), length), 4);
  const hash = sha256(bytes.subarray(8, payloadEnd));
  sealBatch(image, 0, { length, firstLsn, count: records.length }, seal);
  return hash;
}

/** Masks the plain payload of the batch at `offset` and writes the trailer that goes with the mask and the salt. */
export function sealBatch(image: Image, offset: number, header: BatchHeader, seal: Seal): void {
  const { bytes, words } = image;
  const payloadAt = offset + BATCH_HEADER_BYTES;
  const crcAt = offset + header.length - BATCH_TRAILER_BYTES;
  applyMask(words, payloadAt, crcAt, seal.mask);
  bytes.writeUInt32LE(crc32(bytes.subarray(payloadAt, crcAt)), crcAt);
  bytes.writeUInt32LE((seal.saltLow ^ (header.firstLsn % TWO_32)) >>> 0, crcAt + 4);
  bytes.writeUInt32LE((seal.saltHigh ^ Math.floor(header.firstLsn / TWO_32)) >>> 0, crcAt + 8);
}

/** XOR is its own inverse: masks plain words and unmasks masked ones. Both bounds are multiples of 4. */
export function applyMask(words: Int32Array, fromByte: number, toByte: number, mask: Int32Array): void {
  const [m0, m1, m2, m3, m4, m5, m6, m7] = mask as unknown as readonly number[] as MaskWords;
  const end = toByte >> 2;
  let at = fromByte >> 2;
  for (; at + 8 <= end; at += 8) {
    words[at]! ^= m0;
    words[at + 1]! ^= m1;
    words[at + 2]! ^= m2;
    words[at + 3]! ^= m3;
    words[at + 4]! ^= m4;
    words[at + 5]! ^= m5;
    words[at + 6]! ^= m6;
    words[at + 7]! ^= m7;
  }
  for (let index = 0; at < end; at += 1, index += 1) words[at]! ^= mask[index]!;
}

type MaskWords = [number, number, number, number, number, number, number, number];

/** The header at `offset` when its checksum holds and its numbers can be true; null otherwise. */
export function readBatchHeader(bytes: Buffer, offset: number): BatchHeader | null {
  if (offset + BATCH_HEADER_BYTES > bytes.length) return null;
  const length = bytes.readUInt32LE(offset);
  if (length < BATCH_OVERHEAD_BYTES || length % 8 !== 0) return null;
  const firstLsn = readUint64(bytes, offset + 8);
  const count = bytes.readUInt32LE(offset + 16);
  if (count === 0 || !Number.isSafeInteger(firstLsn + count)) return null;
  const crc = crc32(bytes.subarray(offset + 8, offset + BATCH_HEADER_BYTES), length);
  return crc === bytes.readUInt32LE(offset + 4) ? { length, firstLsn, count } : null;
}

/** Whether payload checksum and end marker of a batch that lies wholly in `bytes` are right. */
export function checkTrailer(
  bytes: Buffer,
  offset: number,
  header: BatchHeader,
  seal: Seal,
): null | 'payload' | 'marker' {
  const crcAt = offset + header.length - BATCH_TRAILER_BYTES;
  if (crc32(bytes.subarray(offset + BATCH_HEADER_BYTES, crcAt)) !== bytes.readUInt32LE(crcAt)) return 'payload';
  return bytes.subarray(crcAt + 4, crcAt + 12).equals(endMarker(header.firstLsn, seal)) ? null : 'marker';
}

export function endMarker(firstLsn: number, seal: Seal): Buffer {
  const marker = Buffer.allocUnsafe(8);
  marker.writeUInt32LE((seal.saltLow ^ (firstLsn % TWO_32)) >>> 0, 0);
  marker.writeUInt32LE((seal.saltHigh ^ Math.floor(firstLsn / TWO_32)) >>> 0, 4);
  return marker;
}

/** Hash of a batch whose payload is plain. */
export function hashBatch(bytes: Buffer, offset: number, header: BatchHeader): Buffer {
  return sha256(bytes.subarray(offset + 8, offset + header.length - BATCH_TRAILER_BYTES));
}

/**
 * Walks the records of a plain payload. False when they do not fill it exactly, which no crash explains; `visit` may
 * have been called for the records before the fault.
 */
export function walkRecords(
  payload: Buffer,
  count: number,
  visit: (type: number, from: number, to: number, index: number) => void,
): boolean {
  let at = 0;
  for (let index = 0; index < count; index += 1) {
    const from = at + RECORD_OVERHEAD_BYTES;
    if (from > payload.length) return false;
    const to = from + payload.readUInt32LE(at);
    if (to > payload.length) return false;
    visit(payload[at + 4]!, from, to, index);
    at = to;
  }
  for (let rest = at; rest < payload.length; rest += 1) if (payload[rest] !== 0) return false;
  return payload.length - at < 8;
}

function readUint64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset + 4) * TWO_32 + bytes.readUInt32LE(offset);
}
