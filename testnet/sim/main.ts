// The simulator from the command line: `npm run sim -- --seeds 2000 --minutes 6`, `npm run sim -- supervisor`, `… twins`.
// Exit code 0: all held; 1: something did not, and how to see it again is printed; 64: wrong arguments.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { type RunResult, runSeeds } from './run.js';
import { type SimulationChoice, simulationOf, UnknownName } from './simulations.js';

const USAGE = `usage: npm run sim -- [NAME] [options]

  cluster      whole clusters of consensus cores with their logs on simulated disks and networks, under named checkers; the
               default. Faults for the simulated minutes, then calm, in which all must come to one ledger
               --seeds 200  --first 1  --minutes 6 (simulated)  --limit M (no seed is begun after so many real minutes)
               --twice  --threads 2  --seed S (this one alone, with its trace)  --fail-fast
               --nodes N  --nemeses A,B  --lies A,B (only these, the lies by as many validators as may)
  twins        one validator of four runs twice, over every partition and every leader of each round
               --rounds 3  --threads 2  --scenario K (this one alone)  --sample N (so many, chosen by --first as seed)
  supervisor   the whole supervisor over simulated threads, one world a seed, under named checkers
               --seeds 10000  --first 1  --minutes M (no seed is begun after)  --twice (each replays byte for byte)
               --threads 2  --seed S (this one alone, with its trace)  --fail-fast
  mutants      known faults put into the compiled tree, one at a time: tests and simulation must find each
               [supervisor|cluster]  --only WORD,WORD (those whose name has one)  --first N (from the Nth on)
`;

const OPTIONS = {
  seeds: { type: 'string' },
  first: { type: 'string', default: '1' },
  seed: { type: 'string' },
  minutes: { type: 'string' },
  limit: { type: 'string' },
  threads: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  scenario: { type: 'string' },
  sample: { type: 'string' },
  nodes: { type: 'string' },
  nemeses: { type: 'string' },
  lies: { type: 'string' },
  twice: { type: 'boolean', default: false },
  'fail-fast': { type: 'boolean', default: false },
  only: { type: 'string' },
} satisfies ParseArgsConfig['options'];

const NUMBERS = ['seeds', 'first', 'seed', 'minutes', 'limit', 'threads', 'rounds', 'sample', 'nodes'] as const;

const log = (line: string): void => void process.stdout.write(`${line}\n`);

/** Null when the command line is none. */
function commandLine() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
    for (const name of NUMBERS) {
      const value = values[name];
      if (value !== undefined && !(Number(value) > 0))
        throw new Error(`--${name} ${value}: a number above 0 is needed`);
    }
    return { ...values, name: positionals[0] ?? 'cluster', of: positionals[1] };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n`);
    return null;
  }
}

type Values = NonNullable<ReturnType<typeof commandLine>>;

async function main(): Promise<number> {
  const values = commandLine();
  switch (values?.name) {
    case 'cluster':
    case 'supervisor': {
      const choice = choiceOf(values.name, values);
      return values.seed === undefined ? many(choice, values) : one(choice, Number(values.seed));
    }
    case 'twins': {
      const { twinsCommand } = await import('./cluster/twins-run.js');
      return (await twinsCommand(log, values)) ? 0 : 1;
    }
    case 'mutants': {
      const { mutants } = await import('./mutants.js');
      if (values.of !== undefined && values.of !== 'supervisor' && values.of !== 'cluster') break;
      return (await mutants(log, values.of ?? 'supervisor', values.only, Number(values.first))) ? 0 : 1;
    }
  }
  process.stderr.write(USAGE);
  return 64;
}

function choiceOf(name: SimulationChoice['name'], { minutes, nodes, nemeses, lies }: Values): SimulationChoice {
  return {
    name,
    minutes: Number(minutes ?? 6),
    ...(nodes === undefined ? {} : { nodes: Number(nodes) }),
    ...(nemeses === undefined ? {} : { nemeses: nemeses.split(',') }),
    ...(lies === undefined ? {} : { lies: lies.split(',') }),
  };
}

/** What has to be said again to see a seed again. */
function narrowing({ name, minutes, nodes, nemeses, lies }: SimulationChoice): string {
  if (name === 'supervisor') return '';
  const options = [`--minutes ${minutes}`];
  if (nodes !== undefined) options.push(`--nodes ${nodes}`);
  if (nemeses !== undefined) options.push(`--nemeses ${nemeses.join()}`);
  if (lies !== undefined) options.push(`--lies '${lies.join()}'`);
  return ` ${options.join(' ')}`;
}

async function one(choice: SimulationChoice, seed: number): Promise<number> {
  const simulate = await simulationOf(choice);
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

async function many(choice: SimulationChoice, values: Values): Promise<number> {
  await simulationOf(choice);
  const isCluster = choice.name === 'cluster';
  const limit = isCluster ? values.limit : values.minutes;
  const { threads } = values;
  const result = await runSeeds({
    simulation: choice,
    first: Number(values.first),
    seeds: Number(values.seeds ?? (isCluster ? 200 : 10_000)),
    twice: values.twice,
    failFast: values['fail-fast'],
    ...(threads === undefined ? {} : { threads: Number(threads) }),
    ...(limit === undefined ? {} : { limitMs: Number(limit) * 60_000 }),
    ...(isCluster ? { onProgress: progress() } : {}),
  });
  log(sums(result));
  log(`ended by: ${JSON.stringify(result.ended)}`);
  if (isCluster) log(`in all: ${JSON.stringify(result.counts)}`);
  for (const { seed, what } of result.failures) {
    log(`seed ${seed}: ${what}`);
    log(`  see it again: npm run sim -- ${choice.name}${narrowing(choice)} --seed ${seed}`);
  }
  log(result.failures.length === 0 ? 'every checker held' : `${result.failures.length} seeds failed`);
  return result.failures.length === 0 ? 0 : 1;
}

function sums({ seeds, elapsedMs, simulatedMs, steps }: Readonly<RunResult>): string {
  const perSecond = ((seeds / elapsedMs) * 1_000).toPrecision(3);
  const hours = (simulatedMs / 3_600_000).toFixed(1);
  const speed = Math.round(simulatedMs / elapsedMs);
  return `${seeds} seeds in ${(elapsedMs / 1_000).toFixed(1)} s (${perSecond}/s), ${steps} steps, ${hours} h simulated, ${speed} simulated hours an hour`;
}

/** A line now and then for those who wait. */
function progress(): (result: Readonly<RunResult>) => void {
  const everyMs = 30_000;
  let due = everyMs;
  return (result) => {
    if (result.elapsedMs < due) return;
    due = result.elapsedMs + everyMs;
    log(sums(result));
  };
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UnknownName)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 64;
}
