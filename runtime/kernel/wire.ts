// The shapes that cross threads: data-plane tuples, notices between supervisor and actor, what a thread boots with.
// Types and their numbers only; link.ts, mailbox.ts, runner.ts and the supervisor's side agree here. No behaviour.
import type { Logger } from 'pino';
import type { MailboxPolicy, ReportValue, TransferListItem } from './contract.js';
import type { WireError } from './wire-error.js';

// Data plane, one port per direction of talk. Plain arrays with numbers: the smallest thing structured clone can carry.
export const ASK = 0;
export const TELL = 1;
export const REPLY = 2;
export const FAIL = 3;
export const CREDIT = 4;

/** Caller to receiver. `name` is the index in the receiver's list of names. */
export type ToReceiver =
  | readonly [kind: typeof ASK, call: number, name: number, payload: unknown]
  | readonly [kind: typeof TELL, name: number, payload: unknown];

/** Receiver to caller. */
export type ToCaller =
  | readonly [kind: typeof REPLY, call: number, reply: unknown]
  | readonly [kind: typeof FAIL, call: number, error: WireError]
  | readonly [kind: typeof CREDIT, name: number, count: number];

/** What a data port must be able to do; a worker_threads MessagePort is one. */
export interface DataPort {
  postMessage(message: unknown, transfer?: readonly TransferListItem[]): void;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  close(): void;
}

/**
 * Int32 cells in shared memory per channel, each with one writer: messages sent (caller), messages dealt with (receiver),
 * and 1 once the incarnation at either end is fenced (supervisor). The last is what the other end sees in the middle of a
 * turn, and before it reads the notice of the end, which comes through a port of its own.
 */
export const SENT = 0;
export const DEALT = 1;
export const FENCED = 2;
export const DEPTH_BYTES = 12;

/** Names and bounds of one actor's messages, in the order that fixes their wire index. */
export interface MessageNames {
  readonly tell: readonly (readonly [name: string, max: number])[];
  readonly ask: readonly (readonly [name: string, max: number])[];
}

export interface PolicyTables {
  readonly tell: Readonly<Record<string, MailboxPolicy>>;
  readonly ask: Readonly<Record<string, MailboxPolicy>>;
}

export function namesOf(policies: PolicyTables): MessageNames {
  const table = (policy: Readonly<Record<string, MailboxPolicy>>): [string, number][] =>
    Object.entries(policy).map(([name, { max }]) => [name, max]);
  return { tell: table(policies.tell), ask: table(policies.ask) };
}

/** The caller's end of a channel. */
export interface LinkEnd {
  readonly peer: string;
  readonly port: DataPort;
  readonly names: MessageNames;
  readonly depth: SharedArrayBuffer;
}

/** Supervisor to actor, besides control calls; one-way and in order. */
export type NoticeToActor =
  | ({ readonly kind: 'link' } & LinkEnd)
  | { readonly kind: 'serve'; readonly caller: string; readonly port: DataPort; readonly depth: SharedArrayBuffer }
  /** The peer's incarnation is fenced: nothing from it may be delivered from here on. */
  | { readonly kind: 'down'; readonly peer: string }
  /** Let go of everything and end. Only to a thread that said it `abandons`. */
  | { readonly kind: 'abandon' }
  | ({ readonly kind: 'log' } & LogChange);

export interface LogChange {
  readonly level?: string;
  /** Open the log's file anew, after it was rotated away. */
  readonly reopen?: boolean;
}

/** Actor to supervisor; one-way. */
export type NoticeToSupervisor =
  | { readonly kind: 'report'; readonly name: string; readonly value: ReportValue }
  | { readonly kind: 'fatal'; readonly exitCode: number; readonly reason: string };

/** Log settings that can cross to a thread. */
export interface ActorLogOptions {
  readonly level?: string;
  /** Paths as pino's `redact` takes them. */
  readonly redact?: readonly string[];
  /** File that gets the lines; default: descriptor 1. */
  readonly file?: string;
  /** A module whose default export is a LogFactory. It makes the logger; of the above only `level` still counts. */
  readonly factory?: { readonly module: string; readonly options: unknown };
}

/** A thread's logger, and how its file is opened anew. */
export interface ThreadLog {
  readonly log: Logger;
  reopen(): void;
}

/** `bindings` are {actor, incarnation}. A bare Logger when there is no file to be opened anew. */
export type LogFactory = (bindings: { actor: string; incarnation: number }, options: unknown) => Logger | ThreadLog;

/** All that a new thread is given. */
export interface Boot {
  readonly id: string;
  readonly incarnation: number;
  readonly module: string;
  readonly config: unknown;
  readonly heartbeatMs: number;
  readonly memoryMb: number;
  readonly youngGenerationMb: number;
  readonly vitals: SharedArrayBuffer;
  readonly log: ActorLogOptions;
  /** It does what `misbehave` asks. */
  readonly drills: boolean;
  /** Every peer this actor may talk to; those already up come with their end of the channel. */
  readonly links: readonly { readonly peer: string; readonly outcomeUnknownOnDeath: boolean }[];
  readonly connected: readonly LinkEnd[];
}

/** What `init` answers. */
export interface Ready {
  readonly names: MessageNames;
  readonly heapLimitMb: number;
  /** It takes the notice `abandon`; absent: it is terminated without one. */
  readonly abandons?: true;
  /** The thread as the kernel numbers it; null where that cannot be read. */
  readonly threadTid: number | null;
}
