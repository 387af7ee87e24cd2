// Caches of given answers: bounded, timed by the node's own clock, and resized without forgetting more than they must.
import test from 'ava';
import { answerCache, resized } from './answer-cache.js';

test('IN-6: a resized cache keeps its newest entries, each for the time it was given', (t) => {
  let nowMs = 1;
  const monotonic = () => nowMs;
  const cache = answerCache<string>({ max: 4, ttl_ms: 100 }, monotonic);
  for (const key of ['a', 'b', 'c', 'd']) cache.set(key, key.toUpperCase());
  cache.get('a');
  nowMs += 60;
  const next = resized(cache, { max: 2, ttl_ms: 1_000 }, monotonic);
  t.deepEqual([...next.keys()].sort(), ['a', 'd'], 'used last, and stored last');
  next.set('e', 'E');
  t.is(next.size, 2);
  nowMs += 50;
  t.is(next.get('a'), undefined, 'its 100 ms are over');
  t.is(next.get('e'), 'E', 'this one has 1 000');
});

test('IN-6: unchanged limits keep the very cache', (t) => {
  const cache = answerCache<string>({ max: 2, ttl_ms: 10 }, () => 1);
  t.is(
    resized(cache, { max: 2, ttl_ms: 10 }, () => 1),
    cache,
  );
});
