// The few operations on files that the log is built from, and the durable steps made of them.
// Called by log, recovery, reader and repair; tests put a disk that loses and refuses things in its place.
// Every name made or changed here is followed by a sync of its directory, and no failed sync is ever tried again.
import fs from 'node:fs';
import { dirname } from 'node:path';
import { LogFailure, LogFull, LogRefused } from './errors.js';
import { encodeSegmentHeader, type SegmentHeader } from './segment.js';

/** The part of node:fs that the log uses, with node's meaning and errors. */
export interface Files {
  openSync(path: string, flags: 'r' | 'r+' | 'wx', mode?: number): number;
  closeSync(fd: number): void;
  readSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  writeSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  fdatasyncSync(fd: number): void;
  fsyncSync(fd: number): void;
  fstatSync(fd: number): { readonly size: number; readonly mtimeMs: number };
  readdirSync(path: string): string[];
  existsSync(path: string): boolean;
  mkdirSync(path: string, options: { mode: number }): void;
  renameSync(from: string, to: string): void;
  unlinkSync(path: string): void;
  readonly promises: { open(path: string, flags: 'wx', mode: number): Promise<AsyncFile> };
}

export interface AsyncFile {
  write(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export const nodeFiles: Files = fs;

const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG'];

export const FILE_MODE = 0o600;
export const DIRECTORY_MODE = 0o700;
/** What one write of zeros takes: large enough to be cheap, small enough to let other work in between. */
export const ZERO_CHUNK_BYTES = 256 * 1024;
export const ZEROS: Uint8Array = new Uint8Array(ZERO_CHUNK_BYTES);

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}

/** One reading of an I/O error for every place that changes the log: no room, or the end of this process. */
export function ioError(error: unknown): LogFull | LogFailure {
  if (!FULL.includes(errorCode(error))) return asFailure(error);
  return new LogFull(`no room for the next log segment (${errorCode(error)}): free space on the data disk`, {
    cause: error,
  });
}

export function asFailure(error: unknown): LogFailure {
  if (error instanceof LogFailure) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new LogFailure(`the log cannot be written: ${text}. The process must end and read the log again`, {
    cause: error,
  });
}

/** The log's own errors pass, everything else becomes LogFull or LogFailure. */
export function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof LogRefused || error instanceof LogFull) throw error;
    throw ioError(error);
  }
}

export function writeAll(files: Files, fd: number, bytes: Uint8Array, length: number, position: number): void {
  for (let done = 0; done < length; ) {
    const written = files.writeSync(fd, bytes, done, length - done, position + done);
    if (written <= 0) throw new Error(`a write of ${length - done} bytes wrote nothing`);
    done += written;
  }
}

/** Bytes read; fewer than `length` only at the end of the file. */
export function readAll(files: Files, fd: number, into: Uint8Array, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const read = files.readSync(fd, into, done, length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

export function withFile<T>(files: Files, path: string, flags: 'r' | 'r+' | 'wx', use: (fd: number) => T): T {
  const fd = files.openSync(path, flags, FILE_MODE);
  try {
    return use(fd);
  } finally {
    files.closeSync(fd);
  }
}

export function syncDirectory(files: Files, path: string): void {
  withFile(files, path, 'r', (fd) => files.fsyncSync(fd));
}

/** Makes the directory, and its name durable, when it is not there. The parent must exist. */
export function ensureDirectory(files: Files, path: string): void {
  if (files.existsSync(path)) return;
  files.mkdirSync(path, { mode: DIRECTORY_MODE });
  syncDirectory(files, dirname(path));
}

/**
 * A complete file appears under `path`, or none: written beside it, synced, renamed, directory synced. When that last
 * sync fails the name may or may not stay, so even a full disk is a failure there.
 */
export function writeFileDurably(files: Files, path: string, fill: (fd: number) => void): void {
  const temporary = `${path}.tmp`;
  if (files.existsSync(temporary)) files.unlinkSync(temporary);
  try {
    withFile(files, temporary, 'wx', (fd) => {
      fill(fd);
      files.fsyncSync(fd);
    });
  } catch (error) {
    removeQuietly(files, temporary);
    throw error;
  }
  files.renameSync(temporary, path);
  try {
    syncDirectory(files, dirname(path));
  } catch (error) {
    throw asFailure(error);
  }
}

/**
 * A segment with its header, `content` after it and zeros to the end. The zeros are really written: Node has no
 * fallocate, and blocks that exist already make each later fdatasync cheaper and free of ENOSPC.
 */
export function writeSegment(files: Files, path: string, header: SegmentHeader, content: Uint8Array): void {
  writeFileDurably(files, path, (fd) => {
    const block = encodeSegmentHeader(header);
    writeAll(files, fd, block, block.length, 0);
    writeAll(files, fd, content, content.length, block.length);
    writeZeros(files, fd, block.length + content.length, header.sizeBytes);
  });
}

function writeZeros(files: Files, fd: number, from: number, to: number): void {
  for (let at = from; at < to; at += ZERO_CHUNK_BYTES) {
    writeAll(files, fd, ZEROS, Math.min(ZERO_CHUNK_BYTES, to - at), at);
  }
}

/** For leftovers whose presence harms nothing: the failure that led here is the one to report. */
export function removeQuietly(files: Files, path: string): void {
  try {
    files.unlinkSync(path);
  } catch {
    // The next open removes leftover temporary files.
  }
}
