// Does an audit log hold together? Follows the chain through its files and names the first line that was removed, changed,
// moved, repeated or put in, and why. Called by `quorate audit verify` and by tests. It must never pass a line that it
// cannot account for.
import { Buffer } from 'node:buffer';
import {
  AUDIT_START,
  type AuditHead,
  type AuditRecord,
  decodeAuditRecord,
  isTorn,
  isUnchained,
  linesOf,
} from './audit-record.js';
import { sha256Hex } from './crypto/hash.js';

export interface AuditBytes {
  readonly name: string;
  /** From 1; each file goes on where the one before ends. */
  readonly number: number;
  readonly bytes: Buffer;
}

export type AuditFaultKind = 'changed' | 'inserted' | 'missing' | 'repeated' | 'moved' | 'anchor';

export interface AuditFault {
  readonly kind: AuditFaultKind;
  readonly file: string;
  /** From 1, in that file. */
  readonly line: number;
  readonly reason: string;
}

export interface AuditVerdict {
  readonly records: number;
  readonly files: number;
  /** Number of the oldest record that is kept; 0 when there is none. */
  readonly firstSeq: number;
  /** The newest record that the chain leads to. */
  readonly head: AuditHead;
  /** Bytes of a time before the chain; the first record holds their hash. */
  readonly sealedBytes: number;
  /** What a crash cut off at the very end; the next start goes on behind it. */
  readonly torn: { readonly file: string; readonly line: number; readonly bytes: number } | null;
  readonly fault: AuditFault | null;
}

/** Events that may follow lines which are no records, and then name their size and hash. */
export const OPENING_EVENTS: readonly string[] = ['audit_began', 'audit_continued', 'audit_recovered'];

/**
 * @param files all that is kept, oldest first
 * @param anchor a head that was noted earlier, elsewhere: it must be part of this chain
 */
export function checkAudit(files: Iterable<AuditBytes>, anchor: AuditHead | null = null): AuditVerdict {
  const check = new Check(anchor);
  for (const file of files) if (!check.file(file)) break;
  return check.verdict();
}

interface Foreign {
  readonly file: AuditBytes;
  /** Where it begins. */
  readonly line: number;
  readonly foreign: Buffer;
}

class Check {
  readonly #anchor: AuditHead | null;
  #anchorSeen = false;
  #head: AuditHead = AUDIT_START;
  #records = 0;
  #files = 0;
  /** First record kept, where older files are gone: a record further on must account for them. */
  #oldest: { readonly file: AuditBytes; readonly record: AuditRecord } | null = null;
  #removalsTold = false;
  #sealedBytes = 0;
  /** Lines that are no records, until the record behind them says what they are. */
  #open: Foreign | null = null;
  #terminated = true;
  #last: { readonly file: string; readonly line: number } = { file: 'audit.jsonl', line: 1 };
  #fault: AuditFault | null = null;

  constructor(anchor: AuditHead | null) {
    this.#anchor = anchor;
  }

