// Message ports without threads: messages take simulated time, in order, and outlive the one who sent them. Made by
// host-simulated.ts. They must never deliver inside postMessage, nor copy: a simulation sends plain data that nobody changes.
import type { Clock } from './contract.js';
import type { DataPort } from './wire.js';

/** Whose loop hears a port; null: the main thread's. `source` keeps what one port brings in order. */
export interface Loop {
  readonly gone: boolean;
  enter(source: object, run: () => void): void;
}

export interface Wire {
  readonly clock: Clock;
  /** How long the next message is under way, in milliseconds. */
  delayMs(): number;
  /** This step changed nothing that anybody waits for. */
  quiet?(): void;
}

type MessageListener = (message: unknown) => void;
type EventListener = (event: { readonly data: unknown }) => void;

/**
 * Keeps what a worker_threads MessagePort promises and no more: in order; kept until somebody listens; what was under
 * way when its sender died or its receiver closed still arrives; to a closed port nothing is sent, silently.
 */
export class SimulatedPort implements DataPort {
  /** Called when this end is closed by its owner's own call. */
  onOwnClose: (() => void) | null = null;
  #loop: Loop | null = null;
  #other: SimulatedPort | null = null;
  readonly #wire: Wire;
  readonly #messageListeners: MessageListener[] = [];
  readonly #eventListeners: EventListener[] = [];
  readonly #closeListeners: (() => void)[] = [];
  #kept: unknown[] = [];
  #arrivesAtMs = 0;
  #closed = false;
  #ended = false;

  private constructor(wire: Wire) {
    this.#wire = wire;
  }

  static pair(wire: Wire): [SimulatedPort, SimulatedPort] {
    const [one, two] = [new SimulatedPort(wire), new SimulatedPort(wire)];
    one.#other = two;
    two.#other = one;
    return [one, two];
  }

  /** The port moves into a thread. */
  moveTo(loop: Loop): void {
    this.#loop = loop;
    if (loop.gone) this.orphan();
  }

  postMessage(message: unknown): void {
    const other = this.#other;
    if (this.#closed || other === null || other.#closed) return;
    this.#send(() => other.#arrive(message));
  }

  on(event: 'message' | 'close', listener: MessageListener & (() => void)): this {
    if (event === 'close') this.#closeListeners.push(listener);
    else {
      this.#messageListeners.push(listener);
      this.#release();
    }
    return this;
  }

  // What Comlink calls on an endpoint.
  addEventListener(_event: 'message', listener: EventListener): void {
    this.#eventListeners.push(listener);
    this.#release();
  }

  removeEventListener(_event: 'message', listener: EventListener): void {
    const index = this.#eventListeners.indexOf(listener);
    if (index >= 0) this.#eventListeners.splice(index, 1);
  }

  start(): void {}
  unref(): void {}

  close(): void {
    if (this.#closed) return;
    this.onOwnClose?.();
    this.#end();
    this.#wire.clock.setTimer(0, () => this.#enter(() => this.#tellClosed()));
  }

  /** Its thread is gone: the other side hears of it after all that was sent before. */
  orphan(): void {
    if (!this.#closed) this.#end();
  }

  #end(): void {
    const other = this.#other;
    if (other !== null) this.#send(() => other.#enter(() => other.#tellClosed()));
    this.#closed = true;
  }

  #send(arrive: () => void): void {
    const { clock } = this.#wire;
    const nowMs = clock.monotonic();
    this.#arrivesAtMs = Math.max(this.#arrivesAtMs, nowMs + this.#wire.delayMs());
    clock.setTimer(this.#arrivesAtMs - nowMs, arrive);
  }

  #arrive(message: unknown): void {
    this.#enter(() => {
      if (this.#messageListeners.length + this.#eventListeners.length === 0) this.#kept.push(message);
      else this.#deliver(message);
    });
  }

  #deliver(message: unknown): void {
    for (const listener of this.#messageListeners) listener(message);
    for (const listener of [...this.#eventListeners]) listener({ data: message });
  }

  /** Somebody listens now. */
  #release(): void {
    const kept = this.#kept;
    this.#kept = [];
    for (const message of kept) this.#wire.clock.setTimer(0, () => this.#enter(() => this.#deliver(message)));
  }

  #tellClosed(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#closed = true;
    for (const listener of this.#closeListeners) listener();
  }

  #enter(run: () => void): void {
    if (this.#loop === null) run();
    else this.#loop.enter(this, run);
  }
}
