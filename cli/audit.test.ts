// `quorate audit`: what the commands say of a log that is whole, of one that is not, and of their own arguments.
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { AuditEvent } from '../config/audit-events.js';
import { AUDIT_FILE, AuditFile } from '../config/audit-file.js';
import { emptyDirectory, NOW_MS, removeDirectory, run } from './testkit.js';

const HOUR_MS = 3_600_000;

/** Five events of the last four hours in two files. */
function logged(t: ExecutionContext): { directory: string; path: string } {
  const directory = emptyDirectory();
  t.teardown(() => removeDirectory(directory));
  const events: AuditEvent[] = [
    { event: 'config_reload', by: 'signal SIGHUP', result: 'started' },
    { event: 'config_reload', by: 'signal SIGHUP', result: 'applied', changed: ['limits.body_bytes'] },
    {
      event: 'actor_died',
      by: 'node',
      actor: 'dedup',
      incarnation: 1,
      reason: 'crashed',
      exit_code: 1,
      detail: 'a\nb\u001b[2J',
    },
    { event: 'breaker_opened', by: 'node', actor: 'dedup' },
    { event: 'node_stopped', by: 'node', signal: 'SIGTERM' },
  ];
  const file = new AuditFile(directory, () => ({ fileBytes: 800, filesKept: 9 }));
  for (const [index, event] of events.entries()) {
    const atMs = NOW_MS - (4 - index) * HOUR_MS;
    file.append(atMs, [{ atMs, event }]);
  }
  return { directory, path: join(directory, AUDIT_FILE) };
}

test('ST-8, OP-1: verify says that the log is whole and prints its head, which it then takes as an anchor', async (t) => {
  const { directory } = logged(t);
  const plain = await run(['audit', 'verify', '--data-dir', directory]);
  t.is(plain.code, 0, plain.err);
  const { code, out } = await run(['audit', 'verify', '--data-dir', directory, '--json']);
  t.is(code, 0);
  const verdict = JSON.parse(out);
  t.like(verdict, { ok: true, fault: null, torn: null, firstSeq: 1 });
  t.true(verdict.files > 1);
  const head = `${verdict.head.seq}:${verdict.head.hash}`;
  t.regex(plain.out, new RegExp(`^whole: [^]*head +${head}\n`));
  const anchored = await run(['audit', 'verify', '--data-dir', directory, '--head', head]);
  t.is(anchored.code, 0);
  t.regex(anchored.out, new RegExp(`anchor +${verdict.head.seq} is part of it`));
});

test('ST-8: verify ends with 65 and names the first bad line and why', async (t) => {
  const { directory, path } = logged(t);
  const verdict = JSON.parse((await run(['audit', 'verify', '--data-dir', directory, '--json'])).out);
  const whole = readFileSync(path, 'utf8');
  writeFileSync(path, whole.replace('"SIGTERM"', '"SIGKILL"'));
  const changed = await run(['audit', 'verify', '--data-dir', directory]);
  t.is(changed.code, 65);
  t.regex(changed.out, /^changed: audit\.jsonl line \d+: no record: it was changed, cut or put in\n$/);
  t.like(JSON.parse((await run(['audit', 'verify', '--data-dir', directory, '--json'])).out), {
    ok: false,
    fault: { kind: 'changed', file: 'audit.jsonl' },
  });

  const lines = whole.trimEnd().split('\n');
  writeFileSync(path, `${lines.slice(0, -1).join('\n')}\n`);
  const alone = await run(['audit', 'verify', '--data-dir', directory]);
  t.is(alone.code, 0, 'the files alone do not tell that their newest line is gone');
  const anchor = `${verdict.head.seq}:${verdict.head.hash}`;
  const anchored = await run(['audit', 'verify', '--data-dir', directory, '--head', anchor]);
  t.is(anchored.code, 65);
  t.regex(anchored.out, /^missing: .*the newest 1 are missing\n$/);

  writeFileSync(path, whole);
  appendFileSync(path, '{"by":"no');
  const torn = await run(['audit', 'verify', '--data-dir', directory]);
  t.is(torn.code, 0);
  t.regex(torn.out, /cut off +audit\.jsonl line \d+: 9 bytes that a crash left/);
});

