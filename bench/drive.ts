// Runs the load generator as a process of its own and gives back its report; joins reports. Called by the scenarios.
// It must never leave that process behind: it ends with the report, at its time limit, or with its parent.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Histogram } from './histogram.js';
import { DRAIN_LIMIT_MS, type LoadPlan, type LoadReport } from './load-plan.js';

const LOAD_PATH = fileURLToPath(new URL('./load.js', import.meta.url));
/** Reading and serialising the bodies and opening the connections: 200 000 bodies take about a second. */
const START_LIMIT_MS = 30_000;

/** Rejects when the load generator fails or outlives its plan. A server that answers wrongly is in the report. */
export function drive(plan: LoadPlan): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    const child = fork(LOAD_PATH, { execArgv: [] });
    let report: LoadReport | null = null;
    const limitMs = START_LIMIT_MS + plan.warmupMs + plan.durationMs + DRAIN_LIMIT_MS;
    const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
    child.once('message', (message) => {
      report = message as LoadReport;
      child.disconnect(); // It ends then, and not before: its exit could overtake its report.
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(limit);
      if (report !== null) resolve(report);
      else reject(new Error(`the load generator ended with ${signal ?? code} and no report (limit ${limitMs} ms)`));
    });
    child.send(plan);
  });
}

/** Reports on one server, one after the other, as one. Throws RangeError without any. */
export function joined(reports: readonly LoadReport[]): LoadReport {
  const [first] = reports;
  const last = reports.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('there is no report to join');
  const latency = new Histogram();
  for (const report of reports) latency.merge(report.latency);
  const sum = (of: (report: LoadReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  return {
    elapsedMs: sum(({ elapsedMs }) => elapsedMs),
    completed: sum(({ completed }) => completed),
    latency: latency.data(),
    sent: sum(({ sent }) => sent),
    statuses: added(reports.map(({ statuses }) => statuses)),
    wrong: sum(({ wrong }) => wrong),
    firstWrong: reports.find(({ firstWrong }) => firstWrong !== null)?.firstWrong ?? null,
    errors: added(reports.map(({ errors }) => errors)),
    exhausted: last.exhausted,
    serverThreads: last.serverThreads.map(({ tid, name }) => ({
      tid,
      name,
      cpuUs: sum(({ serverThreads }) => serverThreads.find((thread) => thread.tid === tid)?.cpuUs ?? 0),
    })),
    loadCpuUs: sum(({ loadCpuUs }) => loadCpuUs),
    hostBusyUs: sum(({ hostBusyUs }) => hostBusyUs),
    hostStealUs: sum(({ hostStealUs }) => hostStealUs),
    rssStartBytes: first.rssStartBytes,
    rssEndBytes: last.rssEndBytes,
  };
}

function added(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const each of counts) for (const name in each) total[name] = (total[name] ?? 0) + each[name]!;
  return total;
}

/** What is wrong with a run, in words; empty when every request got the planned answer. */
export function faultsOf(report: LoadReport): string[] {
  const faults = Object.entries(report.errors).map(([error, count]) => `${count} × ${error}`);
  if (report.wrong > 0) {
    const statuses = Object.entries(report.statuses).map(([status, count]) => `${count} × ${status}`);
    faults.push(`${report.wrong} wrong answers (${statuses.join(', ')}); the first: ${report.firstWrong}`);
  }
  if (report.completed === 0) faults.push('no answer in the measured window');
  return faults;
}
