// Carries lines to the service manager's datagram socket, which Node cannot open: one shell that stays, and runs
// systemd-notify for each line. Called by service-manager.ts alone. Whatever is missing or fails, the node goes on: it is
// told once, and nothing here waits, throws or keeps the process alive.
import { type ChildProcess, spawn } from 'node:child_process';

export interface Teller {
  /** Nothing that was told is still under way. */
  readonly idle: boolean;
  /** One datagram: `['READY=1', 'STATUS=…']`. Datagrams arrive in the order of the calls. */
  tell(assignments: readonly string[]): void;
  /** Resolves when all that was told has left, or after `limitMs`. */
  close(limitMs: number): Promise<void>;
}

export interface HelperOptions {
  /** NOTIFY_SOCKET as the service manager gave it: a path, or `@name` in the abstract namespace. */
  readonly socket: string;
  readonly path: string | undefined;
  /** Called at most once. */
  readonly onFailure: (reason: string) => void;
}

/**
 * Reads datagrams as lines, their assignments apart by tabs, and answers each with `<exit code> TAB <first words>`. It ends
 * with the node, at the end of its input, and not by a signal that is meant for the node.
 */
const SCRIPT = `
trap '' HUP INT TERM USR1 USR2
set -f
tab=$(printf '\\t')
while IFS= read -r line; do
  IFS=$tab
  said=$(systemd-notify $line 2>&1 </dev/null)
  printf '%s\\t%s\\n' "$?" "$said"
done`;

const NOT_FOUND = 127;

export class NotifyHelper implements Teller {
  readonly #options: HelperOptions;
  #child: ChildProcess | null = null;
  #underWay = 0;
  #failed = false;
  #closed = false;

  constructor(options: HelperOptions) {
    this.#options = options;
  }

  get idle(): boolean {
    return this.#underWay === 0;
  }

  tell(assignments: readonly string[]): void {
    if (this.#closed) return;
    try {
      this.#child ??= this.#start();
      // Without pipes (too many open files) 'error' follows and says so.
      if (this.#child.stdin?.writable !== true) return;
      this.#underWay += 1;
      this.#child.stdin.write(`${assignments.map(oneLine).join('\t')}\n`);
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  close(limitMs: number): Promise<void> {
    const child = this.#child;
    this.#closed = true;
    this.#child = null;
    if (child === null) return Promise.resolve();
    return new Promise((resolve) => {
      const late = setTimeout(resolve, limitMs);
      child.once('exit', () => {
        clearTimeout(late);
        resolve();
      });
      child.stdin?.end();
    });
  }

  /** Early, while the process is small: a fork copies the page tables, and takes 13 ms at 360 MB. */
  #start(): ChildProcess {
    const { socket, path = '/usr/bin:/bin' } = this.#options;
    // Of the environment only what the helper needs: secrets stay here.
    const env = { PATH: path, NOTIFY_SOCKET: socket };
    const child = spawn('/bin/sh', ['-c', SCRIPT], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#answered(line);
    });
    child.stdin?.on('error', () => undefined);
    child.on('error', (error) => this.#gone(child, error.message));
    child.on('exit', (code, signal) => this.#gone(child, `the helper ended (${signal ?? code})`));
    // Neither the process nor its pipes keep the node's loop alive.
    child.unref();
    for (const stream of [child.stdin, child.stdout] as unknown[])
      (stream as Partial<{ unref(): void }> | undefined)?.unref?.();
    return child;
  }

  #answered(line: string): void {
    const answer = /^(\d+)\t(.*)$/.exec(line);
    // A further line of what systemd-notify said.
    if (answer === null) return;
    this.#underWay = Math.max(0, this.#underWay - 1);
    const code = Number(answer[1]);
    if (code === 0) return;
    const missing = code === NOT_FOUND ? 'systemd-notify was not found in PATH' : null;
    this.#fail(missing ?? `systemd-notify ended with ${code}: ${answer[2]}`);
  }

  /** The next line starts another helper: one that was killed must not cost the node its watchdog. */
  #gone(child: ChildProcess, reason: string): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#underWay = 0;
    this.#fail(reason);
  }

  #fail(reason: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onFailure(reason);
  }
}

/** Tabs part assignments and line ends datagrams; the text of a status may hold neither, nor bytes that end a string. */
function oneLine(assignment: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return assignment.replace(/[\u0000-\u001f\u007f]+/g, ' ');
}
