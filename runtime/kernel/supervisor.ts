// The supervisor: starts the tree in order, brings back what dies, stops in reverse. Called by the composition root on
// the main thread. It carries no submission, decides by the pure functions of order.ts and restart.ts, and must never
// start an actor before the exit of its predecessor.
import type { Logger } from 'pino';
import { Registry } from '../../observability/prom-client.js';
import { Budgets } from './budgets.js';
import type { Clock, ContractShape, GroupSpec, Link, ReportValue } from './contract.js';
import { FlightRecorder } from './flight-recorder.js';
import { type Exit, endAll, Incarnation } from './incarnation.js';
import { MainCaller } from './main-caller.js';
import { Milestones } from './milestones.js';
import type { Misdeed } from './misdeeds.js';
import { affected, checkedTree, type Level, levelsOf, startOrder, support } from './order.js';
import { Reconfiguration } from './reconfiguration.js';
import {
  type Action,
  afterDeath,
  afterUptime,
  atAttempt,
  type History,
  NO_HISTORY,
  type RestartSettings,
  restartDefaults,
} from './restart.js';
import { type Seat, seatOf, subject } from './seat.js';
import { type SupervisorMetrics, supervisorMetrics } from './supervisor-metrics.js';
import type {
  ActorEvent,
  ActorMetrics,
  ActorStatus,
  Supervisor,
  SupervisorEvent,
  SupervisorOptions,
} from './supervisor-types.js';
import { scrape, statusOf } from './supervisor-views.js';
import { Switchboard } from './switchboard.js';
import type { ActorLogOptions, LogChange, NoticeToSupervisor } from './wire.js';
import { ActorError, describe } from './wire-error.js';

export const EXIT_BUDGET_SPENT = 70;
export const EXIT_STUCK_THREAD = 71;
export const INSPECT_DEADLINE_MS = 1_000;

type Mode = 'idle' | 'running' | 'stopping' | 'halted';

export function supervise<Config>(options: SupervisorOptions<Config>): Supervisor<Config> {
  return new TreeSupervisor(options, checkedTree(options.tree, options.config));
}

class TreeSupervisor<Config> implements Supervisor<Config> {
  readonly #options: SupervisorOptions<Config>;
  readonly #log: Logger;
  readonly #clock: Clock;
  /** In start order. */
  readonly #seats: ReadonlyMap<string, Seat<Config>>;
  readonly #switchboard: Switchboard;
  readonly #metrics: SupervisorMetrics;
  readonly #reconfiguration: Reconfiguration<Config>;
  readonly #budgets = new Budgets<Config>();
  readonly #recorder: FlightRecorder;
  readonly #listeners = new Set<(event: SupervisorEvent) => void>();
  readonly #milestones = new Milestones();
  readonly #mainCaller: MainCaller;
  #actorLogOptions: ActorLogOptions;
  #config: Config;
  #mode: Mode = 'idle';
  #stopped: Promise<void> | null = null;

