// When a dead actor comes back: policies, backoff, breaker and group budget as pure functions. Called by
// the supervisor alone. It must never read a clock or draw a random number: both are given.
import { BACKOFF_DEFAULTS, type BackoffSettings, backoffDelayMs } from './backoff.js';
import {
  afterFailure,
  afterSuccess,
  at,
  BREAKER_DEFAULTS,
  type Breaker,
  type BreakerSettings,
  CLOSED,
} from './breaker.js';
import type { RestartPolicy } from './contract.js';

export interface RestartSettings {
  readonly policy: RestartPolicy;
  readonly backoff: BackoffSettings;
  readonly breaker: BreakerSettings;
  /** Up this long is one success: it ends the run of failures and counts for a half-open breaker. */
  readonly successAfterMs: number;
}

export const SUCCESS_AFTER_MS = 30_000;

/** Backoff, breaker and success times of a policy when the supervisor's options name none. */
export function restartDefaults(policy: RestartPolicy): RestartSettings {
  return { policy, backoff: BACKOFF_DEFAULTS, breaker: BREAKER_DEFAULTS, successAfterMs: SUCCESS_AFTER_MS };
}

/** What an actor's past says about its next restart. Kept apart from the group's budget on purpose. */
export interface History {
  /** Failures since the last success. */
  readonly failures: number;
  readonly breaker: Breaker;
}

export const NO_HISTORY: History = { failures: 0, breaker: CLOSED };

export type Action = 'restart' | 'backoff' | 'circuit_open';

export interface Decision {
  readonly action: Action;
  readonly delayMs: number;
  readonly history: History;
  /** Whether this restart spends the group's budget. Under a breaker it does not: the breaker is the limit. */
  readonly spendsBudget: boolean;
}

/** The decision after a failure that nobody asked for. */
export function afterDeath(settings: RestartSettings, history: History, nowMs: number, random: number): Decision {
  const failures = history.failures + 1;
  if (settings.policy === 'immediate') {
    return { action: 'restart', delayMs: 0, history: { ...history, failures }, spendsBudget: true };
  }
  const delayMs = backoffDelayMs(settings.backoff, failures, random);
  if (settings.policy === 'backoff') {
    return { action: 'backoff', delayMs, history: { ...history, failures }, spendsBudget: true };
  }
  const breaker = afterFailure(history.breaker, settings.breaker, nowMs);
  if (breaker.phase === 'open') {
    return {
      action: 'circuit_open',
      delayMs: breaker.untilMs - nowMs,
      history: { failures, breaker },
      spendsBudget: false,
    };
  }
  return { action: 'backoff', delayMs, history: { failures, breaker }, spendsBudget: false };
}

/** After `successAfterMs` of uptime, once per such span. */
export function afterUptime(settings: RestartSettings, history: History, nowMs: number): History {
  return { failures: 0, breaker: afterSuccess(history.breaker, settings.breaker, nowMs) };
}

/** The history as it stands when a start is attempted: an open breaker whose time has come is half-open. */
export function atAttempt(history: History, nowMs: number): History {
  return { ...history, breaker: at(history.breaker, nowMs) };
}

/** Restarts of one group, oldest first, as monotonic milliseconds. */
export type Spent = readonly number[];

export interface Budget {
  readonly intensity: number;
  readonly periodMs: number;
}

/** Adds one restart. `over` when more than `intensity` fall within the last `periodMs`. */
export function spend(spent: Spent, budget: Budget, nowMs: number): { spent: Spent; over: boolean } {
  const recent = [...spent.filter((atMs) => nowMs - atMs < budget.periodMs), nowMs];
  return { spent: recent, over: recent.length > budget.intensity };
}
