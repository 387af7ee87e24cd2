// The audit log `audit.jsonl` of a data directory: records chained by their hashes, appended and fsynced before the caller
// goes on, in files of bounded size. Called by the daemon's trail, the state migration and the commands that change a data
// directory. Its caller must hold the directory's lock; it must never rewrite a line.
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import type { AuditBytes } from '../protocol/audit-check.js';
import {
  AUDIT_START,
  type AuditHead,
  type AuditRecord,
  type AuditValue,
  auditTail,
  decodeAuditRecord,
  encodeAuditRecord,
  isTorn,
  linesOf,
  TORN_MARK,
} from '../protocol/audit-record.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import type { AuditEvent, UnsignedAuditEvent } from './audit-events.js';
import { diskSteps, type FileSteps } from './durable-file.js';

export const AUDIT_FILE = 'audit.jsonl';
const OLD_FILE = /^audit\.(\d{6,15})\.jsonl$/;
const MODE = 0o640;
/** Who writes the records that the log keeps about itself. */
const WRITER = 'audit log';

export interface AuditLimits {
  /** A file of this many bytes is followed by a new one. */
  readonly fileBytes: number;
  /** Full files kept beside the one that is written; at least 1. */
  readonly filesKept: number;
}

export interface StampedEvent {
  /** When it happened, unix milliseconds; written as RFC 3339 UTC. */
  readonly atMs: number;
  readonly event: AuditEvent;
}

/** What the next append goes on from. */
interface Place {
  readonly head: AuditHead;
  /** Number of the file that is written. */
  readonly number: number;
  /** Numbers of the full files, oldest first. */
  readonly old: readonly number[];
  readonly sizeBytes: number;
  /** The file has a record: the next one needs no opening. */
  readonly begun: boolean;
  readonly foreign: Buffer;
  readonly terminated: boolean;
}

export class AuditFile {
  readonly #directory: string;
  readonly #limits: () => AuditLimits | null;
  readonly #files: FileSteps;
  /** Null: to be read from the disk, as at first and after a failed append. */
  #place: Place | null = null;

  /** @param limits asked at each append; null: the file grows, as for a command that writes two lines. */
  constructor(directory: string, limits: () => AuditLimits | null = () => null, files: FileSteps = diskSteps) {
    this.#directory = directory;
    this.#limits = limits;
    this.#files = files;
  }

  /** The newest record. @throws what the file system throws. */
  head(): AuditHead {
    this.#place ??= this.#find();
    return this.#place.head;
  }

  /** The newest record of this event in the newest two files, or null. @throws what the file system throws. */
  newest(event: AuditEvent['event']): AuditRecord | null {
    this.#place ??= this.#find();
    const names = [...this.#place.old.slice(-1).map(oldName), AUDIT_FILE];
    for (const name of names.reverse()) {
      const bytes = this.#read(name);
      if (bytes === null) continue;
      const found = linesOf(bytes).findLast((line) => decodeAuditRecord(line)?.event === event);
      if (found !== undefined) return decodeAuditRecord(found);
    }
    return null;
  }

  /**
   * Appends the events in order, with one fsync, and whatever the log has to say about itself.
   * @param nowMs unix milliseconds, for what the log says about itself
   * @throws what the file system throws. The events then count as not audited; should their lines be there all the same,
   * the chain goes on behind them, and the events may come twice.
   */
  append(nowMs: number, events: readonly StampedEvent[]): AuditHead {
    const limits = this.#limits();
    let place = this.#place ?? this.#find();
    // Whatever throws from here on leaves a file whose end is not known.
    this.#place = null;
    const isFull = limits !== null && place.begun && place.foreign.length === 0 && place.sizeBytes >= limits.fileBytes;
    if (isFull) place = this.#follow(place);
    const surplus = limits === null ? [] : place.old.slice(0, Math.max(0, place.old.length - limits.filesKept));
    const { prefix, event: opening } = openingOf(place);
    const removal = surplus.length === 0 ? [] : [this.#removal(place.old, surplus)];
    const own = [...opening, ...removal].map((event) => ({ atMs: nowMs, event: { ...event, by: WRITER } }));
    let { head } = place;
    let text = prefix;
    for (const { atMs, event: happened } of [...own, ...events]) {
      const { event, by, ...fields } = happened;
      const timestamp = new Date(atMs).toISOString();
      const record = encodeAuditRecord(head, { timestamp, event, by, fields: fieldsOf(fields) });
      text += `${record.text}\n`;
      ({ head } = record);
    }
    const bytes = Buffer.from(text);
    this.#files.append(join(this.#directory, AUDIT_FILE), bytes, MODE);
    if (place.sizeBytes === 0) this.#files.syncDirectory(this.#directory);
    const old = surplus.length === 0 ? place.old : this.#remove(place.old, surplus);
    const sizeBytes = place.sizeBytes + bytes.length;
    this.#place = { ...place, head, old, sizeBytes, begun: true, foreign: NOTHING, terminated: true };
    return head;
  }

  #find(): Place {
    const old = oldNumbers(this.#files.list(this.#directory));
    const number = (old.at(-1) ?? 0) + 1;
    const bytes = this.#read(AUDIT_FILE) ?? NOTHING;
    const { last, foreign, terminated } = auditTail(bytes);
    const head = last?.head ?? this.#headBefore(old);
    return { head, number, old, sizeBytes: bytes.length, begun: last !== null, foreign, terminated };
  }

  /** The newest record of the full files. */
  #headBefore(old: readonly number[]): AuditHead {
    for (const number of [...old].reverse()) {
      const { last } = auditTail(this.#read(oldName(number)) ?? NOTHING);
      if (last !== null) return last.head;
    }
    return AUDIT_START;
  }

  /** Puts the full file aside; the next append makes a new one. A crash in between leaves just that to be done. */
  #follow(place: Place): Place {
    this.#files.rename(join(this.#directory, AUDIT_FILE), join(this.#directory, oldName(place.number)));
    this.#files.syncDirectory(this.#directory);
    const old = [...place.old, place.number];
    return { ...place, number: place.number + 1, old, sizeBytes: 0, begun: false };
  }

  /** The head of the first file that stays names the last record of those that go. */
  #removal(old: readonly number[], surplus: readonly number[]): UnsignedAuditEvent {
    const stays = old[surplus.length]!;
    const first = linesOf(this.#read(oldName(stays)) ?? NOTHING)[0]!;
    const record = decodeAuditRecord(first);
    return {
      event: 'audit_removed',
      first_file: surplus[0]!,
      last_file: surplus.at(-1)!,
      last_seq: record === null ? null : record.head.seq - 1,
      last_hash: record?.prev ?? null,
    };
  }

  /** One that cannot be removed stays, and is named again with the next ones. @returns the numbers that are left. */
  #remove(old: readonly number[], surplus: readonly number[]): readonly number[] {
    let removed = 0;
    try {
      for (const number of surplus) {
        this.#files.remove(join(this.#directory, oldName(number)));
        removed += 1;
      }
      this.#files.syncDirectory(this.#directory);
    } catch {
      // The record is durable: the files may go at any later time.
    }
    return old.slice(removed);
  }

