// A worker thread that simulates its share of the seeds, one after the other. Started by run.ts. It shares nothing with
// the others: a seed does the same wherever it runs.
import { parentPort, workerData } from 'node:worker_threads';
import { type SimulationChoice, simulationOf } from './simulations.js';

export interface ShardOrder {
  readonly simulation: SimulationChoice;
  readonly first: number;
  readonly step: number;
  readonly until: number;
  /** Unix milliseconds after which no seed is begun. */
  readonly untilMs: number;
  readonly twice: boolean;
  readonly failuresMax: number;
}

export interface ShardReport {
  readonly seeds: number;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly ended: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly seed: number; readonly what: string }[];
  readonly last: boolean;
}

/** A report each so many seeds, and at least each so often. */
const SEEDS_A_REPORT = 250;
const REPORT_EVERY_MS = 2_000;

Error.stackTraceLimit = 0;
const order = workerData as ShardOrder;
const simulate = await simulationOf(order.simulation);
let reportedMs = Date.now();
let report = { seeds: 0, steps: 0, simulatedMs: 0 };
let ended: Record<string, number> = {};
let counts: Record<string, number> = {};
let failures: { seed: number; what: string }[] = [];
let failed = 0;

function send(last: boolean): void {
  parentPort?.postMessage({ ...report, ended, counts, failures, last } satisfies ShardReport);
  report = { seeds: 0, steps: 0, simulatedMs: 0 };
  ended = {};
  counts = {};
  reportedMs = Date.now();
  failures = [];
}

for (let seed = order.first; seed < order.until && failed < order.failuresMax; seed += order.step) {
  if (Date.now() > order.untilMs) break;
  const outcome = await simulate(seed);
  const again = order.twice ? await simulate(seed) : outcome;
  report.seeds += 1;
  report.steps += outcome.steps;
  report.simulatedMs += outcome.simulatedMs;
  ended[outcome.ended] = (ended[outcome.ended] ?? 0) + 1;
  for (const [what, count] of Object.entries(outcome.counts)) counts[what] = (counts[what] ?? 0) + count;
  const differs = again.traceHash !== outcome.traceHash;
  const what = differs ? `replay: ${outcome.traceHash}, then ${again.traceHash}` : outcome.violations[0];
  if (what !== undefined) {
    failed += 1;
    failures.push({ seed, what });
  }
  if (report.seeds >= SEEDS_A_REPORT || Date.now() > reportedMs + REPORT_EVERY_MS) send(false);
}
send(true);
