// Takes a log over from a thread of this process that is gone: what that one had verified or written is not read again.
// Called by openLog for the successor of a wal-writer; what it reads does not grow with the log.
// It must give up, and leave everything as it was, as soon as anything is not as this process writes it.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { errorCode, type Files, guarded, readAll, syncDirectory, withFile, writeAll } from './files.js';
import { readFloor } from './floor.js';
import { type LogSegment, mark } from './reader.js';
import { type RecoveredLog, type RecoveryOptions, verdictOn } from './recovery.js';
import { type LogListing, listLog, segmentOf } from './scan.js';
import {
  applyMask,
  BATCH_HEADER_BYTES,
  BATCH_TRAILER_BYTES,
  type BatchHeader,
  checkTrailer,
  createImage,
  decodeSegmentHeader,
  hashBatch,
  type Image,
  readBatchHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  sealBatch,
} from './segment.js';

/** What a thread knew of its log at some moment. Plain JSON. */
export interface LogFacts {
  readonly nextLsn: number;
  /** Hex. */
  readonly lastHash: string;
  readonly epoch: number;
  readonly segments: readonly SegmentFacts[];
}

export type SegmentFacts = Pick<LogSegment, 'seq' | 'end' | 'nextLsn' | 'batches' | 'marks'>;

const READ_BYTES = 256 * 1024;
/** A segment of a GiB has 16 384 marks, and its successor can walk a few MiB. */
const MARKS_MAX = 256;

export function factsOf({ seq, end, nextLsn, batches, marks }: LogSegment): SegmentFacts {
  const stride = Math.ceil(marks.lsns.length / MARKS_MAX);
  const thin = (list: readonly number[]) => (stride > 1 ? list.filter((_, index) => index % stride === 0) : [...list]);
  return { seq, end, nextLsn, batches, marks: { lsns: thin(marks.lsns), offsets: thin(marks.offsets) } };
}

/** Null when the log has to be verified after all. */
export function followLog(options: RecoveryOptions, facts: LogFacts): RecoveredLog | null {
  const { files, directory } = options;
  const floor = readFloor(files, directory);
  if (floor !== null && 'fault' in floor) return null;
  const listing = listLog(files, directory, floor?.seq);
  const firstSeq = floor?.seq ?? 1;
  const whole = listing.segments.every(({ seq }, index) => seq === firstSeq + index);
  if (!whole || listing.segments.length === 0 || listing.suspect.length > 0) return null;
  const followed = readable(() => new Follower(options, facts, floor?.firstLsn ?? 1).run(listing));
  if (followed === null) return null;
  guarded(() => {
    for (const name of [...listing.temporary, ...listing.obsolete]) files.unlinkSync(join(directory, name));
    confirm(files, directory, followed);
  });
  const { segments, nextLsn, lastHash, epoch } = followed;
  const verdict = verdictOn(options, null, nextLsn);
  return { verdict, segments, nextLsn, lastHash, epoch: Math.max(epoch, options.epoch) };
}

/** What the disk does not give is for the whole scan to judge. */
function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (errorCode(error) === 'EIO') return null;
    throw error;
  }
}

interface LastBatch {
  readonly header: BatchHeader;
  readonly offset: number;
  /** Plain, at the start of an image of its own. */
  readonly image: Image;
}

interface Followed {
  readonly segments: readonly LogSegment[];
  readonly nextLsn: number;
  readonly lastHash: Uint8Array;
  readonly epoch: number;
  /** Of the newest segment, when it was written after the facts. */
  readonly last: LastBatch | null;
}

class Follower {
  readonly #options: RecoveryOptions;
  readonly #facts: LogFacts;
  #nextLsn: number;
  /** Null after a segment that was not read: the next header names it. */
  #lastHash: Uint8Array | null = null;
  #epoch: number;
  #last: LastBatch | null = null;

  constructor(options: RecoveryOptions, facts: LogFacts, firstLsn: number) {
    this.#options = options;
    this.#facts = facts;
    this.#nextLsn = firstLsn;
    this.#epoch = facts.epoch;
  }

