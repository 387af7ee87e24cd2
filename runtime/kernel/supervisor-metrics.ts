// The supervisor's own metrics. Called by the supervisor alone; scraped on the main thread. Label values are ids with
// underscores and never carry an incarnation: series must outlive restarts.
import { Counter, Gauge, Histogram, type Registry } from '../../observability/prom-client.js';
import type { Action } from './restart.js';
import type { ActorState } from './supervisor-types.js';

/** Values of quorate_actor_state. */
export const STATE_VALUES: { readonly [S in ActorState]: number } = {
  stopped: 0,
  starting: 1,
  up: 2,
  stopping: 3,
  waiting: 4,
  backoff: 5,
  circuit_open: 6,
};

// From the floor of the backoff (0.1 s) to an open breaker (60 s).
const BACKOFF_BUCKETS_S = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30, 60];

export interface SupervisorMetrics {
  restarted(id: string, reason: string): void;
  action(action: Action, result: 'success' | 'failure'): void;
  backedOff(delayMs: number): void;
}

export function metricLabel(id: string): string {
  return id.replaceAll('-', '_');
}

export function supervisorMetrics(
  registry: Registry,
  ids: readonly string[],
  sources: { readonly state: (id: string) => ActorState; readonly depth: (id: string) => number },
): SupervisorMetrics {
  const registers = [registry];
  const states = Object.entries(STATE_VALUES).map(([state, value]) => `${value} ${state}`);
  new Gauge({
    name: 'quorate_actor_state',
    help: `State of each actor: ${states.join(', ')}`,
    labelNames: ['actor'],
    registers,
    collect() {
      for (const id of ids) this.set({ actor: metricLabel(id) }, STATE_VALUES[sources.state(id)]);
    },
  });
  new Gauge({
    name: 'quorate_actor_mailbox_depth',
    help: 'Messages sent to each actor and not yet dealt with',
    labelNames: ['actor'],
    registers,
    collect() {
      for (const id of ids) this.set({ actor: metricLabel(id) }, sources.depth(id));
    },
  });
  const restarts = new Counter({
    name: 'quorate_actor_restarts_total',
    help: 'New incarnations of each actor, by why the previous one ended',
    labelNames: ['actor', 'reason'],
    registers,
  });
  const tasks = new Counter({
    name: 'quorate_task_restart_total',
    help: 'New incarnations of each actor',
    labelNames: ['task'],
    registers,
  });
  const actions = new Counter({
    name: 'quorate_recovery_actions_total',
    help: 'What was done about dead actors: waits and opened breakers when they begin, restarts when they ended well or not',
    labelNames: ['action', 'result'],
    registers,
  });
  const backoff = new Histogram({
    name: 'quorate_backoff_duration_seconds',
    help: 'Delay before each restart that had one',
    buckets: BACKOFF_BUCKETS_S,
    registers,
  });
  for (const id of ids) tasks.inc({ task: metricLabel(id) }, 0);
  for (const action of ['restart', 'backoff', 'circuit_open'] as const) actions.inc({ action, result: 'success' }, 0);
  actions.inc({ action: 'restart', result: 'failure' }, 0);
  return {
    restarted(id, reason) {
      restarts.inc({ actor: metricLabel(id), reason });
      tasks.inc({ task: metricLabel(id) });
    },
    action: (action, result) => actions.inc({ action, result }),
    backedOff: (delayMs) => backoff.observe(delayMs / 1000),
  };
}
