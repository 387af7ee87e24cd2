// A log-linear histogram of latencies in whole microseconds, as HdrHistogram does it: constant relative error, fixed
// memory. The load generator records into it and sends it to the report.
// It must never lose a sample: values past the top are counted in the last bucket and known by `max`.

/** 128 linear steps per power of two: a reported value is at most 1/128 (0.8 %) above the recorded one. */
const STEP_BITS = 7;
const STEPS = 1 << STEP_BITS;
const TOP_BITS = 31;
const BUCKETS = (TOP_BITS - STEP_BITS) * STEPS + STEPS;
const LARGEST = 2 ** TOP_BITS - 1;

/** What crosses the process border: counts by bucket index, only those that are not zero. */
export interface HistogramData {
  readonly count: number;
  readonly maxUs: number;
  readonly buckets: readonly (readonly [index: number, count: number])[];
}

export class Histogram {
  private readonly counts = new Float64Array(BUCKETS);
  private total = 0;
  private largestUs = 0;

  get count(): number {
    return this.total;
  }

  get maxUs(): number {
    return this.largestUs;
  }

  record(valueUs: number): void {
    const value = valueUs < 0 ? 0 : Math.min(Math.round(valueUs), LARGEST);
    this.counts[bucketOf(value)]! += 1;
    this.total += 1;
    if (value > this.largestUs) this.largestUs = value;
  }

  /**
   * The smallest recorded value (to the bucket's upper edge) that at least `percent` of the samples do not exceed, in
   * microseconds; 0 without samples. 100 gives the exact maximum.
   */
  percentile(percent: number): number {
    if (this.total === 0) return 0;
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.total));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index += 1) {
      seen += this.counts[index]!;
      if (seen >= wanted) return Math.min(upperEdge(index), this.largestUs);
    }
    return this.largestUs;
  }

  data(): HistogramData {
    const buckets: [number, number][] = [];
    this.counts.forEach((count, index) => {
      if (count > 0) buckets.push([index, count]);
    });
    return { count: this.total, maxUs: this.largestUs, buckets };
  }

  merge(data: HistogramData): void {
    for (const [index, count] of data.buckets) {
      if (index < 0 || index >= BUCKETS) throw new RangeError(`bucket ${index} is outside 0..${BUCKETS - 1}`);
      this.counts[index]! += count;
    }
    this.total += data.count;
    if (data.maxUs > this.largestUs) this.largestUs = data.maxUs;
  }
}

/** Below 2 × STEPS every value has its own bucket; above, each power of two is cut into STEPS. */
function bucketOf(value: number): number {
  if (value < 2 * STEPS) return value;
  const shift = 31 - STEP_BITS - Math.clz32(value);
  return shift * STEPS + (value >>> shift);
}

function upperEdge(index: number): number {
  if (index < 2 * STEPS) return index;
  const shift = Math.floor(index / STEPS) - 1;
  return (index - shift * STEPS + 1) * 2 ** shift - 1;
}
