// Proves the histogram against a sorted array of the same samples. Run by ava.
// Nothing here measures time.
import test from 'ava';
import fc from 'fast-check';
import { Histogram } from './histogram.js';

const exactPercentile = (sorted: readonly number[], percent: number): number =>
  sorted[Math.max(1, Math.ceil((percent / 100) * sorted.length)) - 1] ?? 0;

test('a percentile is never below the exact one and at most 1/128 above it', (t) => {
  const latencies = fc.array(fc.oneof(fc.nat(300), fc.nat(100_000), fc.nat(2 ** 31 - 1)), { minLength: 1 });
  fc.assert(
    fc.property(latencies, fc.constantFrom(0, 1, 50, 90, 99, 99.9, 100), (values, percent) => {
      const histogram = new Histogram();
      for (const value of values) histogram.record(value);
      const exact = exactPercentile(
        [...values].sort((a, b) => a - b),
        percent,
      );
      const found = histogram.percentile(percent);
      return found >= exact && found <= exact + exact / 128;
    }),
  );
  t.pass();
});

test('values below 256 µs are exact, the maximum always is', (t) => {
  const histogram = new Histogram();
  for (let value = 0; value < 256; value += 1) histogram.record(value);
  histogram.record(1_234_567);
  t.is(histogram.percentile((100 * 100) / 257), 99);
  t.is(histogram.percentile(100), 1_234_567);
  t.is(histogram.maxUs, 1_234_567);
  t.is(histogram.count, 257);
});

test('a histogram without samples answers 0', (t) => {
  t.is(new Histogram().percentile(99), 0);
});

test('values below zero and past the top are counted, not lost', (t) => {
  const histogram = new Histogram();
  histogram.record(-5);
  histogram.record(2 ** 40);
  t.is(histogram.count, 2);
  t.is(histogram.percentile(1), 0);
  t.is(histogram.percentile(100), 2 ** 31 - 1);
});

test('merging the data of parts equals recording into one', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(1_000_000)), fc.array(fc.nat(1_000_000)), (left, right) => {
      const whole = new Histogram();
      for (const value of [...left, ...right]) whole.record(value);
      const merged = new Histogram();
      for (const part of [left, right]) {
        const histogram = new Histogram();
        for (const value of part) histogram.record(value);
        merged.merge(JSON.parse(JSON.stringify(histogram.data())));
      }
      t.deepEqual(merged.data(), whole.data());
    }),
  );
});

test('data with an index that no bucket has is refused', (t) => {
  t.throws(() => new Histogram().merge({ count: 1, maxUs: 1, buckets: [[99_999, 1]] }), { instanceOf: RangeError });
});
