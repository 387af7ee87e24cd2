// One actor's place in the tree over all its incarnations: what the supervisor knows and changes. Data only; it must
// never outlive its supervisor nor be written by anyone else.
import type { ActorSpec, GroupSpec, ReportValue, Timer } from './contract.js';
import type { Exit, Incarnation } from './incarnation.js';
import { type Level, levelsOf, type Prerequisites, prerequisites } from './order.js';
import { type History, NO_HISTORY } from './restart.js';
import { ActorCounters } from './retired.js';
import type { ActorState } from './supervisor-types.js';

export interface Seat<Config> {
  spec: ActorSpec<Config>;
  levels: readonly Level<Config>[];
  readonly needs: Prerequisites;
  readonly counters: ActorCounters;
  readonly reports: Map<string, ReportValue>;
  state: ActorState;
  /** Spawned and not yet exited; while `state` is 'waiting', a thread that loads its module and has not begun. */
  current: Incarnation | null;
  incarnations: number;
  history: History;
  /** Its planned end under way: for a stop, a restart, or a neighbour's death. Null at other times. */
  stopping: Promise<void> | null;
  /** Recoveries that still stop someone together with this actor; it may not start before they are through. */
  held: number;
  /** A start was tried, well or not, since the actor last went down together with others. */
  attempted: boolean;
  dueAtMs: number;
  dueTimer: Timer | null;
  successTimer: Timer | null;
  upSinceMs: number;
  /** Why the next incarnation is needed; null for the first. */
  cause: string | null;
  lastExit: Exit | null;
  /** Messages waiting in its mailbox when its last incarnation was fenced. */
  depthAtEnd: number;
}

export function seatOf<Config>(tree: GroupSpec<Config>, spec: ActorSpec<Config>): Seat<Config> {
  return {
    spec,
    levels: levelsOf(tree, spec.id),
    needs: prerequisites(tree, spec.id),
    counters: new ActorCounters(),
    reports: new Map(),
    state: 'stopped',
    current: null,
    incarnations: 0,
    history: NO_HISTORY,
    stopping: null,
    held: 0,
    attempted: false,
    dueAtMs: 0,
    dueTimer: null,
    successTimer: null,
    upSinceMs: 0,
    cause: null,
    lastExit: null,
    depthAtEnd: 0,
  };
}

/** How log lines name the actor. */
export function subject<Config>(seat: Seat<Config>): { actor: string; incarnation: number } {
  return { actor: seat.spec.id, incarnation: seat.incarnations };
}
