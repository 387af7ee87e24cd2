// `quorate testnet up|down`: a chain of several validators on this machine. Called by dispatch.ts. The testnet is part of the
// source tree and not of the package: without it the command says so.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EXIT } from '../runtime/exit-codes.js';
import type { Command } from './command.js';
import { defineCommand } from './command.js';
import { CliError, type Terminal } from './output.js';

const DEFAULT_DIRECTORY = 'testnet-data';
/** What testnet/local/main.ts writes into the directory while it runs. */
const TESTNET_FILE = 'testnet.json';
const DOWN_LIMIT_MS = 60_000;
const POLL_MS = 50;

const directoryOption = {
  type: 'string',
  value: 'DIRECTORY',
  about: `where it is made and kept (default ${DEFAULT_DIRECTORY})`,
} as const;

const upCommand = defineCommand({
  name: 'testnet up',
  summary: 'run several validators on this machine',
  positionals: [],
  options: {
    nodes: { type: 'string', value: 'N', about: 'validators, 1 to 16 (default 4)' },
    auto: { type: 'boolean', about: 'any free ports; default: API from 8081, peers from 8001, ops from 9001' },
    insecure: { type: 'boolean', about: 'without TLS between the nodes' },
    dir: directoryOption,
  },
  about: `
Makes keys, one genesis, certificates with pins and a configuration for each node, starts the daemons, and runs until Ctrl-C
or "quorate testnet down". The directory must not hold a testnet already: each one is a new chain.`,
  examples: [
    ['quorate testnet up', 'four validators'],
    ['quorate testnet up --nodes 7 --auto --dir /tmp/seven', 'seven on any ports'],
  ],
  exits: [
    [EXIT.ok.code, 'ended cleanly'],
    [EXIT.usage.code, EXIT.usage.meaning],
    [EXIT.unavailable.code, 'this installation holds no testnet'],
  ],
  async run({ values }, terminal) {
    const nodes = Number(values.nodes ?? 4);
    if (!Number.isInteger(nodes) || nodes < 1 || nodes > 16) {
      throw new CliError(EXIT.usage.code, `--nodes is ${values.nodes}, allowed are 1 to 16.`);
    }
    const directory = resolve(values.dir ?? DEFAULT_DIRECTORY);
    if (existsSync(join(directory, 'node_1'))) {
      throw new CliError(EXIT.data.code, `${directory} holds a testnet already.`, {
        hint: 'Remove it, or name another directory with --dir.',
      });
    }
    const { runTestnet } = await testnet();
    const ports = values.auto ? ('auto' as const) : ('fixed' as const);
    return runTestnet({ nodes, ports, directory, insecure: values.insecure, out: (text) => terminal.out(text) });
  },
});

const downCommand = defineCommand({
  name: 'testnet down',
  summary: 'end the testnet that runs in a directory',
  positionals: [],
  options: { dir: directoryOption },
  about: 'Tells "quorate testnet up" of the same directory to end, and waits until it has. The directory stays.',
  examples: [['quorate testnet down', 'end it']],
  exits: [
    [EXIT.ok.code, 'ended'],
    [EXIT.unavailable.code, 'none runs there, or it does not end'],
  ],
  async run({ values }, terminal) {
    const directory = resolve(values.dir ?? DEFAULT_DIRECTORY);
    await end(directory, terminal);
    return EXIT.ok.code;
  },
});

export const testnetCommands: readonly Command[] = [upCommand, downCommand];

async function end(directory: string, terminal: Terminal): Promise<void> {
  const file = join(directory, TESTNET_FILE);
  if (!existsSync(file)) throw new CliError(EXIT.unavailable.code, `no testnet runs in ${directory}.`);
  const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    throw new CliError(EXIT.unavailable.code, `process ${pid} of the testnet in ${directory} is not there any more.`, {
      hint: `Its nodes may still run; their process ids stand in run/node.pid of each. Then remove ${file}.`,
    });
  }
  for (let waitedMs = 0; waitedMs < DOWN_LIMIT_MS; waitedMs += POLL_MS) {
    if (!existsSync(file)) {
      terminal.out('ended\n');
      return;
    }
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new CliError(EXIT.unavailable.code, `the testnet in ${directory} did not end within ${DOWN_LIMIT_MS} ms.`);
}

async function testnet(): Promise<typeof import('../testnet/local/main.js')> {
  try {
    // By address and not by name: an installed package has no such file.
    return await import(new URL('../testnet/local/main.js', import.meta.url).href);
  } catch (error) {
    throw new CliError(EXIT.unavailable.code, 'this installation holds no testnet: it comes with the source tree.', {
      hint: 'Clone the repository, and run "npm ci && npm run testnet" there.',
      cause: error,
    });
  }
}
