// The ingest scenario: signed submissions over N keep-alive connections against the node and, in turn with it, the floor.
// Called by main.ts. It must never report a run in which one answer was not the planned one as a result without a fault.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { drive, faultsOf } from '../drive.js';
import { type DiskCost, describeEnvironment, type Environment, measureDisk } from '../environment.js';
import { Histogram } from '../histogram.js';
import type { LoadReport, ThreadCpu } from '../load-plan.js';
import { type Spread, spreadOf } from '../statistics.js';
import { type StartOptions, type SubjectName, startSubject } from '../subject.js';
import { type ClientKey, writeSubmissions } from '../submissions.js';

export interface IngestOptions {
  readonly subjects: readonly SubjectName[];
  readonly connections: readonly number[];
  readonly runs: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Where data and bodies go; must be on the disk that is meant. */
  readonly directory: string;
  readonly nodeCommand?: readonly string[];
  readonly progress: (line: string) => void;
}

/** One run of one subject. */
export interface IngestRun {
  readonly subject: SubjectName;
  readonly connections: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly completed: number;
  /** CPU time a submission: the whole server, by thread, and the load generator. */
  readonly cpuUs: number;
  readonly threadsUs: Readonly<Record<string, number>>;
  readonly loadUs: number;
  readonly rssMiB: number;
  /** Share of one core taken by neither the server nor the load generator, and by other guests of the host. */
  readonly foreignPercent: number;
  readonly stealPercent: number;
  readonly exhausted: boolean;
  readonly faults: readonly string[];
}

export interface SubjectSummary {
  readonly subject: SubjectName;
  readonly perSecond: Spread;
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  readonly cpuUs: Spread;
  readonly threadsUs: Readonly<Record<string, Spread>>;
  readonly loadUs: Spread;
  readonly rssMiB: Spread;
}

export interface LevelSummary {
  readonly connections: number;
  readonly subjects: readonly SubjectSummary[];
  /** Node over floor, run by run; null when not both were measured. */
  readonly ratio: Spread | null;
}

export interface IngestResult {
  readonly environment: Environment;
  readonly diskBefore: DiskCost;
  readonly diskAfter: DiskCost;
  readonly runs: readonly IngestRun[];
  readonly levels: readonly LevelSummary[];
}

/** The most that we expect of either on two cores; a faster server ends its run early, which the run tells. */
const FIRST_GUESS_PER_SECOND = 20_000;
const HEADROOM = 1.5;
/** 500 000 bodies are 250 MB in the load generator. */
const BODIES_MAX = 500_000;
/** A window that ends earlier, for want of bodies, has measured something else. */
const WINDOW_SHARE_MIN = 0.5;

export async function ingest(options: IngestOptions): Promise<IngestResult> {
  const environment = describeEnvironment(options.directory);
  const diskBefore = measureDisk(options.directory);
  const runs: IngestRun[] = [];
  try {
    for (const connections of options.connections) {
      for (let round = 1; round <= options.runs; round += 1) {
        runs.push(...(await measureRound(options, connections, round, runs)));
      }
    }
  } finally {
    rmSync(bodiesPath(options), { force: true });
  }
  const levels = options.connections.map((connections) => summarise(options, connections, runs));
  return { environment, diskBefore, diskAfter: measureDisk(options.directory), runs, levels };
}

/** Every subject once, each in a fresh process with empty data; all get the same bytes, signed with the node's key. */
async function measureRound(
  options: IngestOptions,
  connections: number,
  round: number,
  before: readonly IngestRun[],
  atLeast = 0,
): Promise<IngestRun[]> {
  const runs: IngestRun[] = [];
  let key: ClientKey | null = null;
  let moreBodies = false;
  const count = Math.max(atLeast, bodiesFor(options, connections, before));
  for (const name of options.subjects) {
    const start: StartOptions = {
      name,
      directory: options.directory,
      ...(key === null ? {} : { key }),
      ...(options.nodeCommand === undefined ? {} : { nodeCommand: options.nodeCommand }),
    };
    const subject = await startSubject(start);
    try {
      if (key === null) await writeSubmissions(bodiesPath(options), subject.key, `b${connections}-${round}`, count);
      key = subject.key;
      const actors = await subject.actors();
      const report = await drive({
        host: subject.host,
        port: subject.port,
        path: '/v1/submissions',
        bodiesFile: bodiesPath(options),
        first: 0,
        maxCount: count,
        connections,
        warmupMs: options.warmupSeconds * 1000,
        durationMs: options.seconds * 1000,
        serverPid: subject.pid,
        status: 200,
        marker: subject.marker,
      });
      if (endedEarly(report, options) && count < BODIES_MAX) {
        options.progress(`${name} used up ${count} bodies early: the round begins again with more`);
        moreBodies = true;
        break;
      }
      const run = runOf(name, connections, options, report, nameThreads(subject.pid, report.serverThreads, actors));
      runs.push(run);
      options.progress(progressLine(round, options.runs, run));
    } finally {
      await subject.stop();
    }
  }
  if (moreBodies) return measureRound(options, connections, round, before, Math.min(BODIES_MAX, 3 * count));
  return runs;
}

const bodiesPath = (options: IngestOptions): string => join(options.directory, 'submissions.ndjson');

function endedEarly({ exhausted, elapsedMs }: LoadReport, { seconds }: Pick<IngestOptions, 'seconds'>): boolean {
  return exhausted && elapsedMs < 1000 * seconds * WINDOW_SHARE_MIN;
}

