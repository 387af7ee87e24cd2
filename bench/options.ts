// The command line of the benches. Called by main.ts. It must never guess: an unknown flag or a bad value is UsageError.
import { parseArgs } from 'node:util';

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = `usage: npm run bench -- <scenario> [flags]

  ingest   signed submissions against the node and, in turn, the floor
             --connections 64,256   --runs 5   --seconds 6   --warmup 20   --subjects node,floor
             --min-ratio R          exit 1 when node / floor is below R at any level
  rss      resident memory after 10 000 and after 100 000 submissions
             --subjects node        --connections 64   --points 10000,100000
             --max-ratio 1.2        exit 1 when it grew by more
  micro    ns per operation of single stages
             [names …]              those whose name contains one of the words; all without

  everywhere: --json (result as JSON on standard output)   --save (append it to bench/history.ndjson)
              --dir PATH (working data; default artifacts/bench, must be on a real disk)
`;

const FLAGS = {
  connections: { type: 'string' },
  runs: { type: 'string' },
  seconds: { type: 'string' },
  warmup: { type: 'string' },
  subjects: { type: 'string' },
  points: { type: 'string' },
  'min-ratio': { type: 'string' },
  'max-ratio': { type: 'string' },
  dir: { type: 'string' },
  json: { type: 'boolean' },
  save: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

type Flag = keyof typeof FLAGS;

const ALLOWED: Readonly<Record<string, readonly Flag[]>> = {
  ingest: ['connections', 'runs', 'seconds', 'warmup', 'subjects', 'min-ratio', 'dir', 'json', 'save', 'help'],
  rss: ['connections', 'subjects', 'points', 'max-ratio', 'dir', 'json', 'save', 'help'],
  micro: ['dir', 'json', 'save', 'help'],
};

export interface CommandLine {
  readonly scenario: string;
  readonly words: readonly string[];
  readonly text: Readonly<Partial<Record<Flag, string>>>;
  readonly json: boolean;
  readonly save: boolean;
  readonly help: boolean;
}

export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { values, positionals } = parse(argv);
  const [scenario = '', ...words] = positionals;
  const help = values.help === true;
  const allowed = ALLOWED[scenario];
  if (allowed === undefined && !help) {
    throw new UsageError(`found scenario ${JSON.stringify(scenario)}; allowed: ${Object.keys(ALLOWED).join(', ')}`);
  }
  const text: Partial<Record<Flag, string>> = {};
  for (const flag of Object.keys(values) as Flag[]) {
    if (allowed !== undefined && !allowed.includes(flag)) {
      throw new UsageError(
        `--${flag} is not for ${scenario}; allowed: ${allowed.map((name) => `--${name}`).join(', ')}`,
      );
    }
    const value = values[flag];
    if (typeof value === 'string') text[flag] = value;
  }
  if (words.length > 0 && scenario !== 'micro') throw new UsageError(`found ${words.join(' ')} after ${scenario}`);
  return { scenario, words, text, json: values.json === true, save: values.save === true, help };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** One number within [min, max], `fallback` when the flag is absent. */
export function numberOf(line: CommandLine, flag: Flag, fallback: number, min: number, max: number): number {
  const text = line.text[flag];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max)) {
    throw new UsageError(`--${flag} is ${JSON.stringify(text)}; a number from ${min} to ${max} is allowed`);
  }
  return value;
}

/** Whole numbers apart by commas, each within [1, max]. */
export function countsOf(line: CommandLine, flag: Flag, fallback: readonly number[], max: number): readonly number[] {
  const text = line.text[flag];
  if (text === undefined) return fallback;
  return text.split(',').map((part) => {
    const value = Number(part);
    if (!/^\d+$/.test(part) || value < 1 || value > max) {
      throw new UsageError(`--${flag} holds ${JSON.stringify(part)}; whole numbers from 1 to ${max} are allowed`);
    }
    return value;
  });
}

export function choicesOf<T extends string>(
  line: CommandLine,
  flag: Flag,
  fallback: readonly T[],
  allowed: readonly T[],
): readonly T[] {
  const text = line.text[flag];
  if (text === undefined) return fallback;
  return text.split(',').map((part) => {
    const choice = allowed.find((name) => name === part);
    if (choice === undefined) {
      throw new UsageError(`--${flag} holds ${JSON.stringify(part)}; allowed: ${allowed.join(', ')}`);
    }
    return choice;
  });
}