  run({ segments: listed }: LogListing): Followed | null {
    const segments: LogSegment[] = [];
    for (const { name, seq } of listed) {
      const segment = this.#segment(name, seq);
      if (segment === null) return null;
      segments.push(segment);
    }
    // Acknowledged batches may not be gone.
    if (this.#nextLsn < this.#facts.nextLsn || this.#lastHash === null) return null;
    return {
      segments,
      nextLsn: this.#nextLsn,
      lastHash: this.#lastHash,
      epoch: this.#epoch,
      last: this.#last,
    };
  }

  #segment(name: string, seq: number): LogSegment | null {
    const { files, directory } = this.#options;
    return withFile(files, join(directory, name), 'r', (fd) => {
      const { size, mtimeMs } = files.fstatSync(fd);
      const header = this.#header(fd, seq, size);
      if (header === null) return null;
      const known = this.#facts.segments.find((each) => each.seq === seq);
      const segment: LogSegment = { ...segmentOf(directory, header), sealedAtMs: mtimeMs };
      this.#lastHash ??= header.previousHash;
      this.#last = null;
      if (known !== undefined) this.#skip(segment, known);
      const isSealed = known !== undefined && known !== this.#facts.segments.at(-1);
      if (isSealed || this.#read(fd, size, segment)) return segment;
      return null;
    });
  }

  /** Null when it is not the header of the segment that is due. */
  #header(fd: number, seq: number, size: number): SegmentHeader | null {
    const { files, identity } = this.#options;
    const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
    if (readAll(files, fd, block, SEGMENT_HEADER_BYTES, 0) < SEGMENT_HEADER_BYTES) return null;
    const found = decodeSegmentHeader(block);
    if (!found.ok) return null;
    const { header } = found;
    const isOurs =
      Buffer.compare(header.chainId, identity.chainId) === 0 &&
      Buffer.compare(header.publicKey, identity.publicKey) === 0;
    const isNext = header.seq === seq && header.firstLsn === this.#nextLsn && size >= header.sizeBytes;
    const follows = this.#lastHash === null || Buffer.compare(header.previousHash, this.#lastHash) === 0;
    if (!isOurs || !isNext || !follows) return null;
    this.#epoch = Math.max(this.#epoch, header.epoch);
    return header;
  }

  #skip(segment: LogSegment, { end, nextLsn, batches, marks }: SegmentFacts): void {
    segment.end = end;
    segment.nextLsn = nextLsn;
    segment.batches = batches;
    segment.marks.lsns.push(...marks.lsns);
    segment.marks.offsets.push(...marks.offsets);
    if (batches === 0) return;
    this.#nextLsn = nextLsn;
    this.#lastHash = nextLsn === this.#facts.nextLsn ? Buffer.from(this.#facts.lastHash, 'hex') : null;
  }

  /** From what is known of the segment to where zeros begin. False when it is not one good batch after the other. */
  #read(fd: number, size: number, segment: LogSegment): boolean {
    const from = segment.end;
    const { bytes, words } = createImage(size - from);
    let have = 0;
    const reach = (end: number): void => {
      while (have < end && from + have < size) {
        const wanted = Math.min(READ_BYTES, size - from - have);
        const read = readAll(this.#options.files, fd, bytes.subarray(have, have + wanted), wanted, from + have);
        if (read === 0) return;
        have += read;
      }
    };
    let last: { at: number; batch: BatchHeader } | null = null;
    for (let at = 0; ; at = segment.end - from) {
      reach(at + BATCH_HEADER_BYTES);
      if (at + BATCH_HEADER_BYTES > size - from || words[at / 4] === 0) break;
      const batch = readBatchHeader(bytes, at);
      if (batch === null || batch.firstLsn !== segment.nextLsn || from + at + batch.length > size) return false;
      reach(at + batch.length);
      if (checkTrailer(bytes, at, batch, segment.seal) !== null) return false;
      mark(segment, batch.firstLsn, segment.end);
      segment.end += batch.length;
      segment.nextLsn = batch.firstLsn + batch.count;
      segment.batches += 1;
      last = { at, batch };
    }
    if (last === null) return true;
    const { at, batch } = last;
    const image = createImage(batch.length);
    bytes.copy(image.bytes, 0, at, at + batch.length);
    applyMask(image.words, BATCH_HEADER_BYTES, batch.length - BATCH_TRAILER_BYTES, segment.seal.mask);
    this.#last = { header: batch, offset: from + at, image };
    this.#lastHash = hashBatch(image.bytes, 0, batch);
    this.#nextLsn = segment.nextLsn;
    return true;
  }
}

/**
 * A batch is written only when the sync of the one before it has returned, so the last one alone may not have reached the
 * disk: its sync may have failed and the failure died with the thread. Its bytes are written once more, which makes the
 * pages count again, and synced, with the name of the file.
 */
function confirm(files: Files, directory: string, { segments, last }: Followed): void {
  const { path, seal } = segments.at(-1)!;
  withFile(files, path, 'r+', (fd) => {
    if (last !== null) {
      const { header, offset, image } = last;
      sealBatch(image, 0, header, seal);
      writeAll(files, fd, image.bytes, header.length, offset);
    }
    files.fsyncSync(fd);
  });
  syncDirectory(files, directory);
}
