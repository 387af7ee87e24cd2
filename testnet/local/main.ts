// `npm run testnet`: a chain of several validators on this machine until Ctrl-C, which `quorate testnet up` runs too; and
// the scripted scenarios. It leaves nothing behind: neither processes nor files, unless a directory was named.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { EXIT } from '../../runtime/exit-codes.js';
import { isScenario, playScenario } from '../scenarios/scenarios.js';
import { LocalCluster, PortsTaken } from './cluster.js';

const USAGE = `usage: npm run testnet -- [WORD] [options]

without a word: a chain of several validators until Ctrl-C
  --nodes N             validators, 1 to 16 (default 4)
  --dir DIRECTORY       where it is made, and kept; default: a temporary one that goes away
  --insecure            without TLS between the nodes

rounds: three nodes play three observation rounds: healthy, one slow, one lies
pinned: three nodes play four rounds over pinned TLS: handshake, rotation, a wrong pin, its repair
  --artifacts DIRECTORY where what the nodes said is kept (default artifacts/testnet, artifacts/testnet-pinned)
  exit code: 0 every node said what it has to say, 1 not, 69 a port is taken

all
  --ports auto|fixed    free ports, or API from 8081, peers from 8001, ops from 9001 (default fixed)
`;

/** Long enough to see what the others do without it. */
const AGAIN_MS = 5_000;

/** Written into the directory while the testnet runs. */
export const TESTNET_FILE = 'testnet.json';

export interface TestnetOptions {
  readonly nodes: number;
  readonly ports: 'auto' | 'fixed';
  readonly directory: string | null;
  readonly insecure: boolean;
  readonly out: (text: string) => void;
}

/** Resolves with the exit code when it was told to end, and everything has ended. */
export async function runTestnet({ nodes, ports, directory, insecure, out }: TestnetOptions): Promise<number> {
  const ended = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(signal));
  });
  out(`making ${nodes} validators …\n`);
  let cluster: LocalCluster;
  try {
    cluster = await LocalCluster.make({ nodes, ports, insecure, ...(directory === null ? {} : { directory }) });
  } catch (error) {
    if (!(error instanceof PortsTaken)) throw error;
    out(`${error.message}\n`);
    return EXIT.unavailable.code;
  }
  const file = join(cluster.directory, TESTNET_FILE);
  try {
    for (const { index } of cluster.members) cluster.launch(index);
    const up = await Promise.race([cluster.ready().then(() => true), ended.then(() => false)]);
    if (up) {
      writeFileSync(file, `${JSON.stringify({ pid: process.pid, nodes: cluster.members.length })}\n`);
      out(described(cluster));
      const keeper = new Keeper(cluster, out);
      out(`${await ended}: ending\n`);
      keeper.stop();
    }
    const running = cluster.nodes.filter(({ hasExited }) => !hasExited);
    const exits = await Promise.all(running.map((node) => node.stop()));
    // Ctrl-C reaches them too, and one that was still starting ends by it.
    return exits.every(({ code, signal }) => code === 0 || signal === 'SIGINT') ? 0 : 1;
  } finally {
    rmSync(file, { force: true });
    await cluster.dispose();
  }
}

/** Starts a node that ends again, as a service manager would: whoever kills one sees the others go on, and it come back. */
class Keeper {
  readonly #cluster: LocalCluster;
  readonly #out: (text: string) => void;
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(cluster: LocalCluster, out: (text: string) => void) {
    this.#cluster = cluster;
    this.#out = out;
    for (const { index } of cluster.members) this.#watch(index);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #watch(index: number): void {
    void this.#cluster.node(index).exited.then(({ code, signal }) => {
      if (this.#stopped) return;
      this.#out(
        `node ${index + 1} ended (${signal ?? `exit code ${code}`}); it starts again in ${AGAIN_MS / 1000} s\n`,
      );
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        const { process: started } = this.#cluster.launch(index);
        this.#out(`node ${index + 1} starts again, process ${started.pid}\n`);
        this.#watch(index);
      }, AGAIN_MS);
      this.#timers.add(timer);
    });
  }
}

function described(cluster: LocalCluster): string {
  const first = cluster.members[0]!;
  const lines = cluster.members.map(({ index, key, ports }) => {
    const places = `api ${cluster.api(index)}  peers :${ports.peer}  ops ${cluster.ops(index)}`;
    return `  ${index + 1}  ${key.nodeId}  ${places}`;
  });
  const key = join(first.dataDir, 'keys', 'dev-client.json');
  return [
    `a chain of ${cluster.members.length} validators, in ${cluster.directory}`,
    ...lines,
    '',
    'try:',
    `  npm run -s quorate -- submit --api ${cluster.api(0)} --key ${key} --data '{"text":"hi"}'`,
    `  curl -s ${cluster.api(cluster.members.length - 1)}/v1/ledger`,
    `  kill -9 ${cluster.node(0).process.pid}   # and submit to another node; it comes back by itself`,
    '',
    'Ctrl-C ends all of them.',
    '',
  ].join('\n');
}

async function main(): Promise<number> {
  const out = (text: string) => void process.stdout.write(text);
  let given: ReturnType<typeof commandLine>;
  try {
    given = commandLine();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return EXIT.usage.code;
  }
  const { word, nodes, ports, values } = given;
  if (word !== undefined) return playScenario(word, { ports, artifacts: values.artifacts ?? null, out });
  return runTestnet({ nodes, ports, directory: values.dir ?? null, insecure: values.insecure ?? false, out });
}

/** @throws Error that says what was found and what is allowed. */
function commandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      nodes: { type: 'string' },
      ports: { type: 'string' },
      dir: { type: 'string' },
      insecure: { type: 'boolean' },
      artifacts: { type: 'string' },
    },
  });
  const [word, ...more] = positionals;
  if (more.length > 0 || (word !== undefined && !isScenario(word))) {
    throw new Error(`found "${positionals.join(' ')}", allowed are rounds and pinned`);
  }
  const foreign = word === undefined ? (['artifacts'] as const) : (['nodes', 'dir', 'insecure'] as const);
  for (const name of foreign) {
    if (values[name] !== undefined) throw new Error(`found --${name}, which ${word ?? 'the chain'} does not take`);
  }
  const { nodes = '4', ports = 'fixed' } = values;
  if (!/^(?:[1-9]|1[0-6])$/.test(nodes)) throw new Error(`found --nodes ${nodes}, allowed are 1 to 16`);
  if (ports !== 'auto' && ports !== 'fixed') throw new Error(`found --ports ${ports}, allowed are auto and fixed`);
  return { word, nodes: Number(nodes), ports, values } as const;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
