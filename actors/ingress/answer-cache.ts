// Caches of what was answered before (IN-6: 10 000 entries, 10 minutes, both configurable). Made for the recorded answers
// and for Idempotency-Key. The clock is the node's own, so that a test or a simulation can move it.
import { LRUCache } from 'lru-cache';

/** The section `idempotency` of the configuration. */
export interface CacheLimits {
  readonly max: number;
  readonly ttl_ms: number;
}

export function answerCache<Value extends object | string>(
  { max, ttl_ms: ttl }: CacheLimits,
  monotonic: () => number,
): LRUCache<string, Value> {
  return new LRUCache({ max, ttl, ttlResolution: 0, perf: { now: monotonic } });
}

/** A cache of other limits with the newest entries of `cache`; each keeps the time to live that it was stored with. */
export function resized<Value extends object | string>(
  cache: LRUCache<string, Value>,
  limits: CacheLimits,
  monotonic: () => number,
): LRUCache<string, Value> {
  if (cache.max === limits.max && cache.ttl === limits.ttl_ms) return cache;
  const next = answerCache<Value>(limits, monotonic);
  for (const [key, entry] of cache.dump().slice(-limits.max))
    next.set(key, entry.value, { ttl: cache.getRemainingTTL(key) });
  return next;
}
