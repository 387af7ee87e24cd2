// Reads batches back from segments through one small window, so that serving a log never takes memory for the log.
// Called by the running log for `records` and `fetch`; recovery reads whole segments by itself.
// It must never return bytes past what was acknowledged, nor a batch whose checksums do not hold.
import { Buffer } from 'node:buffer';
import { LogDamaged } from './errors.js';
import { errorCode, type Files, readAll } from './files.js';
import {
  applyMask,
  BATCH_HEADER_BYTES,
  BATCH_TRAILER_BYTES,
  type BatchHeader,
  checkTrailer,
  createImage,
  readBatchHeader,
  SEGMENT_HEADER_BYTES,
  type Seal,
} from './segment.js';

/** What the running log knows of one segment file. */
export interface LogSegment {
  readonly name: string;
  readonly path: string;
  readonly seq: number;
  readonly epoch: number;
  readonly firstLsn: number;
  readonly sizeBytes: number;
  readonly seal: Seal;
  /** Offset after the last batch that counts. */
  end: number;
  /** Position after the last record that counts. */
  nextLsn: number;
  batches: number;
  /** Last change of the file, unix milliseconds, once it is not the newest any more; a restored copy counts as young. */
  sealedAtMs: number;
  /** Where some batches stand: the first, then one each 64 KiB; 16 bytes for 64 KiB of log. */
  readonly marks: { readonly lsns: number[]; readonly offsets: number[] };
}

export interface ReadBatch extends BatchHeader {
  /** Plain, padded, in memory of its own. */
  readonly payload: Buffer;
}

const WINDOW_BYTES = 128 * 1024;
const MARK_STRIDE_BYTES = 64 * 1024;

/** Notes that a batch stands at `offset`, where the last mark is far enough behind. */
export function mark(segment: LogSegment, lsn: number, offset: number): void {
  const { lsns, offsets } = segment.marks;
  const last = offsets.at(-1);
  if (last !== undefined && offset - last < MARK_STRIDE_BYTES) return;
  lsns.push(lsn);
  offsets.push(offset);
}

export class LogReader {
  readonly #files: Files;
  #window = createImage(WINDOW_BYTES).bytes;
  #segment: LogSegment | null = null;
  #fd: number | null = null;
  #from = 0;
  #to = 0;

  constructor(files: Files) {
    this.#files = files;
  }

  /** Offset of the batch that holds `lsn`, which must lie in the segment. */
  locate(segment: LogSegment, lsn: number): number {
    const { lsns, offsets } = segment.marks;
    let low = 0;
    for (let high = lsns.length - 1; low < high; ) {
      const middle = (low + high + 1) >> 1;
      if (lsns[middle]! <= lsn) low = middle;
      else high = middle - 1;
    }
    let offset = offsets[low] ?? SEGMENT_HEADER_BYTES;
    for (;;) {
      const header = this.peek(segment, offset);
      if (lsn < header.firstLsn + header.count) return offset;
      offset += header.length;
    }
  }

  peek(segment: LogSegment, offset: number): BatchHeader {
    const at = this.#load(segment, offset, BATCH_HEADER_BYTES);
    const header = readBatchHeader(this.#window, at);
    if (header === null || offset + header.length > segment.end) {
      throw new LogDamaged(`${segment.name}: the batch at offset ${offset} had a good header before and has none now`);
    }
    return header;
  }

  read(segment: LogSegment, offset: number): ReadBatch {
    const header = this.peek(segment, offset);
    const at = this.#load(segment, offset, header.length);
    const fault = checkTrailer(this.#window, at, header, segment.seal);
    if (fault !== null) {
      throw new LogDamaged(
        `${segment.name}: the ${fault} of the batch at offset ${offset} is no longer what was written`,
      );
    }
    const from = at + BATCH_HEADER_BYTES;
    const to = at + header.length - BATCH_TRAILER_BYTES;
    const payload = Buffer.allocUnsafeSlow(to - from);
    this.#window.copy(payload, 0, from, to);
    applyMask(new Int32Array(payload.buffer), 0, payload.length, segment.seal.mask);
    return { ...header, payload };
  }

  /** Lets go of the file that was read last: a deleted one would keep its space. */
  close(): void {
    if (this.#fd !== null) this.#files.closeSync(this.#fd);
    this.#fd = null;
    this.#segment = null;
  }

  /** Makes `length` bytes at `offset` lie in the window and returns where. The window never reaches past `end`. */
  #load(segment: LogSegment, offset: number, length: number): number {
    if (this.#segment === segment && offset >= this.#from && offset + length <= this.#to) return offset - this.#from;
    if (length > this.#window.length) this.#window = createImage(length).bytes;
    const wanted = Math.min(this.#window.length, segment.end - offset);
    const read = wanted >= length ? this.#fill(segment, offset, wanted) : 0;
    if (read >= length) return 0;
    throw new LogDamaged(`${segment.name}: the log reaches to offset ${segment.end}, the bytes at ${offset} are gone`);
  }

  #fill(segment: LogSegment, offset: number, length: number): number {
    try {
      if (this.#segment !== segment) {
        this.close();
        this.#fd = this.#files.openSync(segment.path, 'r');
        this.#segment = segment;
      }
      this.#to = 0;
      const read = readAll(this.#files, this.#fd!, this.#window, length, offset);
      this.#from = offset;
      this.#to = offset + read;
      return read;
    } catch (error) {
      throw new LogDamaged(`${segment.name}: cannot be read at offset ${offset} (${errorCode(error)})`, {
        cause: error,
      });
    }
  }
}
