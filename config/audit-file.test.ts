// The audit log on a disk: whatever is done to its lines is found and named, a crash is told apart from that, and files of
// bounded size follow each other in one chain.
import { basename, dirname, join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { type AuditBytes, type AuditVerdict, auditRecords, checkAudit } from '../protocol/audit-check.js';
import {
  AUDIT_HASH_PREFIX,
  AUDIT_START,
  type AuditHead,
  type AuditValue,
  encodeAuditRecord,
} from '../protocol/audit-record.js';
import { canonicalize } from '../protocol/canonical.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import type { JsonObject } from '../protocol/json.js';
import type { AuditEvent } from './audit-events.js';
import { AUDIT_FILE, AuditFile, type AuditLimits, hasAuditRecord } from './audit-file.js';
import type { FileSteps } from './durable-file.js';

const DIR = '/data';
const NOW = Date.parse('2026-11-20T12:00:00Z');
const CURRENT = join(DIR, AUDIT_FILE);

/** Files in memory; `failAt` makes the n-th step from now on throw, an append after it has written half. */
class Disk implements FileSteps {
  readonly files = new Map<string, Buffer>();
  failAt = 0;
  steps = 0;

  read(path: string): Buffer | null {
    return this.#step(() => this.files.get(path) ?? null);
  }
  write(path: string, bytes: Uint8Array): void {
    this.#step(() => this.files.set(path, Buffer.from(bytes)));
  }
  append(path: string, bytes: Uint8Array): void {
    const put = (some: Uint8Array) =>
      this.files.set(path, Buffer.concat([this.files.get(path) ?? Buffer.alloc(0), some]));
    this.#step(
      () => put(bytes),
      () => put(bytes.subarray(0, bytes.length >> 1)),
    );
  }
  rename(from: string, to: string): void {
    this.#step(() => {
      this.files.set(to, this.files.get(from)!);
      this.files.delete(from);
    });
  }
  list(path: string): string[] {
    return this.#step(() =>
      [...this.files.keys()].filter((name) => dirname(name) === path).map((name) => basename(name)),
    );
  }
  remove(path: string): void {
    this.#step(() => this.files.delete(path));
  }
  syncDirectory(): void {
    this.#step(() => undefined);
  }

  #step<T>(whole: () => T, half?: () => void): T {
    this.steps += 1;
    if (this.steps === this.failAt) {
      half?.();
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    }
    return whole();
  }
}

/** As readAudit does it on a real disk. */
function kept(disk: Disk): AuditBytes[] {
  const old = [...disk.files.keys()].filter((path) => /\.\d{6}\.jsonl$/.test(path)).sort();
  const numbered = old.map((path) => ({ name: basename(path), number: Number(/(\d{6})/.exec(path)![1]), path }));
  const last = { name: AUDIT_FILE, number: (numbered.at(-1)?.number ?? 0) + 1, path: CURRENT };
  return [...numbered, last].flatMap(({ name, number, path }) => {
    const bytes = disk.files.get(path);
    return bytes === undefined ? [] : [{ name, number, bytes }];
  });
}

function check(disk: Disk, anchor: AuditHead | null = null): AuditVerdict {
  return checkAudit(kept(disk), anchor);
}

function reset(actor: string): { atMs: number; event: AuditEvent } {
  const event = { event: 'actor_reset', by: 'test', actor, result: 'done', request_id: 'r' } as const;
  return { atMs: NOW, event };
}

function filled(count: number, disk = new Disk(), limits: AuditLimits | null = null): Disk {
  const file = new AuditFile(DIR, () => limits, disk);
  for (let index = 0; index < count; index += 1) file.append(NOW + index, [reset(`a${index}`)]);
  return disk;
}

function linesIn(disk: Disk): string[] {
  return disk.files.get(CURRENT)!.toString().trimEnd().split('\n');
}

function withLines(lines: readonly string[]): Disk {
  const disk = new Disk();
  disk.files.set(CURRENT, Buffer.from(`${lines.join('\n')}\n`));
  return disk;
}

/** Someone who knows the format gives a changed record its right hash. */
function rehashed(line: string, change: (record: JsonObject) => void): string {
  const { hash, ...record } = JSON.parse(line) as JsonObject;
  change(record);
  return canonicalize({ ...record, hash: sha256Hex(`${AUDIT_HASH_PREFIX}${canonicalize(record)}`) });
}

