// Runs the load generator as a process of its own and gives back its report. Called by the scenarios.
// It must never leave that process behind: it ends with the report, at its time limit, or with its parent.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
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
