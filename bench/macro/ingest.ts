// The ingest scenario: signed submissions over N keep-alive connections against the node and, in turn with it, the floor.
// Called by main.ts. It must never report a run in which one answer was not the planned one as a result without a fault.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { drive, faultsOf, joined } from '../drive.js';
import { type DiskCost, describeEnvironment, type Environment, measureDisk } from '../environment.js';
import { Histogram } from '../histogram.js';
import type { LoadReport, ThreadCpu } from '../load-plan.js';
import { type Spread, spreadOf } from '../statistics.js';
import { type Subject, type SubjectName, startSubject } from '../subject.js';
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
/** Into so many parts the measured time of a run is cut; before each, its connections are new and its caches cold. */
export const PARTS = 3;
const LEAD_SECONDS = 1;

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

/** A subject of a round, and what it was asked so far. */
interface Measured {
  readonly subject: Subject;
  actors: ReadonlyMap<number, string>;
  readonly parts: LoadReport[];
  /** Bodies used up. */
  sent: number;
}

/**
 * Every subject once, in a fresh process with empty data; all get the same bytes, signed with the node's key. All are warmed
 * up, and then measured in turn, part by part, the second turn backwards: on a machine whose speed drifts from one half
 * minute to the next, their ratio would tell of that.
 */
async function measureRound(
  options: IngestOptions,
  connections: number,
  round: number,
  before: readonly IngestRun[],
  atLeast = 0,
): Promise<IngestRun[]> {
  const count = Math.max(atLeast, bodiesFor(options, connections, before));
  const all: Measured[] = [];
  let wanting: SubjectName | null;
  try {
    await startAll(options, all, `b${connections}-${round}`, count);
    wanting = await loadAll(options, connections, all, count);
    if (wanting === null) {
      return all.map((measured) => {
        const report = joined(measured.parts);
        const { pid, name } = measured.subject;
        const run = runOf(name, connections, options, report, nameThreads(pid, report.serverThreads, measured.actors));
        options.progress(progressLine(round, options.runs, run));
        return run;
      });
    }
  } finally {
    await Promise.all(all.map(({ subject }) => subject.stop()));
  }
  options.progress(`${wanting} used up ${count} bodies early: the round begins again with more`);
  return measureRound(options, connections, round, before, Math.min(BODIES_MAX, 3 * count));
}

/** Into `all` one by one, so that what was started is stopped where a later one does not start. */
async function startAll(options: IngestOptions, all: Measured[], prefix: string, count: number): Promise<void> {
  for (const name of options.subjects) {
    const key: ClientKey | undefined = all[0]?.subject.key;
    const subject = await startSubject({
      name,
      directory: options.directory,
      ...(key === undefined ? {} : { key }),
      ...(options.nodeCommand === undefined ? {} : { nodeCommand: options.nodeCommand }),
    });
    const measured: Measured = { subject, actors: new Map(), parts: [], sent: 0 };
    all.push(measured);
    measured.actors = await subject.actors();
    if (key === undefined) await writeSubmissions(bodiesPath(options), subject.key, prefix, count);
  }
}

/** Null, or the subject for which there were not enough bodies though there could be more. */
async function loadAll(
  options: IngestOptions,
  connections: number,
  all: readonly Measured[],
  count: number,
): Promise<SubjectName | null> {
  const load = async (measured: Measured, warmupSeconds: number, seconds: number): Promise<LoadReport> => {
    const { subject, sent } = measured;
    const report = await drive({
      host: subject.host,
      port: subject.port,
      path: '/v1/submissions',
      bodiesFile: bodiesPath(options),
      first: sent,
      maxCount: count - sent,
      connections,
      warmupMs: warmupSeconds * 1000,
      durationMs: seconds * 1000,
      serverPid: subject.pid,
      status: 200,
      marker: subject.marker,
    });
    measured.sent += report.sent;
    return report;
  };
  // Answers of the warm-up are checked too, so it is a part: one of no time.
  for (const measured of all) measured.parts.push(await load(measured, options.warmupSeconds, 0));
  for (let part = 0; part < PARTS; part += 1) {
    for (const measured of part % 2 === 0 ? all : [...all].reverse()) {
      const report = await load(measured, leadSeconds(options), options.seconds / PARTS);
      measured.parts.push(report);
      const wants = endedEarly(report, { seconds: options.seconds / PARTS });
      if (wants && count < BODIES_MAX) return measured.subject.name;
    }
  }
  return null;
}

const bodiesPath = (options: IngestOptions): string => join(options.directory, 'submissions.ndjson');

const leadSeconds = ({ warmupSeconds }: IngestOptions): number => Math.min(LEAD_SECONDS, warmupSeconds);

function endedEarly({ exhausted, elapsedMs }: LoadReport, { seconds }: Pick<IngestOptions, 'seconds'>): boolean {
  return exhausted && elapsedMs < 1000 * seconds * WINDOW_SHARE_MIN;
}

/** Signing costs more than the run itself uses, so it is sized by the fastest run so far. */
function bodiesFor(options: IngestOptions, connections: number, before: readonly IngestRun[]): number {
  const known = before.filter((run) => run.connections === connections).map((run) => run.perSecond);
  const complete = known.length >= options.subjects.length;
  const perSecond = complete ? Math.max(...known) * HEADROOM : FIRST_GUESS_PER_SECOND;
  const seconds = options.seconds + options.warmupSeconds + PARTS * leadSeconds(options);
  return Math.min(BODIES_MAX, Math.ceil(perSecond * seconds));
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
