// Runs the real load generator, as a process, against small servers in this one. Run by ava.
// Only counts are asserted, never times.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { drive, faultsOf, joined } from './drive.js';
import { Histogram } from './histogram.js';
import type { LoadPlan, LoadReport } from './load-plan.js';

const FINAL = '{"state":"final"}';

async function run(
  t: ExecutionContext,
  server: Server,
  plan: Partial<LoadPlan>,
  bodies: string[],
): Promise<LoadReport> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-drive-'));
  t.teardown(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  const bodiesFile = join(directory, 'bodies.ndjson');
  writeFileSync(bodiesFile, `${bodies.join('\n')}\n`);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return drive({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    path: '/v1/submissions',
    bodiesFile,
    first: 0,
    maxCount: bodies.length,
    connections: 4,
    warmupMs: 0,
    durationMs: 20_000,
    serverPid: process.pid,
    status: 200,
    marker: FINAL,
    ...plan,
  });
}

/** Answers each body by `reply`, and keeps what came. */
function echo(seen: string[], reply: (body: string) => { status?: number; text?: string }): Server {
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      seen.push(`${request.method} ${request.url} ${body}`);
      const { status = 200, text = FINAL } = reply(body);
      response.writeHead(status, { 'content-length': Buffer.byteLength(text) }).end(text);
    });
  };
  return createServer(listener);
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `{"n":${index}}`);

test('every body is sent once, over at most N connections, and every answer is counted', async (t) => {
  const seen: string[] = [];
  const server = echo(seen, () => ({}));
  let opened = 0;
  server.on('connection', () => {
    opened += 1;
  });
  const report = await run(t, server, {}, numbered(500));
  t.deepEqual(
    [...seen].sort(),
    numbered(500)
      .map((body) => `POST /v1/submissions ${body}`)
      .sort(),
  );
  t.is(opened, 4);
  t.is(report.sent, 500);
  t.is(report.completed, 500);
  t.true(report.exhausted);
  t.deepEqual(report.statuses, { 200: 500 });
  t.deepEqual(faultsOf(report), []);
  const latency = new Histogram();
  latency.merge(report.latency);
  t.is(latency.count, 500);
  t.true(report.serverThreads.some(({ tid, cpuUs }) => tid === process.pid && cpuUs > 0));
  t.true(report.rssEndBytes > 0);
});

test('first and maxCount cut the file', async (t) => {
  const seen: string[] = [];
  const report = await run(
    t,
    echo(seen, () => ({})),
    { first: 10, maxCount: 5 },
    numbered(100),
  );
  t.is(report.sent, 5);
  t.deepEqual(
    [...seen].sort(),
    numbered(15)
      .slice(10)
      .map((body) => `POST /v1/submissions ${body}`)
      .sort(),
  );
});

test('the clock ends the run before the bodies do, and what is in flight is still counted', async (t) => {
  const seen: string[] = [];
  const report = await run(
    t,
    echo(seen, () => ({})),
    { warmupMs: 50, durationMs: 100 },
    numbered(150_000),
  );
  t.false(report.exhausted);
  t.is(report.sent, seen.length);
  t.is(report.statuses['200'], seen.length);
  t.true(report.completed < report.sent);
});

test('another status and another body are wrong answers, and the first is shown', async (t) => {
  const server = echo([], (body) =>
    body === '{"n":7}'
      ? { status: 503, text: '{"title":"busy"}' }
      : body === '{"n":9}'
        ? { text: '{"state":"durable"}' }
        : {},
  );
  const report = await run(t, server, { connections: 1 }, numbered(20));
  t.is(report.wrong, 2);
  t.deepEqual(report.statuses, { 200: 19, 503: 1 });
  t.deepEqual(faultsOf(report), ['2 wrong answers (19 × 200, 1 × 503); the first: 503 {"title":"busy"}']);
});

const broken: readonly (readonly [title: string, answer: string, fault: RegExp])[] = [
  ['chunked', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', /is chunked/],
  ['no HTTP', 'hello\r\n\r\n', /found "hello"/],
  [
    'a close',
    `HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 17\r\n\r\n${FINAL}`,
    /closed a keep-alive connection/,
  ],
  ['two answers', `HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n${FINAL}`.repeat(2), /nobody asked for/],
];

for (const [title, answer, fault] of broken) {
  test(`a server that answers with ${title} is a fault, not a hang`, async (t) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined).on('data', () => socket.write(answer));
    });
    const report = await run(t, server, {}, numbered(8));
    t.regex(faultsOf(report).join('\n'), fault);
  });
}

test('a server that hangs up in a response is a fault of every connection', async (t) => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined).on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{'));
  });
  const report = await run(t, server, {}, numbered(8));
  t.is(report.errors['cut in a response'], 4);
  t.is(report.completed, 0);
  t.true(faultsOf(report).includes('no answer in the measured window'));
});

test('nobody listens: the run is refused with the reason', async (t) => {
  const server = createTcpServer();
  await t.throwsAsync(run(t, server, { port: 1 }, numbered(1)), { message: /no report/ });
});

test('reports of one server add up: what came, what was wrong, and the time of each thread', async (t) => {
  const seen: string[] = [];
  const reply = (body: string) => (body === '"odd"' ? { status: 503, text: 'no' } : {});
  const first = await run(t, echo(seen, reply), {}, ['1', '2', '3']);
  const second = await run(t, echo(seen, reply), {}, ['4', '"odd"']);
  const both = joined([first, second]);
  t.deepEqual([both.completed, both.sent, both.wrong], [5, 5, 1]);
  t.is(both.firstWrong, second.firstWrong);
  t.deepEqual(both.statuses, { 200: 4, 503: 1 });
  const latency = new Histogram();
  latency.merge(both.latency);
  t.is(latency.count, 5);
  t.is(both.elapsedMs, first.elapsedMs + second.elapsedMs);
  const cpuUs = (report: LoadReport) => report.serverThreads.reduce((sum, thread) => sum + thread.cpuUs, 0);
  const kept = new Set(second.serverThreads.map(({ tid }) => tid));
  const ofKept = first.serverThreads.filter(({ tid }) => kept.has(tid)).reduce((sum, thread) => sum + thread.cpuUs, 0);
  t.is(cpuUs(both), ofKept + cpuUs(second));
  t.throws(() => joined([]), { instanceOf: RangeError });
});