test('ST-8: query picks by event and time, over all files, and lets no control character through', async (t) => {
  const { directory } = logged(t);
  const query = async (...words: string[]) => {
    const { code, out, err } = await run(['audit', 'query', '--data-dir', directory, '--json', ...words]);
    t.is(code, 0, err);
    return (JSON.parse(out).events as { event: string; result?: string }[])
      .filter(({ event }) => !event.startsWith('audit_'))
      .map(({ event, result }) => (result === undefined ? event : `${event} ${result}`));
  };
  const all = ['config_reload started', 'config_reload applied', 'actor_died', 'breaker_opened', 'node_stopped'];
  t.deepEqual(await query(), all);
  t.deepEqual(await query('--event', 'config_reload'), all.slice(0, 2));
  t.deepEqual(await query('--since', '2h'), all.slice(2));
  t.deepEqual(await query('--since', '2026-11-20T10:00:00Z', '--until', '2026-11-20T12:00:00+00:00'), all.slice(2, 4));
  t.deepEqual(await query('--since', '2026-11-21'), []);
  const { out } = await run(['audit', 'query', '--data-dir', directory]);
  t.regex(
    out,
    /2026-11-20T09:00:00\.000Z +config_reload +signal SIGHUP +changed=\["limits\.body_bytes"\] result=applied\n/,
  );
  t.true(out.includes('detail="a\\nb\\u001b[2J"'));
  const none = await run(['audit', 'query', '--data-dir', directory, '--event', 'quarantined']);
  t.deepEqual([none.code, none.out], [0, 'no such events\n']);
});

test('ST-8: a command that cannot be recorded changes nothing and ends with 74', async (t) => {
  const directory = emptyDirectory();
  t.teardown(() => removeDirectory(directory));
  mkdirSync(join(directory, AUDIT_FILE));
  const init = await run(['init', '--data-dir', directory]);
  t.is(init.code, 74);
  t.regex(init.err, /audit\.jsonl: what is about to be done cannot be recorded \(EISDIR/);
  t.deepEqual(readdirSync(directory), [AUDIT_FILE]);
  const v1 = '{"system_state":"configured"}';
  writeFileSync(join(directory, 'state.json'), v1);
  const migration = await run(['migrate-state', '--data-dir', directory]);
  t.is(migration.code, 78);
  t.regex(migration.err, /state_migration cannot be recorded/);
  t.is(readFileSync(join(directory, 'state.json'), 'utf8'), v1);
});

test('what is wrong with the arguments, or no log at all, is said with what is allowed', async (t) => {
  const { directory } = logged(t);
  const empty = emptyDirectory();
  t.teardown(() => removeDirectory(empty));
  const stories: [number, string[], RegExp][] = [
    [
      64,
      ['audit', 'query', '--event', 'actor_dead'],
      /found "actor_dead", allowed: audit_began.*Did you mean "actor_died"\?/,
    ],
    [64, ['audit', 'query', '--since', 'yesterday'], /--since: found "yesterday", allowed: 2026-11-20/],
    [64, ['audit', 'query', '--until', '2026-13-40'], /--until: found "2026-13-40"/],
    [64, ['audit', 'verify', '--head', '7:abc'], /--head: found "7:abc", allowed: a number, a colon and 64 hex digits/],
    [65, ['audit', 'verify', '--data-dir', empty], /there is no audit\.jsonl/],
    [65, ['audit', 'query', '--data-dir', empty], /there is no audit\.jsonl/],
    [65, ['audit', 'verify', '--data-dir', join(empty, 'none')], /no such data directory/],
  ];
  for (const [expected, words, message] of stories) {
    const argv = words.includes('--data-dir') ? words : [...words, '--data-dir', directory];
    const { code, err } = await run(argv);
    t.is(code, expected, words.join(' '));
    t.regex(err, message);
  }
});