  constructor(options: SupervisorOptions<Config>, tree: GroupSpec<Config>) {
    this.#options = options;
    this.#log = options.log;
    this.#recorder = new FlightRecorder(options.host);
    this.#clock = options.clock;
    this.#config = options.config;
    this.#actorLogOptions = options.actorLogOptions;
    const specs = startOrder(tree);
    this.#seats = new Map(specs.map((spec) => [spec.id, seatOf(tree, spec)]));
    this.#switchboard = new Switchboard(options.host, new Map(specs.map((spec) => [spec.id, spec.links])));
    this.#metrics = supervisorMetrics(options.registry ?? new Registry(), [...this.#seats.keys()], {
      state: (id) => this.#seat(id).state,
      depth: (id) => this.#switchboard.depth(id),
    });
    this.#mainCaller = new MainCaller(this.#switchboard, this.#clock);
    this.#reconfiguration = new Reconfiguration(this.#seats, (id) => this.restart(id));
  }

  async start(): Promise<void> {
    if (this.#mode !== 'idle') throw new Error('a supervisor starts once');
    this.#mode = 'running';
    for (const seat of this.#seats.values()) seat.state = 'waiting';
    this.#evaluate();
    await this.#milestones.until(() =>
      [...this.#seats.values()].every(({ state }) => state === 'up' || state === 'circuit_open'),
    );
  }

  stop(): Promise<void> {
    if (this.#mode === 'halted') return Promise.resolve();
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async halt(limitMs: number): Promise<boolean> {
    this.#freeze('halted');
    const living = [...this.#seats.values()].flatMap(({ current }) => current ?? []);
    return endAll(living, this.#options, limitMs);
  }

  status(): ActorStatus[] {
    const nowMs = this.#clock.monotonic();
    return [...this.#seats.values()].map((seat) =>
      statusOf(seat, this.#settings(seat), this.#switchboard.depth(seat.spec.id), this.#options.host, nowMs),
    );
  }

  async restart(id: string): Promise<void> {
    const seat = this.#seat(id);
    this.#mustRun();
    this.#log.info({ ...subject(seat), reason: 'restart asked for' }, 'actor restart decided');
    const before = seat.incarnations;
    void this.#recover(seat, seat.levels[0]!, 0, 'restarted');
    await this.#milestones.until(() => seat.state === 'up' && seat.incarnations > before);
  }

  async kill(id: string): Promise<void> {
    this.#mustRun();
    await this.#seat(id).current?.end('killed', 'kill asked for');
  }

  reset(id: string): void {
    const seat = this.#seat(id);
    this.#setHistory(seat, NO_HISTORY, 'reset asked for');
    if (seat.state === 'backoff' || seat.state === 'circuit_open') {
      seat.state = 'waiting';
      this.#setDue(seat, 0);
      this.#evaluate();
    }
  }

  async prepare(config: Config): Promise<void> {
    this.#mustRun();
    checkedTree(this.#options.tree, config);
    await this.#reconfiguration.prepare(config);
  }

  async commit(): Promise<void> {
    this.#mustRun();
    await this.#reconfiguration.commit((config) => this.#adopt(config));
  }

  async abort(): Promise<void> {
    await this.#reconfiguration.abort();
  }

  /** Later decisions and starts follow the new configuration; what runs keeps the thread and the limits that it has. */
  #adopt(config: Config): void {
    this.#config = config;
    const tree = checkedTree(this.#options.tree, config);
    for (const spec of startOrder(tree)) {
      const seat = this.#seat(spec.id);
      seat.spec = spec;
      seat.levels = levelsOf(tree, spec.id);
    }
  }

  metrics(): Promise<ActorMetrics[]> {
    return scrape(this.#seats.values());
  }

  reports(): ReadonlyMap<string, ReadonlyMap<string, ReportValue>> {
    return new Map([...this.#seats.values()].map(({ spec, reports }) => [spec.id, reports]));
  }

  async inspect(id: string): Promise<object> {
    return this.#living(id).call('inspect', [], INSPECT_DEADLINE_MS);
  }

  async drill(id: string, misdeed: Misdeed): Promise<void> {
    await this.#living(id).call('misbehave', [misdeed], INSPECT_DEADLINE_MS);
  }

  link<C extends ContractShape>(id: string): Link<C> {
    return this.#mainCaller.link<C>(id, this.#seat(id).spec.outcomeUnknownOnDeath === true);
  }

  adjustLogs(change: LogChange): void {
    if (change.level !== undefined) this.#actorLogOptions = { ...this.#actorLogOptions, level: change.level };
    for (const { current } of this.#seats.values()) current?.post({ kind: 'log', ...change });
  }

  on(_event: 'event', listener: (event: SupervisorEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #stopAll(): Promise<void> {
    this.#freeze('stopping');
    const reverse = [...this.#seats.values()].reverse();
    for (const seat of reverse) {
      if (seat.state !== 'up' || seat.current === null) continue;
      try {
        await seat.current.call('drain', [], seat.spec.shutdownMs);
      } catch (thrown) {
        this.#log.warn({ ...subject(seat), reason: describe(thrown) }, 'actor did not drain');
      }
    }
    for (const seat of reverse) await this.#stopSeat(seat);
    await this.#options.host.close?.();
  }

  /**
   * Starts whoever may start now; everything that changes a seat ends here. A seat is in one of the three waiting states
   * only from the exit of its last incarnation on, so a successor never starts before that. Threads that come up one
   * after the other load their modules side by side, which is most of the time it takes; init runs in order.
   */
  #evaluate(): void {
    if (this.#mode !== 'running') return;
    const nowMs = this.#clock.monotonic();
    for (const seat of this.#seats.values()) {
      const { state, needs } = seat;
      if (state !== 'waiting' && state !== 'backoff' && state !== 'circuit_open') continue;
      if (seat.held > 0 || seat.dueAtMs > nowMs) continue;
      const up = this.#seatsOf(needs.up);
      const attempted = this.#seatsOf(needs.attempted);
      // Not behind one that waits for a moment of its own: it may wait long.
      const comesUp = (other: Seat<Config>) => other.state === 'up' || other.current !== null;
      if (!up.every(comesUp) || !attempted.every((other) => other.attempted || comesUp(other))) continue;
      seat.current ??= this.#spawn(seat);
      if (!up.every((other) => other.state === 'up') || !attempted.every((other) => other.attempted)) continue;
      this.#begin(seat, seat.current);
    }
    this.#milestones.look();
  }

  #spawn(seat: Seat<Config>): Incarnation {
    const { spec } = seat;
    seat.state = 'waiting';
    seat.incarnations += 1;
    this.#setHistory(seat, atAttempt(seat.history, this.#clock.monotonic()), 'its time has come');
    if (seat.cause !== null) this.#metrics.restarted(spec.id, seat.cause);
    const incarnation = new Incarnation({
      spec,
      number: seat.incarnations,
      config: spec.configure(this.#config),
      links: spec.links.map((peer) => ({
        peer,
        outcomeUnknownOnDeath: this.#seat(peer).spec.outcomeUnknownOnDeath === true,
      })),
      connected: this.#switchboard.prepare(spec.id),
      log: this.#actorLogOptions,
      drills: this.#options.drills === true,
      host: this.#options.host,
      clock: this.#clock,
      onNotice: (notice) => this.#onNotice(seat, notice),
      onFence: () => {
        if (seat.state === 'up') seat.state = 'stopping';
        seat.depthAtEnd = this.#switchboard.depth(spec.id);
        this.#switchboard.fenced(spec.id, incarnation);
      },
      onExit: (exit) => this.#onExit(seat, exit),
      onBlocked: ({ silentMs, stack }) =>
        this.#log.warn({ ...subject(seat), silent_ms: silentMs, stack }, 'actor loop was blocked'),
      onStuck: (detail) => this.#fatal(EXIT_STUCK_THREAD, detail),
    });
    this.#switchboard.spawned(spec.id, incarnation);
    return incarnation;
  }

  #begin(seat: Seat<Config>, incarnation: Incarnation): void {
    seat.state = 'starting';
    this.#emit(seat, { kind: 'starting' });
    incarnation.init().then(
      ({ heapLimitMb }) => {
        if (!incarnation.fenced) this.#onReady(seat, incarnation, heapLimitMb);
      },
      (thrown) => void incarnation.endFailedStart(thrown),
    );
  }

  #onReady(seat: Seat<Config>, incarnation: Incarnation, heapLimitMb: number): void {
    const { spec } = seat;
    seat.state = 'up';
    seat.attempted = true;
    seat.upSinceMs = this.#clock.monotonic();
    if (seat.cause !== null) this.#metrics.action('restart', 'success');
    seat.cause = null;
    this.#switchboard.ready(spec.id);
    if (spec.standby === true) this.#options.host.reserve?.(incarnation.reservation);
    const excess = incarnation.excessHeap(heapLimitMb);
    if (excess !== null) this.#log.warn({ ...subject(seat), ...excess }, 'memory limit of the actor is not in force');
    this.#log.info(subject(seat), 'actor up');
    this.#emit(seat, { kind: 'up' });
    this.#watchSuccess(seat);
    this.#evaluate();
  }

  /** Each full span of uptime is one success; a breaker needs several, also one that was open when it was started by hand. */
  #watchSuccess(seat: Seat<Config>): void {
    const settings = this.#settings(seat);
    seat.successTimer = this.#clock.setTimer(settings.successAfterMs, () => {
      this.#setHistory(seat, afterUptime(settings, seat.history, this.#clock.monotonic()), 'stayed up');
      if (seat.history.breaker.phase !== 'closed') this.#watchSuccess(seat);
    });
  }

  #onNotice(seat: Seat<Config>, notice: NoticeToSupervisor): void {
    if (notice.kind === 'fatal') {
      this.#fatal(notice.exitCode, `${seat.spec.id}: ${notice.reason}`);
      return;
    }
    seat.reports.set(notice.name, notice.value);
    this.#emit(seat, { kind: 'report', name: notice.name, value: notice.value });
  }

  #onExit(seat: Seat<Config>, exit: Exit): void {
    const wasUp = seat.state === 'up' || seat.state === 'stopping';
    const onlyLoaded = seat.state === 'waiting';
    const crash = this.#recorder.report(seat, exit, this.#clock.monotonic());
    seat.current = null;
    seat.lastExit = exit;
    seat.attempted = true;
    seat.successTimer?.cancel();
    seat.successTimer = null;
    seat.counters.retire();
    seat.reports.clear();
    const { reason, detail, exitCode, stack } = exit;
    const facts = { ...subject(seat), reason, detail, exit_code: exitCode, ...(stack === null ? {} : { stack }) };
    if (reason === 'stopped') this.#log.info(facts, 'actor exited');
    else this.#log.error(facts, 'actor exited');
    this.#emit(seat, { kind: 'exit', reason, detail, exitCode });
    if (crash !== null) this.#options.onCrash?.(crash);
    const asked = seat.stopping !== null || reason === 'killed';
    if (!wasUp && !asked && seat.cause !== null) this.#metrics.action('restart', 'failure');
    if (this.#mode !== 'running') seat.state = 'stopped';
    else if (seat.stopping !== null) seat.state = 'waiting';
    else if (!onlyLoaded && reason !== 'killed' && this.#fell(seat)) {
      seat.cause = 'neighbour';
      seat.state = 'waiting';
    } else this.#decide(seat, exit);
    this.#evaluate();
    this.#milestones.look();
  }

  /** What it stands on is down and would have taken it along: an end before that is no failure of its own. */
  #fell(seat: Seat<Config>): boolean {
    return this.#seatsOf(support(seat.levels[0]!)).some(({ state }) => state !== 'up');
  }

  /** An end that nobody planned: what the actor's policy and the budgets above it make of it. */
  #decide(seat: Seat<Config>, exit: Exit): void {
    if (exit.reason === 'killed') {
      this.#announce(seat, exit.reason, 'restart', 0);
      void this.#recover(seat, seat.levels[0]!, 0, exit.reason);
      return;
    }
    const nowMs = this.#clock.monotonic();
    const decision = afterDeath(this.#settings(seat), seat.history, nowMs, this.#options.random());
    this.#setHistory(seat, decision.history, exit.reason);
    const level = decision.spendsBudget ? this.#spend(seat, nowMs) : seat.levels[0]!;
    if (level === null) {
      const last = `${seat.spec.id} ${exit.reason}: ${exit.detail}`;
      this.#fatal(EXIT_BUDGET_SPENT, `the restart budget is spent; last: ${last}`);
      return;
    }
    this.#announce(seat, exit.reason, decision.action, decision.delayMs);
    void this.#recover(seat, level, decision.delayMs, exit.reason);
    if (decision.action !== 'restart') seat.state = decision.action;
  }

  #spend(seat: Seat<Config>, nowMs: number): Level<Config> | null {
    return this.#budgets.spend(seat.levels, nowMs, ({ group: { id, budget } }) => {
      const facts = { ...subject(seat), group: id, intensity: budget.intensity, period_ms: budget.periodMs };
      this.#log.error(facts, 'group gave up: its restart budget is spent');
      this.#emit(seat, { kind: 'gave-up', group: id });
    });
  }

  #announce(seat: Seat<Config>, reason: string, action: Action, delayMs: number): void {
    const { failures, breaker } = seat.history;
    const facts = { ...subject(seat), reason, action, delay_ms: Math.round(delayMs), failures, breaker: breaker.phase };
    this.#log.warn(facts, 'actor restart decided');
    this.#emit(seat, { kind: 'restart', action, delayMs });
    if (action === 'restart') return;
    this.#metrics.action(action, 'success');
    this.#metrics.backedOff(delayMs);
  }

  /**
   * Stops whom the level's strategy takes along with `dead`, in reverse order, and lets all start again in order after
   * `delayMs`. One that already waits for a later moment of its own keeps it.
   */
  async #recover(dead: Seat<Config>, level: Level<Config>, delayMs: number, cause: string): Promise<void> {
    // One that only loads holds nothing of what died: it goes on, and begins when its time has come.
    const loads = ({ current, state }: Seat<Config>) => current !== null && state === 'waiting';
    const seats = this.#seatsOf(affected(level)).filter((seat) => seat === dead || !loads(seat));
    const taken = seats.filter((seat) => seat === dead || seat.current !== null);
    for (const seat of seats) seat.held += 1;
    for (const seat of taken) {
      seat.cause = seat === dead ? cause : 'neighbour';
      if (seat.current === null) seat.state = 'waiting';
      this.#setDue(seat, delayMs);
    }
    for (const seat of [...seats].reverse()) await this.#stopSeat(seat);
    for (const seat of seats) seat.held -= 1;
    // Those that went down together come up in order again.
    if (taken.length > 1) for (const seat of taken) seat.attempted = false;
    this.#evaluate();
  }

  #stopSeat(seat: Seat<Config>): Promise<void> {
    const { current } = seat;
    if (current === null) return Promise.resolve();
    seat.stopping ??= this.#endInOrder(seat, current).finally(() => {
      seat.stopping = null;
    });
    return seat.stopping;
  }

  /** Asks the actor to stop, within its time; then ends the thread, which by then holds nothing any more. */
  async #endInOrder(seat: Seat<Config>, current: Incarnation): Promise<void> {
    if (seat.state !== 'up') return current.end('stopped', 'ended while it started');
    seat.state = 'stopping';
    let detail = 'stopped in order';
    try {
      seat.counters.seen(await current.call('stop', [], seat.spec.shutdownMs));
    } catch (thrown) {
      detail = `did not stop in order: ${describe(thrown)}`;
    }
    await current.end('stopped', detail);
  }

  #setDue(seat: Seat<Config>, delayMs: number): void {
    seat.dueTimer?.cancel();
    seat.dueTimer = null;
    seat.dueAtMs = this.#clock.monotonic() + delayMs;
    if (delayMs <= 0) return;
    seat.dueTimer = this.#clock.setTimer(delayMs, () => {
      // The system's timers cut fractions of a millisecond off and may be early by them; nobody would wake it again.
      seat.dueAtMs = this.#clock.monotonic();
      this.#evaluate();
    });
  }

  #setHistory(seat: Seat<Config>, history: History, reason: string): void {
    const before = seat.history.breaker.phase;
    seat.history = history;
    if (before === history.breaker.phase) return;
    this.#log.warn({ ...subject(seat), reason, from: before, to: history.breaker.phase }, 'actor breaker changed');
    this.#emit(seat, { kind: 'breaker', from: before, to: history.breaker.phase });
  }

  #fatal(exitCode: number, reason: string): void {
    if (this.#mode === 'halted') return;
    this.#log.fatal({ exit_code: exitCode, reason }, 'the supervisor gives up');
    this.#freeze('halted');
    this.#options.onFatal(exitCode, reason);
  }

  /** No start from here on. */
  #freeze(mode: 'stopping' | 'halted'): void {
    this.#mode = mode;
    for (const seat of this.#seats.values()) {
      seat.dueTimer?.cancel();
      seat.successTimer?.cancel();
      if (seat.current === null) seat.state = 'stopped';
    }
    this.#milestones.end(new ActorError('stopped', `the supervisor is ${mode}`));
  }

  #mustRun(): void {
    if (this.#mode !== 'running') throw new ActorError('stopped', `the supervisor is ${this.#mode}`);
  }

  #settings(seat: Seat<Config>): RestartSettings {
    return this.#options.restartSettings?.(this.#config, seat.spec) ?? restartDefaults(seat.spec.restart);
  }

  #seat(id: string): Seat<Config> {
    const seat = this.#seats.get(id);
    if (seat !== undefined) return seat;
    const known = [...this.#seats.keys()].join(', ');
    throw new ActorError('unknown_actor', `no actor "${id}"; there are: ${known}`, { actor: id });
  }

  #living(id: string): Incarnation {
    const { state, current } = this.#seat(id);
    if (state === 'up' && current !== null) return current;
    throw new ActorError('peer_down', `"${id}" is ${state}`);
  }

  #seatsOf(ids: readonly string[]): Seat<Config>[] {
    return ids.map((id) => this.#seat(id));
  }

  #emit(seat: Seat<Config>, fields: ActorEvent): void {
    const event = { ...fields, atMs: this.#clock.now(), actor: seat.spec.id, incarnation: seat.incarnations };
    this.#recorder.event(event);
    for (const listener of this.#listeners) listener(event);
  }
}