  #read(name: string): Buffer | null {
    const bytes = this.#files.read(join(this.#directory, name));
    return bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** Appends one event to the log of a directory that no node runs on. @throws what the file system throws. */
export function appendAudit(directory: string, nowMs: number, event: AuditEvent, files: FileSteps = diskSteps): void {
  new AuditFile(directory, () => null, files).append(nowMs, [{ atMs: nowMs, event }]);
}

/** The newest record of this event, or null. @throws what the file system throws. */
export function newestAudit(directory: string, event: AuditEvent['event']): AuditRecord | null {
  return new AuditFile(directory).newest(event);
}

/** Is there a record that has all these fields with these values, in the newest two files? */
export function hasAuditRecord(directory: string, wanted: UnsignedAuditEvent, files: FileSteps = diskSteps): boolean {
  const names = [...oldNumbers(files.list(directory)).slice(-1).map(oldName), AUDIT_FILE];
  return names.some((name) => {
    const bytes = files.read(join(directory, name));
    if (bytes === null) return false;
    return linesOf(Buffer.from(bytes)).some((line) => {
      const record = decodeAuditRecord(line);
      return record !== null && Object.entries(wanted).every(([field, value]) => record.line[field] === value);
    });
  });
}

/**
 * Everything that is kept, oldest first, read one file at a time. Needs no lock: when a running node begins a new file
 * meanwhile, `changed` of the result turns true, and the caller reads again.
 * @throws what the file system throws.
 */
export function readAudit(directory: string): { readonly files: Iterable<AuditBytes>; changed(): boolean } {
  const old = oldNumbers(diskSteps.list(directory));
  function* files(): Generator<AuditBytes> {
    for (const number of old) yield* read(oldName(number), number);
    yield* read(AUDIT_FILE, (old.at(-1) ?? 0) + 1);
  }
  function* read(name: string, number: number): Generator<AuditBytes> {
    const bytes = diskSteps.read(join(directory, name));
    if (bytes !== null) yield { name, number, bytes: Buffer.from(bytes) };
  }
  const changed = () => oldNumbers(diskSteps.list(directory)).join() !== old.join();
  return { files: files(), changed };
}

function openingOf({ begun, number, head, foreign, terminated }: Place): {
  readonly prefix: string;
  readonly event: readonly UnsignedAuditEvent[];
} {
  const torn = foreign.length > 0 && isTorn(foreign, terminated);
  const mark = torn && !terminated ? TORN_MARK : '\n';
  const prefix = terminated ? '' : mark;
  const isMarked = prefix === TORN_MARK;
  const kept = isMarked ? Buffer.concat([foreign, Buffer.from(TORN_MARK.trimEnd())]) : foreign;
  const found = foreign.length === 0 ? {} : { foreign_bytes: kept.length, foreign_sha256: sha256Hex(kept) };
  if (begun && foreign.length === 0) return { prefix, event: [] };
  const about = { foreign_bytes: kept.length, foreign_sha256: sha256Hex(kept) };
  if (begun) {
    return { prefix, event: [{ event: 'audit_recovered', ...about, cause: torn ? 'torn' : 'damaged' }] };
  }
  const isFirst = number === 1 && head.seq === 0;
  const event = isFirst
    ? ({ event: 'audit_began', ...found } as const)
    : ({ event: 'audit_continued', file: number, ...found } as const);
  return { prefix, event: [event] };
}

/** Absent fields are left out: canonical JSON has no undefined. */
function fieldsOf(fields: object): Record<string, AuditValue> {
  const entries = Object.entries(fields) as [string, AuditValue | undefined][];
  return Object.fromEntries(entries.filter((entry): entry is [string, AuditValue] => entry[1] !== undefined));
}

function oldName(number: number): string {
  return `audit.${String(number).padStart(6, '0')}.jsonl`;
}

function oldNumbers(names: readonly string[]): number[] {
  const numbers = names.flatMap((name) => {
    const match = OLD_FILE.exec(name);
    return match === null ? [] : [Number(match[1])];
  });
  return numbers.sort((a, b) => a - b);
}

const NOTHING = Buffer.alloc(0);