// --- tampering ---

const LINES = linesIn(filled(12));
const LAST = LINES.length - 1;
const anyLine = fc.nat(LAST);

test('ST-8: an untouched log holds together, and its head is that of its last line', (t) => {
  const verdict = check(withLines(LINES));
  t.like(verdict, { fault: null, torn: null, records: 13, firstSeq: 1, sealedBytes: 0 });
  t.is(verdict.head.seq, 13);
  t.is(verdict.head.hash, (JSON.parse(LINES[LAST]!) as JsonObject).hash as string);
});

test('ST-8: property: a change of any byte of any line is found, and that line named', (t) => {
  fc.assert(
    fc.property(anyLine, fc.nat(400), fc.integer({ min: 1, max: 127 }), (index, at, mask) => {
      const bytes = Buffer.from(LINES[index]!);
      const place = at % bytes.length;
      bytes[place]! ^= mask;
      // A new end of line is another story; and a hole in the newest line is what a crash may leave.
      fc.pre(bytes[place] !== 0x0a && (index < LAST || bytes[place] !== 0));
      const changed = Buffer.concat([
        Buffer.from(
          LINES.slice(0, index)
            .map((line) => `${line}\n`)
            .join(''),
        ),
        bytes,
        Buffer.from(
          `\n${LINES.slice(index + 1)
            .map((line) => `${line}\n`)
            .join('')}`,
        ),
      ]);
      const disk = new Disk();
      disk.files.set(CURRENT, changed);
      const { fault } = check(disk);
      t.deepEqual([fault?.kind, fault?.line, fault?.file], ['changed', index + 1, AUDIT_FILE]);
    }),
    { numRuns: 400 },
  );
});

test('ST-8: property: any run of removed lines is found at the line behind it; at the end only an anchor finds it', (t) => {
  const anchor = check(withLines(LINES)).head;
  fc.assert(
    fc.property(anyLine, fc.integer({ min: 1, max: 4 }), (index, count) => {
      const left = [...LINES.slice(0, index), ...LINES.slice(index + count)];
      fc.pre(left.length > 0);
      const { fault } = check(withLines(left));
      if (index + count > LAST) {
        t.is(fault, null, 'nothing in the file tells');
        const anchored = check(withLines(left), anchor).fault;
        t.is(anchored?.kind, 'missing');
        t.regex(anchored!.reason, new RegExp(`the newest ${left.length === 0 ? 13 : 13 - left.length} are missing`));
      } else {
        t.deepEqual([fault?.kind, fault?.line], ['missing', index + 1]);
      }
    }),
    { numRuns: 200 },
  );
});

test('ST-8: property: two lines that changed places are found at the first of the two', (t) => {
  fc.assert(
    fc.property(anyLine, anyLine, (one, two) => {
      fc.pre(one !== two);
      const lines = [...LINES];
      [lines[one], lines[two]] = [lines[two]!, lines[one]!];
      const { fault } = check(withLines(lines));
      t.is(fault?.line, Math.min(one, two) + 1);
    }),
    { numRuns: 200 },
  );
});

test('ST-8: property: a line that stands twice is found where it stands the second time', (t) => {
  fc.assert(
    fc.property(anyLine, anyLine, (from, to) => {
      const lines = [...LINES.slice(0, to + 1), LINES[from]!, ...LINES.slice(to + 1)];
      const { fault } = check(withLines(lines));
      if (from > to)
        t.deepEqual([fault?.kind, fault?.line], from === to + 1 ? ['repeated', to + 3] : ['missing', to + 2]);
      else t.deepEqual([fault?.kind, fault?.line], [from === to ? 'repeated' : 'moved', to + 2]);
    }),
    { numRuns: 200 },
  );
});

