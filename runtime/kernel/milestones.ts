// Promises that settle when something has come true of the tree. Called by the supervisor, which looks after each change.
// It must never leave one unsettled when nothing can change any more.
import type { ActorError } from './wire-error.js';

interface Waiter {
  readonly done: () => boolean;
  readonly resolve: () => void;
  readonly reject: (error: ActorError) => void;
}

export class Milestones {
  readonly #waiters = new Set<Waiter>();

  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.add({ done, resolve, reject }));
  }

  /** Something has changed. */
  look(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.done()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** Nothing will change any more. */
  end(error: ActorError): void {
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }
}
