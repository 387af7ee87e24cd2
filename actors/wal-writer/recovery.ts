// Brings a log from whatever an earlier process left to a state that may be appended to, and gives the verdict about it.
// Called by openLog (and so by repair). The one place that cuts the end off a log; it keeps a copy of what it cuts.
// It must never change anything when the damage is before the end, nor let replay count bytes that a sync has not covered.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { LogRefused } from './errors.js';
import {
  ensureDirectory,
  type Files,
  guarded,
  syncDirectory,
  writeAll,
  writeFileDurably,
  writeSegment,
} from './files.js';
import type { LogSegment } from './reader.js';
import {
  type Damage,
  type LogIdentity,
  type LogScan,
  listLog,
  type ScanOptions,
  scanLog,
  segmentName,
  segmentOf,
} from './scan.js';
import {
  drawSeal,
  NO_HASH,
  readBatchHeader,
  SECTOR_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  sealBatch,
  sealOf,
} from './segment.js';

export interface LogVerdict {
  /**
   * clean: go on. torn: the batch in flight at a crash was set aside, go on. suspect: the last batch was bad in a way no
   * crash explains, or an earlier start found one so; it is set aside, appends work, but nothing may be signed. corrupt:
   * damage before the end; nothing was changed, the part before it is served, appends are refused.
   */
  readonly state: 'clean' | 'torn' | 'suspect' | 'corrupt';
  /** True when there was no log and one was made. */
  readonly created: boolean;
  /** Last position that can be read; 0 for an empty log. */
  readonly lastLsn: number;
  /** Null when the state is clean. */
  readonly damage: { readonly segment: string; readonly offset: number; readonly reason: string } | null;
  /** Files in the log's directory that hold what was set aside by this or an earlier start. */
  readonly aside: readonly string[];
}

export interface RecoveryOptions {
  readonly files: Files;
  readonly directory: string;
  readonly identity: LogIdentity;
  /** For the header of a segment; the epoch found in the log counts when it is higher. */
  readonly epoch: number;
  readonly segmentBytes: number;
  readonly create: boolean;
  readonly random: (sizeBytes: number) => Uint8Array;
  readonly onRecord?: ScanOptions['onRecord'];
}

export interface RecoveredLog {
  readonly verdict: LogVerdict;
  readonly segments: readonly LogSegment[];
  readonly nextLsn: number;
  readonly lastHash: Uint8Array;
  readonly epoch: number;
}

/** Copies of torn ends that are kept; the oldest go first. A node that crashes for ever must not fill its disk with them. */
const TORN_COPIES = 16;

/** Throws LogRefused (missing, foreign, version), LogFull when there is no room to rewrite, LogFailure on I/O errors. */
export function recoverLog(options: RecoveryOptions): RecoveredLog {
  const { files, directory } = options;
  const scan = scanLog(options);
  if (scan.damage?.state === 'corrupt') return recovered(options, scan, scan.segments);
  return guarded(() => {
    for (const name of [...scan.listing.temporary, ...scan.listing.obsolete]) files.unlinkSync(join(directory, name));
    if (scan.segments.length === 0) return createLog(options, scan);
    if (scan.damage !== null) setAside(options, scan, scan.damage);
    return recovered(options, scan, [...scan.segments.slice(0, -1), rewriteTail(options, scan)]);
  });
}

/**
 * Writes the good batches of the newest segment into a fresh file under another mask and puts it in the old one's place.
 * What was read may be page cache that never reached the disk (a failed sync marks pages clean): after this it has.
 */
export function rewriteTail(options: RecoveryOptions, scan: LogScan): LogSegment {
  const tail = scan.tail!;
  const old = scan.segments.at(-1)!;
  const { mask, salt } = drawSeal(options.random);
  const sizeBytes = Math.max(options.segmentBytes, Math.ceil(old.end / SECTOR_BYTES) * SECTOR_BYTES);
  const epoch = Math.max(scan.epoch, options.epoch);
  const header: SegmentHeader = { ...tail.header, epoch, sizeBytes, mask, salt };
  const seal = sealOf(header);
  for (let offset = SEGMENT_HEADER_BYTES; offset < old.end; ) {
    const batch = readBatchHeader(tail.image.bytes, offset)!;
    sealBatch(tail.image, offset, batch, seal);
    offset += batch.length;
  }
  writeSegment(options.files, old.path, header, tail.image.bytes.subarray(SEGMENT_HEADER_BYTES, old.end));
  return { ...old, sizeBytes, epoch, seal };
}

