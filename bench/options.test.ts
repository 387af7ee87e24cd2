// Tables of command lines of the benches, and the small pure functions of their reports. Run by ava.
// One test runs the real entry point as a process.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { choicesOf, countsOf, numberOf, parseCommandLine, UsageError } from './options.js';
import { statFields } from './proc.js';
import { spreadOf } from './statistics.js';
import { parseActors } from './subject.js';
import { number, table } from './text.js';

test('a command line is read', (t) => {
  const line = parseCommandLine(['ingest', '--connections', '1,64', '--seconds', '0.5', '--json']);
  t.is(line.scenario, 'ingest');
  t.true(line.json);
  t.false(line.save);
  t.deepEqual(countsOf(line, 'connections', [9], 100), [1, 64]);
  t.is(numberOf(line, 'seconds', 6, 0.2, 60), 0.5);
  t.is(numberOf(line, 'runs', 5, 1, 50), 5);
  t.deepEqual(choicesOf(line, 'subjects', ['node'], ['node', 'floor']), ['node']);
  t.deepEqual(parseCommandLine(['micro', 'verify', 'wal']).words, ['verify', 'wal']);
  t.true(parseCommandLine(['--help']).help);
});

const refused: readonly (readonly [args: string, reason: RegExp])[] = [
  ['', /found scenario ""; allowed: ingest, rss, micro/],
  ['burst', /found scenario "burst"/],
  ['ingest --rate 5', /--rate/],
  ['ingest --points 5', /--points is not for ingest/],
  ['ingest more', /found more after ingest/],
  ['micro --runs 3', /--runs is not for micro/],
];

for (const [args, reason] of refused) {
  test(`refused: bench ${args}`, (t) => {
    const error = t.throws(() => parseCommandLine(args.split(' ').filter((word) => word !== '')), {
      instanceOf: UsageError,
    });
    t.regex(error?.message ?? '', reason);
  });
}

test('bad values are refused with what is allowed', (t) => {
  const line = parseCommandLine([
    'ingest',
    '--connections',
    '64,x',
    '--runs',
    '99',
    '--seconds',
    '',
    '--subjects',
    'etcd',
  ]);
  t.throws(() => countsOf(line, 'connections', [], 100), { message: /holds "x"; whole numbers from 1 to 100/ });
  t.throws(() => numberOf(line, 'runs', 5, 1, 50), { message: /is "99"; a number from 1 to 50/ });
  t.throws(() => numberOf(line, 'seconds', 5, 1, 50), { message: /is ""; a number from 1 to 50/ });
  t.throws(() => choicesOf(line, 'subjects', ['node'], ['node', 'floor']), {
    message: /holds "etcd"; allowed: node, floor/,
  });
});

test('the entry point: 0 and JSON for a run, 64 and the usage for a bad flag', (t) => {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const directory = mkdtempSync(join(tmpdir(), 'bench-main-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
  const short = ['--runs', '1', '--seconds', '0.2', '--warmup', '0', '--connections', '2', '--dir', directory];
  const good = run('ingest', '--subjects', 'floor', '--json', ...short);
  t.is(good.status, 0, good.stderr);
  t.is(JSON.parse(good.stdout).levels[0].subjects[0].subject, 'floor');
  const memory = run('rss', '--subjects', 'floor', '--points', '5,10', '--max-ratio', '50', '--dir', directory);
  t.is(memory.status, 0, memory.stderr);
  t.regex(memory.stdout, /after 10 submissions/);
  const bad = run('ingest', '--fast');
  t.is(bad.status, 64);
  t.regex(bad.stderr, /usage: npm run bench/);
  t.is(run('--help').status, 0);
});

test('median and ends', (t) => {
  t.deepEqual(spreadOf([5, 1, 3]), { median: 3, min: 1, max: 5 });
  t.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
  t.throws(() => spreadOf([]), { instanceOf: RangeError });
});

test('numbers keep three digits', (t) => {
  t.deepEqual([0, 0.7123, 1.234, 36.54, 7214.4, 1_234_567].map(number), [
    '0',
    '0.712',
    '1.23',
    '36.5',
    '7 214',
    '1 234 567',
  ]);
});

test('a table lines up', (t) => {
  t.is(
    table([
      ['', 'a'],
      ['name', '100'],
    ]),
    '          a\n  name  100',
  );
});

test('a thread whose name holds blanks and parentheses does not shift the fields of stat', (t) => {
  t.deepEqual(statFields('12 (a) b (c)) S 1 2').slice(0, 3), ['S', '1', '2']);
});

test('actors are read from any of the shapes, and whatever tells no thread is left out', (t) => {
  const actors = [{ name: 'store', threadTid: 7 }, { id: 'dedup', threadTid: 8 }, { name: 'idle' }, null, 3];
  const expected = new Map([
    [7, 'store'],
    [8, 'dedup'],
  ]);
  t.deepEqual(parseActors(actors), expected);
  t.deepEqual(parseActors({ actors }), expected);
  t.deepEqual(parseActors(null), new Map());
  t.deepEqual(parseActors({ actors: 'no' }), new Map());
});
