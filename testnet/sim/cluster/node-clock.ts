// A simulated node's clock, which never goes back, and the one alarm that its core asks for. Owned by the node model; only
// nemeses set it. It must never ring for what was asked for before something else.

export class NodeClock {
  /** Against the simulation's; a nemesis changes it. */
  offsetMs = 0;
  readonly #simulatedMs: () => number;
  #lastMs = 0;
  #armedFor: number | null = null;
  #armed = 0;

  constructor(simulatedMs: () => number) {
    this.#simulatedMs = simulatedMs;
  }

  /** A new process knows nothing of what the clock said before. */
  restart(): void {
    this.#lastMs = 0;
    this.#armedFor = null;
    this.#armed += 1;
  }

  now(): number {
    this.#lastMs = Math.max(this.#lastMs, this.#simulatedMs() + this.offsetMs);
    return this.#lastMs;
  }

  /** As told last, without looking again. */
  get lastMs(): number {
    return this.#lastMs;
  }

  /** Rings at that moment, a millisecond from now at the earliest, unless another is asked for meanwhile. */
  arm(wakeAtMs: number | null, after: (delayMs: number, run: () => void) => void, ring: () => void): void {
    if (wakeAtMs === this.#armedFor) return;
    this.#armedFor = wakeAtMs;
    this.#armed += 1;
    if (wakeAtMs === null) return;
    const armed = this.#armed;
    after(Math.max(1, wakeAtMs - this.now()), () => {
      if (armed !== this.#armed) return;
      this.#armedFor = null;
      ring();
    });
  }
}
