// Traffic over links, with its checkers: every call settles, nothing of a dead incarnation takes effect, credits come
// back, counters never fall. Called by supervisor.ts and by the simulated actors. It must never keep a call from settling.
import type { Link } from '../../runtime/kernel/contract.js';
import type { SimulatedThread } from '../../runtime/kernel/simulated-thread.js';
import { ActorError } from '../../runtime/kernel/wire-error.js';
import { eighths, pick } from './plan.js';
import type { World } from './world.js';

export interface Letter {
  readonly from: string;
  readonly incarnation: number;
  readonly forMs?: number;
}

export interface Answer {
  readonly by: string;
  readonly incarnation: number;
}

export interface SimContract {
  tell: { note: Letter; bomb: Letter };
  ask: {
    echo: { request: Letter; reply: Answer };
    slow: { request: Letter; reply: Answer };
    never: { request: Letter; reply: Answer };
    fail: { request: Letter; reply: Answer };
  };
}

export const TELL_MAX = 4;
const bound = { max: TELL_MAX, reason: 'small, so that a simulation fills it' };
export const POLICIES = {
  tell: { note: bound, bomb: bound },
  ask: { echo: bound, slow: bound, never: bound, fail: bound },
};

/** RT-7: from the fence to the last rejection. */
const SETTLE_MS = 10;
export const MAIN = '(main)';

interface Call {
  readonly caller: string;
  /** Null: the main thread, which never ends. */
  readonly thread: SimulatedThread | null;
  readonly peer: string;
  readonly name: string;
  readonly askedAtMs: number;
  readonly deadlineMs: number;
  /** The link was up, so that the answer is not for this side to give. */
  readonly sent: boolean;
  settled: boolean;
}

export class Talk {
  readonly #world: World;
  readonly #calls = new Set<Call>();
  /** Incarnation that is, or was last, up: actor → number. */
  readonly #newestUp = new Map<string, number>();
  /** Messages that each actor ever dealt with. */
  readonly #handled = new Map<string, number>();
  readonly #scraped = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** An actor of this name and number is up, says the supervisor. */
  up(id: string, incarnation: number): void {
    this.#newestUp.set(id, incarnation);
  }

