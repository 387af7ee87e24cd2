// The simulator from the command line: `npm run sim -- supervisor --seeds 1000`, `npm run sim -- mutants`.
// Exit code 0: all held; 1: something did not, and how to see it again is printed; 64: wrong arguments.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { mutants } from './mutants.js';
import { runSeeds } from './run.js';
import { simulate } from './supervisor.js';

const USAGE = `usage: npm run sim -- NAME [options]

  supervisor   the whole supervisor over simulated threads, one world a seed, under named checkers
               --seeds 10000  --first 1  --minutes M (no seed is begun after)  --twice (each replays byte for byte)
               --threads 2  --seed S (this one alone, with its trace)  --fail-fast
  mutants      known faults put into the compiled kernel, one at a time: tests and simulation must find each
               --only WORD (those whose name has it)
`;

const OPTIONS = {
  seeds: { type: 'string', default: '10000' },
  first: { type: 'string', default: '1' },
  seed: { type: 'string' },
  minutes: { type: 'string' },
  threads: { type: 'string' },
  twice: { type: 'boolean', default: false },
  'fail-fast': { type: 'boolean', default: false },
  only: { type: 'string' },
} satisfies ParseArgsConfig['options'];

const log = (line: string): void => void process.stdout.write(`${line}\n`);

/** Null when the command line is none. */
function commandLine() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
    for (const name of ['seeds', 'first', 'seed', 'minutes', 'threads'] as const) {
      const value = values[name];
      if (value !== undefined && !(Number(value) > 0))
        throw new Error(`--${name} ${value}: a number above 0 is needed`);
    }
    return { ...values, name: positionals[0] };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n`);
    return null;
  }
}

type Values = NonNullable<ReturnType<typeof commandLine>>;

async function main(): Promise<number> {
  const values = commandLine();
  if (values?.name === 'supervisor') return values.seed === undefined ? many(values) : one(Number(values.seed));
  if (values?.name === 'mutants') return (await mutants(log, values.only)) ? 0 : 1;
  process.stderr.write(USAGE);
  return 64;
}

async function one(seed: number): Promise<number> {
  const outcome = await simulate(seed, true);
  const again = await simulate(seed, true);
  for (const line of outcome.lines) log(line);
  const { steps, simulatedMs, ended, traceHash } = outcome;
  log(`seed ${seed}: ${steps} steps, ${Math.round(simulatedMs)} ms simulated, ended by ${ended}, trace ${traceHash}`);
  for (const violation of outcome.violations) log(`VIOLATION ${violation}`);
  const same = again.traceHash === traceHash;
  log(same ? 'a second run did the same' : `a second run did otherwise: trace ${again.traceHash}`);
  return same && outcome.violations.length === 0 ? 0 : 1;
}

async function many({ seeds, first, minutes, threads, twice, 'fail-fast': failFast }: Values): Promise<number> {
  const result = await runSeeds({
    first: Number(first),
    seeds: Number(seeds),
    twice,
    failFast,
    ...(threads === undefined ? {} : { threads: Number(threads) }),
    ...(minutes === undefined ? {} : { limitMs: Number(minutes) * 60_000 }),
  });
  const { failures, elapsedMs, simulatedMs, steps } = result;
  const perSecond = Math.round((result.seeds / elapsedMs) * 1_000);
  const hours = (simulatedMs / 3_600_000).toFixed(1);
  log(
    `${result.seeds} seeds in ${(elapsedMs / 1_000).toFixed(1)} s (${perSecond}/s), ${steps} steps, ${hours} h simulated`,
  );
  log(`ended by: ${JSON.stringify(result.ended)}`);
  for (const { seed, what } of failures) {
    log(`seed ${seed}: ${what}`);
    log(`  see it again: npm run sim -- supervisor --seed ${seed}`);
  }
  log(failures.length === 0 ? 'every checker held' : `${failures.length} seeds failed`);
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();
