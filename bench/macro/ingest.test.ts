// Runs the ingest scenario with real processes: the floor, and a stand-in for the node. Run by ava.
// Only counts, names and faults are asserted, never times.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { type IngestOptions, ingest, nameThreads } from './ingest.js';
import { ingestText, ingestVerdict } from './ingest-report.js';

const STUB = fileURLToPath(new URL('../testing/stub-node.js', import.meta.url));

function optionsFor(t: ExecutionContext, more: Partial<IngestOptions>): IngestOptions {
  const directory = mkdtempSync(join(tmpdir(), 'bench-ingest-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return {
    subjects: ['node', 'floor'],
    connections: [2],
    runs: 1,
    seconds: 0.25,
    warmupSeconds: 0.05,
    directory,
    nodeCommand: [STUB],
    progress: () => undefined,
    ...more,
  };
}

test('node and floor in turn, at every level, each run with the same answers expected and nothing left behind', async (t) => {
  const options = optionsFor(t, { connections: [2, 3] });
  const result = await ingest(options);
  t.deepEqual(
    result.runs.map((run) => [run.connections, run.subject]),
    [2, 3].flatMap((connections) => [
      [connections, 'node'],
      [connections, 'floor'],
    ]),
  );
  t.deepEqual(
    result.runs.flatMap((run) => run.faults),
    [],
  );
  t.true(result.runs.every((run) => run.completed > 0));
  t.is(result.levels.length, 2);
  t.not(result.levels[0]?.ratio, null);
  t.is(ingestVerdict(result, 0), null);
  t.regex(ingestVerdict(result, 1e9) ?? '', /at least 1000000000 is wanted/);
  const text = ingestText(options, result);
  for (const part of ['2 connections', '3 connections', 'node / floor', 'fdatasync', process.versions.node]) {
    t.true(text.includes(part), part);
  }
  t.deepEqual(readdirSync(options.directory).sort(), ['floor.log', 'node.log']);
});

test('a run after the other, each with fresh data; threads get the names of the actors that tell theirs', async (t) => {
  const result = await ingest(optionsFor(t, { subjects: ['node'], runs: 2 }));
  t.is(result.runs.length, 2);
  t.true(result.runs.every((run) => run.completed > 0 && run.faults.length === 0));
  t.true(Object.keys(result.runs[0]?.threadsUs ?? {}).includes('ingress'));
  t.true(Object.keys(result.runs[0]?.threadsUs ?? {}).includes('main'));
  t.is(result.levels[0]?.ratio, null);
});

for (const [misbehaviour, fault] of [
  ['durable', /wrong answers .*"state":"durable"/],
  ['refuse', /wrong answers .*503/],
] as const) {
  test(`a node that answers ${misbehaviour} fails the run and says so`, async (t) => {
    const options = optionsFor(t, { subjects: ['node'], nodeCommand: [STUB, misbehaviour] });
    const result = await ingest(options);
    t.regex(result.runs[0]?.faults.join() ?? '', fault);
    t.is(ingestVerdict(result, null), 'not every request was answered as planned');
    t.regex(ingestText(options, result), /FAULTS, the result does not count/);
  });
}

test('a node that ends before it is ready: the error holds its last words, its data is gone', async (t) => {
  const options = optionsFor(t, { nodeCommand: [STUB, 'exit'] });
  await t.throwsAsync(ingest(options), { message: /ended with 78 before it was ready\nthe reason why it ended/ });
  t.false(existsSync(join(options.directory, 'node-data')));
});

test('threads without a name of their own are numbered by age, and equal names add up', (t) => {
  const thread = (tid: number, name: string, cpuUs: number) => ({ tid, name, cpuUs });
  const threads = [
    thread(10, 'node', 5),
    thread(11, 'node', 1),
    thread(12, 'libuv-worker', 2),
    thread(13, 'libuv-worker', 3),
    thread(14, 'node', 7),
  ];
  t.deepEqual(nameThreads(10, threads, new Map([[14, 'store']])), {
    main: 5,
    'thread 1': 1,
    'libuv-worker': 5,
    store: 7,
  });
});
