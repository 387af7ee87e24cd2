// The clients that have no answer yet, and what each waits for. Kept by the door; a submission names its clients by number.
// It must never answer a client twice.
import { ReleasingMap } from '../../runtime/kernel/releasing-map.js';
import type { Answer, Submission, Waiter } from './submission.js';

interface Place {
  readonly number: number;
  readonly waiter: Waiter;
  submission: Submission;
}

export class WaitingClients {
  readonly #places = new ReleasingMap<number, Place>();
  #last = 0;

  get size(): number {
    return this.#places.size;
  }

  add(submission: Submission, waiter: Waiter): void {
    this.#last += 1;
    this.#places.set(this.#last, { number: this.#last, waiter, submission });
    submission.waiters.push(this.#last);
  }

  /** From now on the clients of `later` wait for `earlier`, which has the same content. */
  move(later: Submission, earlier: Submission): void {
    for (const number of later.waiters.splice(0)) {
      const place = this.#places.get(number);
      // Whose wait is over was answered.
      if (place === undefined) continue;
      place.submission = earlier;
      earlier.waiters.push(number);
    }
  }

  /** Answers every client of a submission, in the order they came; `first` is true for the one that came first. */
  answer(submission: Submission, answerOf: (waiter: Waiter, first: boolean) => Answer): void {
    submission.waiters.forEach((number, position) => {
      const waiter = this.#places.take(number)?.waiter;
      if (waiter !== undefined) waiter.settle(answerOf(waiter, position === 0));
    });
  }

  /** Answers those that asked not to wait for the end; true when there was one. */
  answerEarly(submission: Submission, isContent: (waiter: Waiter) => boolean, answerOf: () => Answer): boolean {
    let found = false;
    for (const number of submission.waiters) {
      const waiter = this.#places.get(number)?.waiter;
      if (waiter === undefined || !isContent(waiter)) continue;
      found = true;
      this.#places.take(number)?.waiter.settle(answerOf());
    }
    return found;
  }

  /** Shows everyone whose wait is over by `nowMs`; a client gets the answer that comes back, or waits on for null. */
  answerOverdue(nowMs: number, answerOf: (waiter: Waiter, submission: Submission) => Answer | null): void {
    for (const { number, waiter, submission } of this.#places.values()) {
      if (waiter.deadlineMs > nowMs) continue;
      const answer = answerOf(waiter, submission);
      if (answer !== null) this.#places.take(number)?.waiter.settle(answer);
    }
  }
}
