// What an actor is, in types: contracts, mailbox policies, links, definitions, specs. Actors import this file and
// nothing else of the kernel. It holds no behaviour and imports no other part of the kernel.
import type { MessagePort, TransferListItem } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';

export type { MessagePort, TransferListItem };

/** Name → payload maps of one actor. `tell` has no answer, `ask` always settles. */
export interface ContractShape {
  tell: object;
  ask: object;
}

export type TellName<C extends ContractShape> = keyof C['tell'] & string;
export type AskName<C extends ContractShape> = keyof C['ask'] & string;
export type Request<C extends ContractShape, K extends AskName<C>> = C['ask'][K] extends { request: infer R }
  ? R
  : never;
export type Reply<C extends ContractShape, K extends AskName<C>> = C['ask'][K] extends { reply: infer R } ? R : never;

/**
 * The bound of one message's queue, held by every sender as credits: a message takes one, the receiver gives it back
 * when it has dealt with the message. Without credit `tell` returns 'overloaded' and `ask` rejects at once.
 */
export interface MailboxPolicy {
  /** Messages of this name that one sender may have unanswered (ask) or undelivered (tell). */
  readonly max: number;
  /** Why this bound: the arithmetic, or what would go wrong above it. */
  readonly reason: string;
}

/** Exhaustive: a message without a bound does not compile. */
export interface Policies<C extends ContractShape> {
  readonly tell: { readonly [K in TellName<C>]: MailboxPolicy };
  readonly ask: { readonly [K in AskName<C>]: MailboxPolicy };
}

export type TellResult = 'ok' | 'overloaded' | 'down';

export interface AskOptions {
  /** Default: the kernel's call deadline (5 000 ms). */
  readonly deadlineMs?: number;
  readonly transfer?: readonly TransferListItem[];
}

/** One direction of talk to one peer actor; survives the peer's restarts (the port underneath is replaced). */
export interface Link<C extends ContractShape> {
  readonly peer: string;
  readonly up: boolean;
  /** Throws ActorError not_cloneable for a payload that cannot cross threads: a mistake of the caller's code. */
  tell<K extends TellName<C>>(name: K, payload: C['tell'][K], transfer?: readonly TransferListItem[]): TellResult;
  /** Rejects with ActorError: overloaded, peer_down, outcome_unknown, deadline, handler_failed. Never hangs. */
  ask<K extends AskName<C>>(name: K, request: Request<C, K>, options?: AskOptions): Promise<Reply<C, K>>;
  /** Called each time a new incarnation of the peer is connected; at once when one already is. */
  onUp(listener: () => void): void;
  onDown(listener: () => void): void;
}

export type Links<L> = { readonly [K in keyof L]: L[K] extends ContractShape ? Link<L[K]> : never };

/**
 * Memory shared with the supervisor: it sees progress, declared native sections and the write gate even when this
 * thread's loop stands still.
 */
export interface Vitals {
  /** Runs `section` marked as native work that may be slow (fdatasync, a store's commit): silence in it is no hang. */
  native<T>(kind: NativeKind, section: () => T): T;
  /**
   * Runs `section` inside the kill gate: the supervisor will not terminate this thread until it ended. Throws when the
   * gate is already closed, which means that this incarnation is about to die.
   */
  gated<T>(section: () => T): T;
}

export type NativeKind = 'fdatasync' | 'store-commit' | 'password-hash';

