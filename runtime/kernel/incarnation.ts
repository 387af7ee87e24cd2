// One life of one actor, seen from the supervisor: spawned, ready, fenced, ended, exited. Called by the supervisor
// alone. It must never be reused, and never terminates a thread whose gate is busy with a write.
import type { ActorSpec, Clock, Timer } from './contract.js';
import type { ControlName, ControlReply, ControlSurface } from './control.js';
import { YOUNG_GENERATION_MB } from './define.js';
import type { Host, HostError, Hosted, Reservation } from './host.js';
import { createVitals, VitalsView } from './vitals.js';
import { Watchdog } from './watchdog.js';
import type { ActorLogOptions, LinkEnd, NoticeToActor, NoticeToSupervisor, Ready } from './wire.js';
import { ActorError, describe } from './wire-error.js';

/** A gated write that lasts longer than this will not end. */
export const GATE_LIMIT_MS = 2_000;
/** A thread whose loop turns lets go in a few milliseconds; one that hangs is terminated after this. */
export const ABANDON_LIMIT_MS = 250;
/** A module that takes longer to load is not waited for: it may never end. */
export const LOAD_LIMIT_MS = 5_000;
/** A terminated thread must be gone after this, unless it declares a native section. */
export const EXIT_LIMIT_MS = 10_000;
/** The same inside a declared native section, such as an fdatasync on a stalled disk. */
export const NATIVE_EXIT_LIMIT_MS = 60_000;
/** V8 adds at most this much to the limits that a thread is given. */
const HEAP_SLACK_MB = 40;
/** How long a thread that hangs is asked for its stack: some 50 ms where it runs JavaScript, and never where it does not. */
export const STACK_LIMIT_MS = 1_500;
/** Between the end of a dying thread's ports and its exit. */
const PORT_BEFORE_EXIT_MS = 1_000;

export type ExitReason =
  /** An uncaught error. */
  | 'crashed'
  | 'out_of_memory'
  /** Its loop stood still longer than its heartbeat allows. */
  | 'hung'
  /** process.exit, or nothing left to do: an actor never ends by itself. */
  | 'exited'
  | 'start_failed'
  | 'start_timeout'
  /** kill(): asked for by an operator or a drill. */
  | 'killed'
  /** Stopped in order: shutdown, or taken along in a restart. */
  | 'stopped';

export interface Exit {
  readonly reason: ExitReason;
  readonly detail: string;
  readonly stack: string | null;
  readonly exitCode: number;
  readonly incarnation: number;
  /** Wall clock. */
  readonly atMs: number;
}

export interface IncarnationOptions {
  readonly spec: Pick<
    ActorSpec,
    'id' | 'module' | 'gated' | 'heartbeatMs' | 'memoryMb' | 'youngGenerationMb' | 'startTimeoutMs'
  >;
  readonly number: number;
  readonly config: unknown;
  readonly links: readonly { readonly peer: string; readonly outcomeUnknownOnDeath: boolean }[];
  readonly connected: readonly LinkEnd[];
  readonly log: ActorLogOptions;
  readonly drills: boolean;
  readonly host: Host;
  readonly clock: Clock;
  readonly onNotice: (notice: NoticeToSupervisor) => void;
  /** Called once, before terminate and at the latest at the exit: nothing of this incarnation counts any more. */
  readonly onFence: () => void;
  readonly onExit: (exit: Exit) => void;
  /** The loop stood still for long, and turned again before it was ended. */
  readonly onBlocked: (blocked: { readonly silentMs: number; readonly stack: string | null }) => void;
  /** The thread cannot be ended. */
  readonly onStuck: (detail: string) => void;
}

export class Incarnation {
  readonly number: number;
  /** What the living actor has in force; changed when it commits another one. */
  config: unknown;
  readonly vitals: VitalsView;
  readonly exited: Promise<Exit>;
  readonly #options: IncarnationOptions;
  readonly #hosted: Hosted;
  readonly #resolveExited: (exit: Exit) => void;
  #ready: Ready | null = null;
  #fenced = false;
  #exit: Exit | null = null;
  #error: HostError | null = null;
  #watchdog: Watchdog | null = null;
  #end: { readonly reason: ExitReason; readonly detail: string; readonly stack: string | null } | null = null;

