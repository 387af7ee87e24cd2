// Backoff and outcome classes of calls to peers, as tables.
import test from 'ava';
import type { PeerOutcome } from './contract.js';
import { isRetried, outcomeOf, retryDelayMs } from './retry.js';

test('NET-4: waits double from 100 ms to 5 s, and jitter comes after the ceiling', (t) => {
  const middle = [1, 2, 3, 4, 5, 6, 7, 8, 50].map((attempt) => retryDelayMs(attempt, 0.5));
  t.deepEqual(middle, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  t.is(retryDelayMs(9, 0), 4000);
  t.is(Math.round(retryDelayMs(9, 0.999999)), 6000);
  t.is(retryDelayMs(1, 0), 80);
});

test('NET-4: only lost networks, errors of the peer and timeouts are tried again', (t) => {
  const all: PeerOutcome[] = ['success', 'network_error', 'tls_error', 'http_4xx', 'http_5xx', 'timeout'];
  t.deepEqual(all.filter(isRetried), ['network_error', 'http_5xx', 'timeout']);
  t.deepEqual([200, 204, 302, 400, 404, 429, 499, 500, 503].map(outcomeOf), [
    ...Array<PeerOutcome>(3).fill('success'),
    ...Array<PeerOutcome>(4).fill('http_4xx'),
    ...Array<PeerOutcome>(2).fill('http_5xx'),
  ]);
});