export interface Clock {
  /** Wall clock, unix milliseconds. */
  now(): number;
  /** Monotonic milliseconds. */
  monotonic(): number;
  /** Runs once, not before `delayMs` have passed on `monotonic`. */
  setTimer(delayMs: number, run: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

export interface ActorContext<L, Config> {
  readonly id: string;
  /** 1 for the first thread of this actor in this process, +1 for each restart. */
  readonly incarnation: number;
  readonly config: Config;
  /** What the definition's `ahead` has made in this thread, or null: there is not always a standby. Look whether it still fits. */
  readonly ahead: unknown;
  readonly links: Links<L>;
  readonly log: Logger;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly vitals: Vitals;
  /** Publishes a fact to the main thread under this actor's name; facts feed readiness, /metrics labels and files. */
  report(name: string, value: ReportValue): void;
  /**
   * Marks the buffers in an ask's reply to be moved to the caller instead of copied; returns `reply`. Each must be a
   * buffer of its own (packBytes makes one), never a pooled Buffer's.
   */
  transferring<T extends object>(reply: T, transfer: readonly TransferListItem[]): T;
  /** Ends the whole process with `exitCode` (sysexits): for what no restart heals, such as a failed fsync. */
  fatal(exitCode: number, reason: string): void;
}

/** A readiness condition, or a plain fact. `ok: false` makes the node not ready and `detail` says why. */
export interface ReportValue {
  readonly ok: boolean;
  readonly detail?: string;
  readonly data?: Readonly<Record<string, string | number | boolean | null>>;
}

export interface ActorDefinition<C extends ContractShape, State, L, Config> {
  readonly policies: Policies<C>;
  /**
   * Runs in a standby, long before it is needed and perhaps for nothing: what of the start takes time and belongs to nobody,
   * such as threads. Its result is `context.ahead` of the `init` that may follow, whose configuration may be a newer one.
   */
  ahead?(config: Config): unknown;
  /** Runs to the end before the next actor of the tree starts; a throw counts as a failed start. */
  init(context: ActorContext<L, Config>): State | Promise<State>;
  readonly tell: { readonly [K in TellName<C>]: (state: State, payload: C['tell'][K]) => void };
  readonly ask: {
    readonly [K in AskName<C>]: (state: State, request: Request<C, K>) => Reply<C, K> | Promise<Reply<C, K>>;
  };
  /** Two phases: every actor prepares, then all commit or all abort. `prepare` throws to refuse, and changes nothing. */
  readonly reconfigure?: {
    prepare(state: State, next: Config): void | Promise<void>;
    commit(state: State): void;
    abort(state: State): void;
  };
  /** Stop taking new work and finish what is in hand. Called before `stop`, in reverse start order. */
  drain?(state: State): void | Promise<void>;
  stop(state: State): void | Promise<void>;
  /**
   * Called just before a living thread is ended without `stop`, if it still listens: lets go at once of whatever native
   * code would call back into. Node aborts the whole process when its HTTP parser meets a thread that is being ended.
   */
  abandon?(state: State): void;
  /** Facts for `quorate actors`, the console and crash bundles. Plain data. */
  inspect?(state: State): object;
}

export type RestartPolicy = 'immediate' | 'backoff' | 'circuit-breaker';

export interface ActorSpec<Config = unknown> {
  readonly id: string;
  /** Module whose default export is the ActorDefinition. */
  readonly module: URL;
  readonly restart: RestartPolicy;
  /** Actors this one talks to. They may start before or after it. */
  readonly links: readonly string[];
  /** In-flight asks to this actor fail as outcome_unknown instead of peer_down when it dies (wal-writer, consensus). */
  readonly outcomeUnknownOnDeath?: boolean;
  /** Has a kill gate around its writes. */
  readonly gated?: boolean;
  /**
   * Silence after which the thread counts as hung: a blocked loop shows no sign of life within this. A declared native
   * section is no silence. It is noticed within one and a half times this.
   */
  readonly heartbeatMs: number;
  /** Limit of the old generation: what lives on. */
  readonly memoryMb: number;
  /**
   * Limit of the young generation, beside it; YOUNG_GENERATION_MB (define.ts) when absent. It should have room for a few
   * times what is in flight at once: each collection copies what is.
   */
  readonly youngGenerationMb?: number;
  /** Keeps one more thread with the module loaded, 10 to 20 MB each, so that a restart takes only its `init`. */
  readonly standby?: boolean;
  readonly startTimeoutMs: number;
  readonly shutdownMs: number;
  /** This actor's part of the node's configuration. */
  configure(config: Config): unknown;
}

export type GroupStrategy = 'one-for-one' | 'rest-for-one' | 'one-for-all';

export interface GroupSpec<Config = unknown> {
  readonly id: string;
  readonly strategy: GroupStrategy;
  /** More restarts than `intensity` within `periodMs` and the group gives up: its parent decides, the root exits 70. */
  readonly budget: { readonly intensity: number; readonly periodMs: number };
  readonly children: readonly (ActorSpec<Config> | GroupSpec<Config>)[];
}
