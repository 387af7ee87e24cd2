// A histogram for what happens once a request or a batch: it stands in prom-client's registry, reads the same there, and counts
// without putting a name together. prom-client's own finds series and bucket by text for every value: 3 % of what ingress did
// for a request. Called by the metrics of actors. Anything rarer has prom-client's.
import type { Registry } from './prom-client.js';

export interface HotHistogramOptions<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly Label[];
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[];
  readonly registers: readonly Registry[];
}

interface Value {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** One series. */
export class HotSeries {
  readonly #bounds: readonly number[];
  /** A count a bucket, not cumulative; the last one is of what is above every bound. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at += 1;
    this.counts[at]! += 1;
    this.sum += value;
  }

  /** Starts a clock; the returned function stops it, and observes the seconds. */
  startTimer(): () => void {
    const startedAtMs = performance.now();
    return () => this.observe((performance.now() - startedAtMs) / 1000);
  }
}

/** Without label names there is one series: `labels({})`. */
export class HotHistogram<Label extends string = never> {
  readonly name: string;
  readonly #options: HotHistogramOptions<Label>;
  readonly #series = new Map<
    string,
    { readonly labels: Readonly<Record<Label, string>>; readonly series: HotSeries }
  >();

  constructor(options: HotHistogramOptions<Label>) {
    this.name = options.name;
    this.#options = options;
    // What prom-client asks of a metric is its name and `get`; its type asks for a class of its own.
    for (const registry of options.registers) registry.registerMetric(this as never);
  }

  /** The series of these labels, to be kept: finding it is what costs. */
  labels(labels: Readonly<Record<Label, string>>): HotSeries {
    const key = JSON.stringify(this.#options.labelNames?.map((name) => labels[name]) ?? []);
    let found = this.#series.get(key);
    if (found === undefined) {
      found = { labels, series: new HotSeries(this.#options.buckets) };
      this.#series.set(key, found);
    }
    return found.series;
  }

  /** As prom-client's histogram gives itself. */
  async get() {
    const { help } = this.#options;
    const values = [...this.#series.values()].flatMap(({ labels, series }) => this.#values(labels, series));
    return { name: this.name, help, type: 'histogram', values, aggregator: 'sum' };
  }

  #values(labels: Readonly<Record<Label, string>>, { counts, sum }: HotSeries): Value[] {
    const { name } = this;
    let count = 0;
    const bounds: readonly (number | string)[] = [...this.#options.buckets, '+Inf'];
    const buckets = bounds.map((le, at): Value => {
      count += counts[at]!;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
