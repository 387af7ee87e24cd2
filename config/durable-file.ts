// The few file steps from which crash-safe files are made, as an interface, so that tests can stop the world between any two.
// Called by the state file, its migration and the audit file. A step either has happened durably when it returns, or throws;
// none of them swallows an error.
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export interface FileSteps {
  /** @returns the content, or null when there is no such file. */
  read(path: string): Uint8Array | null;
  /** Creates or truncates the file, writes all bytes and fsyncs it. Its directory entry is durable after syncDirectory. */
  write(path: string, bytes: Uint8Array, mode: number): void;
  /** Adds bytes at the end and fsyncs; creates the file when it is absent. */
  append(path: string, bytes: Uint8Array, mode: number): void;
  rename(from: string, to: string): void;
  /** @returns the names in a directory, in no order. */
  list(path: string): readonly string[];
  /** Removes the file; an absent one is fine. */
  remove(path: string): void;
  /** Makes creations, renames and removals in this directory durable. */
  syncDirectory(path: string): void;
}

/** Replaces a file as a whole: readers and a crash see the old content or the new one, never a mixture. */
export function replaceFile(files: FileSteps, path: string, bytes: Uint8Array, mode: number): void {
  const temporary = `${path}.tmp`;
  files.write(temporary, bytes, mode);
  files.rename(temporary, path);
  files.syncDirectory(dirname(path));
}

/** The steps on the real file system. */
export const diskSteps: FileSteps = {
  read(path) {
    try {
      return readFileSync(path);
    } catch (error) {
      if (isAbsent(error)) return null;
      throw error;
    }
  },
  write: (path, bytes, mode) => writeThrough(path, 'w', bytes, mode),
  append: (path, bytes, mode) => writeThrough(path, 'a', bytes, mode),
  rename: (from, to) => renameSync(from, to),
  list: (path) => readdirSync(path),
  remove: (path) => rmSync(path, { force: true }),
  syncDirectory(path) {
    const descriptor = openSync(path, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  },
};

function writeThrough(path: string, flags: 'w' | 'a', bytes: Uint8Array, mode: number): void {
  const descriptor = openSync(path, flags, mode);
  try {
    let written = 0;
    while (written < bytes.length) written += writeSync(descriptor, bytes, written, bytes.length - written);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
