// Circuit breaker as a pure state machine. Called by restart.ts for actors, and by whoever guards a peer or a store.
// It must never read the time: `nowMs` is always given.

export interface BreakerSettings {
  /** Consecutive failures that open it. */
  readonly failures: number;
  /** How long it stays open before one attempt is let through. */
  readonly openMs: number;
  /** Successes in half-open that close it. */
  readonly successes: number;
}

export const BREAKER_DEFAULTS: BreakerSettings = { failures: 5, openMs: 60_000, successes: 3 };

export type Breaker =
  | { readonly phase: 'closed'; readonly failures: number }
  | { readonly phase: 'open'; readonly untilMs: number }
  | { readonly phase: 'half-open'; readonly successes: number };

export type BreakerPhase = Breaker['phase'];

export const CLOSED: Breaker = { phase: 'closed', failures: 0 };

/** What the breaker is at `nowMs`: an open one becomes half-open by time alone. */
export function at(breaker: Breaker, nowMs: number): Breaker {
  return breaker.phase === 'open' && nowMs >= breaker.untilMs ? { phase: 'half-open', successes: 0 } : breaker;
}

/** A failure: counts in closed, reopens in half-open, changes nothing in open (a late answer must not prolong it). */
export function afterFailure(breaker: Breaker, settings: BreakerSettings, nowMs: number): Breaker {
  const current = at(breaker, nowMs);
  if (current.phase === 'open') return current;
  if (current.phase === 'half-open') return { phase: 'open', untilMs: nowMs + settings.openMs };
  const failures = current.failures + 1;
  return failures >= settings.failures
    ? { phase: 'open', untilMs: nowMs + settings.openMs }
    : { phase: 'closed', failures };
}

/** A success: zeroes the count in closed, closes half-open after enough of them, changes nothing in open. */
export function afterSuccess(breaker: Breaker, settings: BreakerSettings, nowMs: number): Breaker {
  const current = at(breaker, nowMs);
  if (current.phase === 'open') return current;
  if (current.phase === 'closed') return CLOSED;
  const successes = current.successes + 1;
  return successes >= settings.successes ? CLOSED : { phase: 'half-open', successes };
}
