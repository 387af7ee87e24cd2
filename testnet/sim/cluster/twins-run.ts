// All scenarios of Twins over several threads, or some of them. Called by the command and the tests; each worker thread is
// this file too. It must never count a scenario that was not run to its end.
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Chance } from './schedule.js';
import { CHOICES, choicesOf, runScenario, TwinsWorld } from './twins.js';

export interface TwinsResult {
  scenarios: number;
  steps: number;
  elapsedMs: number;
  failures: { readonly scenario: number; readonly what: string }[];
}

interface Share {
  readonly rounds: number;
  readonly part: number;
  readonly parts: number;
}

interface Report {
  readonly scenarios: number;
  readonly steps: number;
  readonly failures: TwinsResult['failures'];
  readonly last: boolean;
}

const FAILURES_MAX = 10;
const REPORT_EVERY = 2_048;

/** Every scenario of so many rounds. */
export async function runTwins(
  rounds: number,
  threads = Math.min(4, availableParallelism()),
  onProgress: (result: Readonly<TwinsResult>) => void = () => {},
): Promise<TwinsResult> {
  const result: TwinsResult = { scenarios: 0, steps: 0, elapsedMs: 0, failures: [] };
  const startMs = performance.now();
  const work = (part: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), {
        workerData: { rounds, part, parts: threads },
        execArgv: [],
      });
      let done = false;
      worker.on('message', (report: Report) => {
        done ||= report.last;
        result.scenarios += report.scenarios;
        result.steps += report.steps;
        result.failures.push(...report.failures);
        result.elapsedMs = performance.now() - startMs;
        onProgress(result);
      });
      worker.on('error', reject);
      worker.on('exit', (code) => (done ? resolve() : reject(new Error(`a worker ended with exit code ${code}`))));
    });
  await Promise.all(Array.from({ length: threads }, (_, part) => work(part)));
  result.elapsedMs = performance.now() - startMs;
  result.failures.sort((one, other) => one.scenario - other.scenario);
  return result;
}

/** So many scenarios, chosen by a seed. */
export function sampleTwins(rounds: number, sample: number, seed: number): TwinsResult {
  const chance = new Chance(seed);
  const result: TwinsResult = { scenarios: 0, steps: 0, elapsedMs: 0, failures: [] };
  const startMs = performance.now();
  for (let count = 0; count < sample; count++) {
    const scenario = chance.between(0, CHOICES ** rounds - 1);
    const what = runScenario(scenario, rounds);
    result.scenarios += 1;
    if (what !== null) result.failures.push({ scenario, what });
  }
  result.elapsedMs = performance.now() - startMs;
  return result;
}

interface CommandValues {
  readonly rounds: string;
  readonly threads?: string | undefined;
  readonly scenario?: string | undefined;
  readonly sample?: string | undefined;
  readonly first: string;
}

export async function twinsCommand(log: (line: string) => void, values: CommandValues): Promise<boolean> {
  const rounds = Number(values.rounds);
  if (values.scenario !== undefined) {
    const scenario = Number(values.scenario);
    const what = runScenario(scenario, rounds);
    for (const [round, choice] of choicesOf(scenario, rounds).entries()) {
      const apart = Math.floor(choice / 4)
        .toString(2)
        .padStart(4, '0');
      log(`round ${round + 1}: leader ${choice % 4}, instances 3 to 0 apart from the twin: ${apart}`);
    }
    log(what === null ? 'every checker held' : `VIOLATION ${what}`);
    return what === null;
  }
  let dueMs = 30_000;
  const progress = (result: Readonly<TwinsResult>): void => {
    if (result.elapsedMs < dueMs) return;
    dueMs += 30_000;
    log(shown(result, rounds));
  };
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  const result =
    values.sample === undefined
      ? await runTwins(rounds, threads, progress)
      : sampleTwins(rounds, Number(values.sample), Number(values.first));
  log(shown(result, rounds));
  for (const { scenario, what } of result.failures) {
    log(`scenario ${scenario}: ${what}`);
    log(`  see it again: npm run sim -- twins --rounds ${rounds} --scenario ${scenario}`);
  }
  log(result.failures.length === 0 ? 'every checker held' : `${result.failures.length} scenarios failed`);
  return result.failures.length === 0;
}

function shown({ scenarios, elapsedMs, steps }: Readonly<TwinsResult>, rounds: number): string {
  const perSecond = Math.round((scenarios / elapsedMs) * 1_000);
  return `${scenarios} of ${CHOICES ** rounds} scenarios in ${(elapsedMs / 1_000).toFixed(1)} s (${perSecond}/s), ${steps} steps`;
}

/** The share of one worker: of the branches of the last but one round every `parts`th. */
function runShare({ rounds, part, parts }: Share, send: (report: Report) => void): void {
  let scenarios = 0;
  let steps = 0;
  let failed = 0;
  let failures: TwinsResult['failures'] = [];
  const report = (last: boolean): void => {
    send({ scenarios, steps, failures, last });
    scenarios = 0;
    steps = 0;
    failures = [];
  };
  const walk = (world: TwinsWorld, scenario: number, round: number): void => {
    if (failed >= FAILURES_MAX) return;
    if (round === rounds || world.violation !== null) {
      if (world.violation === null) world.heal();
      scenarios += CHOICES ** (rounds - round);
      steps += world.steps;
      if (world.violation !== null) {
        failed += 1;
        failures.push({ scenario: scenario * CHOICES ** (rounds - round), what: world.violation });
      }
      if (scenarios >= REPORT_EVERY) report(false);
      return;
    }
    for (let choice = 0; choice < CHOICES; choice++) {
      const next = scenario * CHOICES + choice;
      if (round === Math.max(0, rounds - 2) && next % parts !== part) continue;
      const branch = world.branch();
      branch.round(choice);
      walk(branch, next, round + 1);
    }
  };
  walk(new TwinsWorld(), 0, 0);
  report(true);
}

if (!isMainThread && (workerData as Share | null)?.parts !== undefined) {
  Error.stackTraceLimit = 0;
  runShare(workerData as Share, (report) => parentPort?.postMessage(report));
}