test('ST-8: property: a line that was put in is found, with or without a right hash of its own', (t) => {
  const text = fc.oneof(
    fc.constant(''),
    fc.json().map((json) => json.replaceAll('\n', '')),
    fc.constantFrom('{"event":"config_reload"}', '{"event":"half', 'x#torn', '{"a":1}#torn'),
    anyLine.map((index) => rehashed(LINES[index]!, (record) => Object.assign(record, { actor: 'other' }))),
  );
  fc.assert(
    fc.property(fc.nat(LAST - 1), text, (after, line) => {
      fc.pre(!LINES.includes(line));
      const { fault } = check(withLines([...LINES.slice(0, after + 1), line, ...LINES.slice(after + 1)]));
      t.not(fault, null);
      // A record in the right place, with the right links, is found by the line that follows another one.
      const isHeir = fault!.line === after + 3 && line.includes(`"seq":${after + 2},`);
      t.true(fault!.line === after + 2 || isHeir, JSON.stringify(fault));
    }),
    { numRuns: 300 },
  );
});

test('ST-8: property: a record that was changed and hashed anew is found by the line behind it, the last by an anchor', (t) => {
  const anchor = check(withLines(LINES)).head;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: LAST }), (index) => {
      const lines = [...LINES];
      lines[index] = rehashed(lines[index]!, (record) => Object.assign(record, { by: 'nobody' }));
      const { fault } = check(withLines(lines), anchor);
      const wanted = index === LAST ? ['anchor', LAST + 1] : ['changed', index + 2];
      t.deepEqual([fault?.kind, fault?.line], wanted);
    }),
  );
});

test('ST-8: a log written anew from its beginning is whole, and not the one that the anchor names', (t) => {
  const anchor = check(withLines(LINES)).head;
  const other = filled(20);
  t.is(check(other).fault, null);
  t.is(check(other, anchor).fault?.kind, undefined, 'the same events at the same times are the same log');
  const forged = new Disk();
  const file = new AuditFile(DIR, () => null, forged);
  for (let index = 0; index < 20; index += 1) file.append(NOW + index, [reset('forged')]);
  t.is(check(forged).fault, null);
  t.like(check(forged, anchor).fault, { kind: 'anchor', line: 13 });
});

test('ST-8: records with right hashes in wrong places: only what the writer would write is let through', (t) => {
  const chain = (
    ...records: readonly (readonly [event: string, fields: Record<string, AuditValue>, front?: string])[]
  ) => {
    let head = AUDIT_START;
    let text = '';
    for (const [event, fields, front = ''] of records) {
      const made = encodeAuditRecord(head, { timestamp: '2026-11-20T12:00:00.000Z', event, by: 'forger', fields });
      text += `${front}${made.text}\n`;
      ({ head } = made);
    }
    return { name: AUDIT_FILE, number: 1, bytes: Buffer.from(text) };
  };
  const torn = { foreign_bytes: 8, foreign_sha256: sha256Hex('{"a#torn') };
  const stories: readonly (readonly [wanted: string | undefined, files: readonly AuditBytes[]])[] = [
    [undefined, [chain(['audit_began', {}], ['audit_recovered', torn, '{"a#torn\n'])]],
    ['inserted 2', [chain(['audit_began', {}], ['node_stopped', torn, '{"a#torn\n'])]],
    ['changed 1', [chain(['node_stopped', {}])]],
    ['changed 2', [chain(['audit_began', {}], ['audit_began', {}])]],
    ['moved 2', [chain(['audit_began', {}], ['audit_continued', { file: 1 }])]],
  ];
  for (const [wanted, files] of stories) {
    const { fault } = checkAudit(files);
    t.is(fault === null ? undefined : `${fault.kind} ${fault.line}`, wanted);
  }
  const files = kept(filled(30, new Disk(), { fileBytes: 1_500, filesKept: 100 }));
  const renamed = files.map((file, index) => (index === 0 ? file : { ...file, number: file.number + 1 }));
  t.like(checkAudit(renamed).fault, { kind: 'moved', line: 1 }, 'a file under the number of another');
});

// --- crashes ---

