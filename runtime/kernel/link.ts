// The caller's end of talk to one peer actor: credits, deadlines, and calls that always settle. Held by actors through
// their context; the runner connects and disconnects it. It must never queue: without credit or peer it answers at once.
import type {
  AskName,
  AskOptions,
  Clock,
  ContractShape,
  Link,
  Reply,
  Request,
  TellName,
  TellResult,
  Timer,
  TransferListItem,
} from './contract.js';
import { ReleasingMap } from './releasing-map.js';
import { ASK, CREDIT, type DataPort, FAIL, FENCED, type LinkEnd, REPLY, SENT, TELL, type ToCaller } from './wire.js';
import { ActorError, describe, fromWire } from './wire-error.js';

export const ASK_DEADLINE_MS = 5_000;

/** One message name of the peer: its wire index, its bound, and how many credits are out. */
interface Lane {
  readonly index: number;
  readonly max: number;
  out: number;
}

interface Pending {
  readonly lane: Lane;
  readonly name: string;
  readonly deadlineAtMs: number;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: ActorError) => void;
  /** Settled by its deadline; it stays here until the peer answers, for it still holds a credit. */
  expired: boolean;
}

interface Channel {
  readonly port: DataPort;
  readonly tells: ReadonlyMap<string, Lane>;
  readonly asks: ReadonlyMap<string, Lane>;
  readonly tellLanes: readonly Lane[];
  readonly depth: Int32Array;
  sent: number;
}

export class PortLink<C extends ContractShape> implements Link<C> {
  readonly peer: string;
  readonly #clock: Clock;
  readonly #outcomeUnknownOnDeath: boolean;
  #channel: Channel | null = null;
  readonly #pending = new ReleasingMap<number, Pending>();
  #nextCall = 0;
  #sweep: Timer | null = null;
  #sweepAtMs = Number.POSITIVE_INFINITY;
  readonly #upListeners: (() => void)[] = [];
  readonly #downListeners: (() => void)[] = [];

  constructor(peer: string, clock: Clock, outcomeUnknownOnDeath: boolean) {
    this.peer = peer;
    this.#clock = clock;
    this.#outcomeUnknownOnDeath = outcomeUnknownOnDeath;
  }

  get up(): boolean {
    return this.#channel !== null;
  }

  tell<K extends TellName<C>>(name: K, payload: C['tell'][K], transfer?: readonly TransferListItem[]): TellResult {
    const channel = this.#channel;
    if (channel === null) return 'down';
    const lane = channel.tells.get(name);
    if (lane === undefined) throw this.#unknown('tell', name);
    if (lane.out >= lane.max) return 'overloaded';
    try {
      channel.port.postMessage([TELL, lane.index, payload], transfer);
    } catch (thrown) {
      throw this.#uncloneable(name, thrown);
    }
    take(channel, lane);
    return 'ok';
  }

