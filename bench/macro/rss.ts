// The memory scenario: resident memory after 10 000 submissions and again after 100 000, in one process.
// Called by main.ts. It must never stop the server between the two points.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { drive, faultsOf } from '../drive.js';
import { describeEnvironment, type Environment } from '../environment.js';
import { rssBytes } from '../proc.js';
import { spreadOf } from '../statistics.js';
import { type SubjectName, startSubject } from '../subject.js';
import { writeSubmissions } from '../submissions.js';
import { count, environmentText, number } from '../text.js';

export interface RssOptions {
  readonly subject: SubjectName;
  readonly connections: number;
  /** Submissions in all at each point, ascending. */
  readonly points: readonly number[];
  readonly directory: string;
  readonly nodeCommand?: readonly string[];
  /** Between the readings after each point. Default 100 ms. */
  readonly readingEveryMs?: number;
  readonly progress: (line: string) => void;
}

export interface RssResult {
  readonly environment: Environment;
  readonly subject: SubjectName;
  readonly readyMiB: number;
  readonly points: readonly { readonly submissions: number; readonly rssMiB: number }[];
  /** Last point over first. */
  readonly ratio: number;
  readonly faults: readonly string[];
}

/** Slower than 200 a second is a fault of its own kind: the window then ends before the count is reached. */
const SLOWEST_PER_SECOND = 200;
/** The run ends with the last submission; a few of them on a busy machine must not run out of time first. */
const DURATION_LEAST_MS = 20_000;
/** After the load: the median of a few readings, so that one garbage collection decides nothing. */
const READINGS = 9;
const READING_EVERY_MS = 100;

export async function rss(options: RssOptions): Promise<RssResult> {
  const environment = describeEnvironment(options.directory);
  const bodiesFile = join(options.directory, 'submissions.ndjson');
  const total = options.points.at(-1) ?? 0;
  const subject = await startSubject({
    name: options.subject,
    directory: options.directory,
    ...(options.nodeCommand === undefined ? {} : { nodeCommand: options.nodeCommand }),
  });
  try {
    await writeSubmissions(bodiesFile, subject.key, 'rss', total);
    const readyMiB = await settledRssMiB(subject.pid, options.readingEveryMs ?? READING_EVERY_MS);
    const points: { submissions: number; rssMiB: number }[] = [];
    const faults: string[] = [];
    let sent = 0;
    for (const submissions of options.points) {
      const wanted = submissions - sent;
      const report = await drive({
        host: subject.host,
        port: subject.port,
        path: '/v1/submissions',
        bodiesFile,
        first: sent,
        maxCount: wanted,
        connections: options.connections,
        warmupMs: 0,
        durationMs: Math.max(DURATION_LEAST_MS, (wanted / SLOWEST_PER_SECOND) * 1000),
        serverPid: subject.pid,
        status: 200,
        marker: subject.marker,
      });
      sent += report.sent;
      faults.push(...faultsOf(report));
      if (report.sent < wanted) faults.push(`${report.sent} of ${wanted} submissions were sent`);
      points.push({
        submissions: sent,
        rssMiB: await settledRssMiB(subject.pid, options.readingEveryMs ?? READING_EVERY_MS),
      });
      options.progress(`${options.subject}: ${sent} submissions, RSS ${number(points.at(-1)?.rssMiB ?? 0)} MiB`);
    }
    const ratio = (points.at(-1)?.rssMiB ?? 0) / (points[0]?.rssMiB ?? 1);
    return { environment, subject: options.subject, readyMiB, points, ratio, faults };
  } finally {
    await subject.stop();
    rmSync(bodiesFile, { force: true });
  }
}

async function settledRssMiB(pid: number, everyMs: number): Promise<number> {
  const readings: number[] = [];
  for (let reading = 0; reading < READINGS; reading += 1) {
    await delay(everyMs);
    readings.push(rssBytes(pid) / 2 ** 20);
  }
  return spreadOf(readings).median;
}

export function rssText(result: RssResult): string {
  return [
    `Resident memory of the ${result.subject}; ${environmentText(result.environment)}`,
    `  when ready: ${number(result.readyMiB)} MiB`,
    ...result.points.map(
      ({ submissions, rssMiB }) => `  after ${count(submissions)} submissions: ${number(rssMiB)} MiB`,
    ),
    `  last / first: ${number(result.ratio)}`,
    ...result.faults.map((fault) => `  FAULT ${fault}`),
  ].join('\n');
}

/** Null when the result passes. */
export function rssVerdict(result: RssResult, maxRatio: number): string | null {
  if (result.faults.length > 0) return 'not every request was answered as planned';
  return result.ratio > maxRatio ? `RSS grew by ${number(result.ratio)}; at most ${maxRatio} is wanted` : null;
}
