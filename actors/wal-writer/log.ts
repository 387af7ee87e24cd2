// The log of a node: appends batches durably, rotates segments, and reads back what was acknowledged.
// Called by the wal-writer actor, in whose thread every synchronous call here blocks on the disk, and by repair.
// It must never return from an append before the sync did, nor do anything more to the disk after a write or sync failed.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { decodeEpoch, type LogRecord, type PlacedRecord, RecordType } from '../../protocol/wal-record.js';
import { LogDamaged, LogFailure, LogQuarantined, LogRefused } from './errors.js';
import {
  asFailure,
  FILE_MODE,
  type Files,
  guarded,
  ioError,
  nodeFiles,
  readAll,
  removeQuietly,
  syncDirectory,
  withFile,
  writeAll,
  writeSegment,
  ZERO_CHUNK_BYTES,
  ZEROS,
} from './files.js';
import { writeFloor } from './floor.js';
import { factsOf, followLog, type LogFacts } from './follow.js';
import { LogReader, type LogSegment, mark } from './reader.js';
import { type LogVerdict, newSegmentHeader, type RecoveredLog, recoverLog } from './recovery.js';
import { type LogIdentity, segmentOf } from './scan.js';
import {
  batchLength,
  createImage,
  decodeSegmentHeader,
  encodeBatch,
  encodeSegmentHeader,
  RECORD_OVERHEAD_BYTES,
  SECTOR_BYTES,
  SEGMENT_HEADER_BYTES,
  walkRecords,
} from './segment.js';

export interface LogOptions {
  /** Its parent must exist; the directory is made 0700, files 0600. */
  readonly directory: string;
  readonly identity: LogIdentity;
  /** Lowest epoch to write into new segments; epoch records in the log raise it. Default 0. */
  readonly epoch?: number;
  /** Multiple of 512, 4 KiB to 1 GiB. A batch must fit into one segment. */
  readonly segmentBytes: number;
  /** Declares a section in which the thread may stand still on the disk. */
  readonly native: <T>(section: () => T) => T;
  /** Bytes that nobody can guess, for masks and salts. */
  readonly random: (sizeBytes: number) => Uint8Array;
  /** False: refuse when there is no log yet. Default true. */
  readonly create?: boolean;
  readonly files?: Files;
  /** What a thread of this process that is gone knew of this log: only what follows is read, unless it does not fit. */
  readonly follow?: LogFacts;
  /** Sees each good record as it is verified; none of a log that is followed. `data` is valid during the call. */
  readonly onRecord?: (record: PlacedRecord) => void;
}

export interface ReadRequest {
  /** First position wanted. */
  readonly from: number;
  readonly types?: readonly number[];
  /** Stop once this many bytes are collected (5 a record and its data); one record is given even when it is larger. */
  readonly maxBytes: number;
}

export interface ReadPage {
  readonly records: PlacedRecord[];
  /** Where the next request begins; null when the log has no more. A page may be empty and yet have a next. */
  readonly next: number | null;
}

export interface LogStats {
  readonly nextLsn: number;
  readonly epoch: number;
  readonly segments: number;
  /** Space the segment files take, the spare not counted. */
  readonly fileBytes: number;
  /** Batches and headers in them. */
  readonly usedBytes: number;
  readonly tailFreeBytes: number;
  readonly spareReady: boolean;
  readonly rotations: number;
  /** Written by this log object, headers of segments not counted. */
  readonly appendedBytes: number;
  readonly state: 'open' | 'quarantined' | 'failed' | 'closed';
}

type CompleteOptions = LogOptions & Required<Omit<LogOptions, 'onRecord' | 'follow'>>;

const SPARE = 'spare.tmp';
const LARGEST_SEGMENT_BYTES = 1024 * 1024 * 1024;
/** First size of the batch buffer: an inbox batch (256 KiB) and a block (512 KiB) fit without growing it. */
const BATCH_BUFFER_BYTES = 1024 * 1024;
/** A page that finds few records of the types wanted still ends: the thread has other work. */
const SCAN_LIMIT_BYTES = 4 * 1024 * 1024;

/** Recovers what is there, or makes a log. Throws LogRefused, LogFull or LogFailure; damage is told by the verdict. */
export function openLog(options: LogOptions): { log: Log; verdict: LogVerdict } {
  const { segmentBytes, files = nodeFiles, epoch = 0, create = true, follow } = options;
  if (segmentBytes % SECTOR_BYTES !== 0 || segmentBytes < 4096 || segmentBytes > LARGEST_SEGMENT_BYTES) {
    const allowed = `multiples of ${SECTOR_BYTES} from 4096 to ${LARGEST_SEGMENT_BYTES}`;
    throw new LogRefused('option', `segmentBytes: ${segmentBytes}; allowed: ${allowed}`);
  }
  const complete = { ...options, files, epoch, create };
  const followed = follow === undefined ? null : options.native(() => followLog(complete, follow));
  const found = followed ?? options.native(() => recoverLog(complete));
  return { log: new Log(complete, found), verdict: found.verdict };
}

