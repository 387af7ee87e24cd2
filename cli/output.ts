// What a command sees of the outside: streams, colours, clock, network. Called by main.ts (the real process) and by tests
// (a recorded one). Results go to stdout, everything said on the way to stderr; a command never touches process itself.

export interface Terminal {
  /** stdout: results only, so that they can be piped. */
  out(text: string): void;
  /** stderr: progress, warnings, errors. */
  err(text: string): void;
  readStdin(): Promise<Uint8Array>;
  /** Does stdout, does stderr take colours? */
  readonly colours: { readonly out: boolean; readonly err: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fetch: typeof fetch;
  nowMs(): number;
  /** Uniform in [0, 1): jitter and fresh ids only, never keys. */
  random(): number;
  sleep(ms: number): Promise<void>;
  /** Throws as process.kill does: ESRCH, EPERM. */
  signal(pid: number, name: 'SIGHUP'): void;
}

/** An error that a command expects: said in one line with what to do next, and ends with its exit code. */
export class CliError extends Error {
  readonly exitCode: number;
  readonly hint: string | undefined;
  /** More facts for `--json`. */
  readonly detail: object | undefined;

  /** @param exitCode from the table in runtime/exit-codes.ts, or 1 and 2 as `quorate verify` documents them. */
  constructor(exitCode: number, message: string, options: { hint?: string; detail?: object; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = exitCode;
    this.hint = options.hint;
    this.detail = options.detail;
  }
}

/** SGR codes: what turns a style on and what turns it off. Not util.styleText, which asks stdout itself whether to. */
const STYLES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;

export type Paint = (style: keyof typeof STYLES, text: string) => string;

/** @returns a function that colours text, or leaves it alone when the stream is no terminal. */
export function painter(enabled: boolean): Paint {
  if (!enabled) return (_style, text) => text;
  return (style, text) => `${ESCAPE}[${STYLES[style][0]}m${text}${ESCAPE}[${STYLES[style][1]}m`;
}

const ESCAPE = String.fromCharCode(27);

/** NO_COLOR (any value but the empty one) and TERM=dumb win over a terminal; see no-color.org. */
export function wantsColour(isTerminal: boolean, env: Terminal['env']): boolean {
  return isTerminal && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(`${JSON.stringify(value)}\n`);
}

/** Rows of cells as aligned columns; the last column is not padded, so that no line ends in blanks. */
export function table(rows: readonly (readonly string[])[], indent = ''): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, visible(cell).length);
  }
  let text = '';
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === row.length - 1 ? cell : cell + ' '.repeat(widths[column]! - visible(cell).length),
    );
    text += `${indent}${cells.join('  ').trimEnd()}\n`;
  }
  return text;
}

/** The text without colour sequences. */
function visible(cell: string): string {
  if (!cell.includes(ESCAPE)) return cell;
  return cell
    .split(ESCAPE)
    .map((part, index) => (index === 0 ? part : part.replace(/^\[[0-9;]*m/, '')))
    .join('');
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    readStdin,
    colours: {
      out: wantsColour(process.stdout.isTTY === true, process.env),
      err: wantsColour(process.stderr.isTTY === true, process.env),
    },
    env: process.env,
    fetch: (input, init) => fetch(input, init),
    nowMs: () => Date.now(),
    random: () => Math.random(),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    signal: (pid, name) => void process.kill(pid, name),
  };
}

async function readStdin(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk)));
  return Buffer.concat(chunks);
}
