// What the load generator is told and what it reports: the plain data that crosses the border between it and the bench.
// Imported by load.ts (the process) and drive.ts (its parent). It must never hold behaviour.
import type { HistogramData } from './histogram.js';

export interface LoadPlan {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** One JSON body a line. */
  readonly bodiesFile: string;
  /** Line to begin with, and how many to send at most, warm-up included. */
  readonly first: number;
  readonly maxCount: number;
  readonly connections: number;
  readonly warmupMs: number;
  /** Length of the measured window; the run also ends when the bodies are used up. */
  readonly durationMs: number;
  /** The process whose threads and memory are sampled at the edges of the window. */
  readonly serverPid: number;
  /** An answer is right when its status is this and its body contains `marker`. */
  readonly status: number;
  readonly marker: string;
}

export interface ThreadCpu {
  readonly tid: number;
  readonly name: string;
  readonly cpuUs: number;
}

export interface LoadReport {
  /** The measured window, and the answers that came in it. */
  readonly elapsedMs: number;
  readonly completed: number;
  readonly latency: HistogramData;
  /** Requests sent in the whole run: warm-up, window and what was in flight at its end. */
  readonly sent: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** Answers with another status or without the marker, and the first of them. */
  readonly wrong: number;
  readonly firstWrong: string | null;
  /** Connections lost, unreadable responses and answers that never came, by message. */
  readonly errors: Readonly<Record<string, number>>;
  /** The bodies ended before the time did. */
  readonly exhausted: boolean;
  /** CPU time within the window. */
  readonly serverThreads: readonly ThreadCpu[];
  readonly loadCpuUs: number;
  readonly hostBusyUs: number;
  readonly hostStealUs: number;
  readonly rssStartBytes: number;
  readonly rssEndBytes: number;
}

/** An answer later than this after the end of the window counts as an error. */
export const DRAIN_LIMIT_MS = 15_000;