export class Log {
  readonly #options: CompleteOptions;
  readonly #files: Files;
  readonly #reader: LogReader;
  readonly #segments: LogSegment[];
  readonly #verdict: LogVerdict;
  #state: LogStats['state'];
  #failure: LogFailure | null = null;
  #image = createImage(BATCH_BUFFER_BYTES);
  #nextLsn: number;
  #lastHash: Uint8Array;
  #epoch: number;
  #tailFd: number | null = null;
  #spareReady = false;
  #spareWork: Promise<void> | null = null;
  #rotations = 0;
  #appendedBytes = 0;

  constructor(options: CompleteOptions, found: RecoveredLog) {
    this.#options = options;
    this.#files = options.files;
    this.#reader = new LogReader(options.files);
    this.#segments = [...found.segments];
    this.#verdict = found.verdict;
    this.#nextLsn = found.nextLsn;
    this.#lastHash = found.lastHash;
    this.#epoch = found.epoch;
    this.#state = found.verdict.state === 'corrupt' ? 'quarantined' : 'open';
    if (this.#state === 'open') this.#tailFd = guarded(() => this.#files.openSync(this.#tail.path, 'r+'));
  }

  /** The position that the next record gets. */
  get nextLsn(): number {
    return this.#nextLsn;
  }

  /** Highest epoch named by the log or by the options. */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * Writes the records as one batch, durable and all or nothing, and returns the position of the first. Throws LogFailure
   * (the process must end), LogFull (nothing happened, try later), LogQuarantined, LogRefused (larger than a segment).
   */
  append(records: readonly LogRecord[]): number {
    this.#checkOpen();
    const firstLsn = this.#nextLsn;
    if (records.length === 0) return firstLsn;
    const length = batchLength(records);
    const room = this.#options.segmentBytes - SEGMENT_HEADER_BYTES;
    if (length > room) throw new LogRefused('oversize', `a batch of ${length} bytes; allowed: ${room} in one segment`);
    const epoch = this.#epochAfter(records);
    if (this.#tail.end + length > this.#tail.sizeBytes) this.#rotate();
    if (length > this.#image.bytes.length) this.#image = createImage(length);
    const tail = this.#tail;
    const hash = encodeBatch(this.#image, records, firstLsn, this.#lastHash, tail.seal);
    this.#durably(() => {
      writeAll(this.#files, this.#tailFd!, this.#image.bytes, length, tail.end);
      this.#files.fdatasyncSync(this.#tailFd!);
    });
    mark(tail, firstLsn, tail.end);
    tail.end += length;
    tail.batches += 1;
    tail.nextLsn = this.#nextLsn = firstLsn + records.length;
    this.#lastHash = hash;
    this.#epoch = epoch;
    this.#appendedBytes += length;
    return firstLsn;
  }

  /** Acknowledged records in order; those of one batch share memory. Throws LogDamaged when the disk no longer gives what was written. */
  records(request: ReadRequest): ReadPage {
    this.#checkReadable();
    const wanted = request.types === undefined ? null : new Set(request.types);
    const records: PlacedRecord[] = [];
    const maxBytes = Math.max(1, request.maxBytes);
    let from = Math.max(request.from, this.#segments[0]?.firstLsn ?? 1);
    let bytes = 0;
    let scanned = 0;
    while (from < this.#nextLsn && scanned < SCAN_LIMIT_BYTES && bytes < maxBytes) {
      const segment = this.#segmentOf(from);
      let offset = this.#reader.locate(segment, from);
      while (offset < segment.end && scanned < SCAN_LIMIT_BYTES && bytes < maxBytes) {
        const batch = this.#reader.read(segment, offset);
        walkRecords(batch.payload, batch.count, (type, start, end, index) => {
          const lsn = batch.firstLsn + index;
          if (lsn < from || bytes >= maxBytes) return;
          from = lsn + 1;
          if (wanted !== null && !wanted.has(type)) return;
          bytes += RECORD_OVERHEAD_BYTES + end - start;
          records.push({ lsn, type, data: batch.payload.subarray(start, end) });
        });
        offset += batch.length;
        scanned += batch.length;
      }
    }
    return { records, next: from < this.#nextLsn ? from : null };
  }

  /** The records at these positions, each in memory of its own; positions that the log does not hold are left out. */
  fetch(lsns: readonly number[]): Map<number, LogRecord> {
    this.#checkReadable();
    const found = new Map<number, LogRecord>();
    const first = this.#segments[0]?.firstLsn ?? 1;
    const sorted = [...new Set(lsns)].filter((lsn) => lsn >= first && lsn < this.#nextLsn).sort((a, b) => a - b);
    for (let next = 0; next < sorted.length; ) {
      const segment = this.#segmentOf(sorted[next]!);
      const batch = this.#reader.read(segment, this.#reader.locate(segment, sorted[next]!));
      const end = batch.firstLsn + batch.count;
      const here = new Set<number>();
      for (; next < sorted.length && sorted[next]! < end; next += 1) here.add(sorted[next]!);
      walkRecords(batch.payload, batch.count, (type, from, to, index) => {
        const lsn = batch.firstLsn + index;
        if (here.has(lsn)) found.set(lsn, { type, data: new Uint8Array(batch.payload.subarray(from, to)) });
      });
    }
    return found;
  }

  /**
   * Makes the next segment's file ready in small asynchronous steps, so that rotation costs a header, a rename and two
   * syncs. Rejects with LogFull or LogFailure. One run at a time; does nothing when a spare is ready.
   */
  prepareSpare(): Promise<void> {
    if (this.#spareReady || this.#state !== 'open') return Promise.resolve();
    this.#spareWork ??= this.#makeSpare().finally(() => {
      this.#spareWork = null;
    });
    return this.#spareWork;
  }

  /** Oldest first; the last is the one that is written. */
  get segments(): readonly Readonly<LogSegment>[] {
    return this.#segments;
  }

  /**
   * Deletes every segment before the one with this number: what it holds is needed by nobody. The floor is durable first, so
   * that a crash at any step leaves a log that begins there. Throws LogFull (nothing was deleted) or LogFailure.
   */
  dropBefore(seq: number): { readonly segments: number; readonly bytes: number } {
    this.#checkOpen();
    const count = this.#segments.findIndex((segment) => segment.seq === seq);
    if (count < 1) return { segments: 0, bytes: 0 };
    const { directory } = this.#options;
    const first = this.#segments[count]!;
    const previousHash = this.#previousHash(first);
    this.#makeNow(() => writeFloor(this.#files, directory, { seq, firstLsn: first.firstLsn, previousHash }));
    const dropped = this.#segments.splice(0, count);
    this.#reader.close();
    this.#durably(() => {
      for (const { path } of dropped) this.#files.unlinkSync(path);
      syncDirectory(this.#files, directory);
    });
    return { segments: count, bytes: dropped.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
  }

  /** For whoever takes over in this process. */
  facts(): LogFacts {
    return {
      nextLsn: this.#nextLsn,
      lastHash: Buffer.from(this.#lastHash).toString('hex'),
      epoch: this.#epoch,
      segments: this.#segments.map(factsOf),
    };
  }

  stats(): LogStats {
    let fileBytes = 0;
    let usedBytes = 0;
    for (const segment of this.#segments) {
      fileBytes += segment.sizeBytes;
      usedBytes += segment.end;
    }
    return {
      nextLsn: this.#nextLsn,
      epoch: this.#epoch,
      segments: this.#segments.length,
      fileBytes,
      usedBytes,
      tailFreeBytes: this.#state === 'quarantined' ? 0 : this.#tail.sizeBytes - this.#tail.end,
      spareReady: this.#spareReady,
      rotations: this.#rotations,
      appendedBytes: this.#appendedBytes,
      state: this.#state,
    };
  }

  /** Everything acknowledged is durable already, so this only lets go of files. Resolves when a spare in the making stopped. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#reader.close();
    this.#closeTail();
    await this.#spareWork?.catch(() => undefined);
  }

  #previousHash({ path, name }: LogSegment): Uint8Array {
    const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const read = guarded(() =>
      withFile(this.#files, path, 'r', (fd) => readAll(this.#files, fd, block, block.length, 0)),
    );
    const found = decodeSegmentHeader(block.subarray(0, read));
    if (!found.ok) throw new LogDamaged(`${name}: ${found.reason}; it was good when the log was opened`);
    return found.header.previousHash;
  }

  get #tail(): LogSegment {
    return this.#segments.at(-1)!;
  }

  #checkOpen(): void {
    if (this.#state === 'open') return;
    if (this.#failure !== null) throw new LogFailure(this.#failure.message, { cause: this.#failure });
    if (this.#state === 'closed') throw new LogRefused('closed', 'the log is closed');
    const { segment, offset, reason } = this.#verdict.damage!;
    throw new LogQuarantined(
      `the log is damaged in ${segment} at offset ${offset}: ${reason}. Nothing is appended until an operator repairs it: ` +
        'restore a backup, or `quorate wal repair --accept-loss`',
    );
  }

  #checkReadable(): void {
    if (this.#state === 'closed') throw new LogRefused('closed', 'the log is closed');
  }

  #epochAfter(records: readonly LogRecord[]): number {
    let epoch = this.#epoch;
    for (const { type, data } of records) {
      if (type === RecordType.epoch) epoch = Math.max(epoch, decodeEpoch(data).epoch);
    }
    return epoch;
  }

  #segmentOf(lsn: number): LogSegment {
    let low = 0;
    for (let high = this.#segments.length - 1; low < high; ) {
      const middle = (low + high + 1) >> 1;
      if (this.#segments[middle]!.firstLsn <= lsn) low = middle;
      else high = middle - 1;
    }
    return this.#segments[low]!;
  }

  /**
   * After a failure in `work` nothing is known of the disk: the log is over for this process. In the middle of a batch
   * that holds for a full disk too.
   */
  #durably(work: () => void): void {
    try {
      this.#options.native(work);
    } catch (error) {
      const failure = asFailure(error);
      this.#fail(failure);
      throw failure;
    }
  }

  #fail(failure: LogFailure): void {
    this.#failure = failure;
    if (this.#state !== 'closed') this.#state = 'failed';
    this.#closeTail();
  }

  #closeTail(): void {
    if (this.#tailFd === null) return;
    const fd = this.#tailFd;
    this.#tailFd = null;
    try {
      this.#files.closeSync(fd);
    } catch {
      // Nothing of ours depends on a close: what counts was synced, and after a failure nothing counts.
    }
  }

  /** The current segment is complete and synced; the next one has its header on the disk and its name before it is used. */
  #rotate(): void {
    const { directory } = this.#options;
    const place = {
      seq: this.#tail.seq + 1,
      epoch: this.#epoch,
      firstLsn: this.#nextLsn,
      previousHash: this.#lastHash,
    };
    const header = newSegmentHeader(this.#options, place);
    const segment = segmentOf(directory, header);
    if (this.#spareReady) this.#durably(() => this.#useSpare(segment, encodeSegmentHeader(header)));
    else this.#makeNow(() => writeSegment(this.#files, segment.path, header, new Uint8Array(0)));
    this.#durably(() => {
      this.#tail.sealedAtMs = this.#files.fstatSync(this.#tailFd!).mtimeMs;
    });
    this.#closeTail();
    this.#segments.push(segment);
    this.#durably(() => {
      this.#tailFd = this.#files.openSync(segment.path, 'r+');
    });
    this.#rotations += 1;
  }

  #useSpare(segment: LogSegment, header: Uint8Array): void {
    const files = this.#files;
    const spare = join(this.#options.directory, SPARE);
    this.#spareReady = false;
    const fd = files.openSync(spare, 'r+');
    try {
      writeAll(files, fd, header, header.length, 0);
      files.fsyncSync(fd);
    } finally {
      files.closeSync(fd);
    }
    files.renameSync(spare, segment.path);
    syncDirectory(files, this.#options.directory);
  }

  /** No room for a whole new file leaves the log as it was; any other error ends it. */
  #makeNow(work: () => void): void {
    try {
      this.#options.native(work);
    } catch (error) {
      const refusal = ioError(error);
      if (refusal instanceof LogFailure) this.#fail(refusal);
      throw refusal;
    }
  }

  async #makeSpare(): Promise<void> {
    const path = join(this.#options.directory, SPARE);
    const { segmentBytes } = this.#options;
    removeQuietly(this.#files, path);
    try {
      const file = await this.#files.promises.open(path, 'wx', FILE_MODE);
      try {
        for (let at = 0; at < segmentBytes; ) {
          if (this.#state !== 'open') return;
          const chunk = Math.min(ZERO_CHUNK_BYTES, segmentBytes - at);
          const { bytesWritten } = await file.write(ZEROS, 0, chunk, at);
          at += bytesWritten;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      this.#spareReady = true;
    } catch (error) {
      removeQuietly(this.#files, path);
      const refusal = ioError(error);
      if (refusal instanceof LogFailure) this.#fail(refusal);
      throw refusal;
    }
  }
}
