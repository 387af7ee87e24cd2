// An actor's definition at work in its own thread: context, links, mailbox, control surface. Driven by entry.ts. It
// must never outlive a throw that it does not understand: a state after that cannot be trusted.
import { isDeepStrictEqual } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import type { Registry } from 'prom-client';
import type { ActorContext, Clock, ContractShape } from './contract.js';
import type { ControlSurface, PrepareResult } from './control.js';
import { PortLink } from './link.js';
import { type Handlers, Mailbox, type ReplyTransfers } from './mailbox.js';
import { type Misdeed, misbehave } from './misdeeds.js';
import type { MetricSnapshot } from './retired.js';
import { ThreadVitals } from './vitals.js';
import {
  type Boot,
  type LogChange,
  type MessageNames,
  type NoticeToActor,
  type NoticeToSupervisor,
  namesOf,
  type PolicyTables,
  type Ready,
  type ThreadLog,
} from './wire.js';
import { ActorError, describe } from './wire-error.js';

type AnyContext = ActorContext<Record<string, ContractShape>, unknown>;

/** A definition as it comes out of a module: its types are gone, its shape was checked. */
export interface LoadedDefinition extends Handlers {
  readonly policies: PolicyTables;
  ahead?(config: unknown): unknown;
  init(context: AnyContext): unknown;
  readonly reconfigure?: {
    prepare(state: unknown, next: unknown): void | Promise<void>;
    commit(state: unknown): void;
    abort(state: unknown): void;
  };
  drain?(state: unknown): void | Promise<void>;
  stop(state: unknown): void | Promise<void>;
  abandon?(state: unknown): void;
  inspect?(state: unknown): object;
}

/** The default export of an actor's module, or an error that says what is missing. */
export function definitionOf(exported: unknown, module: string): LoadedDefinition {
  const found = (exported as { default?: unknown }).default;
  if (typeof found !== 'object' || found === null) {
    throw new Error(
      `${module} has no actor definition as its default export; write: export default defineActor({ … })`,
    );
  }
  const parts = found as Record<string, unknown>;
  for (const name of ['init', 'stop']) {
    if (typeof parts[name] !== 'function')
      throw new Error(`the actor definition in ${module} has no function "${name}"`);
  }
  for (const name of ['policies', 'tell', 'ask']) {
    if (typeof parts[name] !== 'object' || parts[name] === null) {
      throw new Error(`the actor definition in ${module} has no table "${name}"`);
    }
  }
  return found as LoadedDefinition;
}

export interface RunnerOptions {
  readonly boot: Boot;
  readonly definition: LoadedDefinition;
  readonly clock: Clock;
  readonly threadLog: ThreadLog;
  readonly registry: Registry;
  readonly notify: (notice: NoticeToSupervisor) => void;
  /** Made by the definition's `ahead` in this thread; null without. */
  readonly ahead?: unknown;
  /** The thread as the kernel numbers it; a simulated one has none. */
  readonly threadTid?: number | null;
  /** As the mailbox takes it; a simulated thread gives its own. */
  readonly endOfTurn?: (run: () => void) => void;
}

export class Runner implements ControlSurface {
  readonly vitals: ThreadVitals;
  readonly #options: RunnerOptions;
  readonly #names: MessageNames;
  readonly #links = new Map<string, PortLink<ContractShape>>();
  readonly #mailbox: Mailbox;
  readonly #transfers: ReplyTransfers = new WeakMap();
  #state: unknown;
  #stopped = false;
  #config: unknown;
  #prepared: { readonly config: unknown; aborted: boolean } | null = null;

