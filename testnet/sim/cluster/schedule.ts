// The clock of a simulated cluster and what is due on it: integer milliseconds, one heap, a total order by (time, order of
// asking). Used by every part of the cluster's simulation. It must never look at the system's clock.
import { Random } from '../../drills/random.js';

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Schedule {
  nowMs = 0;
  /** Events that were run. */
  handled = 0;
  readonly #heap: Due[] = [];
  #order = 0;

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run);
  }

  at(atMs: number, run: () => void): void {
    const due = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const above = (at - 1) >>> 1;
      if (!before(due, heap[above]!)) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = due;
  }

  /** Runs what is due up to `endMs`, until `done` says so after an event. */
  runUntil(endMs: number, done: () => boolean = () => false): void {
    const heap = this.#heap;
    while (heap.length > 0 && heap[0]!.atMs <= endMs) {
      const due = this.#take();
      this.nowMs = due.atMs;
      this.handled += 1;
      due.run();
      if (done()) return;
    }
    this.nowMs = endMs;
  }

  #take(): Due {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    const size = heap.length;
    if (size === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= size) break;
      if (below + 1 < size && before(heap[below + 1]!, heap[below]!)) below += 1;
      if (!before(heap[below]!, last)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function before(one: Due, other: Due): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

/** The only source of chance in a simulated cluster. */
export class Chance extends Random {
  happens(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }

  /** One of the names, each as often as its weight says. */
  weighted<K extends string>(weights: { readonly [name in K]: number }): K {
    const names = Object.keys(weights) as K[];
    let left = this.next() * names.reduce((sum, name) => sum + weights[name], 0);
    for (const name of names) {
      left -= weights[name];
      if (left < 0) return name;
    }
    return names[names.length - 1]!;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const mixed = [...items];
    for (let at = mixed.length - 1; at > 0; at--) {
      const other = this.between(0, at);
      [mixed[at], mixed[other]] = [mixed[other]!, mixed[at]!];
    }
    return mixed;
  }

  bytes(sizeBytes: number): Uint8Array {
    return Uint8Array.from({ length: sizeBytes }, () => this.between(0, 255));
  }
}
