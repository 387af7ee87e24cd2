// The median of a few runs and how far they lie apart: the only statistics the benches print.
// Called by every scenario. It must never give a mean: one disturbed run would move it.

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of an even number of values the median is the mean of the middle two. Throws RangeError without values. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[(sorted.length - 1) >> 1];
  const high = sorted[sorted.length >> 1];
  const min = sorted[0];
  const max = sorted.at(-1);
  if (low === undefined || high === undefined || min === undefined || max === undefined) {
    throw new RangeError('a spread needs at least one value');
  }
  return { median: (low + high) / 2, min, max };
}

export function mapSpread(spread: Spread, convert: (value: number) => number): Spread {
  return { median: convert(spread.median), min: convert(spread.min), max: convert(spread.max) };
}
