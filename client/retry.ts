// How long to wait before the same request is sent again. Pure. Called by client/submit.ts; no clock, no randomness of its own.

/** Backoff of a client that was told nothing: 100 ms, doubled each time, at most 5 s, ±20 % after the cap. */
const FLOOR_MS = 100;
const CEILING_MS = 5_000;
const JITTER = 0.2;
/** On top of Retry-After, never below it: clients told the same second shall not come back in the same millisecond. */
const RETRY_AFTER_SPREAD = 0.1;

/**
 * @param attempt number of tries that have failed, from 1
 * @param retryAfterMs what the node asked for, or null
 * @param random uniform in [0, 1)
 */
export function retryDelayMs(attempt: number, retryAfterMs: number | null, random: number): number {
  if (retryAfterMs !== null) return Math.ceil(retryAfterMs * (1 + RETRY_AFTER_SPREAD * random));
  const base = Math.min(CEILING_MS, FLOOR_MS * 2 ** Math.min(attempt - 1, 16));
  return Math.round(base * (1 + JITTER * (2 * random - 1)));
}

/**
 * Retry-After (RFC 9110 section 10.2.3): seconds or an HTTP date.
 * @returns milliseconds from now, 0 for a moment that has passed, null when the header is absent or neither form.
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const text = header.trim();
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  const at = HTTP_DATE.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs);
}

/** Only the form that may still be sent: `Sun, 06 Nov 1994 08:49:37 GMT`. */
const HTTP_DATE = /^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$/;

/**
 * May the same bytes be sent again? The id makes every repetition safe, so what decides is whether it can help: the node
 * was busy, draining or broken. A 409 is final unless it says when to come back (the first copy is still at work).
 */
export function isRetryable(status: number, retryAfterMs: number | null): boolean {
  return status >= 500 || status === 429 || status === 408 || (status === 409 && retryAfterMs !== null);
}