test('ST-8: property: cut anywhere in its last append, the log goes on, says so, and holds together', (t) => {
  const whole = filled(3).files.get(CURRENT)!;
  const before = filled(2).files.get(CURRENT)!.length;
  for (let size = before; size <= whole.length; size += 1) {
    for (const hole of [0, 3]) {
      const disk = new Disk();
      disk.files.set(CURRENT, Buffer.concat([whole.subarray(0, size), Buffer.alloc(hole)]));
      const at = `${size} bytes, hole ${hole}`;
      const found = check(disk);
      t.is(found.fault, null, at);
      t.is(found.torn !== null, hole > 0 ? size !== before || hole > 0 : size > before && size < whole.length - 1, at);
      new AuditFile(DIR, () => null, disk).append(NOW, [reset('next')]);
      const after = check(disk);
      t.is(after.fault, null, at);
      t.is(after.torn, null, at);
      const records = auditRecords(disk.files.get(CURRENT)!);
      t.is(records.at(-1)!.line.actor, 'next', at);
      const recovered = records.filter(({ event }) => event === 'audit_recovered');
      t.deepEqual(
        recovered.map(({ line }) => line.cause),
        found.torn === null ? [] : ['torn'],
        at,
      );
    }
  }
});

test('ST-8: a piece that a crash left is part of the chain: changed or removed it is missed', (t) => {
  const disk = filled(3);
  disk.files.set(CURRENT, disk.files.get(CURRENT)!.subarray(0, -20));
  new AuditFile(DIR, () => null, disk).append(NOW, [reset('next')]);
  const lines = linesIn(disk);
  const piece = lines.findIndex((line) => line.endsWith('#torn'));
  t.is(piece, 3);
  t.like(check(withLines(lines)), { fault: null });
  t.like(check(withLines(lines.filter((_, index) => index !== piece))).fault, { kind: 'missing', line: piece + 1 });
  const shorter = lines.map((line, index) => (index === piece ? line.slice(1) : line));
  t.like(check(withLines(shorter)).fault, { kind: 'changed', line: piece + 1 });
});

test('ST-8: a newest line that no crash explains stays a bad line, whatever is written behind it', (t) => {
  const lines = [...LINES.slice(0, -1), LINES[LAST]!.replace('"a11"', '"a12"')];
  const disk = withLines(lines);
  t.like(check(disk).fault, { kind: 'changed', line: LAST + 1 });
  new AuditFile(DIR, () => null, disk).append(NOW, [reset('next')]);
  t.like(auditRecords(disk.files.get(CURRENT)!).at(-2)!.line, { event: 'audit_recovered', cause: 'damaged' });
  t.like(check(disk).fault, { kind: 'changed', line: LAST + 1 });
});

test('ST-8: any step of an append and of a new file may fail or be the last: the next append goes on in one chain', (t) => {
  const limits = { fileBytes: 1_500, filesKept: 2 };
  for (let failAt = 1; ; failAt += 1) {
    const disk = filled(40, new Disk(), limits);
    const file = new AuditFile(DIR, () => limits, disk);
    disk.steps = 0;
    disk.failAt = failAt;
    let failed = 0;
    for (let index = 0; index < 12; index += 1) {
      try {
        file.append(NOW, [reset(`b${index}`)]);
      } catch {
        failed += 1;
        // Whoever missed his line writes it again.
        file.append(NOW, [reset(`b${index}`)]);
      }
    }
    const verdict = check(disk);
    t.is(verdict.fault, null, `step ${failAt}: ${JSON.stringify(verdict.fault)}`);
    t.is(verdict.torn, null);
    const written = kept(disk).flatMap(({ bytes }) => auditRecords(bytes).map(({ line }) => line.actor));
    t.true(written.includes('b11'), `step ${failAt}`);
    if (disk.steps < failAt) break;
    t.true(failed <= 1);
    if (failAt > 200) t.fail('the steps do not end');
  }
});

// --- files ---

const LIMITS = { fileBytes: 1_500, filesKept: 3 };

test('ST-8, RT-14: full files follow each other in one chain, old ones go, and both are recorded', (t) => {
  const disk = filled(200, new Disk(), LIMITS);
  const files = kept(disk);
  t.is(files.length, LIMITS.filesKept + 1);
  for (const { bytes } of files) t.true(bytes.length < 1_500 + 1_500, 'bounded');
  const verdict = check(disk);
  t.is(verdict.fault, null);
  t.true(verdict.firstSeq > 1);
  const heads = files.map(({ bytes }) => auditRecords(bytes)[0]!);
  t.deepEqual(
    heads.map(({ event, line }) => [event, line.file]),
    files.map(({ number }) => ['audit_continued', number]),
  );
  const lastOf = (index: number) => auditRecords(files[index]!.bytes).at(-1)!;
  t.is(heads[1]!.prev, lastOf(0).head.hash);
  const removal = files.flatMap(({ bytes }) => auditRecords(bytes)).findLast(({ event }) => event === 'audit_removed')!;
  t.like(removal.line, {
    last_file: files[0]!.number - 1,
    last_seq: heads[0]!.head.seq - 1,
    last_hash: heads[0]!.prev,
  });
});

