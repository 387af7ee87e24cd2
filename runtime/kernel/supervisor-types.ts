// What the supervisor takes and gives, in types. Read by the composition root, the ops server and the CLI's server
// side; supervisor.ts implements it. No behaviour.
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { BreakerPhase } from './breaker.js';
import type { ActorSpec, Clock, ContractShape, GroupSpec, Link, ReportValue } from './contract.js';
import type { CrashReport } from './flight-recorder.js';
import type { Host } from './host.js';
import type { Exit, ExitReason } from './incarnation.js';
import type { Misdeed } from './misdeeds.js';
import type { Action, RestartSettings } from './restart.js';
import type { MetricSnapshot } from './retired.js';
import type { NativeSection } from './vitals.js';
import type { ActorLogOptions, LogChange } from './wire.js';

export type ActorState = 'stopped' | 'starting' | 'up' | 'stopping' | 'waiting' | 'backoff' | 'circuit_open';

export interface SupervisorOptions<Config> {
  /** A function where limits, times and budgets follow the configuration; its shape must not. */
  readonly tree: GroupSpec<Config> | ((config: Config) => GroupSpec<Config>);
  readonly config: Config;
  readonly clock: Clock;
  /** In [0, 1); only jitter is drawn from it. */
  readonly random: () => number;
  readonly host: Host;
  readonly log: Logger;
  readonly actorLogOptions: ActorLogOptions;
  /** Called at most once, when no restart can heal: the tree is frozen then, and `halt` is what remains. */
  readonly onFatal: (exitCode: number, reason: string) => void;
  /** Told of every end that nobody asked for; crashFiles() makes a listener that keeps them as files. */
  readonly onCrash?: (report: CrashReport) => void;
  /** Lets `drill` make actors go wrong. Default false. */
  readonly drills?: boolean;
  readonly registry?: Registry;
  /** Restart settings of one actor under the configuration in force; asked anew for each decision. */
  readonly restartSettings?: (config: Config, spec: ActorSpec<Config>) => RestartSettings;
}

export interface ActorStatus {
  readonly id: string;
  /** Ids of the groups above it, root first. */
  readonly path: readonly string[];
  readonly state: ActorState;
  readonly incarnation: number;
  readonly restarts: number;
  readonly policy: RestartSettings['policy'];
  readonly failures: number;
  readonly breaker: BreakerPhase;
  readonly upForMs: number | null;
  /** Until the next start; null when none is due. */
  readonly startsInMs: number | null;
  readonly mailboxDepth: number;
  /** The slow native work that its thread declares to be in, such as a sync, or null. */
  readonly native: NativeSection | null;
  /** A thread made ahead waits to become its next incarnation; null for an actor that has none made. */
  readonly standby: boolean | null;
  /** Its thread as the kernel numbers it, which `top -H` shows; null until its init is done, once it is gone, and off Linux. */
  readonly threadTid: number | null;
  readonly lastExit: Exit | null;
}

export interface ActorMetrics {
  readonly actor: string;
  /** The actor did not answer in time: this is what it last said. */
  readonly stale: boolean;
  /** With the counters of all earlier incarnations added; fit for prom-client's AggregatorRegistry.aggregate. */
  readonly metrics: MetricSnapshot;
}

export interface Supervisor<Config> {
  /** Resolves when every actor is up or held back by an open breaker; rejects when the tree was given up or stopped. */
  start(): Promise<void>;
  /** Drains all in reverse start order, then stops all in reverse start order. */
  stop(): Promise<void>;
  /** The hard end: fences, closes gates, terminates all at once. True when every thread is gone within `limitMs`. */
  halt(limitMs: number): Promise<boolean>;
  status(): ActorStatus[];
  /** Stops the actor, and whom its group takes along, in order and starts them again. Resolves when it is up. */
  restart(id: string): Promise<void>;
  /** Ends the actor's thread at once; it comes back at once, and nothing is held against it. Resolves when it is gone. */
  kill(id: string): Promise<void>;
  /** Makes the actor go wrong from within, as a defect would. Rejects unless the supervisor was made with `drills`. */
  drill(id: string, misdeed: Misdeed): Promise<void>;
  /** Closes the breaker, forgets the failures and starts the actor now if it waits. */
  reset(id: string): void;
  /** Two phases over all actors: every actor accepts `config`, or none has it and the promise rejects. */
  prepare(config: Config): Promise<void>;
  commit(): Promise<void>;
  abort(): Promise<void>;
  metrics(): Promise<ActorMetrics[]>;
  /** The newest value of each fact that the living actors reported: actor → name → value. */
  reports(): ReadonlyMap<string, ReadonlyMap<string, ReportValue>>;
  inspect(id: string): Promise<object>;
  /** Talk from the main thread to one actor, such as for operator commands; it carries no submission. */
  link<C extends ContractShape>(id: string): Link<C>;
  /** Changes the level of every actor's log, now and for later starts, or has the log files opened anew. */
  adjustLogs(change: LogChange): void;
  /** Returns how to unsubscribe. */
  on(event: 'event', listener: (event: SupervisorEvent) => void): () => void;
}

/** What happened to one actor; for the console, the audit trail and tests. */
export type ActorEvent =
  | { readonly kind: 'starting' }
  | { readonly kind: 'up' }
  | { readonly kind: 'exit'; readonly reason: ExitReason; readonly detail: string; readonly exitCode: number }
  | { readonly kind: 'restart'; readonly action: Action; readonly delayMs: number }
  | { readonly kind: 'breaker'; readonly from: BreakerPhase; readonly to: BreakerPhase }
  | { readonly kind: 'gave-up'; readonly group: string }
  | { readonly kind: 'report'; readonly name: string; readonly value: ReportValue };

export type SupervisorEvent = ActorEvent & {
  /** Wall clock. */
  readonly atMs: number;
  readonly actor: string;
  readonly incarnation: number;
};
