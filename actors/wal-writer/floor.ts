// Where a pruned log begins: one small file that is durable before the first segment below it is deleted. Read by the scan,
// written by the log. It must never name a place that anything still needed stands before.
//
// 72 bytes, little-endian: 0 magic(8) · 8 version u32 · 12 zeros · 16 number of the first segment u64 · 24 its first LSN u64
//   32 hash of the batch before it(32) · 64 zeros · 68 crc of bytes 0–67
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { LogRefused } from './errors.js';
import { type Files, readAll, withFile, writeAll, writeFileDurably } from './files.js';
import { HASH_BYTES } from './segment.js';

/** Segments before this place are needed by nobody; those that are still there are leftovers of a crash. */
export interface LogFloor {
  readonly seq: number;
  readonly firstLsn: number;
  readonly previousHash: Uint8Array;
}

export const FLOOR_NAME = 'floor';

const MAGIC = Buffer.from('QUORFLR\0', 'latin1');
const VERSION = 1;
const FLOOR_BYTES = 72;
const CRC_AT = FLOOR_BYTES - 4;

export function encodeFloor({ seq, firstLsn, previousHash }: LogFloor): Buffer {
  const bytes = Buffer.alloc(FLOOR_BYTES);
  bytes.set(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeBigUInt64LE(BigInt(seq), 16);
  bytes.writeBigUInt64LE(BigInt(firstLsn), 24);
  bytes.set(previousHash, 32);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT);
  return bytes;
}

/** The floor, or why these bytes name none. Throws LogRefused for a floor of another release. */
export function decodeFloor(bytes: Buffer): LogFloor | { readonly fault: string } {
  if (bytes.length !== FLOOR_BYTES) return { fault: `it has ${bytes.length} bytes; allowed: ${FLOOR_BYTES}` };
  if (!bytes.subarray(0, 8).equals(MAGIC)) return { fault: 'it does not begin with the magic bytes of a floor' };
  if (crc32(bytes.subarray(0, CRC_AT)) !== bytes.readUInt32LE(CRC_AT)) return { fault: 'its checksum is wrong' };
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) {
    throw new LogRefused('version', `${FLOOR_NAME}: format version ${version}; this release reads ${VERSION}`);
  }
  return {
    seq: Number(bytes.readBigUInt64LE(16)),
    firstLsn: Number(bytes.readBigUInt64LE(24)),
    previousHash: new Uint8Array(bytes.subarray(32, 32 + HASH_BYTES)),
  };
}

/** Null when nothing was ever pruned. */
export function readFloor(files: Files, directory: string): LogFloor | { readonly fault: string } | null {
  const path = join(directory, FLOOR_NAME);
  if (!files.existsSync(path)) return null;
  const bytes = Buffer.alloc(FLOOR_BYTES + 1);
  const read = withFile(files, path, 'r', (fd) => readAll(files, fd, bytes, bytes.length, 0));
  return decodeFloor(bytes.subarray(0, read));
}

/** Durable when this returns. */
export function writeFloor(files: Files, directory: string, floor: LogFloor): void {
  const bytes = encodeFloor(floor);
  writeFileDurably(files, join(directory, FLOOR_NAME), (fd) => writeAll(files, fd, bytes, bytes.length, 0));
}
