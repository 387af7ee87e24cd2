// What the tests of the commands share: a terminal that records, a node that is a script, a data directory.
// Called by tests only. It answers what the story says and nothing else.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dispatch } from './dispatch.js';
import type { Terminal } from './output.js';

export const NOW_MS = Date.parse('2026-11-20T12:00:00Z');

export interface Recorded {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** Pauses that the command made, in milliseconds; its clock went on by them. */
  readonly pauses: readonly number[];
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly stdin?: string;
  readonly colours?: boolean;
  readonly signal?: Terminal['signal'];
}

/** Runs one command line in this process. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Recorded> {
  let out = '';
  let err = '';
  const pauses: number[] = [];
  let nowMs = NOW_MS;
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readStdin: async () => Buffer.from(options.stdin ?? ''),
    colours: { out: options.colours === true, err: options.colours === true },
    env: options.env ?? {},
    fetch: (input, init) => fetch(input, init),
    nowMs: () => nowMs,
    random: () => 0.5,
    sleep: async (ms) => {
      pauses.push(ms);
      nowMs += ms;
    },
    signal: options.signal ?? (() => {}),
  };
  const code = await dispatch(argv, terminal);
  return { code, out, err, pauses };
}

export interface Heard {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface Reply {
  readonly status: number;
  readonly body?: object | string;
  readonly headers?: Record<string, string>;
  /** Instead of an answer. */
  readonly hangUp?: true;
}

export interface FakeNode {
  readonly url: string;
  readonly heard: Heard[];
  close(): Promise<void>;
}

/** A node that answers the n-th request with what `reply` says. */
export async function fakeNode(reply: (request: Heard, index: number) => Reply): Promise<FakeNode> {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const entry = { method, url, headers, body: Buffer.concat(chunks) };
      heard.push(entry);
      const { status, body, headers: more, hangUp } = reply(entry, heard.length - 1);
      if (hangUp === true) {
        request.socket.destroy();
        return;
      }
      response.writeHead(status, { connection: 'close', ...more });
      response.end(typeof body === 'string' ? body : JSON.stringify(body ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    heard,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** A data directory of a node that can be reached at these addresses. */
export function dataDirectoryOf(node: { readonly api: string; readonly ops: string }): string {
  const directory = emptyDirectory();
  const run = join(directory, 'run');
  mkdirSync(run);
  const endpoints = {
    api: node.api,
    ops: node.ops,
    peer: null,
    nodeId: 'node_0123456789abcdef',
    publicKey: 'ab'.repeat(32),
  };
  writeFileSync(join(run, 'endpoints.json'), JSON.stringify(endpoints));
  writeFileSync(join(run, 'admin.token'), 'secret-token\n');
  writeFileSync(join(run, 'node.pid'), '4711\n');
  return directory;
}

export function emptyDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'quorate-cli-'));
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

/** Seed of RFC 8032 section 7.1, test 1: a client key that everyone knows. */
export const CLIENT_KEY = {
  issuer: 'dev',
  public_key: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
};

export function writeClientKey(directory: string): string {
  const keys = join(directory, 'keys');
  mkdirSync(keys, { recursive: true, mode: 0o700 });
  const path = join(keys, 'dev-client.json');
  writeFileSync(path, JSON.stringify(CLIENT_KEY), { mode: 0o600 });
  return path;
}
