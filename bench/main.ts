// `npm run bench -- <scenario>`: reads the command line, runs one scenario, prints its result, gives the exit code.
// Progress goes to standard error, the result to standard output. It must never measure anything itself.
import { join } from 'node:path';
import { ROOT } from './environment.js';
import { saveResult } from './history.js';
import { type IngestOptions, ingest } from './macro/ingest.js';
import { ingestText, ingestVerdict } from './macro/ingest-report.js';
import { rss, rssText, rssVerdict } from './macro/rss.js';
import { micro, microText } from './micro/run.js';
import { type CommandLine, choicesOf, countsOf, numberOf, parseCommandLine, USAGE, UsageError } from './options.js';

interface Outcome {
  readonly result: object;
  readonly text: string;
  /** Why the run does not pass; null when it does. */
  readonly verdict: string | null;
}

const progress = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

async function runIngest(line: CommandLine, directory: string): Promise<Outcome> {
  const options: IngestOptions = {
    subjects: choicesOf(line, 'subjects', ['node', 'floor'], ['node', 'floor']),
    connections: countsOf(line, 'connections', [64, 256], 1024),
    runs: Math.round(numberOf(line, 'runs', 5, 1, 50)),
    seconds: numberOf(line, 'seconds', 6, 0.2, 60),
    warmupSeconds: numberOf(line, 'warmup', 20, 0, 60),
    directory,
    progress,
  };
  const minRatio = line.text['min-ratio'] === undefined ? null : numberOf(line, 'min-ratio', 0, 0, 100);
  const result = await ingest(options);
  return { result, text: ingestText(options, result), verdict: ingestVerdict(result, minRatio) };
}

async function runRss(line: CommandLine, directory: string): Promise<Outcome> {
  const points = [...countsOf(line, 'points', [10_000, 100_000], 200_000)].sort((a, b) => a - b);
  const [subject = 'node', ...more] = choicesOf(line, 'subjects', ['node'], ['node', 'floor']);
  const [connections = 64, ...others] = countsOf(line, 'connections', [64], 1024);
  if (more.length > 0 || others.length > 0) throw new UsageError('rss takes one subject and one number of connections');
  const maxRatio = numberOf(line, 'max-ratio', 1.2, 1, 100);
  const result = await rss({ subject, connections, points, directory, progress });
  return { result, text: rssText(result), verdict: rssVerdict(result, maxRatio) };
}

async function runMicro(line: CommandLine, directory: string): Promise<Outcome> {
  const result = await micro({ words: line.words, directory, progress });
  return { result, text: microText(result), verdict: null };
}

async function main(argv: readonly string[]): Promise<number> {
  const line = parseCommandLine(argv);
  if (line.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const directory = line.text.dir ?? join(ROOT, 'artifacts', 'bench');
  const run = line.scenario === 'ingest' ? runIngest : line.scenario === 'rss' ? runRss : runMicro;
  const { result, text, verdict } = await run(line, directory);
  process.stdout.write(line.json ? `${JSON.stringify(result, null, 2)}\n` : `${text}\n`);
  if (verdict !== null) process.stderr.write(`FAILED: ${verdict}\n`);
  if (line.save && verdict === null) saveResult(line.scenario, result);
  return verdict === null ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const usage = error instanceof UsageError;
    const text = error instanceof Error ? error.message : String(error);
    process.stderr.write(usage ? `${text}\n\n${USAGE}` : `${text}\n`);
    process.exitCode = usage ? 64 : 70;
  },
);