  constructor(options: IncarnationOptions) {
    const { spec, number, host } = options;
    this.#options = options;
    this.number = number;
    this.config = options.config;
    const vitals = createVitals();
    this.vitals = new VitalsView(vitals);
    let resolveExited: (exit: Exit) => void = () => {};
    this.exited = new Promise((resolve) => {
      resolveExited = resolve;
    });
    this.#resolveExited = resolveExited;
    this.#hosted = host.spawn(
      {
        ...this.reservation,
        incarnation: number,
        heartbeatMs: spec.heartbeatMs,
        vitals,
        drills: options.drills,
        links: options.links,
        connected: options.connected,
      },
      {
        // A fenced incarnation's facts count no more, but what it saw of the disk still does: a failed fsync that is
        // told late must end the process all the same.
        notice: (notice) => {
          if (!this.#fenced || notice.kind === 'fatal') options.onNotice(notice);
        },
        error: (error) => {
          this.#error ??= error;
        },
        exit: (exitCode) => this.#onExit(exitCode),
      },
    );
  }

  /** What the next one will need as well. */
  get reservation(): Reservation {
    const { spec, log, config } = this.#options;
    const { id, module, memoryMb, youngGenerationMb = YOUNG_GENERATION_MB } = spec;
    return { id, module: module.href, memoryMb, youngGenerationMb, log, config };
  }

  /** What to tell of a heap that may grow past the spec's limits; --max-old-space-size overrides those of every thread. */
  excessHeap(heapLimitMb: number): Readonly<Record<string, number>> | null {
    const { memoryMb, youngGenerationMb = YOUNG_GENERATION_MB } = this.#options.spec;
    if (heapLimitMb <= memoryMb + youngGenerationMb + HEAP_SLACK_MB) return null;
    return { memory_mb: memoryMb, heap_limit_mb: Math.round(heapLimitMb) };
  }

  /** Set once init returned. */
  get ready(): Ready | null {
    return this.#ready;
  }

  get fenced(): boolean {
    return this.#fenced;
  }

