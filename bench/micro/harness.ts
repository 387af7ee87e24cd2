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

export interface Timing {
  readonly name: string;
  readonly nsPerOp: Spread;
  readonly samples: number;
}

const SAMPLES = 15;
const SAMPLE_NS = 40e6;
const WARM_UP_NS = 300e6;

let sink: unknown = null;

/** The result that was made last: reading it here is what keeps it alive. */
export const consumed = (): unknown => sink;

export function time(bench: Bench): Timing {
  let calls = 1;
  let spentNs = 0;
  // Warm up, and find how many calls fill one sample.
  while (spentNs < WARM_UP_NS) {
    const ns = timeCalls(bench, calls);
    spentNs += ns;
    if (ns < SAMPLE_NS) calls = Math.min(calls * 2, Math.ceil((calls * SAMPLE_NS) / Math.max(ns, 1)) + 1);
  }
  const operations = bench.operations ?? 1;
  const nsPerOp = Array.from({ length: SAMPLES }, () => timeCalls(bench, calls) / calls / operations);
  bench.close?.();
  return { name: bench.name, nsPerOp: spreadOf(nsPerOp), samples: SAMPLES };
}

function timeCalls(bench: Bench, calls: number): number {
  const begin = performance.now();
  for (let call = 0; call < calls; call += 1) sink = bench.run();
  return (performance.now() - begin) * 1e6;
}
