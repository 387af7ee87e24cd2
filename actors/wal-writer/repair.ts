// Makes a damaged log usable again: cuts it at the last good batch, and says in the log itself that this was done.
// Called by `quorate wal repair` on a stopped node, under the data directory's lock.
// It must never delete: whatever it takes out of the log lies afterwards in wal/broken-<time>/. Interrupted at any step,
// the log stays in doubt, and the same command finishes the work.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { encodeEpoch, RecordType } from '../../protocol/wal-record.js';
import {
  ensureDirectory,
  errorCode,
  type Files,
  guarded,
  nodeFiles,
  syncDirectory,
  withFile,
  writeAll,
  writeFileDurably,
  ZERO_CHUNK_BYTES,
} from './files.js';
import { FLOOR_NAME } from './floor.js';
import { type Log, type LogOptions, openLog } from './log.js';
import { type LogVerdict, rewriteTail, stateOfScan } from './recovery.js';
import { type Damage, scanLog } from './scan.js';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment.js';

export interface RepairOptions extends Omit<LogOptions, 'create' | 'epoch'> {
  /** Give up what cannot be read, and start a new epoch. Without it only a torn end is set aside. */
  readonly acceptLoss: boolean;
  /** Wall clock, for the name of the folder that keeps what is taken out. */
  readonly nowMs: number;
  /** Why the log is in doubt although it is whole: what lies outside of it says more than it does. Null: nothing does. */
  readonly doubt?: string | null;
  /** The new epoch's number is at least this. Default 0: the log alone decides. */
  readonly epochAtLeast?: number;
  /** Called once, with the log cut to its good part: the last height that is proven final. */
  readonly lastTrustedHeight: (log: Pick<Log, 'records'>) => number | Promise<number>;
}

export type Finding = Pick<LogVerdict, 'state' | 'damage'>;

export interface RepairReport {
  /** As found. */
  readonly before: Finding;
  /** nothing-to-do: the log was whole. needs-accept-loss: nothing was changed, since something would be given up. */
  readonly result: 'nothing-to-do' | 'repaired' | 'needs-accept-loss';
  /** Last position before the damage. */
  readonly lastLsn: number;
  /** Set when loss was accepted. */
  readonly newEpoch: { readonly epoch: number; readonly lastTrustedHeight: number } | null;
  /** Where the damaged files are kept; null when none were taken out. */
  readonly keptIn: string | null;
}

/** Keeps the log suspect while a repair is under way. */
const MARK = 'repair.suspect';

/** Throws LogRefused (missing, foreign, version), LogFull or LogFailure. */
export async function repairLog(options: RepairOptions): Promise<RepairReport> {
  const { directory, files = nodeFiles } = options;
  const scan = scanLog({ files, directory, identity: options.identity });
  const before = doubted(stateOfScan(scan), options.doubt ?? null, scan.segments.at(-1));
  const report = { before, lastLsn: scan.nextLsn - 1, newEpoch: null, keptIn: null };
  if (before.state === 'clean') return { ...report, result: 'nothing-to-do' };
  if (before.state === 'torn') {
    await openLog({ ...options, create: false }).log.close();
    return { ...report, result: 'repaired' };
  }
  if (!options.acceptLoss) return { ...report, result: 'needs-accept-loss' };

  const keptIn = join(directory, `broken-${new Date(options.nowMs).toISOString().replace(/[:.]/g, '-')}`);
  const reason = before.damage!.reason;
  const epochs = scan.listing.segments.map(({ name }) => epochIn(files, join(directory, name)));
  const epoch = Math.max(options.epochAtLeast ?? 0, 1 + Math.max(scan.epoch, ...epochs));
  guarded(() => {
    ensureDirectory(files, directory);
    const text = Buffer.from(`${before.damage!.segment} at offset ${before.damage!.offset}: ${reason}\n`);
    writeFileDurably(files, join(directory, MARK), (fd) => writeAll(files, fd, text, text.length, 0));
    ensureDirectory(files, keptIn);
    if (scan.damage !== null) cut(options, files, scan.damage, keptIn);
  });
  const newEpoch = await beginEpoch(options, epoch, reason);
  guarded(() => takeMarksAway(files, directory, keptIn));
  return { ...report, result: 'repaired', newEpoch, keptIn };
}

/**
 * The finding about a log that is whole but in doubt for a reason outside of it. A torn end is set aside on the way, as the
 * new epoch's first record is written.
 */
