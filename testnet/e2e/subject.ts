// The node under test with its files, addresses and figures: one for each test file, started on a directory of its own.
// Used by the end-to-end tests. What it asks of the node goes through the ports that everybody has.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../protocol/json.js';
import { type Metrics, parseMetrics } from '../local/metrics.js';
import { LocalNode, type NodeOptions } from '../local/node.js';
import { Client } from './clients.js';
import { type Answer, Http } from './http.js';

export interface SubjectOptions {
  /** Entries of clients.yml; without them there is none. */
  readonly clients?: readonly JsonObject[];
  /** Kind → JSON Schema. */
  readonly kinds?: Readonly<Record<string, JsonObject>>;
  /** More of quorate.yaml. */
  readonly settings?: JsonObject;
  /** state.json as the first start finds it; without it there is none. */
  readonly state?: JsonObject;
  readonly node?: Pick<NodeOptions, 'args' | 'env'>;
}

/** What takes longer than this on the busiest machine does not happen; the test then fails, and its node is ended. */
const EVENTUALLY_MS = 40_000;
/** A busy machine must not turn a 200 into a 202: tests of waiting set their own. */
const PATIENCE: JsonObject = { wait_default_ms: 20_000, server_timeout_ms: 30_000 };
/** They take the place of killed actors. Where nothing is killed they are threads that load for nothing; tests of kills set their own. */
const NO_STANDBYS: JsonObject = { standby: false };

export class Subject {
  readonly directory: string;
  node: LocalNode;
  api: Http;
  ops: Http;
  readonly #options: NodeOptions;

  private constructor(directory: string, options: NodeOptions, node: LocalNode) {
    this.directory = directory;
    this.#options = options;
    this.node = node;
    this.api = new Http(node.endpoints.api);
    this.ops = new Http(node.endpoints.ops);
  }

  /** Starts a node and waits until its registry is in force. */
  static async start({ clients, kinds, settings = {}, state, node = {} }: SubjectOptions = {}): Promise<Subject> {
    const directory = mkdtempSync(join(tmpdir(), 'quorate-e2e-'));
    const file = (name: string, value: object) => {
      // JSON is YAML.
      writeFileSync(join(directory, name), JSON.stringify(value), { mode: 0o600 });
      return `./${name}`;
    };
    const config: JsonObject = { limits: PATIENCE, supervision: NO_STANDBYS, ...settings };
    if (clients !== undefined) config.clients_file = file('clients.yml', { clients });
    if (kinds !== undefined) {
      mkdirSync(join(directory, 'kinds'));
      for (const [kind, schema] of Object.entries(kinds)) file(`kinds/${kind}.json`, schema);
      config.kinds_dir = './kinds';
    }
    if (state !== undefined) {
      mkdirSync(join(directory, 'data'), { mode: 0o700 });
      file('data/state.json', state);
    }
    const path = join(directory, file('quorate.yaml', config));
    const options: NodeOptions = {
      dataDir: join(directory, 'data'),
      args: ['--config', path, ...(node.args ?? [])],
      ...(node.env === undefined ? {} : { env: node.env }),
    };
    const started = new LocalNode(options);
    try {
      await started.ready();
      const subject = new Subject(directory, options, started);
      await subject.ready();
      return subject;
    } catch (error) {
      await started.dispose();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** The development client of this node. */
  get dev(): Client {
    const file = JSON.parse(readFileSync(join(this.node.dataDir, 'keys', 'dev-client.json'), 'utf8')) as {
      readonly issuer: string;
      readonly seed: string;
    };
    return new Client(file.issuer, Buffer.from(file.seed, 'hex'));
  }

  async ready(): Promise<void> {
    let last: Answer | null = null;
    try {
      await eventually('a ready node', async () => {
        last = await this.ops.get('/readyz');
        return last.status === 200 ? last : null;
      });
    } catch (error) {
      throw new Error(`${String(error)}: ${(last as Answer | null)?.text}\n${this.node.output}`);
    }
  }

  /** Another process on the same data. */
  async restart(how: 'stop' | 'kill' = 'stop'): Promise<void> {
    this.api.close();
    this.ops.close();
    await (how === 'stop' ? this.node.stop() : this.node.kill());
    this.node = await LocalNode.start(this.#options);
    this.api = new Http(this.node.endpoints.api);
    this.ops = new Http(this.node.endpoints.ops);
    await this.ready();
  }

  submit(
    body: Uint8Array | string | { readonly body: Uint8Array },
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : body.body;
    return this.api.post('/v1/submissions', bytes, headers);
  }

  submitPcs(pcs: JsonObject | string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
    const bytes = typeof pcs === 'string' || pcs instanceof Uint8Array ? pcs : JSON.stringify(pcs);
    return this.api.post('/v1/pcs/submit', bytes, headers);
  }

  observe({ body }: { readonly body: Uint8Array }): Promise<Answer> {
    return this.api.post('/v1/observations', body);
  }

  admin(path: string, method: 'GET' | 'POST' = 'POST'): Promise<Answer> {
    return this.ops.call(`/v1/admin${path}`, { method, headers: { authorization: `Bearer ${this.node.adminToken}` } });
  }

  async metrics(): Promise<Metrics> {
    return parseMetrics((await this.ops.get('/metrics')).text);
  }

  async dispose(): Promise<void> {
    this.api.close();
    this.ops.close();
    await this.node.dispose();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Asks until the answer is one, a few tens of milliseconds apart. Rejects when it never is. */
export async function eventually<T>(what: string, ask: () => Promise<T | null> | T | null): Promise<T> {
  for (const endMs = Date.now() + EVENTUALLY_MS; Date.now() < endMs; await sleep(10)) {
    const found = await ask();
    if (found !== null) return found;
  }
  throw new Error(`waited ${EVENTUALLY_MS} ms for ${what}`);
}
