// What the lifecycle tests share: running the launcher to its end, a client that never pauses, small waits on files.
// Called by the tests of this folder. It ends nothing that it did not start.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { dispatch } from '../../cli/dispatch.js';
import { processTerminal } from '../../cli/output.js';
import { type ClientKey, parseClientKey, signSubmission } from '../../client/sign.js';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { type JsonObject, parseStrict } from '../../protocol/json.js';
import type { LocalNode } from '../local/node.js';

const MAIN = fileURLToPath(new URL('../../../runtime/main.js', import.meta.url));
const POLL_MS = 10;
const WAIT_LIMIT_MS = 30_000;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Uint8Array;
}

/** `node runtime/main.js …` until it ends by itself. */
export async function quorate(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A command that does not read its input may be gone before all of it is written.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** A command of the CLI in this process: real files, clock and network, and half a second cheaper than a process. */
export async function command(args: readonly string[], options: Pick<RunOptions, 'env' | 'stdin'> = {}): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const code = await dispatch(args, {
    ...processTerminal(),
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    readStdin: async () => Buffer.from(options.stdin ?? ''),
    colours: { out: false, err: false },
    env: { ...options.env },
  });
  return { code, stdout, stderr };
}

/** Removed with everything in it when the test ends. */
export function temporaryDirectory(t: Pick<ExecutionContext, 'teardown'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-life-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Writes a file and its folders. */
export function put(path: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, text, { mode });
}

/** Everything below a directory, as `path` → content; what a program that writes nothing leaves as it was. */
export function contentsOf(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path, readFileSync(path, 'latin1')];
    }),
  );
}

/** Waits for a condition of the world outside; fails the test by throwing when it does not come. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; waitedMs < WAIT_LIMIT_MS; waitedMs += POLL_MS) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`did not come within ${WAIT_LIMIT_MS} ms: ${what}`);
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: JsonObject;
}

export interface HttpCall {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly agent?: Agent;
}

/** One request, on a connection of its own unless an agent is given; rejects only when no answer came. */
export function http(url: string, { method = 'GET', headers = {}, body, agent }: HttpCall = {}): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: agent ?? false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks);
        const json = /json/.test(response.headers['content-type'] ?? '') ? parseStrict(text) : { text: String(text) };
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: json as JsonObject });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** An admin call with the token of the node's data directory. */
export function admin(node: LocalNode, path: string, method: 'GET' | 'POST' = 'POST'): Promise<HttpAnswer> {
  return http(`${node.endpoints.ops}${path}`, { method, headers: { authorization: `Bearer ${node.adminToken}` } });
}

export interface LedgerEntry {
  readonly digest: string;
  readonly envelope: JsonObject;
}

/** Every entry that is final, in order. */
export async function ledgerEntries(api: string): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (let from: unknown = 1; from !== null; ) {
    const { body } = await http(`${api}/v1/ledger?from=${from}&limit=100`);
    for (const block of body.blocks as unknown as { entries: LedgerEntry[] }[]) entries.push(...block.entries);
    from = body.next;
  }
  return entries;
}

/** The value of a metric with exactly these labels, 0 when it is not there yet. */
export async function metric(node: LocalNode, series: string): Promise<number> {
  const { body } = await http(`${node.endpoints.ops}/metrics`);
  const line = String(body.text)
    .split('\n')
    .find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

export function readClientKey(path: string): ClientKey {
  return parseClientKey(parseStrict(readFileSync(path)));
}

/** Made before the first submission is signed, which must not wait. */
export async function signer(): Promise<(key: ClientKey, draft: Draft) => Signed> {
  const ed25519: Ed25519 = await loadEd25519();
  let count = 0;
  return (key, { kind = 'note', payload = { text: 'hi' }, id }) => {
    count += 1;
    const draft = { kind, id: id ?? `life-${process.pid}-${count}`, issuedAtMs: Date.now(), payload };
    const { body, digest } = signSubmission(ed25519, key, draft);
    return { body, digest };
  };
}

export interface Draft {
  readonly kind?: string;
  readonly payload?: JsonObject;
  readonly id?: string;
}

export interface Signed {
  readonly body: Uint8Array;
  /** Hex. */
  readonly digest: string;
}

const WAIT = { 'content-type': 'application/json', prefer: 'wait=5' };

export function post(api: string, signed: Signed, agent?: Agent): Promise<HttpAnswer> {
  const call = { method: 'POST', headers: WAIT, body: signed.body } as const;
  return http(`${api}/v1/submissions`, agent === undefined ? call : { ...call, agent });
}

export interface Exchange {
  readonly digest: string;
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  /** null: no answer; `error` says why. */
  readonly status: number | null;
  readonly error: string;
}

/** Keeps every one of its connections busy with notes until it is told to stop, or has no node any more. */
export class SteadyClient {
  readonly exchanges: Exchange[] = [];
  readonly #agent: Agent;
  readonly #workers: Promise<void>[];
  #running = true;

  constructor(api: string, connections: number, next: () => Signed) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
    this.#workers = Array.from({ length: connections }, () => this.#work(api, next));
  }

  get answered(): number {
    return this.exchanges.filter(({ status }) => status === 200).length;
  }

  async stop(): Promise<readonly Exchange[]> {
    this.#running = false;
    await Promise.all(this.#workers);
    this.#agent.destroy();
    return this.exchanges;
  }

  async #work(api: string, next: () => Signed): Promise<void> {
    while (this.#running) {
      const signed = next();
      const sentAtMs = performance.now();
      let status: number | null = null;
      let error = '';
      try {
        ({ status } = await post(api, signed, this.#agent));
      } catch (thrown) {
        error = (thrown as { code?: string }).code ?? String(thrown);
      }
      this.exchanges.push({ digest: signed.digest, sentAtMs, endedAtMs: performance.now(), status, error });
      if (error === 'ECONNREFUSED') return;
    }
  }
}
