// What is known of an actor when it dies without having been asked to: one report, made of what the supervisor saw and of
// the cells that the thread shared. Called by the supervisor. It must never hold more than the last events, and nothing
// of an actor's configuration, which may be secret.
import type { Host } from './host.js';
import type { Exit } from './incarnation.js';
import type { Seat } from './seat.js';
import type { SupervisorEvent } from './supervisor-types.js';

/** Events kept of each actor, over all its incarnations. */
const EVENTS_MAX = 32;

/** Plain data: becomes a crash bundle. Times in milliseconds; `at` and `at_ms` are wall clock. */
export interface CrashReport {
  readonly version: 1;
  readonly at_ms: number;
  readonly actor: string;
  /** Ids of the groups above it, root first. */
  readonly path: readonly string[];
  readonly incarnation: number;
  readonly reason: Exit['reason'];
  readonly detail: string;
  readonly stack: string | null;
  readonly exit_code: number;
  /** Since it was up; null when it never was. */
  readonly up_for_ms: number | null;
  readonly failures: number;
  readonly breaker: string;
  /** Messages that were sent to it and that it had not dealt with when it was given up. */
  readonly mailbox_depth: number;
  /** What it dealt with last, newest first. */
  readonly last_messages: readonly { readonly form: 'tell' | 'ask'; readonly name: string; readonly ago_ms: number }[];
  /** What happened to it before, oldest first. */
  readonly last_events: readonly SupervisorEvent[];
  /** What it last reported, by name. */
  readonly reports: Readonly<Record<string, unknown>>;
  /** A declared native section that it was in. */
  readonly native: string | null;
  readonly memory_limit_mb: number;
  readonly memory: { readonly rss_bytes: number; readonly heap_used_bytes: number; readonly external_bytes: number };
}

export class FlightRecorder {
  readonly #host: Pick<Host, 'memory'>;
  readonly #events = new Map<string, SupervisorEvent[]>();

  constructor(host: Pick<Host, 'memory'>) {
    this.#host = host;
  }

  event(event: SupervisorEvent): void {
    // Facts stand in the report by themselves, and some come often.
    if (event.kind === 'report') return;
    const events = this.#events.get(event.actor) ?? [];
    this.#events.set(event.actor, events);
    events.push(event);
    if (events.length > EVENTS_MAX) events.shift();
  }

  /** Null for an end that was asked for. Call at the exit, before the seat forgets the incarnation. */
  report<Config>(seat: Seat<Config>, exit: Exit, nowMs: number): CrashReport | null {
    const { current: incarnation } = seat;
    if (incarnation === null || exit.reason === 'stopped' || exit.reason === 'killed') return null;
    const { rss, heapUsed, external } = this.#host.memory();
    const names = incarnation.ready?.names;
    return {
      version: 1,
      at_ms: exit.atMs,
      actor: seat.spec.id,
      path: seat.levels.map(({ group }) => group.id).reverse(),
      incarnation: exit.incarnation,
      reason: exit.reason,
      detail: exit.detail,
      stack: exit.stack,
      exit_code: exit.exitCode,
      up_for_ms: incarnation.ready === null ? null : Math.round(nowMs - seat.upSinceMs),
      failures: seat.history.failures,
      breaker: seat.history.breaker.phase,
      mailbox_depth: seat.depthAtEnd,
      last_messages: incarnation.vitals.lastDispatched().flatMap(({ what, agoMs }) => {
        const [name] = (what > 0 ? names?.tell[what - 1] : names?.ask[-1 - what]) ?? [];
        return name === undefined ? [] : [{ form: what > 0 ? 'tell' : 'ask', name, ago_ms: agoMs } as const];
      }),
      last_events: [...(this.#events.get(seat.spec.id) ?? [])],
      reports: Object.fromEntries(seat.reports),
      native: incarnation.vitals.native()?.kind ?? null,
      memory_limit_mb: seat.spec.memoryMb,
      memory: { rss_bytes: rss, heap_used_bytes: heapUsed, external_bytes: external },
    };
  }
}
