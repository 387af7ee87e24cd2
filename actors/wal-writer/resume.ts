// What a successor of the wal-writer need not find out again: the log as it was at the last checkpoint, which entries were
// unsettled, and from where consensus replays. One small file, good for the process whose name it bears: written after each checkpoint.
// It must never be believed by another process: nothing here is synced, and only a log that this one has verified is trusted.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { type Files, nodeFiles, readAll, removeQuietly, withFile, writeAll } from './files.js';
import { findEnd, type LogFacts } from './follow.js';
import type { RecoveryOptions } from './recovery.js';

/** The facts of the log are those right after the checkpoint: what stands from its `nextLsn` on is read again. */
export interface ResumePoint extends LogFacts {
  /** Names the process that has verified the log. */
  readonly run: string;
  /** From these records on, and a ledger of this process, consensus is rebuilt. */
  readonly replayFrom: number;
  /** Entries that nothing had settled, ascending. */
  readonly unsettled: readonly number[];
  /** First position of each entry that compaction has moved, and where its record stands. */
  readonly moved: readonly (readonly [number, number])[];
}

export const RESUME_NAME = 'resume';

/** Null when there is none of this run, or none that can be read: then the whole log tells the same. */
export function readResumePoint(directory: string, run: string, files: Files = nodeFiles): ResumePoint | null {
  const path = join(directory, RESUME_NAME);
  if (!files.existsSync(path)) return null;
  try {
    const bytes = withFile(files, path, 'r', (fd) => {
      const found = Buffer.alloc(files.fstatSync(fd).size);
      return found.subarray(0, readAll(files, fd, found, found.length, 0));
    });
    const point = JSON.parse(bytes.toString('utf8')) as ResumePoint;
    return point.run === run ? point : null;
  } catch {
    return null;
  }
}

/** Reads what a successor reads, so that it has done so once when it has to. The log is another thread's: nothing is kept. */
export function rehearse(options: RecoveryOptions, run: string): void {
  try {
    const facts = readResumePoint(options.directory, run, options.files);
    if (facts !== null) findEnd(options, facts);
  } catch {
    // A segment may go while it is looked at; what is really wrong is found by whoever owns the log.
  }
}

/** Before anything that a resume point does not tell: the next start of the thread then verifies the whole log. */
export function forgetResumePoint(directory: string, files: Files = nodeFiles): void {
  removeQuietly(files, join(directory, RESUME_NAME));
}

/** Complete or not at all. Without room there is none, which costs the next start of the thread some time. */
export function writeResumePoint(directory: string, point: ResumePoint, files: Files = nodeFiles): void {
  const path = join(directory, RESUME_NAME);
  const temporary = `${path}.tmp`;
  const bytes = Buffer.from(JSON.stringify(point));
  try {
    removeQuietly(files, temporary);
    withFile(files, temporary, 'wx', (fd) => writeAll(files, fd, bytes, bytes.length, 0));
    files.renameSync(temporary, path);
  } catch {
    removeQuietly(files, temporary);
    removeQuietly(files, path);
  }
}