  /** The supervisor let go of a thread: who waits for it must hear so soon. */
  fenced(thread: SimulatedThread): void {
    const atMs = this.#world.nowMs;
    this.#world.clock.setTimer(SETTLE_MS, () => {
      for (const call of this.#calls) {
        if (call.peer !== thread.boot.id || call.askedAtMs > atMs || !awake(call.thread, atMs)) continue;
        this.#calls.delete(call);
        this.#world.found(
          'pending calls settle',
          `${call.caller} asked ${thread.name} "${call.name}" at ${call.askedAtMs}; ${SETTLE_MS} ms after its end at ${atMs} nothing was answered`,
        );
      }
    });
  }

  /** A message or an answer takes effect in `where`. */
  takesEffect(where: string, from: string, incarnation: number): void {
    const newest = this.#newestUp.get(from);
    if (newest !== undefined && newest > incarnation) {
      this.#world.found(
        'fence',
        `something of ${from}#${incarnation} took effect in ${where} although ${from}#${newest} was up already`,
      );
    }
  }

  handled(id: string): void {
    this.#handled.set(id, (this.#handled.get(id) ?? 0) + 1);
  }

  scraped(id: string, value: number): void {
    const before = this.#scraped.get(id) ?? 0;
    const truth = this.#handled.get(id) ?? 0;
    if (value < before) this.#world.found('counters', `${id}: ${value} after ${before}`);
    if (value > truth) this.#world.found('counters', `${id}: ${value} counted, ${truth} happened`);
    this.#scraped.set(id, value);
  }

  /** One message over a link; `thread` null means the main thread. */
  send(thread: SimulatedThread | null, link: Link<SimContract>): void {
    const { random, calm } = this.#world;
    const from = thread?.boot.id ?? MAIN;
    const letter = { from, incarnation: thread?.boot.incarnation ?? 0, forMs: eighths(random, 0, 400) };
    const name = pick(random, ['note', 'note', 'echo', 'echo', 'slow', 'never', 'fail'] as const);
    if (name === 'note') {
      const result = link.tell('note', letter);
      this.#world.note(`${from} tells ${link.peer} ${result}`);
      if ((result === 'down') === link.up) this.#world.found('talk', `${from} → ${link.peer} up=${link.up}: ${result}`);
      return;
    }
    if (name === 'never' && calm) return;
    void this.#ask(thread, link, name, letter, pick(random, [20, 300, 5_000]));
  }

  async #ask(
    thread: SimulatedThread | null,
    link: Link<SimContract>,
    name: keyof SimContract['ask'],
    letter: Letter,
    deadlineMs: number,
  ): Promise<void> {
    const { nowMs } = this.#world;
    const caller = thread?.name ?? MAIN;
    const call: Call = {
      caller,
      thread,
      peer: link.peer,
      name,
      askedAtMs: nowMs,
      deadlineMs,
      sent: link.up,
      settled: false,
    };
    this.#calls.add(call);
    this.#watchDeadline(call);
    try {
      const answer = await link.ask(name, letter, { deadlineMs });
      if (thread?.gone !== true) this.takesEffect(caller, answer.by, answer.incarnation);
      this.#settle(call, 'answered');
    } catch (thrown) {
      this.#settle(call, thrown instanceof ActorError ? thrown.code : String(thrown));
    }
  }

  #watchDeadline(call: Call): void {
    this.#world.clock.setTimer(call.deadlineMs + 1, () => {
      if (!this.#calls.has(call) || !awake(call.thread, call.askedAtMs + call.deadlineMs)) return;
      this.#calls.delete(call);
      this.#world.found('pending calls settle', `${call.caller} → ${call.peer} "${call.name}" outlived its deadline`);
    });
  }

  #settle(call: Call, how: string): void {
    const { nowMs } = this.#world;
    this.#calls.delete(call);
    this.#world.note(`${call.caller} asked ${call.peer} ${call.name}: ${how}`);
    const afterMs = nowMs - call.askedAtMs;
    const wrong = (why: string) => this.#world.found('typed errors', `${call.caller} → ${call.peer}: ${how}: ${why}`);
    const unknown = this.#world.spec(call.peer).outcomeUnknownOnDeath === true;
    if (how === 'deadline' && afterMs + 0.001 < call.deadlineMs) wrong(`after ${afterMs} of ${call.deadlineMs} ms`);
    else if (how === 'peer_down' && call.sent && unknown) wrong('whether it was carried out is not known');
    else if (how === 'outcome_unknown' && !unknown) wrong('this actor’s death leaves nothing unknown');
    else if (how === 'handler_failed' && call.name !== 'fail') wrong('the handler did not fail');
    else if (!KNOWN.has(how)) wrong('this is no documented outcome');
  }

  /** Nothing is under way any more: each lane must have all of its credits, and no more than those. */
  probe(thread: SimulatedThread | null, link: Link<SimContract>): void {
    const from = thread?.boot.id ?? MAIN;
    const letter = { from, incarnation: thread?.boot.incarnation ?? 0 };
    const results = Array.from({ length: TELL_MAX + 1 }, () => link.tell('note', letter));
    const granted = results.filter((result) => result === 'ok').length;
    if (granted === TELL_MAX && results.at(-1) === 'overloaded') return;
    this.#world.found('credits', `${from} → ${link.peer} had ${granted} of ${TELL_MAX}: ${results.join(', ')}`);
  }
}

const KNOWN = new Set(['answered', 'deadline', 'peer_down', 'outcome_unknown', 'overloaded', 'handler_failed']);

/** Could it have heard anything since then? A thread that is gone, fenced or blocked could not. */
function awake(thread: SimulatedThread | null, sinceMs: number): boolean {
  if (thread === null) return true;
  return !thread.gone && thread.fencedAtMs === null && !thread.blocked && thread.blockedUntilMs < sinceMs;
}
