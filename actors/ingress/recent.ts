// The bounded memory of ingress: entries fall out by age or by number, whichever comes first. Made here so that a reload
// can change both bounds. Used by the recorded answers and the Idempotency-Keys.
import { LRUCache } from 'lru-cache';

/** @param ttlMs from the moment an entry is set */
export function recentCache<Value extends object | string>(
  max: number,
  ttlMs: number,
  monotonic: () => number,
): LRUCache<string, Value> {
  return new LRUCache({ max, ttl: ttlMs, ttlResolution: 0, perf: { now: monotonic } });
}

/** The same memory under other bounds: the newest entries stay, with the age limit that they were set with. */
export function resized<Value extends object | string>(
  cache: LRUCache<string, Value>,
  max: number,
  ttlMs: number,
): LRUCache<string, Value> {
  if (max === cache.max && ttlMs === cache.ttl) return cache;
  const next = recentCache<Value>(max, ttlMs, () => cache.perf.now());
  next.load(cache.dump());
  return next;
}
