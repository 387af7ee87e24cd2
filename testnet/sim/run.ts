// Many seeds over several threads, with the sums of what they did. Called by the command, the tests and the mutants. It must
// never stop at the first failure without saying which seed it was.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { ShardOrder, ShardReport } from './shard.js';
import type { SimulationChoice } from './simulations.js';

export interface RunOptions {
  readonly simulation: SimulationChoice;
  readonly first: number;
  readonly seeds: number;
  readonly threads?: number;
  /** No seed is begun after this long. */
  readonly limitMs?: number;
  /** Each seed runs twice, and both traces must be the same. */
  readonly twice?: boolean;
  /** Each thread ends at its first failing seed. */
  readonly failFast?: boolean;
  readonly onProgress?: (result: Readonly<RunResult>) => void;
}

export interface RunResult {
  seeds: number;
  steps: number;
  simulatedMs: number;
  elapsedMs: number;
  ended: Record<string, number>;
  counts: Record<string, number>;
  failures: { readonly seed: number; readonly what: string }[];
}

/** Failures after so many in one thread say nothing new. */
const FAILURES_MAX = 10;
/** Room for what one simulation leaves behind: a small young generation would be collected several times for each. */
const YOUNG_GENERATION_MB = 384;

export async function runSeeds(options: RunOptions): Promise<RunResult> {
  const { first, seeds, simulation, limitMs = Number.POSITIVE_INFINITY } = options;
  const { threads = Math.min(4, availableParallelism()) } = options;
  const result: RunResult = { seeds: 0, steps: 0, simulatedMs: 0, elapsedMs: 0, ended: {}, counts: {}, failures: [] };
  const startMs = performance.now();
  const order = {
    simulation,
    step: threads,
    until: first + seeds,
    untilMs: Date.now() + limitMs,
    twice: options.twice === true,
    failuresMax: options.failFast === true ? 1 : FAILURES_MAX,
  };
  const shards = Array.from({ length: threads }, (_, index) =>
    shard({ ...order, first: first + index }, (report) => {
      result.seeds += report.seeds;
      result.steps += report.steps;
      result.simulatedMs += report.simulatedMs;
      result.failures.push(...report.failures);
      for (const [how, count] of Object.entries(report.ended)) result.ended[how] = (result.ended[how] ?? 0) + count;
      for (const [what, count] of Object.entries(report.counts)) {
        result.counts[what] = (result.counts[what] ?? 0) + count;
      }
      result.elapsedMs = performance.now() - startMs;
      options.onProgress?.(result);
    }),
  );
  await Promise.all(shards);
  result.elapsedMs = performance.now() - startMs;
  result.failures.sort((one, other) => one.seed - other.seed);
  return result;
}

function shard(order: ShardOrder, onReport: (report: ShardReport) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./shard.js', import.meta.url), {
      workerData: order,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    let done = false;
    worker.on('message', (report: ShardReport) => {
      done ||= report.last;
      onReport(report);
    });
    worker.on('error', reject);
    worker.on('exit', (exitCode) => {
      if (done) resolve();
      else reject(new Error(`a shard ended with exit code ${exitCode} before its last seed`));
    });
  });
}
