// When a call to a peer is tried again, and after how long: pure. Called by caller.ts. It must never draw a random number:
// it is given.
import type { PeerOutcome } from './contract.js';

export const ATTEMPTS_MAX = 10;
/** One attempt, connecting included. */
export const TIMEOUT_MS = 2_500;
const FLOOR_MS = 100;
const CEILING_MS = 5_000;
/** Applied after the ceiling, so that a long row of retries of many nodes does not fall into step: 4 to 6 s at last. */
const JITTER = 0.2;

const RETRIED: ReadonlySet<PeerOutcome> = new Set<PeerOutcome>(['network_error', 'http_5xx', 'timeout']);

export function isRetried(outcome: PeerOutcome): boolean {
  return RETRIED.has(outcome);
}

/** Wait after the `attempt`-th attempt (1 = first): 100 ms, 200 ms … 5 s, ± 20 %. `random` in [0, 1). */
export function retryDelayMs(attempt: number, random: number): number {
  const exact = Math.min(CEILING_MS, FLOOR_MS * 2 ** (Math.max(1, attempt) - 1));
  return exact * (1 + JITTER * (2 * random - 1));
}

/** The class of an HTTP status. */
export function outcomeOf(status: number): PeerOutcome {
  if (status >= 500) return 'http_5xx';
  return status >= 400 ? 'http_4xx' : 'success';
}
