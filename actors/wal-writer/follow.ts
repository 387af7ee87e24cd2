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
  const found = findEnd(options, facts);
  if (found === null) return null;
  const { listing, followed } = found;
  guarded(() => {
    for (const name of [...listing.temporary, ...listing.obsolete]) files.unlinkSync(join(directory, name));
    confirm(files, directory, followed);
  });
  const { segments, nextLsn, lastHash, epoch } = followed;
  const verdict = verdictOn(options, null, nextLsn);
  return { verdict, segments, nextLsn, lastHash, epoch: Math.max(epoch, options.epoch) };
}

/** The part that only reads: a thread that does it once before it has to does it faster. */
export function findEnd(
  options: RecoveryOptions,
  facts: LogFacts,
): { readonly listing: LogListing; readonly followed: Followed } | null {
  const { files, directory } = options;
  const floor = readFloor(files, directory);
  if (floor !== null && 'fault' in floor) return null;
  const listing = listLog(files, directory, floor?.seq);
  const firstSeq = floor?.seq ?? 1;
  const whole = listing.segments.every(({ seq }, index) => seq === firstSeq + index);
  if (!whole || listing.segments.length === 0 || listing.suspect.length > 0) return null;
  const followed = readable(() => new Follower(options, facts, floor?.firstLsn ?? 1).run(listing));
  return followed === null ? null : { listing, followed };
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

export interface LastBatch {
  readonly header: BatchHeader;
  readonly offset: number;
  /** Plain, at the start of an image of its own. */
  readonly image: Image;
}

export interface Followed {
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
    const window = new Window(this.#options.files, fd, size);
    let last: { readonly header: BatchHeader; readonly offset: number } | null = null;
    for (;;) {
      const offset = segment.end;
      const at = window.at(offset, BATCH_HEADER_BYTES);
      if (at === null || window.image.words[at / 4] === 0) break;
      const header = readBatchHeader(window.image.bytes, at);
      if (header === null || header.firstLsn !== segment.nextLsn) return false;
      const start = window.at(offset, header.length);
      if (start === null || checkTrailer(window.image.bytes, start, header, segment.seal) !== null) return false;
      mark(segment, header.firstLsn, offset);
      segment.end += header.length;
      segment.nextLsn = header.firstLsn + header.count;
      segment.batches += 1;
      last = { header, offset };
    }
    if (last === null) return true;
    const { header, offset } = last;
    const start = window.at(offset, header.length);
    if (start === null) return false;
    const image = createImage(header.length);
    window.image.bytes.copy(image.bytes, 0, start, start + header.length);
    applyMask(image.words, BATCH_HEADER_BYTES, header.length - BATCH_TRAILER_BYTES, segment.seal.mask);
    this.#last = { header, offset, image };
    this.#lastHash = hashBatch(image.bytes, 0, header);
    this.#nextLsn = segment.nextLsn;
    return true;
  }
}

/** What is held of a file at a time. An image of all that may follow would set off a collection of the whole heap. */
class Window {
  readonly #files: Files;
  readonly #fd: number;
  readonly #size: number;
  #from = 0;
  #have = 0;
  image: Image = createImage(0);

  constructor(files: Files, fd: number, size: number) {
    this.#files = files;
    this.#fd = fd;
    this.#size = size;
  }

  /** Where in the image the bytes from `offset` on stand, so many of them, or null past the file's end. */
  at(offset: number, length: number): number | null {
    if (offset + length > this.#size) return null;
    if (offset < this.#from || offset + length > this.#from + this.#have) this.#move(offset, length);
    return offset + length <= this.#from + this.#have ? offset - this.#from : null;
  }

  #move(offset: number, length: number): void {
    const wanted = Math.min(Math.max(length, READ_BYTES), this.#size - offset);
    if (this.image.bytes.length < wanted) this.image = createImage(wanted);
    this.#from = offset;
    this.#have = readAll(this.#files, this.#fd, this.image.bytes.subarray(0, wanted), wanted, offset);
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
