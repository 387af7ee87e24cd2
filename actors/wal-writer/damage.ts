// Judges the first bad batch of the newest segment: left by a crash, doubtful, or damage to something acknowledged.
// Called by the scan with the segment's bytes. Pure, so every case can be laid out byte by byte in a test.
// It must never call a batch torn that may have been acknowledged while a sign of that is still on the disk.
//
// What a crash can leave of the one batch in flight: some of its sectors still hold the zeros of the new file, or its
// bytes stop at some point and zeros follow. What it cannot leave: anything after that batch, because the next one is
// written only after this one was synced.
import type { Buffer } from 'node:buffer';
import {
  BATCH_HEADER_BYTES,
  BATCH_OVERHEAD_BYTES,
  type BatchHeader,
  endMarker,
  type Image,
  RECORD_OVERHEAD_BYTES,
  readBatchHeader,
  SECTOR_BYTES,
  type Seal,
} from './segment.js';

/** zeros: none where one should begin. past-end: the file ends inside it. chain: whole, but not the batch due here. */
export type FaultKind = 'zeros' | 'header' | 'past-end' | 'chain' | 'payload' | 'marker' | 'records';

/** The first place of a segment where no good batch stands although there are bytes. */
export interface Fault {
  readonly kind: FaultKind;
  readonly offset: number;
  /** When its own checksum holds. */
  readonly header: BatchHeader | null;
  readonly reason: string;
}

export interface Tail {
  readonly image: Image;
  readonly sizeBytes: number;
  /** End of the last byte that is not zero. */
  readonly contentEnd: number;
  readonly seal: Seal;
  /** The position that the bad batch should have begun with. */
  readonly expectedLsn: number;
}

export interface Judgement {
  readonly state: 'torn' | 'suspect' | 'corrupt';
  readonly reason: string;
}

export function judgeTail(tail: Tail, fault: Fault): Judgement {
  const later = signOfLaterBatch(tail, fault);
  if (later !== null) return { state: 'corrupt', reason: `${fault.reason}, and ${later}` };
  const torn = signOfCrash(tail, fault);
  if (torn !== null) return { state: 'torn', reason: `${fault.reason}: ${torn}` };
  return { state: 'suspect', reason: `${fault.reason}, and no crash while writing leaves it so` };
}

/** End of the last non-zero byte of the first `limit` bytes. */
export function findContentEnd(image: Image, limit: number): number {
  const { bytes, words } = image;
  let word = Math.ceil(limit / 4) - 1;
  while (word >= 0 && words[word] === 0) word -= 1;
  let end = Math.min((word + 1) * 4, limit);
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

function signOfLaterBatch(tail: Tail, fault: Fault): string | null {
  const end = fault.header === null ? findMarker(tail, fault.offset) : fault.offset + fault.header.length;
  if (end !== null && tail.contentEnd > end) return `bytes follow its end at offset ${end}`;
  const later = findLaterHeader(tail, fault.offset);
  return later === null ? null : `a later batch stands at offset ${later}`;
}

/** End of the bad batch, found by its end marker when its header cannot say it. */
function findMarker(tail: Tail, offset: number): number | null {
  const marker = endMarker(tail.expectedLsn, tail.seal);
  const [low, high] = [marker.readInt32LE(0), marker.readInt32LE(4)];
  const { bytes } = tail.image;
  for (let at = offset + BATCH_OVERHEAD_BYTES - 8; at + 8 <= tail.contentEnd; at += 8) {
    if (bytes.readInt32LE(at) === low && bytes.readInt32LE(at + 4) === high) return at + 8;
  }
  return null;
}

/**
 * A header whose checksum holds and whose position could be reached from the bad batch. No payload can forge one: it is
 * masked, and the mask is not known outside the file.
 */
function findLaterHeader(tail: Tail, offset: number): number | null {
  const { bytes } = tail.image;
  for (let at = offset + 8; at + BATCH_HEADER_BYTES <= tail.contentEnd; at += 8) {
    const length = bytes.readUInt32LE(at);
    if (length < BATCH_OVERHEAD_BYTES || length % 8 !== 0) continue;
    const header = readBatchHeader(bytes, at);
    if (header === null) continue;
    const ahead = header.firstLsn - tail.expectedLsn;
    if (ahead > 0 && ahead <= (at - offset) / RECORD_OVERHEAD_BYTES) return at;
  }
  return null;
}

function signOfCrash(tail: Tail, fault: Fault): string | null {
  if (fault.kind === 'chain' || fault.kind === 'records') return null;
  if (fault.kind === 'past-end') return `the file ends at offset ${tail.sizeBytes}, inside it`;
  if (fault.header === null && tail.contentEnd < fault.offset + BATCH_HEADER_BYTES) {
    return `its header stops at offset ${tail.contentEnd} and zeros follow`;
  }
  const end = fault.header === null ? tail.contentEnd : fault.offset + fault.header.length;
  const sector = findZeroSector(tail.image.bytes, fault.offset, end);
  if (sector !== null) return `the sector at offset ${sector} was never written`;
  if (fault.header !== null && markerIsCut(tail, fault.offset, fault.header))
    return 'its end is missing and zeros follow';
  return null;
}

/**
 * The batch's part of some sector is all zeros. In a batch that was written whole no part is: the first begins with a
 * length, the last ends in an end marker that is never zero, and all between is masked.
 */
function findZeroSector(bytes: Buffer, from: number, to: number): number | null {
  for (let start = from; start < to; ) {
    const end = Math.min((Math.floor(start / SECTOR_BYTES) + 1) * SECTOR_BYTES, to);
    let at = start;
    while (at < end && bytes[at] === 0) at += 1;
    if (at === end) return start;
    start = end;
  }
  return null;
}

/** The end marker is right up to some byte and zero from there on; its last byte is never zero when it was written. */
function markerIsCut(tail: Tail, offset: number, header: BatchHeader): boolean {
  const markerAt = offset + header.length - 8;
  const expected = endMarker(header.firstLsn, tail.seal);
  const found = tail.image.bytes.subarray(markerAt, markerAt + 8);
  let same = 0;
  while (same < 8 && found[same] === expected[same]) same += 1;
  return same < 8 && found.subarray(same).every((byte) => byte === 0);
}
