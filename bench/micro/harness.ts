// Times one operation: ns per call, median and spread of several samples. Called by every micro bench.
// It must never let the compiler drop the work: each result is consumed.
import { type Spread, spreadOf } from '../statistics.js';

export interface Bench {
  readonly name: string;
  /** Operations that one call of `run` does; ns are given for one of them. Default 1. */
  readonly operations?: number;
  /** Called over and over; what it returns is consumed. */
  run(): unknown;
  readonly close?: () => void;
}

/** The benches of one stage; bodies, keys and files are prepared here, outside the timing. */
export type Stage = (directory: string) => Promise<readonly Bench[]>;

export interface Timing {
  readonly name: string;
  readonly nsPerOp: Spread;
  readonly samples: number;
}

const SAMPLES = 15;
/** Long against a timer's resolution and a scheduler's slice, short enough that 15 fit in a second. */
export const SAMPLE_MS = 40;
const WARM_UP_SAMPLES = 8;

let sink: unknown = null;

/** The result that was made last: that it can be read here is what keeps the work alive. */
export const consumed = (): unknown => sink;

export function time(bench: Bench, sampleMs = SAMPLE_MS): Timing {
  let calls = 1;
  // Warm up, and find how many calls fill one sample.
  for (let spentMs = 0; spentMs < sampleMs * WARM_UP_SAMPLES; ) {
    const ms = timeCalls(bench, calls);
    spentMs += ms;
    if (ms < sampleMs) calls = Math.min(calls * 2, Math.ceil((calls * sampleMs) / Math.max(ms, 1e-6)));
  }
  const operations = calls * (bench.operations ?? 1);
  const nsPerOp = Array.from({ length: SAMPLES }, () => (timeCalls(bench, calls) * 1e6) / operations);
  return { name: bench.name, nsPerOp: spreadOf(nsPerOp), samples: SAMPLES };
}

function timeCalls(bench: Bench, calls: number): number {
  const begin = performance.now();
  for (let call = 0; call < calls; call += 1) sink = bench.run();
  return performance.now() - begin;
}
