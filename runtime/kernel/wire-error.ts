// ActorError: the one error that crosses threads: a code from one table, plus plain data. Called by links, mailboxes,
// the control plane and by actors that answer with a code of their own choice; must never carry a class instance.

/** Every way in which talk between actors fails. `retryable`: the same request may succeed later, unchanged. */
export const ACTOR_ERRORS = {
  overloaded: { retryable: true, meaning: 'the receiver has as many unanswered messages of this name as it accepts' },
  peer_down: { retryable: true, meaning: 'the receiver is not running; it did not answer this request' },
  outcome_unknown: {
    retryable: true,
    meaning: 'the receiver died with this request in hand; it may or may not have been carried out',
  },
  deadline: { retryable: true, meaning: 'no answer within the deadline; the request may still be carried out' },
  handler_failed: { retryable: false, meaning: "the receiver's handler threw" },
  not_cloneable: { retryable: false, meaning: 'the message holds something that cannot cross threads' },
  unknown_message: { retryable: false, meaning: 'the receiver has no handler of this name' },
  gate_closed: { retryable: true, meaning: 'this incarnation is about to be ended and may not write any more' },
  start_failed: { retryable: true, meaning: 'the actor did not become ready' },
  refused: { retryable: false, meaning: 'the actor refused the new configuration' },
  stopped: { retryable: false, meaning: 'the supervisor is stopping' },
  unknown_actor: { retryable: false, meaning: 'no actor of this id is in the tree' },
} as const satisfies Record<string, { retryable: boolean; meaning: string }>;

export type ActorErrorCode = keyof typeof ACTOR_ERRORS;

export type ActorErrorData = Readonly<Record<string, string | number | boolean | null>>;

/** How talk between actors fails: `code` says in which way (ACTOR_ERRORS), `data` which actor and message. */
export class ActorError extends Error {
  override readonly name = 'ActorError';
  readonly code: ActorErrorCode;
  readonly data: ActorErrorData;

  constructor(code: ActorErrorCode, detail: string, data: ActorErrorData = {}, cause?: unknown) {
    super(`${code}: ${detail}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.data = data;
  }

  get retryable(): boolean {
    return ACTOR_ERRORS[this.code].retryable;
  }
}

/** The form an error has inside a message. */
export interface WireError {
  readonly code: ActorErrorCode;
  readonly message: string;
  readonly data: ActorErrorData;
  /** Stack in the thread where it was thrown, for the log; never shown to clients. */
  readonly stack: string | null;
}

/**
 * Any thrown value as plain data. An ActorError keeps its code, so that an `outcome_unknown` met by a handler reaches
 * the handler's caller as what it is; everything else becomes `handler_failed`.
 */
export function toWire(thrown: unknown): WireError {
  if (thrown instanceof ActorError) {
    return { code: thrown.code, message: thrown.message, data: thrown.data, stack: thrown.stack ?? null };
  }
  if (thrown instanceof Error) {
    const code = (thrown as { code?: unknown }).code;
    return {
      code: 'handler_failed',
      message: `handler_failed: ${thrown.name}: ${thrown.message}`,
      data: typeof code === 'string' || typeof code === 'number' ? { cause: code } : {},
      stack: thrown.stack ?? null,
    };
  }
  return { code: 'handler_failed', message: `handler_failed: threw ${describe(thrown)}`, data: {}, stack: null };
}

/** The error as the caller's thread throws it; the remote stack becomes its `cause`. */
export function fromWire(wire: WireError): ActorError {
  const detail = wire.message.startsWith(`${wire.code}: `) ? wire.message.slice(wire.code.length + 2) : wire.message;
  return new ActorError(wire.code, detail, wire.data, wire.stack ?? undefined);
}

/** One line for a log or a message, whatever was thrown. */
export function describe(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  if (typeof thrown === 'string') return thrown;
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return typeof thrown;
  }
}
