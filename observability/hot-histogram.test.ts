import { createRequire } from 'node:module';
import test from 'ava';
import fc from 'fast-check';
import { HotHistogram } from './hot-histogram.js';
import { Histogram, Registry } from './prom-client.js';

const AggregatorRegistry = createRequire(import.meta.url)(
  'prom-client/lib/cluster.js',
) as typeof import('prom-client').AggregatorRegistry;

const options = {
  name: 'h_seconds',
  help: 'a "help"',
  labelNames: ['way', 'code'] as const,
  buckets: [0.0005, 0.1, 1, 2.5],
};

test('it reads as prom-client does, alone and added up over threads', async (t) => {
  const value = fc.oneof(fc.constantFrom(0, 0.0005, 0.1, 1, 2.5, 3, 1e9), fc.double({ min: 0, max: 5, noNaN: true }));
  const observation = fc.record({
    way: fc.constantFrom('in', 'out "of"', ''),
    code: fc.constantFrom('200', '5'),
    value,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(observation, { maxLength: 40 }), async (observations) => {
      const [theirs, ours] = [new Registry(), new Registry()];
      const reference = new Histogram({
        ...options,
        labelNames: [...options.labelNames],
        buckets: [...options.buckets],
        registers: [theirs],
      });
      const histogram = new HotHistogram({ ...options, registers: [ours] });
      for (const { way, code, value } of observations) {
        reference.observe({ way, code }, value);
        histogram.labels({ way, code }).observe(value);
      }
      t.is(await ours.metrics(), await theirs.metrics());
      const twice = async (registry: Registry) => {
        const snapshot = (await registry.getMetricsAsJSON()) as unknown as object[];
        return AggregatorRegistry.aggregate([snapshot, structuredClone(snapshot)]).metrics();
      };
      t.is(await twice(ours), await twice(theirs));
    }),
  );
});

test('a name is taken once', (t) => {
  const registers = [new Registry()];
  new HotHistogram({ ...options, registers });
  t.throws(() => new HotHistogram({ ...options, registers }), { message: /h_seconds has already been registered/ });
});

test('without labels there is one series from the start; a timer observes seconds', async (t) => {
  const registry = new Registry();
  const series = new HotHistogram({ name: 'h', help: 'h', buckets: [10], registers: [registry] }).labels({});
  t.regex(await registry.metrics(), /^h_bucket\{le="10"\} 0$/m);
  series.startTimer()();
  t.regex(await registry.metrics(), /^h_count 1$/m);
  t.true(series.sum >= 0 && series.sum < 10, String(series.sum));
});
