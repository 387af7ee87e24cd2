// Puts each mutant into a copy of the compiled tree and has simulation and tests look for it. Called by the command. It
// must never touch the working tree, and a mutant that nobody finds is a failure.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLUSTER_SUITE } from './cluster/cluster-mutants.js';
import type { Edit, Look, Mutant, Suite } from './mutant.js';
import { SUPERVISOR_SUITE } from './supervisor-mutants.js';

const DIST = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const ROOT = dirname(DIST);
const AVA = join(ROOT, 'node_modules/ava/entrypoints/cli.mjs');
const SUITES = { supervisor: SUPERVISOR_SUITE, cluster: CLUSTER_SUITE };
const FAILED_TEST = /(?<=✘ (?:\[fail\]: )?).*$/m;
const FAILED_SEED = /^(?:seed|scenario) \d+: .*$/m;
/** What a list looks for when nothing was changed. */
const NOTHING: Mutant = { name: 'nothing', file: '', from: '', to: '' };
/** A mutant that makes the simulation go round for ever is found by that. */
const LIMIT_MS = 600_000;

export async function mutants(
  log: (line: string) => void,
  suiteName: keyof typeof SUITES,
  only = '',
  first = 1,
): Promise<boolean> {
  const suite = SUITES[suiteName];
  const words = only.split(',');
  const chosen = suite.mutants.filter(({ name, file }) =>
    words.some((word) => name.includes(word) || file.includes(word)),
  );
  const unfit = chosen.flatMap((mutant) => unfitEdits(mutant).map((why) => `${mutant.name}: ${why}`));
  for (const line of unfit) log(`UNFIT ${line}`);
  if (unfit.length > 0) return false;
  const queue = chosen.slice(first - 1);
  const total = queue.length;
  let survivors = 0;
  let isFirst = true;
  const work = async (): Promise<void> => {
    const copy = copyOfTree(suite);
    try {
      for (const look of isFirst ? suite.looks(NOTHING) : []) {
        const found = await lookFor(copy, look);
        if (found !== null) throw new Error(`without a mutant there should be nothing to find: ${found}`);
      }
      isFirst = false;
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const by = await find(copy, suite, mutant);
        if (by === null) survivors += 1;
        log(by === null ? `SURVIVED ${mutant.file}: ${mutant.name}` : `killed ${mutant.name}\n       by ${by}`);
      }
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
  log(`${total - survivors} of ${total} killed`);
  return survivors === 0;
}

function editsOf(mutant: Mutant): readonly Edit[] {
  return [mutant, ...(mutant.also ?? [])];
}

/** What keeps a mutant from being made, as sentences: the kernel has changed under it. */
export function unfitEdits(mutant: Mutant): string[] {
  return editsOf(mutant).flatMap(({ file, from }) => {
    const count = readFileSync(join(DIST, file), 'utf8').split(from).length - 1;
    return count === 1 ? [] : [`its text occurs ${count} times in ${file}, must be once: ${from}`];
  });
}

function copyOfTree({ data }: Suite): string {
  const copy = mkdtempSync(join(tmpdir(), 'quorate-mutants-'));
  cpSync(DIST, join(copy, 'dist'), { recursive: true });
  for (const folder of data) cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
  for (const file of ['package.json', 'ava.config.js']) cpSync(join(ROOT, file), join(copy, file));
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Who finds the mutant; null when nobody does. */
async function find(copy: string, { looks }: Suite, mutant: Mutant): Promise<string | null> {
  const sound = new Map<string, string>();
  for (const { file, from, to } of editsOf(mutant)) {
    const path = join(copy, 'dist', file);
    const text = readFileSync(path, 'utf8');
    if (!sound.has(path)) sound.set(path, text);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
    if (spawnSync(process.execPath, ['--check', path]).status !== 0) throw new Error(`${mutant.name}: no JavaScript`);
  }
  try {
    for (const look of looks(mutant)) {
      const found = await lookFor(copy, look);
      if (found !== null) return found;
    }
    return null;
  } finally {
    for (const [path, text] of sound) writeFileSync(path, text);
  }
}

async function lookFor(copy: string, { kind, args }: Look): Promise<string | null> {
  const isTest = kind === 'tests';
  const command = isTest ? [AVA, '--fail-fast', '--timeout=10m'] : [join(copy, 'dist/testnet/sim/main.js')];
  const { failed, output } = await run(copy, [...command, ...args]);
  if (!failed) return null;
  return `${kind === 'tests' ? 'test' : 'simulation'} ${firstLine(output, isTest ? FAILED_TEST : FAILED_SEED)}`;
}

function firstLine(output: string, pattern: RegExp): string {
  return (
    pattern.exec(output)?.[0] ??
    /^\w*Error: .*$/m.exec(output)?.[0] ??
    output.trim().split('\n').at(-1) ??
    ''
  ).slice(0, 200);
}

function run(copy: string, args: readonly string[]): Promise<{ failed: boolean; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: copy, timeout: LIMIT_MS, killSignal: 'SIGKILL' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
      });
    }
    child.on('close', (exitCode, signal) => {
      const ending = signal === null ? '' : `\nit did not end within ${LIMIT_MS / 1_000} s`;
      resolve({ failed: exitCode !== 0, output: output + ending });
    });
  });
}
