// When a client comes back: the backoff, Retry-After, and which answers are worth another try.
import test from 'ava';
import fc from 'fast-check';
import { isRetryable, parseRetryAfter, retryDelayMs } from './retry.js';

test('NET-4: the backoff is 100 ms doubled up to 5 s, with 20 % jitter after the cap', (t) => {
  const middle = [1, 2, 3, 4, 5, 6, 7, 8, 1000].map((attempt) => retryDelayMs(attempt, null, 0.5));
  t.deepEqual(middle, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  t.is(retryDelayMs(7, null, 0), 4000);
  t.is(retryDelayMs(7, null, 0.9999999), 6000);
});

test('IN-13: Retry-After is never cut short, and spread by a tenth at most', (t) => {
  fc.assert(
    fc.property(
      fc.nat(1000),
      fc.nat(120_000),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempt, ms, random) => {
        const delay = retryDelayMs(attempt + 1, ms, random);
        t.true(delay >= ms && delay <= Math.ceil(ms * 1.1));
      },
    ),
  );
});

test('Retry-After is seconds or an HTTP date; anything else counts as absent', (t) => {
  const now = Date.parse('1994-11-06T08:49:07Z');
  const stories: [string | null, number | null][] = [
    [null, null],
    ['0', 0],
    ['60', 60_000],
    [' 7 ', 7000],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sun, 06 Nov 1994 08:00:00 GMT', 0],
    ['-1', null],
    ['1.5', null],
    ['soon', null],
    ['1994-11-06', null],
    ['', null],
  ];
  for (const [header, expected] of stories) t.is(parseRetryAfter(header, now), expected, String(header));
});

test('what can help is repeated, what is final is not', (t) => {
  for (const status of [408, 429, 500, 502, 503, 504]) t.true(isRetryable(status, null), String(status));
  for (const status of [200, 202, 400, 401, 403, 404, 409, 413, 415, 422])
    t.false(isRetryable(status, null), String(status));
  t.true(isRetryable(409, 1000));
  t.false(isRetryable(422, 1000));
});
