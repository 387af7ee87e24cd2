// What can be asked of the supervisor without changing anything: status and metrics of every seat. Called by the
// supervisor. It must never wait for an actor longer than the scrape's deadline.
import type { Host } from './host.js';
import { atAttempt, type RestartSettings } from './restart.js';
import type { Seat } from './seat.js';
import type { ActorMetrics, ActorStatus } from './supervisor-types.js';

/** A scrape waits this long for one actor, then takes what it last said. */
export const SCRAPE_DEADLINE_MS = 100;

export function statusOf<Config>(
  seat: Seat<Config>,
  settings: RestartSettings,
  mailboxDepth: number,
  host: Pick<Host, 'isReady'>,
  nowMs: number,
): ActorStatus {
  const waits = seat.state === 'backoff' || seat.state === 'circuit_open';
  return {
    id: seat.spec.id,
    path: seat.levels.map(({ group }) => group.id).reverse(),
    state: seat.state,
    incarnation: seat.incarnations,
    restarts: Math.max(0, seat.incarnations - 1),
    policy: settings.policy,
    failures: seat.history.failures,
    breaker: atAttempt(seat.history, nowMs).breaker.phase,
    upForMs: seat.state === 'up' ? nowMs - seat.upSinceMs : null,
    startsInMs: waits ? Math.max(0, seat.dueAtMs - nowMs) : null,
    mailboxDepth,
    native: seat.current?.vitals.native() ?? null,
    standby: seat.spec.standby === true ? (host.isReady?.(seat.spec.id) ?? false) : null,
    threadTid: seat.current?.ready?.threadTid ?? null,
    lastExit: seat.lastExit,
  };
}

/** All actors at once; one that is down, blocked or dying costs no more than the deadline and is marked stale. */
export function scrape<Config>(seats: Iterable<Seat<Config>>): Promise<ActorMetrics[]> {
  return Promise.all([...seats].map((seat) => scrapeSeat(seat)));
}

async function scrapeSeat<Config>(seat: Seat<Config>): Promise<ActorMetrics> {
  const incarnation = seat.state === 'up' ? seat.current : null;
  let stale = true;
  try {
    const snapshot = await incarnation?.call('metrics', [], SCRAPE_DEADLINE_MS);
    // An answer that arrives after its thread's end belongs to counters that were already retired.
    if (snapshot !== undefined && seat.current === incarnation) {
      seat.counters.seen(snapshot);
      stale = false;
    }
  } catch {
    // Late or gone: what it last said stands.
  }
  return { actor: seat.spec.id, stale, metrics: seat.counters.total() };
}