/** The first of a log, or the next after `scan`'s last. The name is durable when this returns. */
export function newSegmentHeader(
  options: Pick<RecoveryOptions, 'identity' | 'segmentBytes' | 'random'>,
  place: { readonly seq: number; readonly epoch: number; readonly firstLsn: number; readonly previousHash: Uint8Array },
): SegmentHeader {
  return { ...options.identity, sizeBytes: options.segmentBytes, ...place, ...drawSeal(options.random) };
}

function createLog(options: RecoveryOptions, scan: LogScan): RecoveredLog {
  const { files, directory, epoch } = options;
  if (!options.create) {
    throw new LogRefused(
      'missing',
      `no log in ${directory}: make one with \`quorate init\`, or restore it from a backup`,
    );
  }
  ensureDirectory(files, directory);
  const header = newSegmentHeader(options, { seq: 1, epoch, firstLsn: 1, previousHash: NO_HASH });
  const segment = segmentOf(directory, header);
  writeSegment(files, segment.path, header, new Uint8Array(0));
  return recovered(options, scan, [segment], true);
}

/** Header block and bad bytes, durable before the cut. A `.suspect` copy is also what keeps the log in doubt after it. */
function setAside(options: RecoveryOptions, scan: LogScan, damage: Damage): void {
  const { files, directory } = options;
  const { image, contentEnd } = scan.tail!;
  const place = `${damage.segment.replace('.seg', '')}-${damage.offset.toString(16).padStart(8, '0')}`;
  const name = `${place}.${damage.state}`;
  const copy = Buffer.concat([
    image.bytes.subarray(0, SEGMENT_HEADER_BYTES),
    image.bytes.subarray(damage.offset, Math.max(contentEnd, damage.offset)),
  ]);
  writeFileDurably(files, join(directory, name), (fd) => writeAll(files, fd, copy, copy.length, 0));
  const surplus = scan.listing.torn.filter((torn) => torn !== name);
  if (damage.state !== 'torn' || surplus.length < TORN_COPIES) return;
  for (const torn of surplus.slice(0, surplus.length - TORN_COPIES + 1)) files.unlinkSync(join(directory, torn));
  syncDirectory(files, directory);
}

function recovered(
  options: RecoveryOptions,
  scan: LogScan,
  segments: readonly LogSegment[],
  created = false,
): RecoveredLog {
  const { nextLsn, lastHash, damage } = scan;
  const verdict = { ...verdictOn(options, damage, nextLsn), created };
  return { verdict, segments, nextLsn, lastHash, epoch: Math.max(scan.epoch, options.epoch) };
}

export function verdictOn(
  { files, directory }: Pick<RecoveryOptions, 'files' | 'directory'>,
  damage: Damage | null,
  nextLsn: number,
): LogVerdict {
  const { torn, suspect } = listLog(files, directory);
  return { ...stateOf(damage, suspect), created: false, lastLsn: nextLsn - 1, aside: [...torn, ...suspect] };
}

/** As stateOf; a log without a single record is in doubt too: what was signed with its key is not known. */
export function stateOfScan({ damage, listing, nextLsn }: LogScan, mayBeEmpty = false): ReturnType<typeof stateOf> {
  const found = stateOf(damage, listing.suspect);
  if (found.state !== 'clean' || nextLsn > 1 || mayBeEmpty) return found;
  const segment = listing.segments[0]?.name ?? segmentName(1);
  return { state: 'suspect', damage: { segment, offset: 0, reason: 'the log holds no record: it was lost' } };
}

/** A doubt outlives the start that found it: the copy it left keeps the log suspect until a repair takes it away. */
export function stateOf(damage: Damage | null, suspect: readonly string[]): Pick<LogVerdict, 'state' | 'damage'> {
  if (damage !== null && (damage.state !== 'torn' || suspect.length === 0)) {
    const { state, segment, offset, reason } = damage;
    return { state, damage: { segment, offset, reason } };
  }
  const earlier = suspect[0];
  if (earlier === undefined) return { state: 'clean', damage: null };
  const reason = 'an earlier start set it aside and no repair has answered for it';
  return { state: 'suspect', damage: { segment: earlier, offset: 0, reason } };
}
