// The receiver's end: dispatches what callers send, gives credits back, answers asks. Called by the runner. It must
// never keep a message: what is delivered is handed to its handler in the same turn, and the callers' credits bound it.
import type { TransferListItem } from './contract.js';
import { ASK, CREDIT, type DataPort, DEALT, FAIL, FENCED, type MessageNames, REPLY, type ToReceiver } from './wire.js';
import { ActorError, toWire } from './wire-error.js';

export interface Handlers {
  readonly tell: Readonly<Record<string, (state: unknown, payload: unknown) => void>>;
  readonly ask: Readonly<Record<string, (state: unknown, request: unknown) => unknown>>;
}

/** Buffers that leave with a reply, by the reply that holds them. */
export type ReplyTransfers = WeakMap<object, readonly TransferListItem[]>;

/**
 * Credits go back once this part of the bound is owed: each payment wakes the caller's thread, which under load costs it
 * more than the tell did. A caller has three quarters of its credits at any time that all it said was dealt with.
 */
const CREDIT_SHARE = 4;

interface Served {
  readonly caller: string;
  readonly port: DataPort;
  readonly depth: Int32Array;
  /** Tells dealt with and not yet credited, by wire index. */
  readonly owed: number[];
  dealt: number;
  open: boolean;
}

export interface MailboxOptions {
  readonly names: MessageNames;
  readonly handlers: Handlers;
  readonly state: () => unknown;
  readonly transfers: ReplyTransfers;
  /**
   * Called before each message is dealt with, so that a flood that starves the timers does not look like a hang, and that
   * a post-mortem knows what came last. A tell is 1 + its index, an ask −1 − its index.
   */
  readonly dispatched: (what: number) => void;
  /** When the turn ends; default setImmediate, which runs after all input that is already there was read. */
  readonly endOfTurn?: (run: () => void) => void;
}

export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #tells: readonly ((state: unknown, payload: unknown) => void)[];
  readonly #asks: readonly ((state: unknown, request: unknown) => unknown)[];
  /** Of the tells, by wire index. */
  readonly #bounds: readonly number[];
  readonly #served = new Map<string, Served>();
  readonly #endOfTurn: (run: () => void) => void;
  #creditsDue = false;
  #closed = false;

  constructor(options: MailboxOptions) {
    this.#options = options;
    this.#bounds = options.names.tell.map(([, max]) => max);
    this.#endOfTurn = options.endOfTurn ?? ((run) => void setImmediate(run));
    this.#tells = options.names.tell.map(([name]) => handlerOf(options.handlers.tell, 'tell', name));
    this.#asks = options.names.ask.map(([name]) => handlerOf(options.handlers.ask, 'ask', name));
  }

  /** Takes a caller's channel; an older one of the same caller is closed. */
  serve(caller: string, port: DataPort, depth: SharedArrayBuffer): void {
    this.close(caller);
    if (this.#closed) {
      port.close();
      return;
    }
    const owed = this.#tells.map(() => 0);
    const served: Served = { caller, port, depth: new Int32Array(depth), owed, dealt: 0, open: true };
    this.#served.set(caller, served);
    port.on('message', (message) => {
      // Queued messages outlive close(), and node delivers a whole queue in one turn, in which no notice of the caller's
      // end can come: those of a fenced incarnation are dropped here.
      if (served.open && Atomics.load(served.depth, FENCED) === 0) this.#dispatch(served, message as ToReceiver);
    });
    port.on('close', () => {
      served.open = false;
      if (this.#served.get(caller) === served) this.#served.delete(caller);
    });
  }

  close(caller: string): void {
    const served = this.#served.get(caller);
    if (served === undefined) return;
    this.#served.delete(caller);
    served.open = false;
    served.port.close();
  }

  /** For good: a channel that was under way when the actor began to stop is closed when it comes. */
  closeAll(): void {
    this.#closed = true;
    for (const caller of [...this.#served.keys()]) this.close(caller);
  }

  #dispatch(served: Served, message: ToReceiver): void {
    if (message[0] === ASK) {
      this.#options.dispatched(-1 - message[2]);
      this.#answer(served, message[1], message[2], message[3]);
    } else {
      this.#options.dispatched(1 + message[1]);
      this.#take(served, message[1], message[2]);
    }
  }

  /** A throw in a tell handler leaves no one to answer: it ends the actor, whose state cannot be trusted any more. */
  #take(served: Served, index: number, payload: unknown): void {
    const handler = this.#tells[index];
    if (handler === undefined) return;
    handler(this.#options.state(), payload);
    dealt(served);
    served.owed[index] = (served.owed[index] ?? 0) + 1;
    if (!this.#creditsDue && served.owed[index]! * CREDIT_SHARE >= this.#bounds[index]!) {
      this.#creditsDue = true;
      this.#endOfTurn(() => this.#payCredits());
    }
  }

  /** One message per name and turn, however many were dealt with. */
  #payCredits(): void {
    this.#creditsDue = false;
    for (const served of this.#served.values()) {
      for (const [index, count] of served.owed.entries()) {
        if (count * CREDIT_SHARE < this.#bounds[index]!) continue;
        served.owed[index] = 0;
        served.port.postMessage([CREDIT, index, count]);
      }
    }
  }

  #answer(served: Served, call: number, index: number, request: unknown): void {
    const handler = this.#asks[index];
    if (handler === undefined) {
      this.#fail(served, call, new ActorError('unknown_message', `no ask number ${index}`));
      return;
    }
    let result: unknown;
    try {
      result = handler(this.#options.state(), request);
    } catch (thrown) {
      this.#fail(served, call, thrown);
      return;
    }
    if (isThenable(result)) {
      result.then(
        (reply) => this.#reply(served, call, reply),
        (thrown) => this.#fail(served, call, thrown),
      );
    } else this.#reply(served, call, result);
  }

  #reply(served: Served, call: number, reply: unknown): void {
    if (!served.open) return;
    const transfer = typeof reply === 'object' && reply !== null ? this.#options.transfers.get(reply) : undefined;
    try {
      served.port.postMessage([REPLY, call, reply], transfer);
    } catch (thrown) {
      this.#fail(served, call, new ActorError('not_cloneable', 'the reply cannot cross threads', {}, thrown));
      return;
    }
    dealt(served);
  }

  #fail(served: Served, call: number, thrown: unknown): void {
    if (!served.open) return;
    served.port.postMessage([FAIL, call, toWire(thrown)]);
    dealt(served);
  }
}

function dealt(served: Served): void {
  served.dealt = (served.dealt + 1) | 0;
  Atomics.store(served.depth, DEALT, served.dealt);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

function handlerOf<F>(table: Readonly<Record<string, F>>, form: string, name: string): F {
  const handler = Object.hasOwn(table, name) ? table[name] : undefined;
  if (typeof handler !== 'function')
    throw new Error(`the definition has a bound but no handler for the ${form} "${name}"`);
  return handler;
}
