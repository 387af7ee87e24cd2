// A stand-in for the node's process, for tests of the benches only: it keeps the files and answers of the real one's
// interface and checks nothing. Started as `node stub-node.js [misbehaviour] --data-dir D …`.
// It must never be measured: `npm run bench` starts the node itself.
import { mkdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { newKey } from '../subject.js';

/** `durable`: answers 200 without finality. `refuse`: 503. `exit`: ends before it is ready. */
type Misbehaviour = 'none' | 'durable' | 'refuse' | 'exit';

/** The thread id of the kernel, which Node itself does not tell: /proc/thread-self is a link to <pid>/task/<tid>. */
const threadTid = (): number => Number(readlinkSync('/proc/thread-self').split('/').pop());

function listen(listener: RequestListener): Promise<{ url: string; close: () => void }> {
  return new Promise((resolve) => {
    const server = createServer(listener);
    server.listen(0, '127.0.0.1', () => {
      const close = (): void => {
        server.close();
        server.closeAllConnections();
      };
      resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close });
    });
  });
}

async function run(dataDir: string, misbehaviour: Misbehaviour): Promise<void> {
  const worker = new Worker(new URL(import.meta.url));
  const actorTid = await new Promise<number>((resolve) => {
    worker.once('message', resolve);
  });
  const status = misbehaviour === 'refuse' ? 503 : 200;
  const answer = misbehaviour === 'durable' ? '{"state":"durable"}' : '{"state":"final","outcome":{"status":200}}';
  const api = await listen((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(status, { 'content-length': answer.length }).end(answer);
    });
  });
  const ops = await listen((request, response) => {
    const known = request.url === '/v1/admin/actors' && request.headers.authorization === 'Bearer secret';
    response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(known ? { actors: [{ name: 'ingress', threadTid: actorTid }, { name: 'store' }] } : {}),
    );
  });
  const write = (path: string, text: string): void => {
    mkdirSync(join(dataDir, path, '..'), { recursive: true });
    writeFileSync(join(dataDir, path), text);
  };
  write('keys/dev-client.json', JSON.stringify(await newKey('dev')));
  write('run/admin.token', 'secret\n');
  write('run/endpoints.json', JSON.stringify({ api: api.url, ops: ops.url, peer: null }));
  process.once('SIGTERM', () => {
    rmSync(join(dataDir, 'run/endpoints.json'));
    api.close();
    ops.close();
    void worker.terminate();
  });
}

if (isMainThread) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { 'data-dir': { type: 'string' }, listen: { type: 'string' }, 'ops-listen': { type: 'string' } },
  });
  const misbehaviour = (positionals[0] ?? 'none') as Misbehaviour;
  if (misbehaviour === 'exit' || values['data-dir'] === undefined) {
    process.stdout.write('the reason why it ended\n');
    process.exitCode = 78;
  } else {
    await run(values['data-dir'], misbehaviour);
  }
} else {
  parentPort?.postMessage(threadTid());
  parentPort?.on('message', () => undefined); // Stays alive until it is terminated.
}
