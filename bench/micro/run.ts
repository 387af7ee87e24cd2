// Runs the micro benches whose names hold one of the given words and renders the result. Called by main.ts.
// It must never run two at a time.
import { describeEnvironment, type Environment } from '../environment.js';
import { environmentText, spreadText, table } from '../text.js';
import { SAMPLE_MS, type Stage, type Timing, time } from './harness.js';
import { ledgerStage } from './ledger.js';
import { prepareStage } from './prepare.js';
import { verifyStage } from './verify.js';
import { walStage } from './wal.js';

export interface MicroResult {
  readonly environment: Environment;
  readonly timings: readonly Timing[];
}

export interface MicroOptions {
  /** A bench runs when its name contains one of these; all run when there is none. */
  readonly words: readonly string[];
  readonly directory: string;
  readonly sampleMs?: number;
  readonly progress: (line: string) => void;
}

const STAGES: readonly Stage[] = [prepareStage, verifyStage, ledgerStage, walStage];

export async function micro(options: MicroOptions): Promise<MicroResult> {
  const environment = describeEnvironment(options.directory);
  const timings: Timing[] = [];
  for (const stage of STAGES) {
    for (const bench of await stage(options.directory)) {
      if (options.words.length === 0 || options.words.some((word) => bench.name.includes(word))) {
        const timing = time(bench, options.sampleMs ?? SAMPLE_MS);
        timings.push(timing);
        options.progress(`${timing.name}: ${spreadText(timing.nsPerOp)} ns`);
      }
      bench.close?.();
    }
  }
  return { environment, timings };
}

export function microText(result: MicroResult): string {
  const rows = result.timings.map(({ name, nsPerOp }) => [name, spreadText(nsPerOp)]);
  const head = ['', 'ns per operation, median (least–most)'];
  return [environmentText(result.environment), table([head, ...rows])].join('\n');
}
