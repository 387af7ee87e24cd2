// The ingest result as text. Called by main.ts. It must never leave out a fault or a spread.

import { spreadOf } from '../statistics.js';
import { diskText, environmentText, number, spreadText, table } from '../text.js';
import { type IngestOptions, type IngestResult, type LevelSummary, PARTS } from './ingest.js';

export function ingestText(options: IngestOptions, result: IngestResult): string {
  const faults = result.runs.flatMap((run) =>
    run.faults.map((fault) => `  ${run.subject}, ${run.connections} connections: ${fault}`),
  );
  const exhausted = result.runs.filter((run) => run.exhausted).length;
  return [
    `Ingest: ${options.subjects.join(' and ')} in turn, ${options.runs} runs of ${options.seconds} s each in ${PARTS} parts, after ` +
      `${options.warmupSeconds} s of warm-up, fresh process and empty data each run, closed loop`,
    environmentText(result.environment),
    `Disk (${result.environment.fileSystem}), 4 KiB + fdatasync: before ${diskText(result.diskBefore)}; ` +
      `after ${diskText(result.diskAfter)}`,
    noiseText(result),
    ...result.levels.map((level) => levelText(level)),
    'Median (least–most) of the runs. In a closed loop at saturation p99 is optimistic.',
    ...(exhausted > 0 ? [`${exhausted} runs used up their bodies before the time.`] : []),
    ...(faults.length > 0 ? ['FAULTS, the result does not count:', ...faults] : []),
  ].join('\n');
}

function noiseText(result: IngestResult): string {
  const foreign = spreadOf(result.runs.map((run) => run.foreignPercent));
  const steal = spreadOf(result.runs.map((run) => run.stealPercent));
  return `Others on the machine, % of one core: ${spreadText(foreign)}; stolen by the host: ${spreadText(steal)}`;
}

function levelText(level: LevelSummary): string {
  const head = ['', 'per s', 'p50 ms', 'p99 ms', 'CPU µs each', 'load µs each', 'RSS MiB'];
  const rows = level.subjects.map((subject) => [
    subject.subject,
    spreadText(subject.perSecond),
    spreadText(subject.p50Ms),
    spreadText(subject.p99Ms),
    spreadText(subject.cpuUs),
    spreadText(subject.loadUs),
    spreadText(subject.rssMiB),
  ]);
  const threads = level.subjects.map((subject) => {
    const parts = Object.entries(subject.threadsUs).map(([name, us]) => `${name} ${spreadText(us)}`);
    return `  ${subject.subject}, CPU µs a submission by thread: ${parts.join(', ')}`;
  });
  return [
    `\n${level.connections} connections`,
    table([head, ...rows]),
    ...threads,
    ...(level.ratio === null ? [] : [`  node / floor, run by run: ${spreadText(level.ratio)}`]),
    '',
  ].join('\n');
}

/** Null when the result passes: no fault, and the median ratio of every level is at least `minRatio`. */
export function ingestVerdict(result: IngestResult, minRatio: number | null): string | null {
  if (result.runs.some((run) => run.faults.length > 0)) return 'not every request was answered as planned';
  for (const { connections, ratio } of result.levels) {
    if (minRatio !== null && ratio !== null && ratio.median < minRatio) {
      return `node / floor is ${number(ratio.median)} at ${connections} connections; at least ${minRatio} is wanted`;
    }
  }
  return null;
}