  /** Runs the actor's init. Rejects when it threw, timed out, or the thread ended; the caller then calls `end`. */
  async init(): Promise<Ready> {
    let ready: Ready;
    try {
      ready = await this.call('init', [], this.#options.spec.startTimeoutMs);
    } catch (thrown) {
      // The port's end comes before the exit, which knows more: an error, an exit code.
      if (this.#hosted.control.closed) await this.#exitWithin(PORT_BEFORE_EXIT_MS);
      throw thrown;
    }
    if (this.#fenced) throw new ActorError('start_failed', 'ended while it started');
    this.#ready = ready;
    this.#watchdog = new Watchdog({
      clock: this.#options.clock,
      heartbeatMs: this.#options.spec.heartbeatMs,
      vitals: this.vitals,
      onSilent: (silentMs) => void this.#onSilent(silentMs),
    });
    return ready;
  }

  /** Asks for the stack first: it says what to mend, and the thread takes it along. */
  async #onSilent(silentMs: number): Promise<void> {
    const beats = this.vitals.beats();
    const stack = await this.#hosted.stack(STACK_LIMIT_MS);
    if (this.#fenced) return;
    if (this.vitals.beats() !== beats) {
      this.#options.onBlocked({ silentMs, stack });
      return;
    }
    const where = stack === null ? '; it runs no JavaScript: in native code, or given no time' : '';
    await this.end('hung', `no sign of life for ${Math.round(silentMs)} ms${where}`, stack);
  }

  call<K extends ControlName>(
    name: K,
    args: Parameters<ControlSurface[K]>,
    deadlineMs: number,
  ): Promise<ControlReply<K>> {
    return this.#hosted.control.call(name, args, deadlineMs);
  }

  post(notice: NoticeToActor): void {
    if (this.#exit === null) this.#hosted.post(notice);
  }

  /** Fences, closes the gate, terminates. Resolves when the thread is gone, or is known not to go. */
  async end(reason: ExitReason, detail: string, stack: string | null = null): Promise<void> {
    this.#end ??= { reason, detail, stack };
    this.#fence();
    if (this.#exit !== null) return;
    if (!(await this.#mayTerminate())) return;
    if (this.#exit !== null) return;
    // One that hangs reads no notice.
    if (this.#ready?.abandons === true && reason !== 'hung') {
      this.post({ kind: 'abandon' });
      await this.#exitWithin(ABANDON_LIMIT_MS);
      if (this.#exit !== null) return;
    }
    this.#hosted.terminate();
    await this.#gone();
  }

  /** Waits for what a termination must not meet: a gated write, and the loading of the module. */
  async #mayTerminate(): Promise<boolean> {
    const { spec, clock, onStuck } = this.#options;
    const starts = this.#ready === null;
    if (spec.gated !== true && !starts) return true;
    const limitMs = starts ? LOAD_LIMIT_MS : GATE_LIMIT_MS;
    const closed = await Promise.race([this.vitals.closeGate(clock, limitMs), this.exited.then(() => true)]);
    if (closed || spec.gated !== true) return true;
    onStuck(`"${spec.id}" is in a gated write that has not ended within ${limitMs} ms`);
    return false;
  }

  /** For what `init` rejected with. When the thread ended by itself its exit is already on the way and says more. */
  async endFailedStart(thrown: unknown): Promise<void> {
    if (this.#fenced) return;
    const timedOut = thrown instanceof ActorError && thrown.code === 'deadline';
    const stack = thrown instanceof Error && typeof thrown.cause === 'string' ? thrown.cause : null;
    await this.end(timedOut ? 'start_timeout' : 'start_failed', describe(thrown), stack);
  }

  async #exitWithin(limitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer(limitMs, resolve);
      void this.exited.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  async #gone(): Promise<void> {
    const { spec, clock } = this.#options;
    const sinceMs = clock.monotonic();
    await new Promise<void>((resolve) => {
      const watch = (): void => {
        const native = this.vitals.native();
        const limitMs = native === null ? EXIT_LIMIT_MS : NATIVE_EXIT_LIMIT_MS;
        const leftMs = limitMs - (clock.monotonic() - sinceMs);
        if (leftMs > 0) {
          timer = clock.setTimer(Math.min(leftMs, EXIT_LIMIT_MS), watch);
          return;
        }
        const where = native === null ? '' : `, in ${native.kind} for ${Math.round(native.forMs)} ms`;
        this.#options.onStuck(`the thread of "${spec.id}" did not end within ${limitMs} ms${where}`);
        resolve();
      };
      let timer = clock.setTimer(EXIT_LIMIT_MS, watch);
      void this.exited.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #fence(): void {
    if (this.#fenced) return;
    this.#fenced = true;
    this.#watchdog?.stop();
    this.#hosted.control.close(new ActorError('start_failed', `"${this.#options.spec.id}" was ended`));
    this.#options.onFence();
  }

  /** The exit decides; an error that came before it only says why. */
  #onExit(exitCode: number): void {
    if (this.#exit !== null) return;
    const wasReady = this.#ready !== null;
    this.#exit = {
      ...this.#cause(exitCode, wasReady),
      exitCode,
      incarnation: this.number,
      atMs: this.#options.clock.now(),
    };
    this.#fence();
    this.#resolveExited(this.#exit);
    this.#options.onExit(this.#exit);
  }

  #cause(exitCode: number, wasReady: boolean): Pick<Exit, 'reason' | 'detail' | 'stack'> {
    if (this.#end !== null) return this.#end;
    const error = this.#error;
    const stack = error?.stack ?? null;
    if (error?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      const detail = `reached its memory limit of ${this.#options.spec.memoryMb} MB`;
      return { reason: 'out_of_memory', detail, stack };
    }
    const detail = error?.message ?? exitWithoutError(exitCode);
    if (!wasReady) return { reason: 'start_failed', detail, stack };
    return { reason: error === null ? 'exited' : 'crashed', detail, stack };
  }
}

/** The hard end of several at once, and of their host. True when every thread is gone within `limitMs`. */
export async function endAll(
  living: readonly Incarnation[],
  { host, clock }: { readonly host: Host; readonly clock: Clock },
  limitMs: number,
): Promise<boolean> {
  let timer: Timer | null = null;
  const limit = new Promise<boolean>((resolve) => {
    timer = clock.setTimer(limitMs, () => resolve(false));
  });
  for (const incarnation of living) void incarnation.end('stopped', 'the process ends');
  const exits = living.map((incarnation) => incarnation.exited);
  const joined = Promise.all([host.close?.(), ...exits]).then(() => true);
  const gone = await Promise.race([joined, limit]);
  (timer as Timer | null)?.cancel();
  return gone;
}

function exitWithoutError(exitCode: number): string {
  if (exitCode === 13) return 'its module waits for something that never comes (top-level await)';
  if (exitCode === 0) return 'the thread ended by itself without being asked';
  return `the thread ended itself with exit code ${exitCode}`;
}