  /** @returns false once a fault is found. */
  file(file: AuditBytes): boolean {
    // Only the newest file may end with a line that is cut off.
    if (this.#open !== null) this.#faultAt(this.#open.file.name, this.#open.line, 'changed', CHANGED);
    this.#files += 1;
    const lines = linesOf(file.bytes);
    this.#terminated = lines.at(-1)!.length === 0;
    if (this.#terminated) lines.pop();
    let isFirst = true;
    for (let index = 0; index < lines.length && this.#fault === null; index += 1) {
      const line = index + 1;
      const record = decodeAuditRecord(lines[index]!);
      if (record === null) {
        const before = this.#open;
        const foreign = before === null ? lines[index]! : Buffer.concat([before.foreign, END_OF_LINE, lines[index]!]);
        this.#open = { file, line: before?.line ?? line, foreign };
        continue;
      }
      this.#last = { file: file.name, line };
      this.#record(file, line, record, isFirst);
      isFirst = false;
    }
    return this.#fault === null;
  }

  #record(file: AuditBytes, line: number, record: AuditRecord, isFirst: boolean): void {
    if (this.#open !== null) this.#between(this.#open, record);
    else if ('foreign_bytes' in record.line)
      this.#faultAt(file.name, line, 'missing', `the ${record.line.foreign_bytes} bytes that it names are gone`);
    this.#open = null;
    const cause = this.#linkFault(file, record, isFirst);
    if (cause !== null) this.#faultAt(file.name, line, ...cause);
    if (this.#fault !== null) return;
    this.#head = record.head;
    this.#records += 1;
    this.#lookAtAnchor(file.name, line, record.head);
    if (record.event === 'audit_removed') this.#removed(record);
  }

  /** Lines that are no records stand in front of `record`: it must say so itself, and they must be what may be there. */
  #between({ file, line, foreign }: Foreign, record: AuditRecord): void {
    const { foreign_bytes: size, foreign_sha256: hash } = record.line;
    const named = OPENING_EVENTS.includes(record.event) && size !== undefined;
    if (!named) {
      const fits = record.head.seq === this.#head.seq + 1 && record.prev === this.#head.hash;
      if (fits) this.#faultAt(file.name, line, 'inserted', 'no record, and the chain goes on without it');
      else this.#faultAt(file.name, line, 'changed', CHANGED);
      return;
    }
    if (size !== foreign.length || hash !== sha256Hex(foreign)) {
      this.#faultAt(
        file.name,
        line,
        'changed',
        `no record, and not the ${size} bytes that record ${record.head.seq} names`,
      );
      return;
    }
    if (isTorn(foreign, true)) return;
    if (record.event === 'audit_began' && linesOf(foreign).every((one) => isUnchained(one) || isTorn(one, true))) {
      this.#sealedBytes = foreign.length;
      return;
    }
    this.#faultAt(file.name, line, 'changed', `no record; the writer found it so at ${record.timestamp}`);
  }

  #linkFault(
    file: AuditBytes,
    { head, prev, event, line }: AuditRecord,
    isFirst: boolean,
  ): [AuditFaultKind, string] | null {
    const { seq } = head;
    if (isFirst && this.#records === 0 && file.number > 1) {
      // Older files are gone. Whether they may be is said by a record that is still to come.
      this.#oldest = { file, record: { head, prev, event, line, timestamp: '', by: '' } };
      this.#head = { seq: seq - 1, hash: prev };
    }
    const wanted = this.#head.seq + 1;
    if (seq > wanted) {
      const gone = seq - wanted === 1 ? `record ${wanted} is` : `records ${wanted} to ${seq - 1} are`;
      return ['missing', `${gone} missing before record ${seq}`];
    }
    if (seq < wanted && head.hash === this.#head.hash) return ['repeated', `record ${seq} stands here again`];
    if (seq < wanted) return ['moved', `record ${seq} stands behind record ${this.#head.seq}`];
    if (prev !== this.#head.hash) return ['changed', `it follows another record ${wanted - 1} than the one before it`];
    if ((event === 'audit_began') !== (seq === 1))
      return ['changed', 'a chain begins with audit_began, and nowhere else'];
    const heads = isFirst && file.number > 1;
    if ((event === 'audit_continued') !== heads) {
      return heads
        ? ['missing', 'a file after the first begins with audit_continued']
        : ['moved', 'audit_continued stands at the head of a file only'];
    }
    if (heads && line.file !== file.number) return ['moved', `this is file ${String(line.file)} of the log`];
    return null;
  }

  #lookAtAnchor(file: string, line: number, { seq, hash }: AuditHead): void {
    if (this.#anchor === null || this.#anchor.seq !== seq) return;
    this.#anchorSeen = true;
    if (this.#anchor.hash !== hash)
      this.#faultAt(
        file,
        line,
        'anchor',
        `record ${seq} is another one than the anchor names: this is not the same log`,
      );
  }

  /** Does this record account for the files that are gone? */
  #removed({ line }: AuditRecord): void {
    if (this.#anchor !== null && line.last_seq === this.#anchor.seq && line.last_hash === this.#anchor.hash)
      this.#anchorSeen = true;
    if (this.#oldest === null) return;
    const { file, record } = this.#oldest;
    const gone = file.number - 1;
    if (Number(line.first_file) > gone || Number(line.last_file) < gone) return;
    const ends = line.last_file === gone;
    if (ends && (line.last_seq !== record.head.seq - 1 || line.last_hash !== record.prev)) return;
    this.#removalsTold = true;
  }

  verdict(): AuditVerdict {
    let torn: AuditVerdict['torn'] = null;
    if (this.#fault === null && this.#open !== null) {
      const { file, line, foreign } = this.#open;
      const unchained = this.#records === 0 && linesOf(foreign).every((one) => isUnchained(one) || isTorn(one, false));
      if (isTorn(foreign, this.#terminated)) torn = { file: file.name, line, bytes: foreign.length };
      else if (unchained && file.number === 1) this.#sealedBytes = foreign.length;
      else this.#faultAt(file.name, line, 'changed', CHANGED);
    }
    if (this.#fault === null && this.#oldest !== null && !this.#removalsTold) {
      const { file, record } = this.#oldest;
      const reason = `records 1 to ${record.head.seq - 1} are missing, and no record tells of their removal`;
      this.#faultAt(file.name, 1, 'missing', reason);
    }
    if (this.#fault === null && this.#anchor !== null && !this.#anchorSeen) this.#anchorNotFound(this.#anchor);
    const firstSeq = this.#records === 0 ? 0 : (this.#oldest?.record.head.seq ?? 1);
    return {
      records: this.#records,
      files: this.#files,
      firstSeq,
      head: this.#head,
      sealedBytes: this.#sealedBytes,
      torn,
      fault: this.#fault,
    };
  }

  #anchorNotFound({ seq }: AuditHead): void {
    const { file, line } = this.#last;
    const { seq: last } = this.#head;
    const reason =
      seq > last
        ? `the anchor names record ${seq}, the log ends at ${last}: the newest ${seq - last} are missing`
        : `the anchor names record ${seq}, which is older than everything kept: take a newer one`;
    this.#faultAt(file, line, seq > last ? 'missing' : 'anchor', reason);
  }

  /** The first fault stays. */
  #faultAt(file: string, line: number, kind: AuditFaultKind, reason: string): void {
    this.#fault ??= { kind, file, line, reason };
  }
}

/** The records of a file in order; what is no record is left out. */
export function auditRecords(bytes: Buffer): AuditRecord[] {
  return linesOf(bytes).flatMap((line) => decodeAuditRecord(line) ?? []);
}

const CHANGED = 'no record: it was changed, cut or put in';
const END_OF_LINE = Buffer.from('\n');
