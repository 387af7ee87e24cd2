// Deadlines of the pool's tasks: one timer for all of them, and a signal for each that costs a few fields. Used by the pool.
// An AbortSignal.timeout for each batch would stay, with all that its listener reaches, until its own time is over.

type Listener = () => void;

/** As much of an AbortSignal as Piscina listens to. */
class TaskSignal {
  readonly expiresAtMs: number;
  aborted = false;
  #listener: Listener | null = null;

  constructor(expiresAtMs: number) {
    this.expiresAtMs = expiresAtMs;
  }

  addEventListener(_name: 'abort', listener: Listener): void {
    this.#listener = listener;
  }

  removeEventListener(): void {
    this.#listener = null;
  }

  abort(): void {
    this.aborted = true;
    this.#listener?.();
  }
}

export class TaskDeadlines {
  readonly #limitMs: number;
  readonly #running = new Set<TaskSignal>();
  readonly #sweep: NodeJS.Timeout;

  /** A task is aborted between `limitMs` and 1.1 × `limitMs` after its start. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    this.#sweep = setInterval(() => this.#expire(), limitMs / 10);
  }

  /** Runs one task under a deadline; what it gives or throws is passed on. */
  async within<T>(run: (signal: TaskSignal) => Promise<T>): Promise<T> {
    const signal = new TaskSignal(performance.now() + this.#limitMs);
    this.#running.add(signal);
    try {
      return await run(signal);
    } finally {
      this.#running.delete(signal);
      // A Set keeps what was in it for a while (runtime/kernel/releasing-map): then only the signal, not who listened.
      signal.removeEventListener();
    }
  }

  stop(): void {
    clearInterval(this.#sweep);
  }

  #expire(): void {
    const nowMs = performance.now();
    for (const signal of this.#running) if (signal.expiresAtMs <= nowMs) signal.abort();
  }
}