  ask<K extends AskName<C>>(name: K, request: Request<C, K>, options?: AskOptions): Promise<Reply<C, K>> {
    const channel = this.#channel;
    if (channel === null) {
      return Promise.reject(new ActorError('peer_down', `"${this.peer}" is not running`, { peer: this.peer, name }));
    }
    const lane = channel.asks.get(name);
    if (lane === undefined) return Promise.reject(this.#unknown('ask', name));
    if (lane.out >= lane.max) {
      const detail = `"${this.peer}" has ${lane.max} unanswered "${name}" from here`;
      return Promise.reject(new ActorError('overloaded', detail, { peer: this.peer, name, max: lane.max }));
    }
    const call = this.#nextCall++;
    try {
      channel.port.postMessage([ASK, call, lane.index, request], options?.transfer);
    } catch (thrown) {
      return Promise.reject(this.#uncloneable(name, thrown));
    }
    take(channel, lane);
    const deadlineAtMs = this.#clock.monotonic() + (options?.deadlineMs ?? ASK_DEADLINE_MS);
    if (deadlineAtMs < this.#sweepAtMs) this.#armSweep(deadlineAtMs);
    return new Promise<Reply<C, K>>((resolve, reject) => {
      const settle = resolve as (reply: unknown) => void;
      this.#pending.set(call, { lane, name, deadlineAtMs, resolve: settle, reject, expired: false });
    });
  }

  onUp(listener: () => void): void {
    this.#upListeners.push(listener);
    if (this.up) listener();
  }

  onDown(listener: () => void): void {
    this.#downListeners.push(listener);
  }

  /** A new incarnation of the peer is there; the previous channel, if any, is closed first. */
  connect(end: LinkEnd): void {
    this.disconnect();
    const lanes = (names: readonly (readonly [string, number])[]): [string, Lane][] =>
      names.map(([name, max], index) => [name, { index, max, out: 0 }]);
    const tells = lanes(end.names.tell);
    const channel: Channel = {
      port: end.port,
      tells: new Map(tells),
      asks: new Map(lanes(end.names.ask)),
      tellLanes: tells.map(([, lane]) => lane),
      depth: new Int32Array(end.depth),
      sent: 0,
    };
    this.#channel = channel;
    end.port.on('message', (message) => {
      this.#receive(channel, message as ToCaller);
    });
    end.port.on('close', () => {
      if (this.#channel === channel) this.disconnect();
    });
    for (const listener of this.#upListeners) listener();
  }

  /** The peer is gone: every call in flight settles now. Harmless when already down. */
  disconnect(): void {
    const channel = this.#channel;
    if (channel === null) return;
    this.#channel = null;
    channel.port.close();
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    this.#sweep?.cancel();
    this.#sweep = null;
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
    const code = this.#outcomeUnknownOnDeath ? 'outcome_unknown' : 'peer_down';
    for (const { name, expired, reject } of lost) {
      if (!expired)
        reject(new ActorError(code, `"${this.peer}" died with "${name}" in hand`, { peer: this.peer, name }));
    }
    for (const listener of this.#downListeners) listener();
  }

  /**
   * A port that was closed still delivers what was queued. That is harmless here: credits go to the lanes of their own
   * channel, and call numbers are never used twice, so an answer of a fenced incarnation finds no call. Before the
   * notice that closes it, the shared fence says so: the calls then settle by that notice.
   */
  #receive(channel: Channel, message: ToCaller): void {
    if (Atomics.load(channel.depth, FENCED) !== 0) return;
    if (message[0] === CREDIT) {
      const lane = channel.tellLanes[message[1]];
      if (lane !== undefined) lane.out -= message[2];
      return;
    }
    const pending = this.#pending.get(message[1]);
    if (pending === undefined) return;
    this.#pending.take(message[1]);
    pending.lane.out -= 1;
    if (pending.expired) return;
    if (message[0] === REPLY) pending.resolve(message[2]);
    else if (message[0] === FAIL) pending.reject(fromWire(message[2]));
  }

  #armSweep(atMs: number): void {
    this.#sweep?.cancel();
    this.#sweepAtMs = atMs;
    this.#sweep = this.#clock.setTimer(Math.max(0, atMs - this.#clock.monotonic()), () => this.#expire());
  }

  /** One timer a link, armed for the earliest deadline: calls answered in time cost it nothing. */
  #expire(): void {
    this.#sweep = null;
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonic();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const pending of this.#pending.values()) {
      if (pending.expired) continue;
      if (pending.deadlineAtMs > nowMs) {
        nextMs = Math.min(nextMs, pending.deadlineAtMs);
        continue;
      }
      pending.expired = true;
      const detail = `"${this.peer}" did not answer "${pending.name}" in time`;
      pending.reject(new ActorError('deadline', detail, { peer: this.peer, name: pending.name }));
    }
    if (nextMs !== Number.POSITIVE_INFINITY) this.#armSweep(nextMs);
  }

  #uncloneable(name: string, thrown: unknown): ActorError {
    return new ActorError('not_cloneable', `"${name}" to "${this.peer}": ${describe(thrown)}`, { name });
  }

  #unknown(form: 'ask' | 'tell', name: string): ActorError {
    return new ActorError('unknown_message', `"${this.peer}" has no ${form} "${name}"`, { peer: this.peer, name });
  }
}

function take(channel: Channel, lane: Lane): void {
  lane.out += 1;
  channel.sent = (channel.sent + 1) | 0;
  Atomics.store(channel.depth, SENT, channel.sent);
}
