import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { crashFileNames, crashFiles } from './crash-files.js';
import type { CrashReport } from './flight-recorder.js';

function report(incarnation: number, more: Partial<CrashReport> = {}): CrashReport {
  return {
    version: 1,
    at_ms: Date.UTC(2026, 0, 1) + incarnation,
    actor: 'wal-writer',
    path: ['root', 'core'],
    incarnation,
    reason: 'crashed',
    detail: 'Error: no',
    stack: null,
    exit_code: 1,
    up_for_ms: 5,
    failures: 0,
    breaker: 'closed',
    mailbox_depth: 0,
    last_messages: [],
    last_events: [],
    reports: {},
    native: null,
    memory_limit_mb: 64,
    memory: { rss_bytes: 1, heap_used_bytes: 1, external_bytes: 1 },
    ...more,
  };
}

function place(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-crash-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'crash');
}

test('RT-10: a bundle is one file that its owner alone may read; the newest are kept, other files are left alone', (t) => {
  const directory = place(t);
  const written: string[] = [];
  const keep = crashFiles({
    directory,
    keep: 3,
    onWritten: (path) => written.push(path),
    extra: () => ({ hash: 'h' }),
  });
  t.deepEqual(crashFileNames(directory), []);
  keep(report(1));
  writeFileSync(join(directory, 'notes.txt'), 'mine');
  for (const incarnation of [2, 3, 4, 5]) keep(report(incarnation));
  const names = crashFileNames(directory);
  t.deepEqual(names, [
    '20260101T000000005Z-wal-writer-5.json',
    '20260101T000000004Z-wal-writer-4.json',
    '20260101T000000003Z-wal-writer-3.json',
  ]);
  t.deepEqual(readdirSync(directory).sort(), [...names, 'notes.txt'].sort());
  t.is(written.at(-1), join(directory, names[0]!));
  t.is(statSync(join(directory, names[0]!)).mode & 0o777, 0o600);
  t.is(statSync(directory).mode & 0o777, 0o700);
  t.like(JSON.parse(readFileSync(join(directory, names[0]!), 'utf8')), { version: 1, incarnation: 5, hash: 'h' });
});

test('RT-10: no secret stands in a bundle, wherever it came from and however JSON spells it', (t) => {
  const directory = place(t);
  const secrets = ['00112233445566778899aabbccddeeff', 'pass"word\\1', 'short'];
  const keep = crashFiles({ directory, secrets: () => secrets });
  const stack = `Error: key ${secrets[0]}\n    at sign (${secrets[0]})`;
  keep(report(1, { detail: `could not use ${secrets[1]}; short is a word`, stack }));
  const text = readFileSync(join(directory, crashFileNames(directory)[0]!), 'utf8');
  t.false(text.includes(secrets[0]!));
  t.is(JSON.parse(text).detail, 'could not use [redacted]; short is a word');
  t.is(JSON.parse(text).stack, 'Error: key [redacted]\n    at sign ([redacted])');
});

test('RT-10: a directory that cannot be written is told, and nothing is thrown', (t) => {
  const directory = place(t);
  writeFileSync(directory, 'a file stands here');
  const errors: Error[] = [];
  crashFiles({ directory, onError: (error) => errors.push(error) })(report(1));
  t.is(errors.length, 1);
});