  constructor(options: RunnerOptions) {
    const { boot, definition, clock } = options;
    this.#options = options;
    this.#config = boot.config;
    this.vitals = new ThreadVitals(boot.vitals);
    this.#names = namesOf(definition.policies);
    this.#mailbox = new Mailbox({
      names: this.#names,
      handlers: definition,
      state: () => this.#state,
      transfers: this.#transfers,
      dispatched: (what) => this.vitals.dispatched(what),
      ...(options.endOfTurn === undefined ? {} : { endOfTurn: options.endOfTurn }),
    });
    for (const { peer, outcomeUnknownOnDeath } of boot.links) {
      this.#links.set(peer, new PortLink(peer, clock, outcomeUnknownOnDeath));
    }
    for (const end of boot.connected) this.#links.get(end.peer)?.connect(end);
  }

  notice(notice: Exclude<NoticeToActor, { kind: 'abandon' }>): void {
    if (notice.kind === 'link') this.#links.get(notice.peer)?.connect(notice);
    else if (notice.kind === 'serve') this.#mailbox.serve(notice.caller, notice.port, notice.depth);
    else if (notice.kind === 'log') this.#changeLog(notice);
    else {
      this.#mailbox.close(notice.peer);
      this.#links.get(notice.peer)?.disconnect();
    }
  }

  async init(): Promise<Ready> {
    this.#state = await this.#options.definition.init(this.#context());
    const heapLimitMb = getHeapStatistics().heap_size_limit / 2 ** 20;
    const { definition, threadTid = null } = this.#options;
    const abandons = definition.abandon === undefined ? {} : { abandons: true as const };
    return { names: this.#names, heapLimitMb, threadTid, ...abandons };
  }

  async prepare(config: unknown): Promise<PrepareResult> {
    if (isDeepStrictEqual(config, this.#config)) return 'unchanged';
    const { reconfigure } = this.#options.definition;
    if (reconfigure === undefined) return 'restart';
    const preparing = { config, aborted: false };
    this.#prepared = preparing;
    try {
      await reconfigure.prepare(this.#state, config);
    } catch (thrown) {
      if (this.#prepared === preparing) this.#prepared = null;
      throw new ActorError('refused', describe(thrown), { actor: this.#options.boot.id }, thrown);
    }
    // Aborted while it still prepared, such as past the deadline: what it has by now must go too.
    if (preparing.aborted) reconfigure.abort(this.#state);
    return 'prepared';
  }

  async commit(): Promise<void> {
    if (this.#prepared === null) return;
    const { config } = this.#prepared;
    this.#prepared = null;
    this.#options.definition.reconfigure?.commit(this.#state);
    this.#config = config;
  }

  async abort(): Promise<void> {
    if (this.#prepared === null) return;
    this.#prepared.aborted = true;
    this.#prepared = null;
    this.#options.definition.reconfigure?.abort(this.#state);
  }

  async drain(): Promise<void> {
    await this.#options.definition.drain?.(this.#state);
  }

  /** The mailbox closes first: nothing may be delivered to a state that was stopped. */
  async stop(): Promise<MetricSnapshot> {
    this.#mailbox.closeAll();
    this.#stopped = true;
    await this.#options.definition.stop(this.#state);
    return this.metrics();
  }

  /** Before an end without `stop`: nothing of this thread may be called any more. */
  abandon(): void {
    this.#mailbox.closeAll();
    if (!this.#stopped) this.#options.definition.abandon?.(this.#state);
  }

  async metrics(): Promise<MetricSnapshot> {
    return (await this.#options.registry.getMetricsAsJSON()) as unknown as MetricSnapshot;
  }

  async inspect(): Promise<object> {
    return this.#options.definition.inspect?.(this.#state) ?? {};
  }

  async misbehave(misdeed: Misdeed): Promise<void> {
    if (!this.#options.boot.drills) throw new ActorError('refused', 'this supervisor was not made for drills');
    misbehave(misdeed);
  }

  #changeLog({ level, reopen }: LogChange): void {
    if (level !== undefined) this.#options.threadLog.log.level = level;
    if (reopen === true) this.#options.threadLog.reopen();
  }

  #context(): AnyContext {
    const { boot, clock, registry, notify } = this.#options;
    const { log } = this.#options.threadLog;
    return {
      id: boot.id,
      incarnation: boot.incarnation,
      config: boot.config,
      ahead: this.#options.ahead ?? null,
      links: Object.fromEntries(this.#links),
      log,
      registry,
      clock,
      vitals: this.vitals,
      report: (name, value) => notify({ kind: 'report', name, value }),
      transferring: (reply, transfer) => {
        this.#transfers.set(reply, transfer);
        return reply;
      },
      fatal(exitCode, reason) {
        log.fatal({ exit_code: exitCode, reason }, 'the process must end');
        notify({ kind: 'fatal', exitCode, reason });
      },
    };
  }
}
