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
  /** Null once it is cancelled. */
  run: (() => void) | null;
}

/** Cancelled timers are swept out when they are this many and more than half. */
const SWEEP_MIN = 64;

/** A clock that stands still until `advance`. Timers due at the same moment run in the order they were set. */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #startMs: number;
  #order = 0;
  /** A binary heap. */
  #heap: Due[] = [];
  #cancelled = 0;

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
    const due: Due = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run };
    this.#push(due);
    return {
      cancel: () => this.#cancel(due),
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
    for (let next = this.#next(); next !== undefined && next.atMs <= untilMs; next = this.#next()) this.step();
    this.#nowMs = untilMs;
  }

  /** Moves time to the next timer and runs that one alone, also when others are due with it. False without any. */
  step(): boolean {
    const next = this.#next();
    if (next === undefined) return false;
    this.#pop();
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    const run = next.run!;
    // It cannot be cancelled any more.
    next.run = null;
    run();
    return true;
  }

  #cancel(due: Due): void {
    if (due.run === null) return;
    due.run = null;
    this.#cancelled += 1;
    if (this.#cancelled < SWEEP_MIN || 2 * this.#cancelled < this.#heap.length) return;
    // What is sorted is a heap.
    this.#heap = this.#heap.filter(({ run }) => run !== null).sort((one, other) => (isBefore(one, other) ? -1 : 1));
    this.#cancelled = 0;
  }

  #next(): Due | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.run === null) {
      this.#pop();
      this.#cancelled -= 1;
    }
    return this.#heap[0];
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(due, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = due;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: Due, other: Due): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
