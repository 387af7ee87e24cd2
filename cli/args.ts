// Arguments of one command: the table that describes them, and the strict parsing of a command line against it.
// Called by command.ts; the help and the shell completion read the same tables. It never guesses: a word that is not in
// the table is an error that names what is allowed.
import { parseArgs } from 'node:util';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError } from './output.js';

export interface Option {
  readonly type: 'string' | 'boolean';
  /** Name of the value in the help: FILE and DIRECTORY also steer shell completion. */
  readonly value?: string;
  readonly about: string;
}

export type Options = Readonly<Record<string, Option>>;

export interface Positional {
  readonly name: string;
  readonly about: string;
  readonly required: boolean;
  /** The only values allowed, where there are such. */
  readonly choices?: readonly string[];
}

export type Values<O extends Options> = {
  readonly [K in keyof O]: O[K]['type'] extends 'boolean' ? boolean : string | undefined;
};

export interface Arguments<O extends Options> {
  readonly values: Values<O>;
  readonly positionals: readonly string[];
}

export interface ArgumentTable<O extends Options> {
  /** Words that select the command, as typed: `keys init`. */
  readonly name: string;
  readonly options: O;
  readonly positionals: readonly Positional[];
}

/** Options that several commands share; each command picks those it has. */
export const commonOptions = {
  'data-dir': { type: 'string', value: 'DIRECTORY', about: 'data directory of the node (default ./data)' },
  api: { type: 'string', value: 'URL', about: 'client API (default: from run/endpoints.json of the data directory)' },
  ops: { type: 'string', value: 'URL', about: 'ops address (default: from run/endpoints.json of the data directory)' },
  json: { type: 'boolean', about: 'answer in JSON on stdout, also for errors' },
} as const satisfies Options;

export function usageError(command: string, message: string): CliError {
  return new CliError(EXIT.usage.code, message, { hint: `quorate help ${command} shows how it is used.` });
}

/**
 * Parses what follows the command's name.
 * @throws CliError (64) naming what was found and what is allowed.
 */
export function parseArguments<O extends Options>(argv: readonly string[], command: ArgumentTable<O>): Arguments<O> {
  const kinds = Object.fromEntries(
    Object.entries(command.options).map(([name, option]) => [name, { type: option.type }]),
  );
  const { tokens } = parseArgs({
    args: [...argv],
    options: kinds,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values: Record<string, string | boolean | undefined> = {};
  for (const [name, option] of Object.entries(command.options)) {
    values[name] = option.type === 'boolean' ? false : undefined;
  }
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(command.options, token.name) ? command.options[token.name] : undefined;
    if (option === undefined) throw unknownOption(command, token.rawName);
    values[token.name] = checkedValue(command.name, option, token);
  }
  checkPositionals(command, positionals);
  // The loop above put exactly the type that the table names under each key.
  return { values: values as Values<O>, positionals };
}

function checkedValue(
  command: string,
  option: Option,
  token: { rawName: string; value?: string | undefined; inlineValue?: boolean | undefined },
): string | boolean {
  if (option.type === 'boolean') {
    if (token.value === undefined) return true;
    throw usageError(command, `${token.rawName} takes no value, found "${token.value}".`);
  }
  const example = `${token.rawName} ${option.value ?? 'VALUE'}`;
  if (token.value === undefined || (token.value === '' && option.value !== 'JSON')) {
    throw usageError(command, `${token.rawName} needs a value: ${example}.`);
  }
  // "-" alone means stdin; anything longer that starts so is more likely a forgotten value than one.
  if (token.inlineValue !== true && token.value.length > 1 && token.value.startsWith('-')) {
    throw usageError(
      command,
      `${token.rawName} needs a value, found the option ${token.value}. Write ${token.rawName}=${token.value} if it is meant.`,
    );
  }
  return token.value;
}

function checkPositionals<O extends Options>(command: ArgumentTable<O>, found: readonly string[]): void {
  for (const [index, positional] of command.positionals.entries()) {
    const value = found[index];
    if (value === undefined) {
      if (positional.required) throw usageError(command.name, `${positional.name} is missing: ${positional.about}.`);
    } else if (positional.choices !== undefined && !positional.choices.includes(value)) {
      throw usageError(command.name, `${positional.name} is "${value}", allowed are ${positional.choices.join(', ')}.`);
    }
  }
  const extra = found[command.positionals.length];
  if (extra !== undefined) throw usageError(command.name, `unexpected argument "${extra}".`);
}

function unknownOption<O extends Options>(command: ArgumentTable<O>, found: string): CliError {
  const allowed = [...Object.keys(command.options), 'help'].map((name) => `--${name}`);
  const near = nearest(found, allowed);
  const meant = near === undefined ? '' : ` Did you mean ${near}?`;
  return usageError(command.name, `unknown option ${found}.${meant} Allowed are ${allowed.join(', ')}.`);
}

/**
 * A whole number of a unit.
 * @throws CliError (64) naming the range.
 */
export function wholeNumber(command: string, option: string, text: string, least: number, most: number): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw usageError(command, `--${option} is "${text}", allowed is a whole number from ${least} to ${most}.`);
}

/** @returns the candidate at most two edits away from `found`, the closest first. */
export function nearest(found: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = 3;
  for (const candidate of candidates) {
    const distance = editDistance(found, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance by rows. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const change = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(change, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}