export function doubted(
  found: Finding,
  doubt: string | null,
  last: { name: string; end: number } | undefined,
): Finding {
  if (doubt === null || last === undefined || (found.state !== 'clean' && found.state !== 'torn')) return found;
  return { state: 'suspect', damage: { segment: last.name, offset: last.end, reason: doubt } };
}

/** Leaves only what stands before the damage. The damaged segment is kept whole and replaced by its good batches. */
function cut(options: RepairOptions, files: Files, damage: Damage, keptIn: string): void {
  const { directory, identity, segmentBytes, random } = options;
  const { listing, segments } = scanLog({ files, directory, identity });
  const readable = segments.some(({ seq }) => seq === damage.seq);
  const gone = listing.segments.filter(({ seq }) => seq > damage.seq || (seq === damage.seq && !readable));
  for (const { name } of gone.reverse()) files.renameSync(join(directory, name), freeName(files, keptIn, name));
  if (readable) copyFile(files, join(directory, damage.segment), freeName(files, keptIn, damage.segment));
  if (gone.length === listing.segments.length && !readable) takeFloorAway(files, directory, listing.obsolete, keptIn);
  syncDirectory(files, keptIn);
  syncDirectory(files, directory);
  const rest = scanLog({ files, directory, identity });
  if (rest.tail === null || rest.damage === null) return;
  rewriteTail({ files, directory, identity, segmentBytes, random, epoch: 0, create: false }, rest);
}

/** Nothing of a pruned log is left: the next one begins at its beginning. The floor goes last: below it nothing counts. */
function takeFloorAway(files: Files, directory: string, obsolete: readonly string[], keptIn: string): void {
  for (const name of obsolete) files.renameSync(join(directory, name), freeName(files, keptIn, name));
  syncDirectory(files, directory);
  if (!files.existsSync(join(directory, FLOOR_NAME))) return;
  files.renameSync(join(directory, FLOOR_NAME), freeName(files, keptIn, FLOOR_NAME));
}

/**
 * The record that voids what came after, written while the mark still keeps the log in doubt. The header of its segment
 * names the epoch too: should the record be lost one day, the epoch is still not begun a second time.
 */
async function beginEpoch(
  options: RepairOptions,
  epoch: number,
  reason: string,
): Promise<NonNullable<RepairReport['newEpoch']>> {
  const { log } = openLog({ ...options, epoch, create: true });
  try {
    const lastTrustedHeight = await options.lastTrustedHeight(log);
    log.append([{ type: RecordType.epoch, data: encodeEpoch({ epoch, lastTrustedHeight, reason }) }]);
    return { epoch, lastTrustedHeight };
  } finally {
    await log.close();
  }
}

/** Of a segment on either side of the damage; 0 when its header cannot be read. */
function epochIn(files: Files, path: string): number {
  const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const read = withFile(files, path, 'r', (fd) => readOrZeros(files, fd, block, block.length, 0));
  const found = decodeSegmentHeader(block.subarray(0, read));
  return found.ok ? found.header.epoch : 0;
}

function takeMarksAway(files: Files, directory: string, keptIn: string): void {
  const marks = files.readdirSync(directory).filter((name) => name.endsWith('.suspect'));
  // The repair's own mark goes last: until it is gone the log is in doubt.
  const ordered = [...marks.filter((name) => name !== MARK), MARK];
  for (const name of ordered) files.renameSync(join(directory, name), freeName(files, keptIn, name));
  syncDirectory(files, keptIn);
  syncDirectory(files, directory);
}

/** A repair that is run again must not overwrite what the first run kept. */
function freeName(files: Files, directory: string, name: string): string {
  let path = join(directory, name);
  for (let copy = 1; files.existsSync(path); copy += 1) path = join(directory, `${name}.${copy}`);
  return path;
}

/** Chunks that the disk does not give become zeros: a copy with holes is worth more than none. */
function copyFile(files: Files, from: string, to: string): void {
  withFile(files, from, 'r', (source) => {
    const size = files.fstatSync(source).size;
    const chunk = Buffer.alloc(Math.min(ZERO_CHUNK_BYTES, size));
    writeFileDurably(files, to, (target) => {
      for (let at = 0; at < size; ) {
        const read = readOrZeros(files, source, chunk, Math.min(chunk.length, size - at), at);
        if (read === 0) break;
        writeAll(files, target, chunk, read, at);
        at += read;
      }
    });
  });
}

function readOrZeros(files: Files, fd: number, chunk: Buffer, length: number, position: number): number {
  try {
    return files.readSync(fd, chunk, 0, length, position);
  } catch (error) {
    if (errorCode(error) !== 'EIO') throw error;
    chunk.fill(0);
    return length;
  }
}
