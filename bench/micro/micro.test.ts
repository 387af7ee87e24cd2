// Runs every micro bench with tiny samples, which proves that each still does its work, and the harness itself.
// Run by ava. Times are only compared with zero.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { consumed, time } from './harness.js';
import { micro, microText } from './run.js';
import { cycle } from './samples.js';

test('every micro bench runs, under a name of its own, and leaves nothing behind', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bench-micro-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const lines: string[] = [];
  const result = await micro({ words: [], directory, sampleMs: 0.05, progress: (line) => lines.push(line) });
  const names = result.timings.map(({ name }) => name);
  t.is(new Set(names).size, names.length);
  t.is(lines.length, names.length);
  t.true(result.timings.every(({ nsPerOp }) => nsPerOp.min > 0 && nsPerOp.min <= nsPerOp.max));
  t.true(names.every((name) => microText(result).includes(name)));
  t.deepEqual(readdirSync(directory), []);
});

test('words choose', async (t) => {
  const result = await micro({ words: ['sha256'], directory: tmpdir(), sampleMs: 0.05, progress: () => undefined });
  t.deepEqual(
    result.timings.map(({ name }) => name),
    ['hash sha256'],
  );
});

test('what a bench returns is consumed', (t) => {
  let calls = 0;
  const timing = time({ name: 'counter', operations: 2, run: () => ++calls }, 0.01);
  t.is(consumed(), calls);
  t.is(timing.name, 'counter');
});

test('cycle goes round, and refuses nothing to go round', (t) => {
  const next = cycle([1, 2]);
  t.deepEqual([next(), next(), next()], [1, 2, 1]);
  t.throws(() => cycle([])(), { instanceOf: RangeError });
});