/** Signing costs more than the run itself uses, so it is sized by the fastest run so far. */
function bodiesFor(options: IngestOptions, connections: number, before: readonly IngestRun[]): number {
  const known = before.filter((run) => run.connections === connections).map((run) => run.perSecond);
  const complete = known.length >= options.subjects.length;
  const perSecond = complete ? Math.max(...known) * HEADROOM : FIRST_GUESS_PER_SECOND;
  return Math.min(BODIES_MAX, Math.ceil(perSecond * (options.seconds + options.warmupSeconds)));
}

function runOf(
  subject: SubjectName,
  connections: number,
  { seconds }: Pick<IngestOptions, 'seconds'>,
  report: LoadReport,
  threads: Readonly<Record<string, number>>,
): IngestRun {
  const short = `the bodies ran out ${Math.round(report.elapsedMs)} ms into a window of ${seconds} s`;
  const latency = new Histogram();
  latency.merge(report.latency);
  const each = (valueUs: number): number => valueUs / Math.max(1, report.completed);
  const serverUs = report.serverThreads.reduce((sum, { cpuUs }) => sum + cpuUs, 0);
  const percent = (valueUs: number): number => Math.max(0, (valueUs / (report.elapsedMs * 1000)) * 100);
  return {
    subject,
    connections,
    perSecond: (report.completed / report.elapsedMs) * 1000,
    p50Ms: latency.percentile(50) / 1000,
    p99Ms: latency.percentile(99) / 1000,
    completed: report.completed,
    cpuUs: each(serverUs),
    threadsUs: Object.fromEntries(Object.entries(threads).map(([name, cpuUs]) => [name, each(cpuUs)])),
    loadUs: each(report.loadCpuUs),
    rssMiB: report.rssEndBytes / 2 ** 20,
    foreignPercent: percent(report.hostBusyUs - serverUs - report.loadCpuUs),
    stealPercent: percent(report.hostStealUs),
    exhausted: report.exhausted,
    faults: [...faultsOf(report), ...(endedEarly(report, { seconds }) ? [short] : [])],
  };
}

/**
 * CPU time by label: the actor that says the thread is its own, `main` for the first thread, the kernel's name where
 * Node gave one. The rest are numbered in the order of their start, which is the same in every run of one program.
 */
export function nameThreads(
  pid: number,
  threads: readonly ThreadCpu[],
  actors: ReadonlyMap<number, string>,
): Record<string, number> {
  const named: Record<string, number> = {};
  threads.forEach(({ tid, name, cpuUs }, position) => {
    const given = name === 'node' || name === 'MainThread' ? `thread ${position}` : name;
    const label = tid === pid ? 'main' : (actors.get(tid) ?? given);
    named[label] = (named[label] ?? 0) + cpuUs;
  });
  return named;
}

/** A thread below this is part of `others`. */
const SHOWN_US = 0.5;

function summarise(options: IngestOptions, connections: number, all: readonly IngestRun[]): LevelSummary {
  const of = (subject: SubjectName): IngestRun[] =>
    all.filter((run) => run.subject === subject && run.connections === connections);
  const node = of('node');
  const floor = of('floor');
  const ratios = node.flatMap((run, index) => {
    const other = floor[index];
    return other === undefined ? [] : [run.perSecond / other.perSecond];
  });
  return {
    connections,
    subjects: options.subjects.map((subject) => summariseSubject(subject, of(subject))),
    ratio: ratios.length === 0 ? null : spreadOf(ratios),
  };
}

function summariseSubject(subject: SubjectName, runs: readonly IngestRun[]): SubjectSummary {
  const spread = (value: (run: IngestRun) => number): Spread => spreadOf(runs.map(value));
  const labels = [...new Set(runs.flatMap((run) => Object.keys(run.threadsUs)))];
  const threads: [string, Spread][] = labels.map((label) => [label, spread((run) => run.threadsUs[label] ?? 0)]);
  const shown = threads.filter(([, us]) => us.max >= SHOWN_US).sort(([, a], [, b]) => b.median - a.median);
  const small = labels.filter((label) => !shown.some(([name]) => name === label));
  const others = spread((run) => small.reduce((sum, label) => sum + (run.threadsUs[label] ?? 0), 0));
  return {
    subject,
    perSecond: spread((run) => run.perSecond),
    p50Ms: spread((run) => run.p50Ms),
    p99Ms: spread((run) => run.p99Ms),
    cpuUs: spread((run) => run.cpuUs),
    threadsUs: Object.fromEntries([...shown, ['others', others]]),
    loadUs: spread((run) => run.loadUs),
    rssMiB: spread((run) => run.rssMiB),
  };
}

function progressLine(round: number, rounds: number, run: IngestRun): string {
  const noise = `foreign ${run.foreignPercent.toFixed(0)} %, steal ${run.stealPercent.toFixed(0)} %`;
  return (
    `${run.connections} connections, run ${round}/${rounds}, ${run.subject}: ${run.perSecond.toFixed(0)}/s, ` +
    `p50 ${run.p50Ms.toFixed(1)} ms, p99 ${run.p99Ms.toFixed(1)} ms, CPU ${run.cpuUs.toFixed(1)} µs (${noise})` +
    `${run.exhausted ? '; the bodies ran out before the time' : ''}${run.faults.map((fault) => `\n  FAULT ${fault}`).join('')}`
  );
}
