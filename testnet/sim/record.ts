// What is known of each actor from outside: its thread, whether it began, is up, has been told to stop. Kept by
// supervisor.ts from the host's moments and the supervisor's events, read by the checkers; no judgement here.
import type { ActorSpec, GroupSpec } from '../../runtime/kernel/contract.js';
import type { SimulatedThread } from '../../runtime/kernel/simulated-thread.js';
import { actorsOf, type SimConfig } from './plan.js';
import type { World } from './world.js';

/** One group above an actor: innermost first, as deaths escalate. */
export interface Above {
  readonly group: GroupSpec<SimConfig>;
  readonly index: number;
}

export interface ActorRecord {
  readonly spec: ActorSpec<SimConfig>;
  /** Place in the start order. */
  readonly place: number;
  readonly above: readonly Above[];
  /** Actors that must be up before it begins, and those that must at least have been tried. */
  readonly standsOn: readonly string[];
  readonly comesAfter: readonly string[];
  /** Spawned and its exit not told yet. */
  thread: SimulatedThread | null;
  /** `starting` was told of the thread. */
  begunAtMs: number | null;
  /** `up` was told of the thread, and it was neither fenced nor asked to stop since. */
  upAtMs: number | null;
  /** When it came up, kept when it is fenced or asked to stop. */
  cameUpAtMs: number | null;
  stopAsked: boolean;
  drainAsked: boolean;
  /** Starts that ended, well or not, ever. */
  tried: number;
}

export class Records {
  readonly all: readonly ActorRecord[];
  readonly #byId: ReadonlyMap<string, ActorRecord>;

  constructor(world: World) {
    this.all = world.specs.map((spec, place) => recordOf(world.scenario.tree, spec, place));
    this.#byId = new Map(this.all.map((record) => [record.spec.id, record]));
  }

  of(id: string): ActorRecord {
    const record = this.#byId.get(id);
    if (record === undefined) throw new Error(`no record of ${id}`);
    return record;
  }
}

function recordOf(tree: GroupSpec<SimConfig>, spec: ActorSpec<SimConfig>, place: number): ActorRecord {
  const above = wayTo(tree, spec.id) ?? [];
  const standsOn: string[] = [];
  const comesAfter: string[] = [];
  for (const { group, index } of above) {
    const earlier = group.children.slice(0, index).flatMap((child) => actorsOf(child).map(({ id }) => id));
    (group.strategy === 'one-for-one' ? comesAfter : standsOn).push(...earlier);
  }
  return {
    spec,
    place,
    above,
    standsOn,
    comesAfter,
    thread: null,
    begunAtMs: null,
    upAtMs: null,
    cameUpAtMs: null,
    stopAsked: false,
    drainAsked: false,
    tried: 0,
  };
}

function wayTo(group: GroupSpec<SimConfig>, id: string): Above[] | null {
  for (const [index, child] of group.children.entries()) {
    if ('children' in child) {
      const below = wayTo(child, id);
      if (below !== null) return [...below, { group, index }];
    } else if (child.id === id) return [{ group, index }];
  }
  return null;
}

/** Whom the death of the group's child takes along, by the strategy's definition; in start order. */
export function takenBy({ group, index }: Above): string[] {
  const from = { 'one-for-one': index, 'rest-for-one': index, 'one-for-all': 0 }[group.strategy];
  const to = group.strategy === 'one-for-one' ? index + 1 : group.children.length;
  return group.children.slice(from, to).flatMap((child) => actorsOf(child).map(({ id }) => id));
}
