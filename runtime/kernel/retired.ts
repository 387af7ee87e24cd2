// Metrics that outlive a thread: counters of dead incarnations are kept and added to the living one's, so that no
// counter falls at a restart. Pure; called by the supervisor. It must never keep a gauge: a dead thread has no state.

/** One metric as prom-client's `getMetricsAsJSON` gives it, plain data. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly MetricValue[];
}

export interface MetricValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Set for the parts of a histogram or summary: x_bucket, x_sum, x_count. */
  readonly metricName?: string;
}

export type MetricSnapshot = readonly Metric[];

/** The part of a snapshot that only ever grows: counters, histograms, and sum and count of summaries. */
export function lasting(snapshot: MetricSnapshot): MetricSnapshot {
  return snapshot
    .filter(({ type }) => type !== 'gauge')
    .map((metric) => ({
      ...metric,
      values:
        metric.type === 'summary' ? metric.values.filter((value) => value.metricName !== undefined) : metric.values,
    }));
}

/** `current` plus what died before it. Metrics and label sets that only one of both has are kept as they are. */
export function withRetired(current: MetricSnapshot, retired: MetricSnapshot): MetricSnapshot {
  const rest = new Map(retired.map((metric) => [metric.name, metric]));
  const summed = current.map((metric) => {
    const before = rest.get(metric.name);
    rest.delete(metric.name);
    return before === undefined ? metric : { ...metric, values: addValues(metric.values, before.values) };
  });
  return [...summed, ...rest.values()];
}

function addValues(current: readonly MetricValue[], before: readonly MetricValue[]): MetricValue[] {
  const rest = new Map(before.map((value) => [seriesOf(value), value]));
  const summed = current.map((value) => {
    const series = seriesOf(value);
    const earlier = rest.get(series);
    rest.delete(series);
    return earlier === undefined ? value : { ...value, value: value.value + earlier.value };
  });
  return [...summed, ...rest.values()];
}

function seriesOf({ metricName, labels }: MetricValue): string {
  const pairs = Object.entries(labels).sort(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify([metricName ?? '', pairs]);
}

/** One actor's metrics over all its incarnations. */
export class ActorCounters {
  #retired: MetricSnapshot = [];
  #last: MetricSnapshot = [];

  /** The living incarnation's newest snapshot. */
  seen(snapshot: MetricSnapshot): void {
    this.#last = snapshot;
  }

  /** The incarnation is gone: what it counted stays, as far as it was ever seen. */
  retire(): void {
    this.#retired = withRetired(lasting(this.#last), this.#retired);
    this.#last = [];
  }

  total(): MetricSnapshot {
    return withRetired(this.#last, this.#retired);
  }
}
