// From words to a command: finds it in the table, runs it, turns what it throws into lines and an exit code; prints the help.
// Called by main.ts and by tests. The order of the table is the order of the help.
import { ConfigError } from '../config/errors.js';
import { EXIT, exitCodeTable } from '../runtime/exit-codes.js';
import { actorsCommands } from './actors.js';
import { nearest } from './args.js';
import { auditCommands } from './audit.js';
import { certsCommands } from './certs.js';
import { type Command, commandHelp, section } from './command.js';
import { completionCommand } from './completion.js';

import { initCommand } from './init.js';
import { keysCommands } from './keys.js';
import { migrateStateCommand } from './migrate-state.js';
import { CliError, painter, printJson, type Terminal, table } from './output.js';
import { peersCommand } from './peers.js';
import { receiptCommand } from './receipt.js';
import { reloadCommand } from './reload.js';
import { reconcileCommand, roundsCommand } from './rounds.js';
import { startCommand } from './start.js';
import { statusCommand } from './status.js';
import { submitCommand } from './submit.js';
import { testnetCommands } from './testnet.js';
import { verifyCommand } from './verify.js';
import { walCommands } from './wal.js';

const sections: readonly (readonly [string, readonly Command[]])[] = [
  ['Use', [startCommand, submitCommand, receiptCommand, verifyCommand, roundsCommand]],
  ['Operate', [statusCommand, peersCommand, reconcileCommand, reloadCommand, ...actorsCommands, ...auditCommands]],
  ['Prepare and repair', [initCommand, ...keysCommands, ...certsCommands, ...walCommands, migrateStateCommand]],
  ['Try several nodes', testnetCommands],
  ['Shell', [completionCommand(() => commands)]],
];

export const commands: readonly Command[] = sections.flatMap(([, list]) => list);

/** @returns the exit code, or null when the process goes on as the daemon. Never throws. */
export async function dispatch(argv: readonly string[], terminal: Terminal): Promise<number | null> {
  const [first] = argv;
  if (first === undefined || first === 'help' || isHelp(first)) return help(argv.slice(1), terminal);
  const found = findCommand(argv);
  if (found === null) return unknown(argv, terminal);
  const { command, rest } = found;
  if (rest.some(isHelp) && command !== startCommand) {
    terminal.out(commandHelp(command, terminal));
    return EXIT.ok.code;
  }
  try {
    return await command.execute(rest, terminal);
  } catch (error) {
    return failed(command.name, error, rest.includes('--json'), terminal);
  }
}

/** Two words name a command of a group (`keys init`), one word any other. */
function findCommand(argv: readonly string[]): { command: Command; rest: readonly string[] } | null {
  for (const words of [2, 1]) {
    const name = argv.slice(0, words).join(' ');
    const command = commands.find((candidate) => candidate.name === name);
    if (command !== undefined) return { command, rest: argv.slice(words) };
  }
  return null;
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h';
}

function help(words: readonly string[], terminal: Terminal): number {
  const asked = words.filter((word) => !isHelp(word));
  if (asked.length === 0) {
    terminal.out(overview(terminal));
    return EXIT.ok.code;
  }
  const found = findCommand(asked);
  if (found !== null) {
    terminal.out(commandHelp(found.command, terminal));
    return EXIT.ok.code;
  }
  const group = groupOf(asked[0]!);
  if (group.length === 0) return unknown(asked, terminal);
  terminal.out(groupHelp(group));
  return EXIT.ok.code;
}

function groupOf(word: string): readonly Command[] {
  return commands.filter((command) => command.name.startsWith(`${word} `));
}

function groupHelp(group: readonly Command[]): string {
  return table(group.map((command) => [`quorate ${command.name}`, command.summary]));
}

function unknown(argv: readonly string[], terminal: Terminal): number {
  const first = argv[0]!;
  const group = groupOf(first);
  if (group.length > 0) {
    if (argv.slice(1).some(isHelp)) {
      terminal.out(groupHelp(group));
      return EXIT.ok.code;
    }
    const second = argv[1];
    terminal.err(
      `quorate ${first}: ${second === undefined ? 'a second word is missing' : `unknown word "${second}"`}. There are:\n`,
    );
    terminal.err(groupHelp(group));
    return EXIT.usage.code;
  }
  const near = nearest(first, [...new Set(commands.map((command) => command.name.split(' ')[0]!))]);
  const meant = near === undefined ? '' : ` Did you mean "quorate ${near}"?`;
  terminal.err(`quorate: unknown command "${first}".${meant}\n  "quorate help" lists all commands.\n`);
  return EXIT.usage.code;
}

function failed(name: string, thrown: unknown, json: boolean, terminal: Terminal): number {
  const paint = painter(terminal.colours.err);
  const error = thrown instanceof ConfigError ? new CliError(thrown.exitCode, thrown.message) : thrown;
  if (!(error instanceof CliError)) {
    const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
    terminal.err(`${paint('red', `quorate ${name}:`)} unexpected failure, please report it\n${shown}\n`);
    if (json) printJson(terminal, { error: { exit: EXIT.internal.code, message: 'unexpected failure' } });
    return EXIT.internal.code;
  }
  const { exitCode: exit, message, hint, detail } = error;
  terminal.err(`${paint('red', `quorate ${name}:`)} ${message}\n`);
  if (hint !== undefined) terminal.err(`  ${hint}\n`);
  if (json) printJson(terminal, { error: { exit, message, ...(hint === undefined ? {} : { hint }), ...detail } });
  return exit;
}

function overview(terminal: Terminal): string {
  const paint = painter(terminal.colours.out);
  const lists = sections.map(([title, list]) =>
    section(
      paint,
      title,
      table(
        list.map((command) => [command.name.padEnd(WIDEST), command.summary]),
        '  ',
      ),
    ),
  );
  const round = table(
    [
      ['quorate start', 'a node on defaults, data in ./data'],
      [`quorate submit --data '{"text":"hi"}' --json > r.json`, 'a signed submission, its receipt kept'],
      ['curl -s http://127.0.0.1:8080/v1/validators > validators.json', 'the validator set you trust'],
      ['quorate verify r.json --validators validators.json', 'proof, without any node'],
    ],
    '  ',
  );
  return [
    'quorate: a self-healing quorum node. Signed submissions in, agreement, receipts that verify offline.\n',
    `\nUsage: quorate COMMAND [options]; "quorate help COMMAND" explains one, with examples.\n`,
    section(paint, 'A first round', round),
    ...lists,
    section(paint, 'Exit codes', `${exitCodeTable().replace(/^/gm, '  ')}\n`),
    '    1  verify only: the receipt does not hold\n    2  verify only: a file cannot be read, or is not JSON\n',
    section(paint, 'Environment', table(ENVIRONMENT, '  ')),
  ].join('');
}

/** Flags win over them. */
const ENVIRONMENT = [
  ['QUORATE_DATA_DIR', 'data directory, instead of ./data'],
  ['QUORATE_KEYS_DIR', 'where the keys of the node lie, instead of keys/ in the data directory'],
  ['QUORATE_API', 'client API, for submit, receipt and status'],
  ['QUORATE_KEY', 'client key file, for submit'],
  ['QUORATE_TOKEN', 'admin token, instead of run/admin.token in the data directory'],
  ['NO_COLOR', 'any value turns colours off'],
] as const;

const WIDEST = Math.max(...commands.map((command) => command.name.length));
