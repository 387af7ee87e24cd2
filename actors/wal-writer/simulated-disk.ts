// A disk in memory that behaves as badly as a real one may: what was not synced can be lost by the sector, names too, a
// failed sync marks its pages clean, and any operation can fail or be the last before the power goes.
// Called by the tests of the log in place of node:fs. It must never be kinder than the rules in CONSENSUS section 3.
import { Buffer } from 'node:buffer';
import { basename, dirname } from 'node:path';
import type { AsyncFile, Files } from './files.js';

const SECTOR = 512;

export type Operation =
  | 'open'
  | 'read'
  | 'write'
  | 'fdatasync'
  | 'fsync'
  | 'mkdir'
  | 'rename'
  | 'unlink'
  | 'directory-sync';

/** Thrown by every operation once the machine is off. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut';
}

/** What becomes of unsynced state when the power goes: true keeps it, false loses it. */
export interface CrashChoices {
  sector(path: string, sector: number): boolean;
  /** How many of a directory's changes since its last sync survive; the order of changes is kept, as ext4 does. */
  names(pending: number): number;
}

export const KEEP_ALL: CrashChoices = { sector: () => true, names: (pending) => pending };
export const LOSE_ALL: CrashChoices = { sector: () => false, names: () => 0 };

interface Inode {
  /** What a read gives: page cache over disk. */
  data: Buffer;
  /** What is on the platter. */
  durable: Buffer;
  readonly dirty: Set<number>;
}

interface Directory {
  names: Map<string, Inode>;
  durable: Map<string, Inode>;
  pending: Array<(names: Map<string, Inode>) => void>;
}

interface OpenFile {
  readonly path: string;
  readonly inode: Inode | null;
}

export class SimulatedDisk implements Files {
  /** Operations that change something, counted so that a test can stop at each. */
  changes = 0;
  /** So much has been read from files. */
  bytesRead = 0;
  /** The power goes just before this change; Infinity: never. */
  cutBefore = Number.POSITIVE_INFINITY;
  /** Returns an error code to make an operation fail. A failed sync marks the pages clean all the same. */
  refuse: (operation: Operation, path: string) => string | null = () => null;
  /** What every file says of its last change. */
  nowMs = 0;
  readonly modes = new Map<string, number>();
  readonly #directories = new Map<string, Directory>();
  readonly #open = new Map<number, OpenFile>();
  #nextFd = 3;
  #off = false;

  constructor() {
    this.#directories.set('/data', { names: new Map(), durable: new Map(), pending: [] });
  }

  readonly promises = {
    open: async (path: string, flags: 'wx', mode: number): Promise<AsyncFile> => {
      const fd = this.openSync(path, flags, mode);
      return {
        write: async (buffer, offset, length, position) => ({
          bytesWritten: this.writeSync(fd, buffer, offset, length, position),
        }),
        sync: async () => this.fsyncSync(fd),
        close: async () => this.closeSync(fd),
      };
    },
  };