test('ST-8: files that are gone without a record of it are missing lines', (t) => {
  const disk = filled(200, new Disk(), LIMITS);
  const files = kept(disk);
  t.is(checkAudit(files.slice(1)).fault?.kind, 'missing', 'the oldest');
  t.regex(
    checkAudit(files.slice(1)).fault!.reason,
    /^records 1 to \d+ are missing, and no record tells of their removal$/,
  );
  t.is(checkAudit([files[0]!, ...files.slice(2)]).fault?.kind, 'missing', 'one in the middle');
  t.is(checkAudit([files[1]!, files[0]!, ...files.slice(2)]).fault?.kind, 'moved', 'two that changed places');
  const early = filled(30, new Disk(), { fileBytes: 1_500, filesKept: 100 });
  t.is(checkAudit(kept(early)).fault, null);
  t.is(checkAudit(kept(early).slice(1)).fault?.kind, 'missing', 'nothing was ever removed');
});

test('ST-8: an anchor of a removed file is accepted where the removal names it, else said to be too old', (t) => {
  const disk = filled(200, new Disk(), LIMITS);
  const removal = kept(disk)
    .flatMap(({ bytes }) => auditRecords(bytes))
    .findLast(({ event }) => event === 'audit_removed')!;
  const { last_seq: seq, last_hash: hash } = removal.line as { last_seq: number; last_hash: string };
  t.is(check(disk, { seq, hash }).fault, null);
  t.regex(check(disk, { seq: 2, hash }).fault!.reason, /older than everything kept/);
});

test('ST-8: without audit.jsonl, taken away or between two files at a crash, the chain goes on from the newest full file', (t) => {
  const disk = filled(20, new Disk(), LIMITS);
  const { number, bytes } = kept(disk).at(-2)!;
  const head = auditRecords(bytes).at(-1)!.head;
  disk.files.delete(CURRENT);
  new AuditFile(DIR, () => LIMITS, disk).append(NOW, [reset('next')]);
  t.like(auditRecords(disk.files.get(CURRENT)!)[0]!.line, {
    event: 'audit_continued',
    file: number + 1,
    seq: head.seq + 1,
    prev: head.hash,
  });
  t.is(check(disk).fault, null);
});

test('ST-8: lines of before there was a chain are sealed by its first record', (t) => {
  const old = ['{"timestamp":"2025-01-01T00:00:00Z","event":"state_migration","result":"success"}', '{"event":"x"}'];
  const disk = withLines(old);
  t.like(check(disk), { fault: null, records: 0 });
  new AuditFile(DIR, () => null, disk).append(NOW, [reset('next')]);
  const sealedBytes = old.join('\n').length;
  t.like(check(disk), { fault: null, records: 2, sealedBytes });
  const lines = linesIn(disk);
  t.like(check(withLines([lines[0]!, ...lines.slice(2)])).fault, { kind: 'changed', line: 1 });
  t.like(check(withLines(lines.slice(2))).fault, { kind: 'missing', line: 1 });
});

test('what is searched is found in the newest two files', (t) => {
  const disk = filled(12, new Disk(), { fileBytes: 1_500, filesKept: 100 });
  const wanted = { event: 'actor_reset', actor: 'a11', result: 'done', request_id: 'r' } as const;
  t.true(hasAuditRecord(DIR, wanted, disk));
  t.false(hasAuditRecord(DIR, { ...wanted, actor: 'none' }, disk));
  t.false(hasAuditRecord('/other', wanted, disk));
  t.is(new AuditFile(DIR, () => null, disk).newest('actor_reset')?.line.actor, 'a11');
  t.is(new AuditFile(DIR, () => null, disk).newest('quarantined'), null);
});
