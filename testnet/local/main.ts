// `npm run testnet`: a chain of several validators on this machine until Ctrl-C. Also what `quorate testnet up` runs.
// It leaves nothing behind: neither processes nor files, unless a directory was named.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LocalCluster } from './cluster.js';

const USAGE = `usage: npm run testnet -- [options]

  --nodes N             validators, 1 to 16 (default 4)
  --ports auto|fixed    free ports, or API from 8081, peers from 8001, ops from 9001 (default fixed)
  --dir DIRECTORY       where it is made, and kept; default: a temporary one that goes away
  --insecure            without TLS between the nodes
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
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve(signal));
  });
  out(`making ${nodes} validators …\n`);
  const cluster = await LocalCluster.make({ nodes, ports, insecure, ...(directory === null ? {} : { directory }) });
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
    return exits.every(({ code }) => code === 0) ? 0 : 1;
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
  let values: { nodes: string; ports: string; dir?: string; insecure: boolean };
  try {
    ({ values } = parseArgs({
      options: {
        nodes: { type: 'string', default: '4' },
        ports: { type: 'string', default: 'fixed' },
        dir: { type: 'string' },
        insecure: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return 64;
  }
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 16 || !['auto', 'fixed'].includes(values.ports)) {
    process.stderr.write(USAGE);
    return 64;
  }
  return runTestnet({
    nodes,
    ports: values.ports as 'auto' | 'fixed',
    directory: values.dir ?? null,
    insecure: values.insecure,
    out: (text) => void process.stdout.write(text),
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
