// `quorate testnet up|down|rounds|pinned`: several validators on this machine, and scripted scenarios on them. Called by
// dispatch.ts. The testnet is part of the source tree and not of the package: without it the commands say so.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EXIT } from '../runtime/exit-codes.js';
import type { ScenarioName } from '../testnet/scenarios/scenarios.js';
import { usageError } from './args.js';
import type { Command } from './command.js';
import { defineCommand } from './command.js';
import { CliError, type Terminal } from './output.js';

const DEFAULT_DIRECTORY = 'testnet-data';
/** What testnet/local/main.ts writes into the directory while it runs. */
const TESTNET_FILE = 'testnet.json';
const UNAVAILABLE = 'this installation holds no testnet, or a port is taken';
const DOWN_LIMIT_MS = 60_000;
const POLL_MS = 50;

const directoryOption = {
  type: 'string',
  value: 'DIRECTORY',
  about: `where it is made and kept (default ${DEFAULT_DIRECTORY})`,
} as const;

const portsOption = {
  type: 'string',
  value: 'auto|fixed',
  about: 'any free ports, or API from 8081, peers from 8001, ops from 9001 (default fixed)',
} as const;

const upCommand = defineCommand({
  name: 'testnet up',
  summary: 'run several validators on this machine',
  positionals: [],
  options: {
    nodes: { type: 'string', value: 'N', about: 'validators, 1 to 16 (default 4)' },
    ports: portsOption,
    insecure: { type: 'boolean', about: 'without TLS between the nodes' },
    dir: directoryOption,
  },
  about: `
Makes keys, one genesis, certificates with pins and a configuration for each node, starts the daemons, and runs until Ctrl-C
or "quorate testnet down". The directory must not hold a testnet already: each one is a new chain.`,
  examples: [
    ['quorate testnet up', 'four validators'],
    ['quorate testnet up --nodes 7 --ports auto --dir /tmp/seven', 'seven on any ports'],
  ],
  exits: [
    [EXIT.ok.code, 'ended cleanly'],
    [EXIT.usage.code, EXIT.usage.meaning],
    [EXIT.unavailable.code, UNAVAILABLE],
  ],
  async run({ values }, terminal) {
    const ports = portsOf('testnet up', values.ports);
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
    const { runTestnet } = await load<typeof import('../testnet/local/main.js')>('local/main.js');
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

const roundsCommand = scenarioCommand('rounds', {
  summary: 'three nodes play three observation rounds: healthy, one slow, one lies',
  about: `
Starts three validators, of which two are a majority, and plays three rounds over their peer ports: all observe; one stands
still and observes late; one tells two nodes different things. After each step every node must say the same, and the
right thing: status, consensus, and whose observations do not count.`,
});

const pinnedCommand = scenarioCommand('pinned', {
  summary: 'three nodes play four rounds over pinned TLS: handshake, rotation, a wrong pin, its repair',
  about: `
Starts three validators that pin each other's certificates, and plays four rounds: all connect and observe; a certificate is
rotated by SIGHUP and no connection is lost; a wrong pin is reloaded, the node behind it is refused in the handshake, counted,
and masked in the log, while two go on; the pin is put right, and the node is back and catches up.`,
});

export const testnetCommands: readonly Command[] = [upCommand, downCommand, roundsCommand, pinnedCommand];

function scenarioCommand(scenario: ScenarioName, { summary, about }: Pick<Command, 'summary' | 'about'>): Command {
  const name = `testnet ${scenario}`;
  const artifacts = scenario === 'rounds' ? 'artifacts/testnet' : 'artifacts/testnet-pinned';
  return defineCommand({
    name,
    summary,
    positionals: [],
    options: {
      ports: portsOption,
      artifacts: { type: 'string', value: 'DIRECTORY', about: `where files are kept (default ${artifacts})` },
    },
    about: `${about}

It leaves what each node said of each round, and its metrics, as files, in place of those of the last run; no process, no data.`,
    examples: [
      [`quorate ${name}`, 'on the ports that the documents name'],
      [`quorate ${name} --ports auto`, 'beside whatever else runs'],
    ],
    exits: [
      [EXIT.ok.code, 'every node said in every step what it has to say'],
      [1, 'one did not: the line says which and what; its log is kept beside the other files'],
      [EXIT.usage.code, EXIT.usage.meaning],
      [EXIT.unavailable.code, UNAVAILABLE],
      [130, 'Ctrl-C'],
    ],
    async run({ values }, terminal) {
      const ports = portsOf(name, values.ports);
      const { playScenario } = await load<typeof import('../testnet/scenarios/scenarios.js')>('scenarios/scenarios.js');
      return playScenario(scenario, { ports, artifacts: values.artifacts ?? null, out: (text) => terminal.out(text) });
    },
  });
}

function portsOf(command: string, given = 'fixed'): 'auto' | 'fixed' {
  if (given === 'auto' || given === 'fixed') return given;
  throw usageError(command, `--ports is "${given}", allowed are auto and fixed.`);
}

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

/** @param module path in testnet/ */
async function load<M>(module: string): Promise<M> {
  try {
    // By address and not by name: an installed package has no such file.
    return (await import(new URL(`../testnet/${module}`, import.meta.url).href)) as M;
  } catch (error) {
    throw new CliError(EXIT.unavailable.code, 'this installation holds no testnet: it comes with the source tree.', {
      hint: 'Clone the repository, and run "npm ci && npm run testnet" there.',
      cause: error,
    });
  }
}
