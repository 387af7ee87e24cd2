// Time as the kernel takes it: the system's clock, and one that a test moves by hand. Called by the supervisor, the
// links and every actor through its context; nothing else of the kernel may read the time or set a timer.
import type { Clock, Timer } from './contract.js';

/** The machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  // setTimeout counts whole milliseconds of the loop's own time and may fire up to one early by `monotonic`. Whoever
  // then looks at the clock finds that nothing is due yet, and nobody calls again.
  setTimer(delayMs, run) {
    const dueMs = performance.now() + delayMs;
    const wait = (leftMs: number) => setTimeout(fire, Math.min(TIMEOUT_MAX_MS, Math.ceil(leftMs)));
    const fire = (): void => {
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) handle = wait(leftMs);
      else run();
    };
    let handle = wait(delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};

/** 2³¹−1 ms, 24.8 days: a longer timeout would end at once. */
const TIMEOUT_MAX_MS = 2_147_483_647;

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A clock that stands still until `advance`. Timers due at the same moment run in the order they were set. */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #startMs: number;
  #order = 0;
  #due: Due[] = [];

  constructor(startMs = 0) {
    this.#startMs = startMs;
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs - this.#startMs;
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const due = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run };
    this.#due.push(due);
    return {
      cancel: () => {
        const index = this.#due.indexOf(due);
        if (index >= 0) this.#due.splice(index, 1);
      },
    };
  }

  /** How long until the next timer, or null without one. */
  nextTimerMs(): number | null {
    const next = this.#next();
    return next === undefined ? null : next.atMs - this.#nowMs;
  }

  /** Moves time on and runs what becomes due, each at its own moment, including timers set on the way. */
  advance(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs;
    for (let next = this.#next(); next !== undefined && next.atMs <= untilMs; next = this.#next()) {
      const current = next;
      this.#due = this.#due.filter((other) => other !== current);
      this.#nowMs = Math.max(this.#nowMs, current.atMs);
      current.run();
    }
    this.#nowMs = untilMs;
  }

  /** Moves time to the next timer and runs that one alone, also when others are due with it. False without any. */
  step(): boolean {
    const next = this.#next();
    if (next === undefined) return false;
    this.#due.splice(this.#due.indexOf(next), 1);
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.run();
    return true;
  }

  #next(): Due | undefined {
    let first: Due | undefined;
    for (const due of this.#due) {
      if (first === undefined || due.atMs < first.atMs || (due.atMs === first.atMs && due.order < first.order)) {
        first = due;
      }
    }
    return first;
  }
}
