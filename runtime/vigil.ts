// Whether this process deserves to live on, as the service manager's watchdog asks: the supervisor runs, and no actor is
// down for good or stuck on its way. Called by service-manager.ts at every beat. It must not look at peers, disks or
// readiness: a restart mends none of them.
import type { ActorStatus } from './kernel/supervisor-types.js';
import type { HealthSources } from './ops/health.js';

export interface Vigilance {
  readonly ok: boolean;
  /** Why not, in words for a status line; empty when ok. */
  readonly reason: string;
}

export interface VigilSources {
  status(): readonly ActorStatus[];
  /** The node stops in order: actors are down because they shall be. */
  stopping(): boolean;
  /** The process is being ended, because it cannot go on. */
  ending(): boolean;
  /** Milliseconds that only grow. */
  monotonic(): number;
}

/**
 * The longest that an actor stays between two states by its own limits is 120 s (consensus, replaying), and it may have to
 * wait for two others before it begins (60 s, 30 s). Longer means that the supervisor has lost it.
 */
export const BETWEEN_STATES_MAX_MS = 300_000;

export class Vigil {
  readonly #sources: VigilSources;
  /** Actor → what it is on its way from, and since when. */
  readonly #onTheWay = new Map<string, { readonly step: string; readonly sinceMs: number }>();

  constructor(sources: VigilSources) {
    this.#sources = sources;
  }

  look(): Vigilance {
    if (this.#sources.ending()) return { ok: false, reason: 'the process is being ended' };
    // The stop has a limit of its own, and forces its end.
    if (this.#sources.stopping()) return { ok: true, reason: '' };
    const nowMs = this.#sources.monotonic();
    const wrong = this.#sources.status().flatMap((actor) => this.#complaint(actor, nowMs) ?? []);
    return { ok: wrong.length === 0, reason: wrong.join(', ') };
  }

  #complaint({ id, state, incarnation }: ActorStatus, nowMs: number): string | null {
    switch (state) {
      case 'up':
      // Both wait for a moment that is set, inside their restart budget.
      case 'backoff':
      case 'circuit_open':
        this.#onTheWay.delete(id);
        return null;
      case 'stopped':
        return `${id} is down for good`;
      default: {
        const step = `${state} ${incarnation}`;
        const before = this.#onTheWay.get(id);
        if (before?.step !== step) this.#onTheWay.set(id, { step, sinceMs: nowMs });
        else if (nowMs - before.sinceMs > BETWEEN_STATES_MAX_MS) return `${id} is stuck (${state})`;
        return null;
      }
    }
  }
}

/** For a status line: `7 of 7 actors up`, then who is not, and which reported facts fail, as /readyz names them. */
export function summaryOf(status: readonly ActorStatus[], reports: ReturnType<HealthSources['reports']>): string {
  const down = status.filter(({ state }) => state !== 'up').map(({ id, state }) => `${id} is ${state}`);
  const up = `${status.length - down.length} of ${status.length} actors up`;
  const failing = [...reports].flatMap(([actor, facts]) =>
    [...facts].flatMap(([name, { ok }]) => (ok ? [] : [`${actor}:${name} fails`])),
  );
  return [up, ...down, ...failing].join(', ');
}
