// Reads a whole log from its first segment to its end, checks every byte that counts, and says where it stops being good.
// Called by recovery before anything is changed, by repair, and by inspection; it only reads.
// One segment is in memory at a time. It must never skip a segment or batch it cannot read.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { decodeEpoch, RecordType } from '../../protocol/wal-record.js';
import { type Fault, findContentEnd, judgeTail } from './damage.js';
import { LogRefused } from './errors.js';
import { errorCode, type Files, readAll, withFile, ZERO_CHUNK_BYTES } from './files.js';
import { FLOOR_NAME, type LogFloor, readFloor } from './floor.js';
import { type LogSegment, mark } from './reader.js';
import {
  applyMask,
  BATCH_HEADER_BYTES,
  BATCH_TRAILER_BYTES,
  type BatchHeader,
  checkTrailer,
  createImage,
  decodeSegmentHeader,
  HASH_BYTES,
  hashBatch,
  type Image,
  NO_HASH,
  readBatchHeader,
  SECTOR_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  sealOf,
  walkRecords,
} from './segment.js';

export interface LogIdentity {
  /** 32 bytes. */
  readonly chainId: Uint8Array;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

export interface Damage {
  readonly state: 'torn' | 'suspect' | 'corrupt';
  /** Name of the segment file, also when it is the one that is missing. */
  readonly segment: string;
  readonly seq: number;
  readonly offset: number;
  readonly reason: string;
}

export interface LogScan {
  /** Readable ones in order; the last may hold damage after `end`. */
  readonly segments: readonly LogSegment[];
  /** The newest segment: good batches plain, the rest as on disk. Null when the scan did not get that far. */
  readonly tail: { readonly header: SegmentHeader; readonly image: Image; readonly contentEnd: number } | null;
  readonly nextLsn: number;
  readonly lastHash: Uint8Array;
  /** Highest epoch named by a header or an epoch record. */
  readonly epoch: number;
  /** As the headers say; null for an empty directory without an identity given. */
  readonly identity: LogIdentity | null;
  readonly damage: Damage | null;
  readonly listing: LogListing;
  /** Where pruning has left the log to begin; null when it is whole. */
  readonly floor: LogFloor | null;
}

export interface LogListing {
  /** From the floor on. */
  readonly segments: readonly { readonly name: string; readonly seq: number }[];
  /** Segments below the floor that a crash kept from being deleted: no part of the log. */
  readonly obsolete: readonly string[];
  readonly temporary: readonly string[];
  readonly torn: readonly string[];
  /** Copies of doubtful last batches. While one is there the log stays in doubt. */
  readonly suspect: readonly string[];
}

export interface ScanOptions {
  readonly files: Files;
  readonly directory: string;
  /** Null: whatever the first segment says. */
  readonly identity: LogIdentity | null;
  /** `data` is valid during the call only. */
  readonly onRecord?:
    | ((record: { lsn: number; type: number; data: Uint8Array }, segment: LogSegment) => void)
    | undefined;
}

interface Position {
  nextLsn: number;
  lastHash: Uint8Array;
  epoch: number;
  identity: LogIdentity | null;
}

export function segmentName(seq: number): string {
  return `${seq.toString(16).padStart(16, '0')}.seg`;
}

/** An empty segment as its header describes it. */
export function segmentOf(directory: string, header: SegmentHeader): LogSegment {
  const name = segmentName(header.seq);
  return {
    name,
    path: join(directory, name),
    seq: header.seq,
    epoch: header.epoch,
    firstLsn: header.firstLsn,
    sizeBytes: header.sizeBytes,
    seal: sealOf(header),
    end: SEGMENT_HEADER_BYTES,
    nextLsn: header.firstLsn,
    batches: 0,
    sealedAtMs: 0,
    marks: { lsns: [], offsets: [] },
  };
}

export function listLog(files: Files, directory: string, firstSeq = 0): LogListing {
  const names = files.existsSync(directory) ? files.readdirSync(directory).sort() : [];
  const segments = names
    .filter((name) => /^[0-9a-f]{16}\.seg$/.test(name))
    .map((name) => ({ name, seq: Number.parseInt(name, 16) }));
  return {
    segments: segments.filter(({ seq }) => seq >= firstSeq),
    obsolete: segments.filter(({ seq }) => seq < firstSeq).map(({ name }) => name),
    temporary: names.filter((name) => name.endsWith('.tmp')),
    torn: names.filter((name) => name.endsWith('.torn')),
    suspect: names.filter((name) => name.endsWith('.suspect')),
  };
}

/** Throws LogRefused when the log is another node's or another release's: then no verdict about it would mean anything. */
export function scanLog(options: ScanOptions): LogScan {
  const found = readFloor(options.files, options.directory);
  const floor = found !== null && 'fault' in found ? null : found;
  const listing = listLog(options.files, options.directory, floor?.seq);
  const begin = floor ?? { firstLsn: 1, previousHash: NO_HASH };
  const position: Position = {
    nextLsn: begin.firstLsn,
    lastHash: begin.previousHash,
    epoch: 0,
    identity: options.identity,
  };
  const scanned: Scanned[] = [];
  let damage = damageOfFloor(found, listing);
  for (const { name, seq } of damage === null ? listing.segments : []) {
    const previous = scanned.at(-1);
    const due = scanned.length + (floor?.seq ?? 1);
    if (seq !== due) {
      const missing = `the segment is missing; the next one there is ${name}`;
      damage = blame(previous, { segment: segmentName(due), seq: due, offset: 0, reason: missing });
      break;
    }
    const loaded = loadSegment(options.files, join(options.directory, name), previous?.loaded.image ?? null);
    const opened = openHeader(loaded, name, seq, position, previous === undefined);
    if ('fault' in opened) {
      damage = blame(previous, { segment: name, seq, offset: 0, reason: opened.fault });
      break;
    }
    damage = checkJoint(previous, opened.header, name, position);
    if (damage !== null) break;
    scanned.push(scanSegment(loaded, opened.header, options.directory, position, options.onRecord));
  }
  const { nextLsn, lastHash, epoch } = position;
  const last = scanned.length === listing.segments.length ? scanned.at(-1) : undefined;
  return {
    segments: scanned.map(({ segment }) => segment),
    tail: last === undefined ? null : { header: last.header, image: last.loaded.image, contentEnd: last.contentEnd },
    nextLsn,
    lastHash,
    epoch,
    identity: position.identity,
    damage: damage ?? (last === undefined ? null : damageOfTail(last, nextLsn)),
    listing,
    floor,
  };
}

/** A floor that cannot be read does not say where the log begins; one without a segment says that the log was lost. */
function damageOfFloor(found: ReturnType<typeof readFloor>, { segments }: LogListing): Damage | null {
  if (found === null) return null;
  if ('fault' in found) return { state: 'corrupt', segment: FLOOR_NAME, seq: 0, offset: 0, reason: found.fault };
  if (segments.length > 0) return null;
  const { seq } = found;
  return {
    state: 'corrupt',
    segment: segmentName(seq),
    seq,
    offset: 0,
    reason: 'the log begins here, and it is missing',
  };
}

interface Loaded {
  readonly image: Image;
  /** Bytes read; the image is zero after them. */
  readonly size: number;
  /** The file goes on but the disk does not give it. */
  readonly unreadable: boolean;
  readonly mtimeMs: number;
}

interface Scanned {
  readonly segment: LogSegment;
  readonly header: SegmentHeader;
  readonly loaded: Loaded;
  readonly contentEnd: number;
  readonly fault: Fault | null;
}

/** A segment after it exists, so an older fault is damage to acknowledged batches and comes first. */
function blame(previous: Scanned | undefined, otherwise: Omit<Damage, 'state'>): Damage {
  const fault = previous?.fault ?? null;
  if (previous === undefined || fault === null) return { state: 'corrupt', ...otherwise };
  const { name, seq } = previous.segment;
  return {
    state: 'corrupt',
    segment: name,
    seq,
    offset: fault.offset,
    reason: `${fault.reason}, and later segments exist`,
  };
}

/** EIO is damage; every other error (permissions, too many files) says nothing about the log and is thrown. */
function loadSegment(files: Files, path: string, reuse: Image | null): Loaded {
  return withFile(files, path, 'r', (fd) => {
    const { size, mtimeMs } = files.fstatSync(fd);
    const image = reuse !== null && reuse.bytes.length === createdLength(size) ? reuse : createImage(size);
    let done = 0;
    try {
      while (done < size) {
        const chunk = Math.min(ZERO_CHUNK_BYTES, size - done);
        const read = readAll(files, fd, image.bytes.subarray(done, done + chunk), chunk, done);
        if (read === 0) break;
        done += read;
      }
    } catch (error) {
      if (errorCode(error) !== 'EIO') throw error;
      image.bytes.fill(0, done);
      return { image, size: done, unreadable: true, mtimeMs };
    }
    image.bytes.fill(0, done);
    return { image, size: done, unreadable: false, mtimeMs };
  });
}

function openHeader(
  loaded: Loaded,
  name: string,
  seq: number,
  position: Position,
  isFirst: boolean,
): { readonly header: SegmentHeader } | { readonly fault: string } {
  if (loaded.unreadable && loaded.size < SEGMENT_HEADER_BYTES) return { fault: 'the disk cannot read it (EIO)' };
  const found = decodeSegmentHeader(loaded.image.bytes.subarray(0, Math.min(loaded.size, SEGMENT_HEADER_BYTES)));
  if (!found.ok) {
    if (found.fault === 'version')
      throw new LogRefused('version', `${name}: ${found.reason}. Start the release that wrote it`);
    return { fault: found.reason };
  }
  const { header } = found;
  if (header.seq !== seq) return { fault: `its header says that it is ${segmentName(header.seq)}` };
  const foreign = position.identity === null ? null : foreignIn(header, position.identity);
  if (foreign !== null) {
    if (!isFirst) return { fault: `it belongs to another ${foreign} than the segments before it` };
    throw new LogRefused('foreign', foreignText(name, foreign, header, position.identity!));
  }
  position.identity ??= { chainId: header.chainId, publicKey: header.publicKey };
  position.epoch = Math.max(position.epoch, header.epoch);
  return { header };
}

function foreignIn(header: SegmentHeader, identity: LogIdentity): 'chain' | 'key' | null {
  if (Buffer.compare(header.chainId, identity.chainId) !== 0) return 'chain';
  return Buffer.compare(header.publicKey, identity.publicKey) === 0 ? null : 'key';
}

function foreignText(name: string, what: 'chain' | 'key', header: SegmentHeader, identity: LogIdentity): string {
  const [found, allowed] =
    what === 'chain' ? [header.chainId, identity.chainId] : [header.publicKey, identity.publicKey];
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  return (
    `${name}: the log belongs to ${what} ${hex(found)}; this node's is ${hex(allowed)}. ` +
    'Give the node its own data directory, or the key and genesis that this log was made with'
  );
}

/** Each segment names the position and hash it goes on from: nothing may be missing between two. */
function checkJoint(
  previous: Scanned | undefined,
  header: SegmentHeader,
  name: string,
  position: Position,
): Damage | null {
  const follows = Buffer.compare(header.previousHash, position.lastHash) === 0;
  const joined = header.firstLsn === position.nextLsn && follows;
  if (joined) return null;
  const reason =
    header.firstLsn === position.nextLsn
      ? `${name} was not written after the batches that stand before it`
      : `${name} goes on from position ${header.firstLsn}, but position ${position.nextLsn} is due`;
  if (previous === undefined) return { state: 'corrupt', segment: name, seq: header.seq, offset: 0, reason };
  const { segment } = previous;
  return blame(previous, { segment: segment.name, seq: segment.seq, offset: segment.end, reason });
}

function scanSegment(
  loaded: Loaded,
  header: SegmentHeader,
  directory: string,
  position: Position,
  onRecord: ScanOptions['onRecord'],
): Scanned {
  const segment = { ...segmentOf(directory, header), sealedAtMs: loaded.mtimeMs };
  const contentEnd = findContentEnd(loaded.image, loaded.size);
  let fault: Fault | null = null;
  while (segment.end < contentEnd) {
    const batch = openBatch(loaded, segment, position);
    if ('kind' in batch) {
      fault = batch;
      break;
    }
    acceptBatch(loaded.image, segment, batch, position, onRecord);
  }
  return { segment, header, loaded, contentEnd, fault };
}

/** Checks the batch at the segment's end and leaves its payload plain; a bad one stays as it is on the disk. */
function openBatch(loaded: Loaded, segment: LogSegment, position: Position): BatchHeader | Fault {
  const offset = segment.end;
  const { bytes, words } = loaded.image;
  const at = `the batch at offset ${offset}`;
  if (words[offset / 4] === 0) {
    return {
      kind: 'zeros',
      offset,
      header: null,
      reason: `zeros stand where a batch should begin at offset ${offset}`,
    };
  }
  const header = readBatchHeader(bytes, offset);
  if (header === null) return { kind: 'header', offset, header, reason: `${at} has a bad header` };
  if (offset + header.length > loaded.size) {
    return { kind: 'past-end', offset, header, reason: `${at} is ${header.length} bytes long` };
  }
  const previousHash = bytes.subarray(offset + 20, offset + 20 + HASH_BYTES);
  if (header.firstLsn !== position.nextLsn || Buffer.compare(previousHash, position.lastHash) !== 0) {
    const found = header.firstLsn === position.nextLsn ? 'another batch before it' : `position ${header.firstLsn}`;
    return { kind: 'chain', offset, header, reason: `${at} names ${found}; position ${position.nextLsn} is due` };
  }
  const bad = checkTrailer(bytes, offset, header, segment.seal);
  if (bad !== null) return { kind: bad, offset, header, reason: `${at} has a bad ${bad}` };
  const [from, to] = payloadBounds(offset, header);
  applyMask(words, from, to, segment.seal.mask);
  if (walkRecords(bytes.subarray(from, to), header.count, () => {})) return header;
  applyMask(words, from, to, segment.seal.mask);
  return { kind: 'records', offset, header, reason: `${at} has records that do not fill it` };
}

function acceptBatch(
  image: Image,
  segment: LogSegment,
  header: BatchHeader,
  position: Position,
  onRecord: ScanOptions['onRecord'],
): void {
  const offset = segment.end;
  const payload = image.bytes.subarray(...payloadBounds(offset, header));
  position.lastHash = hashBatch(image.bytes, offset, header);
  position.nextLsn = header.firstLsn + header.count;
  mark(segment, header.firstLsn, offset);
  segment.end = offset + header.length;
  segment.nextLsn = position.nextLsn;
  segment.batches += 1;
  walkRecords(payload, header.count, (type, from, to, index) => {
    const data = payload.subarray(from, to);
    if (type === RecordType.epoch) position.epoch = Math.max(position.epoch, epochOf(data, segment));
    onRecord?.({ lsn: header.firstLsn + index, type, data }, segment);
  });
}

function epochOf(data: Uint8Array, segment: LogSegment): number {
  try {
    return decodeEpoch(data).epoch;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new LogRefused('version', `${segment.name}: ${text}`);
  }
}

function payloadBounds(offset: number, header: BatchHeader): [number, number] {
  return [offset + BATCH_HEADER_BYTES, offset + header.length - BATCH_TRAILER_BYTES];
}

function damageOfTail(last: Scanned, expectedLsn: number): Damage | null {
  const { segment, loaded, header, fault, contentEnd } = last;
  const place = { segment: segment.name, seq: segment.seq, offset: segment.end };
  if (loaded.unreadable) {
    return { state: 'corrupt', ...place, reason: `the disk cannot read past offset ${loaded.size} (EIO)` };
  }
  if (fault !== null) {
    const tail = { image: loaded.image, sizeBytes: loaded.size, contentEnd, seal: segment.seal, expectedLsn };
    return { ...judgeTail(tail, fault), ...place };
  }
  if (loaded.size >= header.sizeBytes) return null;
  return { state: 'torn', ...place, reason: `the file has ${loaded.size} of ${header.sizeBytes} bytes` };
}

function createdLength(sizeBytes: number): number {
  return Math.ceil(sizeBytes / SECTOR_BYTES) * SECTOR_BYTES;
}
