// Files that hold secrets: their modes are checked before they are read, and new ones are made private and durable.
// Called for the node key and for client secrets. It must never open a secret that others may read.
import {
  closeSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ConfigError, configProblem } from './errors.js';
import { unreadable } from './yaml-file.js';

/** Windows has no such bits; there the folder's access list is the operator's care. */
const HAS_MODES = process.platform !== 'win32';

/** Throws ConfigError unless the file is regular with mode 0600 or 0400; with `groupMayRead` also 0640 or 0440. */
export function checkPrivateFile(path: string, groupMayRead = false): void {
  const mode = modeOf(path, 'file');
  const own = groupMayRead ? mode & ~0o040 : mode;
  if (!HAS_MODES || own === 0o600 || own === 0o400) return;
  throw new ConfigError([
    configProblem({
      file: path,
      found: `mode ${octal(mode)}`,
      allowed: groupMayRead ? '0600, 0400, 0640 or 0440' : '0600 or 0400',
      hint: `Fix it: chmod 0600 ${quoted(path)}`,
    }),
  ]);
}

/** Throws ConfigError unless the directory is closed to group and others (0700, or 0500 when mounted read-only). */
export function checkPrivateDirectory(path: string): void {
  const mode = modeOf(path, 'directory');
  if (!HAS_MODES || mode === 0o700 || mode === 0o500) return;
  throw new ConfigError([
    configProblem({
      file: path,
      found: `mode ${octal(mode)}`,
      allowed: '0700',
      hint: `Fix it: chmod 0700 ${quoted(path)}`,
    }),
  ]);
}

/** Whether something stands at `path`; throws ConfigError when that cannot be known. */
export function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === 'ENOENT') return false;
    throw new ConfigError([unreadable(path, error)]);
  }
}

/** Makes the directory with mode 0700 when it is missing, and checks it when it is not. */
export function makePrivateDirectory(path: string): void {
  if (exists(path)) {
    checkPrivateDirectory(path);
    return;
  }
  creating(path, () => mkdirSync(path, { recursive: true, mode: 0o700 }));
}

/** Writes a new file durably, whole or not at all, never over an existing one (ConfigError). */
export function createFile(path: string, text: string, mode: number): void {
  creating(path, () => {
    const temporary = writeTemporary(path, text, mode);
    try {
      linkSync(temporary, path);
    } finally {
      rmSync(temporary, { force: true });
    }
    syncDirectory(dirname(path));
  });
}

/** As createFile, but takes the place of what stands there. */
export function replaceFile(path: string, text: string, mode: number): void {
  creating(path, () => {
    renameSync(writeTemporary(path, text, mode), path);
    syncDirectory(dirname(path));
  });
}

function writeTemporary(path: string, text: string, mode: number): string {
  const temporary = `${path}.tmp-${process.pid}`;
  rmSync(temporary, { force: true });
  const handle = openSync(temporary, 'wx', mode);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return temporary;
}

function syncDirectory(path: string): void {
  if (!HAS_MODES) return;
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function creating(path: string, create: () => void): void {
  try {
    create();
  } catch (error) {
    const code = (error as { code?: string }).code ?? String(error);
    const found = code === 'EEXIST' ? 'a file that is already there' : `a place where it cannot be created (${code})`;
    const hint = code === 'EEXIST' ? 'Move it away first.' : `Check that ${quoted(dirname(path))} is writable.`;
    throw new ConfigError([configProblem({ file: path, found, allowed: 'a new file', hint })]);
  }
}

function modeOf(path: string, wanted: 'file' | 'directory'): number {
  let stat: ReturnType<typeof statSync>;
  try {
    stat = statSync(path);
  } catch (error) {
    throw new ConfigError([unreadable(path, error)]);
  }
  if (wanted === 'file' ? stat.isFile() : stat.isDirectory()) return stat.mode & 0o777;
  throw new ConfigError([
    configProblem({ file: path, found: `something that is no ${wanted}`, allowed: `a ${wanted}` }),
  ]);
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function quoted(path: string): string {
  return /^[A-Za-z0-9_./+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
