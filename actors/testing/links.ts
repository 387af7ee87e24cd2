// A link to an actor that is not there, for tests of actors in one thread: it copies and detaches as a port would, and
// answers, holds or fails as the test says. Called by tests and fixtures of actors only. It must never be kinder to its
// user than the kernel's own link: no shared objects, no answer in the same turn.
import type {
  AskName,
  AskOptions,
  ContractShape,
  Link,
  Reply,
  Request,
  TellName,
  TellResult,
  TransferListItem,
} from '../../runtime/kernel/contract.js';
import { ActorError, type ActorErrorCode, fromWire, toWire } from '../../runtime/kernel/wire-error.js';

/** One ask as the peer got it. */
export interface Asked<C extends ContractShape, K extends AskName<C> = AskName<C>> {
  readonly name: K;
  readonly request: Request<C, K>;
  readonly options: AskOptions;
  readonly settled: boolean;
  reply(value: Reply<C, K>): void;
  fail(error: ActorErrorCode | Error): void;
}

interface Told {
  readonly name: string;
  readonly payload: unknown;
}

type Answer = (request: unknown) => unknown;

export class FakeLink<C extends ContractShape> implements Link<C> {
  readonly peer: string;
  /** What the kernel says of an ask in flight when this peer dies. */
  readonly #codeOnDeath: ActorErrorCode;
  readonly #told: Told[] = [];
  readonly #asked: Asked<C>[] = [];
  readonly #answers = new Map<string, Answer>();
  readonly #onTell: ((name: string, payload: unknown) => void)[] = [];
  readonly #upListeners: (() => void)[] = [];
  readonly #downListeners: (() => void)[] = [];
  #up = true;
  /** What `tell` says while up; 'overloaded' loses the message, as the kernel's does. */
  tellResult: 'ok' | 'overloaded' = 'ok';

  constructor(peer: string, codeOnDeath: ActorErrorCode = 'peer_down') {
    this.peer = peer;
    this.#codeOnDeath = codeOnDeath;
  }

  get up(): boolean {
    return this.#up;
  }

  // --- the actor's side

  tell<K extends TellName<C>>(name: K, payload: C['tell'][K], transfer: readonly TransferListItem[] = []): TellResult {
    const copy = structuredClone(payload, { transfer: [...transfer] as ArrayBuffer[] });
    if (!this.#up) return 'down';
    if (this.tellResult === 'overloaded') return 'overloaded';
    this.#told.push({ name, payload: copy });
    for (const listener of this.#onTell) listener(name, copy);
    return 'ok';
  }

  ask<K extends AskName<C>>(name: K, request: Request<C, K>, options: AskOptions = {}): Promise<Reply<C, K>> {
    if (!this.#up) return Promise.reject(new ActorError('peer_down', `"${this.peer}" is not running`));
    const copy = structuredClone(request, { transfer: [...(options.transfer ?? [])] as ArrayBuffer[] });
    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = (how: () => void): void => {
        if (settled) return;
        settled = true;
        how();
      };
      const asked: Asked<C, K> = {
        name,
        request: copy,
        options,
        get settled() {
          return settled;
        },
        reply: (value) => settle(() => resolve(structuredClone(value))),
        fail: (error) =>
          settle(() =>
            reject(typeof error === 'string' ? new ActorError(error, 'so the test says') : fromWire(toWire(error))),
          ),
      };
      this.#asked.push(asked as unknown as Asked<C>);
      const answer = this.#answers.get(name);
      if (answer !== undefined) setImmediate(() => void this.#answer(asked, answer));
    });
  }

  onUp(listener: () => void): void {
    this.#upListeners.push(listener);
    if (this.#up) listener();
  }

  onDown(listener: () => void): void {
    this.#downListeners.push(listener);
  }

  // --- the test's side

  /** From now on asks of this name are answered so, a turn later. A throw fails the ask. */
  answer<K extends AskName<C>>(name: K, how: (request: Request<C, K>) => Reply<C, K> | Promise<Reply<C, K>>): void {
    this.#answers.set(name, how as Answer);
  }

  /** From now on asks of this name wait for the test. */
  hold(name: AskName<C>): void {
    this.#answers.delete(name);
  }

  /** Hears every tell that arrives. */
  listen(listener: (name: string, payload: unknown) => void): void {
    this.#onTell.push(listener);
  }

  told<K extends TellName<C>>(name: K): C['tell'][K][] {
    return this.#told.filter((each) => each.name === name).map(({ payload }) => payload as C['tell'][K]);
  }

  asked<K extends AskName<C>>(name: K): Asked<C, K>[] {
    return this.#asked.filter((each) => each.name === name) as unknown as Asked<C, K>[];
  }

  /** Asks of this name that nobody has answered. */
  waiting<K extends AskName<C>>(name: K): Asked<C, K>[] {
    return this.asked(name).filter(({ settled }) => !settled);
  }

  /** The peer dies: what was asked settles first, then the listeners hear, as in the kernel. */
  goDown(): void {
    this.#up = false;
    for (const asked of this.#asked) asked.fail(this.#codeOnDeath);
    for (const listener of this.#downListeners) listener();
  }

  goUp(): void {
    this.#up = true;
    for (const listener of this.#upListeners) listener();
  }

  async #answer<K extends AskName<C>>(asked: Asked<C, K>, answer: Answer): Promise<void> {
    if (asked.settled) return;
    try {
      asked.reply((await answer(asked.request)) as Reply<C, K>);
    } catch (error) {
      asked.fail(error as Error);
    }
  }
}

const TURNS_MAX = 5_000;

/** Lets the event loop turn until `condition` holds. Throws when it does not come to that. */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  for (let turn = 0; turn < TURNS_MAX; turn++) {
    if (condition()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`${what} did not come true in ${TURNS_MAX} turns of the event loop`);
}

/** Everything that is due now, and what follows from it, has run. For what must NOT happen there is no better end. */
export async function turns(count = 12): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
