// A real node as a child process, for tests, drills and the testnet: started on a directory of its own, found by its run
// files, ended by its process id. It never touches a process that it did not start, and leaves none behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../runtime/main.js', import.meta.url));
const READY_LIMIT_MS = 30_000;
const POLL_MS = 10;

export interface NodeOptions {
  /** Kept when given; otherwise a temporary one, removed by `dispose`. */
  readonly dataDir?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Without the harness's own flags: `dataDir` only says where to look, directory and ports come from the caller. */
  readonly bare?: true;
  /** Words put before node itself, such as strace and its options. */
  readonly wrapper?: readonly string[];
  /** Working directory, where quorate.yaml is looked for. */
  readonly cwd?: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Endpoints {
  readonly api: string;
  readonly ops: string;
  readonly peer: string | null;
  readonly nodeId: string;
  readonly publicKey: string;
}

export class LocalNode {
  readonly dataDir: string;
  readonly process: ChildProcess;
  /** Everything the node has written to standard output and error so far. */
  output = '';
  readonly exited: Promise<Exit>;
  readonly #temporary: boolean;
  readonly #wrapped: boolean;
  #exit: Exit | null = null;

  constructor(options: NodeOptions = {}) {
    this.#wrapped = (options.wrapper ?? []).length > 0;
    this.#temporary = options.dataDir === undefined;
    this.dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'quorate-node-'));
    rmSync(join(this.dataDir, 'run', 'endpoints.json'), { force: true });
    const words = [
      ...(options.wrapper ?? []),
      process.execPath,
      MAIN,
      ...(options.bare === true
        ? []
        : ['--data-dir', this.dataDir, '--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0']),
      ...(options.args ?? []),
    ];
    this.process = spawn(words[0]!, words.slice(1), {
      // Its standard input is a pipe that only this process holds: however that dies, the node ends.
      env: { ...process.env, QUORATE_STOP_WITH_STDIN: 'true', ...options.env },
      cwd: options.cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.exited = once(this.process, 'exit').then(([code, signal]) => {
      this.#exit = { code: code as number | null, signal: signal as NodeJS.Signals | null };
      return this.#exit;
    });
  }

  /** Starts a node and waits until it is ready. Rejects with its output when it ends first. */
  static async start(options: NodeOptions = {}): Promise<LocalNode> {
    const node = new LocalNode(options);
    await node.ready();
    return node;
  }

  /** The process id of the node itself, also under a wrapper. */
  get pid(): number {
    return Number(readFileSync(join(this.dataDir, 'run', 'node.pid'), 'utf8'));
  }

  get endpoints(): Endpoints {
    return JSON.parse(readFileSync(join(this.dataDir, 'run', 'endpoints.json'), 'utf8')) as Endpoints;
  }

  get adminToken(): string {
    return readFileSync(join(this.dataDir, 'run', 'admin.token'), 'utf8').trim();
  }

  get hasExited(): boolean {
    return this.#exit !== null;
  }

  async ready(): Promise<Endpoints> {
    const path = join(this.dataDir, 'run', 'endpoints.json');
    for (let waitedMs = 0; waitedMs < READY_LIMIT_MS; waitedMs += POLL_MS) {
      if (this.#exit !== null)
        throw new Error(`the node ended before it was ready (${JSON.stringify(this.#exit)}):\n${this.output}`);
      if (existsSync(path)) return this.endpoints;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(`the node was not ready within ${READY_LIMIT_MS} ms:\n${this.output}`);
  }

  /** Log lines as objects; what is not JSON is left out. */
  logs(): Record<string, unknown>[] {
    return this.output.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return [];
      }
    });
  }

  /** Nothing happens when the process is gone already. */
  signal(name: NodeJS.Signals): void {
    if (this.#wrapped) process.kill(this.pid, name);
    else this.process.kill(name);
  }

  /** SIGTERM, and the exit that follows. */
  async stop(): Promise<Exit> {
    if (this.#exit === null) this.signal('SIGTERM');
    return this.exited;
  }

  async kill(): Promise<Exit> {
    if (this.#exit === null) this.signal('SIGKILL');
    return this.exited;
  }

  /** Ends the process, and removes the directory when it is a temporary one. */
  async dispose(): Promise<void> {
    if (this.#exit === null) this.process.kill('SIGKILL');
    await this.exited;
    if (this.#temporary) rmSync(this.dataDir, { recursive: true, force: true });
  }
}
