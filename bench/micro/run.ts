// Runs the micro benches whose names hold one of the given words and renders the result. Called by main.ts.
// It must never run two at a time.
import { describeEnvironment, type Environment } from '../environment.js';
import { environmentText, spreadText, table } from '../text.js';
import { type Bench, type Timing, time } from './harness.js';

export interface MicroResult {
  readonly environment: Environment;
  readonly timings: readonly Timing[];
}

export interface MicroOptions {
  readonly words: readonly string[];
  readonly directory: string;
  readonly progress: (line: string) => void;
}

/** Makes the benches of one stage; bodies, keys and files are prepared here, outside the timing. */
type Stage = (directory: string) => Promise<readonly Bench[]> | readonly Bench[];

const STAGES: readonly Stage[] = [];

export async function micro(options: MicroOptions): Promise<MicroResult> {
  const environment = describeEnvironment(options.directory);
  const timings: Timing[] = [];
  for (const stage of STAGES) {
    for (const bench of await stage(options.directory)) {
      if (options.words.length > 0 && !options.words.some((word) => bench.name.includes(word))) {
        bench.close?.();
        continue;
      }
      const timing = time(bench);
      timings.push(timing);
      options.progress(`${timing.name}: ${spreadText(timing.nsPerOp)} ns`);
    }
  }
  return { environment, timings };
}

export function microText(result: MicroResult): string {
  const rows = result.timings.map(({ name, nsPerOp }) => [name, spreadText(nsPerOp)]);
  return [environmentText(result.environment), table([['', 'ns per operation, median (least–most)'], ...rows])].join(
    '\n',
  );
}
