// One incarnation without a thread: the production Runner, Mailbox and links on a loop that a test can block, kill or
// keep from dying. Made by host-simulated.ts. It must never run anything of an actor after its end, and never by itself.
import { Registry } from '../../observability/prom-client.js';
import type { Clock, Timer } from './contract.js';
import { exposeControl } from './control.js';
import type { HostError, HostEvents } from './host.js';
import { definitionOf, Runner } from './runner.js';
import type { Loop, SimulatedPort, Wire } from './simulated-port.js';
import { loadGated } from './vitals.js';
import { BEATS } from './watchdog.js';
import type { Boot, NoticeToActor, NoticeToSupervisor, ThreadLog } from './wire.js';
import { describe } from './wire-error.js';

/** How one incarnation behaves, as far as its module does not decide that. */
export interface ThreadPlan {
  /** From `spawn` to the start of loading. */
  readonly spawnMs: number;
  readonly loadMs: number;
  /** What the module's default export is; or it throws; or it waits for something that never comes. */
  readonly module: object | 'throws' | 'never-loads';
  /** From terminate to the exit. */
  readonly exitMs: number;
}

/** Where the gate is in the vitals: see vitals.ts. */
const GATE = 2;
const GATE_OPEN = 0;
const GATE_BUSY = 1;

export const OUT_OF_MEMORY: HostError = {
  message: 'Error: simulated: out of memory',
  stack: null,
  code: 'ERR_WORKER_OUT_OF_MEMORY',
};

export interface ThreadOptions {
  readonly boot: Boot;
  readonly events: HostEvents;
  readonly plan: ThreadPlan;
  readonly wire: Wire;
  /** In [0, 1): which of the waiting ports a loop that was blocked reads next. */
  readonly random: () => number;
  readonly threadLog: ThreadLog;
  readonly control: SimulatedPort;
  /** The moments that only the host sees. */
  readonly observe: (thread: SimulatedThread, moment: Moment) => void;
}

/** `fenced`: the supervisor let go of it; `died`: it runs no more; `exited`: the supervisor was told. */
export type Moment = 'spawned' | 'fenced' | 'terminated' | 'died' | 'exited';

export class SimulatedThread implements Loop {
  readonly boot: Boot;
  readonly plan: ThreadPlan;
  readonly registry = new Registry();
  /** The thread's own view of time: its timers end with it. */
  readonly clock: Clock;
  runner: Runner | null = null;
  gone = false;
  /** Whether terminate ends it; a thread in native code may never end. */
  mortal = true;
  fencedAtMs: number | null = null;
  terminatedAtMs: number | null = null;
  exitedAtMs: number | null = null;
  /** Its loop stood still until then, or does. */
  blockedUntilMs = 0;
  /** When that began. */
  blockedSinceMs = 0;
  readonly #options: ThreadOptions;
  readonly #ports = new Set<SimulatedPort>();
  readonly #gate: Int32Array;
  #inbox: Exclude<NoticeToActor, { kind: 'abandon' }>[] = [];
  #backlog: { readonly source: object; readonly run: () => void }[] = [];
  #draining = false;
  #inNativeCode = false;
  #toThreadMs = 0;
  #toSupervisorMs = 0;