  openSync(path: string, flags: 'r' | 'r+' | 'wx', mode = 0o666): number {
    this.#attempt('open', path);
    if (this.#directories.has(path)) return this.#handOut({ path, inode: null });
    const { names, pending } = this.#directoryOf(path);
    const name = basename(path);
    let inode = names.get(name);
    if (flags === 'wx') {
      if (inode !== undefined) throw failure('EEXIST', path);
      this.#change();
      const made: Inode = { data: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set() };
      names.set(name, made);
      pending.push((durable) => durable.set(name, made));
      this.modes.set(path, mode);
      inode = made;
    }
    if (inode === undefined) throw failure('ENOENT', path);
    return this.#handOut({ path, inode });
  }

  closeSync(fd: number): void {
    if (!this.#open.delete(fd)) throw failure('EBADF', String(fd));
  }

  readSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    const { path, inode } = this.#file(fd);
    this.#attempt('read', path);
    const from = inode.data.subarray(position, position + length);
    buffer.set(from, offset);
    this.bytesRead += from.length;
    return from.length;
  }

  writeSync(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    const { path, inode } = this.#file(fd);
    this.#attempt('write', path);
    this.#change();
    const end = position + length;
    if (end > inode.data.length) inode.data = Buffer.concat([inode.data], end);
    inode.data.set(buffer.subarray(offset, offset + length), position);
    for (let sector = Math.floor(position / SECTOR); sector * SECTOR < end; sector += 1) inode.dirty.add(sector);
    return length;
  }

  fdatasyncSync(fd: number): void {
    this.#sync(fd, 'fdatasync');
  }

  fsyncSync(fd: number): void {
    this.#sync(fd, 'fsync');
  }

  fstatSync(fd: number): { size: number; mtimeMs: number } {
    return { size: this.#file(fd).inode.data.length, mtimeMs: this.nowMs };
  }

  readdirSync(path: string): string[] {
    this.#powered();
    return [...this.#directory(path).names.keys(), ...this.#subdirectories(path)];
  }

  existsSync(path: string): boolean {
    this.#powered();
    const parent = this.#directories.get(dirname(path));
    return this.#directories.has(path) || parent?.names.has(basename(path)) === true;
  }

  mkdirSync(path: string, options: { mode: number }): void {
    this.#attempt('mkdir', path);
    this.#change();
    // Kept through every crash: an empty directory more changes nothing for the log.
    this.#directories.set(path, { names: new Map(), durable: new Map(), pending: [] });
    this.modes.set(path, options.mode);
  }

  renameSync(from: string, to: string): void {
    this.#attempt('rename', to);
    const inode = this.#directoryOf(from).names.get(basename(from));
    if (inode === undefined) throw failure('ENOENT', from);
    this.#change();
    const [source, target] = [this.#directoryOf(from), this.#directoryOf(to)];
    source.names.delete(basename(from));
    target.names.set(basename(to), inode);
    if (source === target) {
      source.pending.push((durable) => {
        durable.delete(basename(from));
        durable.set(basename(to), inode);
      });
      return;
    }
    source.pending.push((durable) => durable.delete(basename(from)));
    target.pending.push((durable) => durable.set(basename(to), inode));
  }

  unlinkSync(path: string): void {
    this.#attempt('unlink', path);
    const { names, pending } = this.#directoryOf(path);
    if (!names.delete(basename(path))) throw failure('ENOENT', path);
    this.#change();
    pending.push((durable) => durable.delete(basename(path)));
  }

  /** The disk as the next start finds it after a power cut. */
  afterPowerCut(choices: CrashChoices): SimulatedDisk {
    const next = new SimulatedDisk();
    for (const [path, directory] of this.#directories) {
      const survivors = new Map(directory.durable);
      for (const change of directory.pending.slice(0, choices.names(directory.pending.length))) change(survivors);
      const names = new Map<string, Inode>();
      for (const [name, inode] of survivors) {
        const data = platter(inode, (sector) => choices.sector(`${path}/${name}`, sector));
        names.set(name, { data, durable: Buffer.from(data), dirty: new Set() });
      }
      next.#directories.set(path, { names, durable: new Map(names), pending: [] });
    }
    return next;
  }

  /** The disk as the next process finds it when only this one died: the page cache is still there, clean or not. */
  afterKill(): SimulatedDisk {
    const next = new SimulatedDisk();
    const copies = new Map<Inode, Inode>();
    const copy = (inode: Inode): Inode => {
      const known = copies.get(inode);
      if (known !== undefined) return known;
      const made = { data: Buffer.from(inode.data), durable: Buffer.from(inode.durable), dirty: new Set(inode.dirty) };
      copies.set(inode, made);
      return made;
    };
    for (const [path, { names, durable, pending }] of this.#directories) {
      const kept = new Map([...durable].map(([name, inode]) => [name, copy(inode)]));
      const replayed = pending.map((change) => (target: Map<string, Inode>) => {
        change(target);
        for (const [name, inode] of target) target.set(name, copies.has(inode) ? copies.get(inode)! : inode);
      });
      const current = new Map([...names].map(([name, inode]) => [name, copy(inode)]));
      next.#directories.set(path, { names: current, durable: kept, pending: replayed });
    }
    return next;
  }

  /** Bytes of a file, to look at or to damage in place: changes are on the platter at once. */
  damage(path: string, change: (bytes: Buffer) => Buffer | undefined): void {
    const inode = this.#directoryOf(path).names.get(basename(path));
    if (inode === undefined) throw failure('ENOENT', path);
    const bytes = Buffer.from(inode.data);
    inode.data = change(bytes) ?? bytes;
    inode.durable = Buffer.from(inode.data);
    inode.dirty.clear();
  }

  /** A copy that shares nothing, everything on it durable. */
  clone(): SimulatedDisk {
    return this.afterPowerCut(KEEP_ALL);
  }

  #sync(fd: number, operation: 'fdatasync' | 'fsync'): void {
    const { path, inode } = this.#open.get(fd) ?? { path: '', inode: null };
    if (inode === null) {
      this.#attempt('directory-sync', path);
      this.#change();
      const directory = this.#directory(path);
      directory.durable = new Map(directory.names);
      directory.pending = [];
      return;
    }
    try {
      this.#attempt(operation, path);
      this.#change();
    } catch (error) {
      if (!(error instanceof PowerCut)) inode.dirty.clear();
      throw error;
    }
    if (inode.durable.length === inode.data.length) writeThrough(inode);
    else inode.durable = platter(inode, () => true);
    inode.dirty.clear();
  }

  #attempt(operation: Operation, path: string): void {
    this.#powered();
    const code = this.refuse(operation, path);
    if (code !== null) throw failure(code, path);
  }

  #change(): void {
    if (this.changes >= this.cutBefore) this.#off = true;
    this.#powered();
    this.changes += 1;
  }

  #powered(): void {
    if (this.#off) throw new PowerCut('the power is off');
  }

  #handOut(file: OpenFile): number {
    const fd = this.#nextFd;
    this.#nextFd += 1;
    this.#open.set(fd, file);
    return fd;
  }

  #file(fd: number): { path: string; inode: Inode } {
    const file = this.#open.get(fd);
    if (file === undefined || file.inode === null) throw failure('EBADF', String(fd));
    return { path: file.path, inode: file.inode };
  }

  #directoryOf(path: string): Directory {
    return this.#directory(dirname(path));
  }

  #directory(path: string): Directory {
    const directory = this.#directories.get(path);
    if (directory === undefined) throw failure('ENOENT', path);
    return directory;
  }

  #subdirectories(path: string): string[] {
    return [...this.#directories.keys()].filter((other) => dirname(other) === path).map((other) => basename(other));
  }
}

/** Durable bytes with the chosen dirty sectors over them. Growth survives: a lost sector of new space reads as zeros. */
function platter(inode: Inode, keep: (sector: number) => boolean): Buffer {
  const bytes = Buffer.alloc(inode.dirty.size === 0 ? inode.durable.length : inode.data.length);
  inode.durable.copy(bytes);
  for (const sector of inode.dirty) {
    if (keep(sector)) inode.data.copy(bytes, sector * SECTOR, sector * SECTOR, (sector + 1) * SECTOR);
  }
  return bytes;
}

/** The same in place, for a file that has not grown: a sync costs what was written, not what the file holds. */
function writeThrough({ data, durable, dirty }: Inode): void {
  for (const sector of dirty) data.copy(durable, sector * SECTOR, sector * SECTOR, (sector + 1) * SECTOR);
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
