// Counters over the deaths of the threads that kept them.
import test from 'ava';
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry, Summary } from 'prom-client';
import { ActorCounters, type MetricSnapshot } from './retired.js';

/** What one incarnation counted. */
async function incarnation(count: number, observed: number[], gauge: number): Promise<MetricSnapshot> {
  const registry = new Registry();
  const registers = [registry];
  new Counter({ name: 'c_total', help: 'c', labelNames: ['way'], registers }).inc({ way: 'in' }, count);
  const histogram = new Histogram({ name: 'h_seconds', help: 'h', buckets: [1, 2], registers });
  const summary = new Summary({ name: 's_seconds', help: 's', percentiles: [0.5], registers });
  for (const value of observed) {
    histogram.observe(value);
    summary.observe(value);
  }
  new Gauge({ name: 'g', help: 'g', registers }).set(gauge);
  return structuredClone((await registry.getMetricsAsJSON()) as unknown as MetricSnapshot);
}

async function text(snapshot: MetricSnapshot): Promise<string> {
  return AggregatorRegistry.aggregate([snapshot as unknown as object[]]).metrics();
}

test('RT-9: counters and histograms add up over incarnations, gauges are the living one', async (t) => {
  const counters = new ActorCounters();
  counters.seen(await incarnation(3, [0.5, 1.5], 7));
  counters.retire();
  counters.seen(await incarnation(4, [5], 9));
  const lines = (await text(counters.total())).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  t.deepEqual(lines, [
    'c_total{way="in"} 7',
    'h_seconds_bucket{le="1"} 1',
    'h_seconds_bucket{le="2"} 2',
    'h_seconds_bucket{le="+Inf"} 3',
    'h_seconds_sum 7',
    'h_seconds_count 3',
    's_seconds{quantile="0.5"} 5',
    's_seconds_sum 7',
    's_seconds_count 3',
    'g 9',
  ]);
});

test('RT-9: between two incarnations the counters stand still and no gauge is left', async (t) => {
  const counters = new ActorCounters();
  counters.seen(await incarnation(3, [0.5], 7));
  counters.retire();
  const names = counters.total().map(({ name }) => name);
  t.deepEqual(names, ['c_total', 'h_seconds', 's_seconds']);
  t.regex(await text(counters.total()), /c_total\{way="in"\} 3/);
});

test('RT-9: a death without a new snapshot is not counted twice', async (t) => {
  const counters = new ActorCounters();
  counters.seen(await incarnation(3, [], 0));
  counters.retire();
  counters.retire();
  t.regex(await text(counters.total()), /c_total\{way="in"\} 3/);
});

test('RT-9: a series that only the dead incarnation had is kept', (t) => {
  const counter = (way: string, value: number): MetricSnapshot => [
    { name: 'c_total', help: 'c', type: 'counter', aggregator: 'sum', values: [{ value, labels: { way } }] },
  ];
  const counters = new ActorCounters();
  counters.seen(counter('in', 1));
  counters.retire();
  counters.seen(counter('out', 2));
  t.deepEqual(
    counters.total()[0]!.values.map(({ labels, value }) => [labels.way, value]),
    [
      ['out', 2],
      ['in', 1],
    ],
  );
});