  constructor(options: ThreadOptions) {
    this.#options = options;
    this.boot = options.boot;
    this.plan = options.plan;
    this.#gate = new Int32Array(options.boot.vitals, 0, 4);
    const { clock } = options.wire;
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      setTimer: (delayMs, run): Timer => {
        let cancelled = false;
        const timer = clock.setTimer(delayMs, () =>
          this.enter(this, () => {
            if (!cancelled) run();
          }),
        );
        return {
          cancel() {
            cancelled = true;
            timer.cancel();
          },
        };
      },
    };
    this.adopt(options.control);
    clock.setTimer(options.plan.spawnMs, () => this.enter(this, () => void this.#load()));
  }

  get name(): string {
    return `${this.boot.id}#${this.boot.incarnation}`;
  }

  get gate(): 'open' | 'busy' | 'closed' {
    const found = Atomics.load(this.#gate, GATE);
    if (found === GATE_OPEN) return 'open';
    return found === GATE_BUSY ? 'busy' : 'closed';
  }

  get blocked(): boolean {
    // Sums of fractions may end a hair below what they should.
    return this.#options.wire.clock.monotonic() + 0.001 < this.blockedUntilMs;
  }

  adopt(port: SimulatedPort): void {
    this.#ports.add(port);
    port.moveTo(this);
  }

  /** Runs `run` on the thread's loop: later if it is blocked, never if it is gone. A throw ends the thread. */
  enter(source: object, run: () => void): void {
    if (this.gone) return;
    if (this.blocked || this.#draining) {
      this.#backlog.push({ source, run });
      return;
    }
    this.#execute(run);
  }

  /** The loop stands still. In native code not even terminate ends it before. */
  block(durationMs: number, native = false): void {
    if (this.gone || this.blockedUntilMs === Number.POSITIVE_INFINITY) return;
    this.#inNativeCode = native;
    const nowMs = this.#options.wire.clock.monotonic();
    if (!this.blocked) this.blockedSinceMs = nowMs;
    this.blockedUntilMs = Math.max(this.blockedUntilMs, nowMs + durationMs);
    if (durationMs !== Number.POSITIVE_INFINITY) this.#options.wire.clock.setTimer(durationMs, () => this.#unblock());
  }

  /** A write inside the kill gate that takes this long; the gate stays busy when the thread dies in it. */
  write(durationMs: number): void {
    if (Atomics.compareExchange(this.#gate, GATE, GATE_OPEN, GATE_BUSY) !== GATE_OPEN) return;
    this.block(durationMs);
    this.#options.wire.clock.setTimer(durationMs, () => {
      if (!this.gone) Atomics.compareExchange(this.#gate, GATE, GATE_BUSY, GATE_OPEN);
    });
  }

  /** The thread ends: nothing of it runs from here on. The supervisor hears of it a little later. */
  die(exitCode: number, error: HostError | null = null): void {
    if (this.gone) return;
    this.gone = true;
    this.#options.observe(this, 'died');
    for (const port of this.#ports) port.orphan();
    this.#backlog = [];
    const { events } = this.#options;
    if (error !== null) this.#tell(() => events.error(error));
    this.#tell(() => {
      this.exitedAtMs = this.#options.wire.clock.monotonic();
      this.fenced();
      this.#options.observe(this, 'exited');
      events.exit(exitCode);
    });
  }

  /** A notice to the supervisor: before the exit, whatever else happens. */
  report(notice: NoticeToSupervisor): void {
    if (!this.gone) this.#tell(() => this.#options.events.notice(notice));
  }

  crash(message: string): void {
    this.die(1, { message, stack: null, code: null });
  }

  /** The supervisor's side was closed by the supervisor. */
  fenced(): void {
    if (this.fencedAtMs !== null || (this.gone && this.exitedAtMs === null)) return;
    this.fencedAtMs = this.#options.wire.clock.monotonic();
    this.#options.observe(this, 'fenced');
  }

  terminate(): void {
    const { clock } = this.#options.wire;
    this.#options.observe(this, 'terminated');
    if (this.gone || this.terminatedAtMs !== null) return;
    this.terminatedAtMs = clock.monotonic();
    if (!this.mortal) return;
    const nativeMs = this.#inNativeCode ? Math.max(0, this.blockedUntilMs - this.terminatedAtMs) : 0;
    if (nativeMs !== Number.POSITIVE_INFINITY) clock.setTimer(nativeMs + this.plan.exitMs, () => this.die(1));
  }

  /** Takes up to its limit; one in native code has no stack to show. */
  stack(limitMs: number): Promise<string | null> {
    const { wire, random } = this.#options;
    return new Promise((resolve) => {
      wire.clock.setTimer(Math.floor(random() * limitMs), () => resolve(this.#inNativeCode ? null : 'simulated stack'));
    });
  }

  post(notice: NoticeToActor): void {
    if ('port' in notice) this.adopt(notice.port as SimulatedPort);
    const { clock } = this.#options.wire;
    const nowMs = clock.monotonic();
    this.#toThreadMs = Math.max(this.#toThreadMs, nowMs + this.#options.wire.delayMs());
    clock.setTimer(this.#toThreadMs - nowMs, () => this.enter(this.#inbox, () => this.#hear(notice)));
  }

  #hear(notice: NoticeToActor): void {
    if (notice.kind === 'abandon') {
      this.runner?.abandon();
      this.die(0);
    } else if (this.runner === null) this.#inbox.push(notice);
    else this.runner.notice(notice);
  }

  #tell(run: () => void): void {
    const { clock } = this.#options.wire;
    const nowMs = clock.monotonic();
    this.#toSupervisorMs = Math.max(this.#toSupervisorMs, nowMs + this.#options.wire.delayMs());
    clock.setTimer(this.#toSupervisorMs - nowMs, run);
  }

  /** What entry.ts does. */
  async #load(): Promise<void> {
    const { boot, plan } = this;
    try {
      const loaded = await loadGated(boot.vitals, () => this.#module());
      if (this.gone) return;
      if (loaded === null) this.die(0);
      else this.#boot(loaded);
    } catch (thrown) {
      if (!this.gone) this.crash(`Error: ${describe(thrown)} (${String(plan.module)})`);
    }
  }

  #module(): Promise<object> {
    const { module, loadMs } = this.plan;
    return new Promise((resolve, reject) => {
      this.clock.setTimer(loadMs, () => {
        if (module === 'never-loads') this.die(13);
        else if (module === 'throws') reject(new Error('simulated: the module does not load'));
        else resolve({ default: module });
      });
    });
  }

  #boot(loaded: object): void {
    const { boot } = this;
    const { threadLog, control, wire } = this.#options;
    const runner = new Runner({
      boot,
      definition: definitionOf(loaded, boot.module),
      clock: this.clock,
      threadLog,
      registry: this.registry,
      notify: (notice) => this.report(notice),
      endOfTurn: (run) => void this.clock.setTimer(0, run),
    });
    this.runner = runner;
    for (const notice of this.#inbox.splice(0)) runner.notice(notice);
    // One that was due while the loop stood still comes as soon as it turns again.
    const beat = (): void => {
      wire.quiet?.();
      runner.vitals.beat();
      this.clock.setTimer(boot.heartbeatMs / BEATS, beat);
    };
    this.clock.setTimer(0, beat);
    exposeControl(control as unknown as Parameters<typeof exposeControl>[0], runner);
  }

  #execute(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.crash(`Error: ${describe(thrown)}`);
    }
  }

  #unblock(): void {
    if (this.gone || this.#draining || this.blocked) return;
    this.#inNativeCode = false;
    this.#drain();
  }

  /** What came meanwhile, one turn each: in order for each port, in any order between ports. */
  #drain(): void {
    if (this.gone) return;
    if (this.blocked || this.#backlog.length === 0) {
      this.#draining = false;
      return;
    }
    this.#draining = true;
    const sources = [...new Set(this.#backlog.map(({ source }) => source))];
    const source = sources[Math.floor(this.#options.random() * sources.length)];
    const index = this.#backlog.findIndex((entry) => entry.source === source);
    const [next] = this.#backlog.splice(index, 1);
    if (next !== undefined) this.#execute(next.run);
    this.#options.wire.clock.setTimer(0, () => this.#drain());
  }
}
