// A command as data: its words, its arguments, its help, and what it runs. Called by every command file (defineCommand) and
// by dispatch.ts and completion.ts, which read the table. It knows no particular command.
import { type Arguments, type Options, type Positional, parseArguments } from './args.js';
import { type Paint, painter, type Terminal, table } from './output.js';

interface CommandText {
  /** Words that select it: `submit`, `keys init`. */
  readonly name: string;
  /** Half a line, for the list of commands. */
  readonly summary: string;
  readonly positionals: readonly Positional[];
  /** Paragraphs that teach: what it does, what it needs, what comes next. */
  readonly about: string;
  /** Command line → what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** The exit codes that this command ends with, and why. */
  readonly exits: readonly (readonly [number, string])[];
}

interface Definition<O extends Options> extends CommandText {
  readonly options: O;
  /** @returns the exit code, or null when the process goes on as something else (`start`). */
  run(args: Arguments<O>, terminal: Terminal): Promise<number | null>;
}

export interface Command extends CommandText {
  readonly options: Options;
  /** @param argv what follows the command's words. @throws CliError */
  execute(argv: readonly string[], terminal: Terminal): Promise<number | null>;
}

export function defineCommand<const O extends Options>(definition: Definition<O>): Command {
  return {
    ...definition,
    execute: async (argv, terminal) => definition.run(parseArguments(argv, definition), terminal),
  };
}

/** `quorate submit [options]`, `quorate receipt DIGEST [options]`. */
export function usageLine(command: Command): string {
  const words = command.positionals.map((positional) => {
    const shown = positional.choices === undefined ? positional.name : positional.choices.join('|');
    return positional.required ? shown : `[${shown}]`;
  });
  const options = Object.keys(command.options).length === 0 ? [] : ['[options]'];
  return ['quorate', command.name, ...words, ...options].join(' ');
}

/** The help of one command. */
export function commandHelp(command: Command, terminal: Terminal): string {
  const paint = painter(terminal.colours.out);
  const positionals = command.positionals.map((positional) => [positional.name, positional.about]);
  const options = Object.entries(command.options).map(([name, option]) => [
    option.type === 'boolean' ? `--${name}` : `--${name} ${option.value ?? 'VALUE'}`,
    option.about,
  ]);
  const examples = command.examples.map(([line, about]) => `  ${line}\n      ${paint('dim', about)}\n`).join('');
  const exits = command.exits.map(([code, about]) => [String(code).padStart(3), about]);
  return [
    `${paint('bold', usageLine(command))}\n\n${command.about.trim()}\n`,
    section(paint, 'Arguments', table(positionals, '  ')),
    section(paint, 'Options', table(options, '  ')),
    section(paint, 'Examples', examples),
    section(paint, 'Exit codes', table(exits, '  ')),
  ].join('');
}

export function section(paint: Paint, title: string, body: string): string {
  return body === '' ? '' : `\n${paint('bold', title)}\n${body}`;
}
