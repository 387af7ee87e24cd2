// What one seed means: a tree, its settings, how each incarnation behaves, which faults and operator actions come when.
// Called by supervisor.ts. Pure but for the random numbers it draws; it must never look at the supervisor.
import type { ActorSpec, GroupSpec, GroupStrategy, RestartPolicy } from '../../runtime/kernel/contract.js';
import { treeProblems } from '../../runtime/kernel/order.js';
import { type RestartSettings, restartDefaults } from '../../runtime/kernel/restart.js';
import type { Random } from '../drills/random.js';

export interface SimConfig {
  readonly value: number;
}

/** Trouble that comes to a living incarnation. */
export type Fault =
  | 'crash'
  | 'exit'
  | 'out-of-memory'
  | 'hang'
  | 'hang-for-ever'
  | 'native'
  | 'write'
  | 'die-in-write'
  | 'fatal'
  | 'unkillable';

export type Action =
  | 'tell-throws'
  | 'restart'
  | 'kill'
  | 'reset'
  | 'reload'
  | 'reload-abort'
  | 'scrape'
  | 'inspect'
  | 'stop'
  | 'halt';

const ACTIONS: { readonly [A in Action]: true } = {
  'tell-throws': true,
  restart: true,
  kill: true,
  reset: true,
  reload: true,
  'reload-abort': true,
  scrape: true,
  inspect: true,
  stop: true,
  halt: true,
};

export function isAction(what: Fault | Action): what is Action {
  return Object.hasOwn(ACTIONS, what);
}

export interface Happening {
  readonly atMs: number;
  readonly actor: string;
  readonly what: Fault | Action;
  readonly forMs: number;
}

export type InitKind = 'ready' | 'throws' | 'hangs' | 'dies';

/** How readily incarnations of one simulation fail; each a probability. */
export interface Frailty {
  readonly load: number;
  readonly init: number;
  readonly stop: number;
  readonly prepare: number;
}

export interface Scenario {
  readonly seed: number;
  readonly tree: GroupSpec<SimConfig>;
  readonly settings: ReadonlyMap<string, RestartSettings>;
  /** Until then things go wrong; after it nothing does. */
  readonly calmAtMs: number;
  readonly happenings: readonly Happening[];
  readonly frailty: Frailty;
  /** Sends from actor to actor over the troubled time. */
  readonly sends: number;
  /** Longest time a message is under way, and how often one takes much longer. */
  readonly delayMs: number;
  readonly straggles: number;
  readonly end: 'stop' | 'halt';
  /** Actors that let go of something before they are ended. */
  readonly abandons: ReadonlySet<string>;
  /** Actors that can take a new configuration while they run. */
  readonly reconfigures: ReadonlySet<string>;
}

/** Eighths of a millisecond: sums of them are exact. */
export function eighths(random: Random, lowMs: number, highMs: number): number {
  return random.between(Math.round(lowMs * 8), Math.round(highMs * 8)) / 8;
}

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.between(0, items.length - 1)] as T;
}

export const MODULE = new URL('file:///simulated.js');
const STRATEGIES: readonly GroupStrategy[] = ['one-for-one', 'rest-for-one', 'one-for-all'];
const POLICIES: readonly RestartPolicy[] = ['immediate', 'backoff', 'circuit-breaker'];

export function scenarioOf(seed: number, random: Random): Scenario {
  const tree = treeOf(random);
  const actors = actorsOf(tree);
  const calmAtMs = pick(random, [500, 2_000, 10_000, 40_000]);
  const settings = new Map(actors.map((spec) => [spec.id, settingsOf(spec.restart, random)]));
  const trouble = pick(random, [0, 1, 4, 10, 25]);
  const happenings: Happening[] = [];
  for (let count = 0; count < trouble; count++) happenings.push(happening(random, pick(random, actors).id, calmAtMs));
  // Often a burst on one actor, for nothing less spends a budget or opens a breaker.
  if (random.next() < 0.4) {
    const victim = pick(random, actors).id;
    const fromMs = eighths(random, 0, calmAtMs / 2);
    const spanMs = pick(random, [50, 1_000, calmAtMs / 2]);
    for (let count = random.between(3, 14); count > 0; count--) {
      const what = pick(random, ['crash', 'crash', 'exit', 'out-of-memory', 'kill', 'restart'] as const);
      const atMs = Math.min(calmAtMs, fromMs + eighths(random, 0, spanMs));
      happenings.push({ atMs, actor: victim, what, forMs: 0 });
    }
  }
  if (random.next() < 0.12) {
    const what = pick(random, ['stop', 'stop', 'halt'] as const);
    happenings.push({ atMs: eighths(random, 0, calmAtMs), actor: actors[0]!.id, what, forMs: 0 });
  }
  const frail = random.next() < 0.5 ? 0 : random.next() * 0.5;
  return {
    seed,
    tree,
    settings,
    calmAtMs,
    happenings: happenings.sort((one, other) => one.atMs - other.atMs),
    frailty: { load: frail / 4, init: frail, stop: frail, prepare: frail / 2 },
    sends: pick(random, [0, 10, 40, 120]),
    delayMs: pick(random, [0.125, 1, 3]),
    straggles: pick(random, [0, 0.02, 0.2]),
    end: random.next() < 0.75 ? 'stop' : 'halt',
    abandons: new Set(actors.filter(() => random.next() < 0.2).map(({ id }) => id)),
    reconfigures: new Set(actors.filter(() => random.next() < 0.6).map(({ id }) => id)),
  };
}

/** Weighted by repetition. */
const HAPPENINGS: readonly (Fault | Action)[] = [
  ...['crash', 'crash', 'crash', 'exit', 'out-of-memory', 'hang', 'hang', 'hang-for-ever', 'native'],
  ...['write', 'write', 'tell-throws', 'restart', 'restart', 'kill', 'kill', 'reset'],
  ...['reload', 'reload', 'reload-abort', 'scrape', 'scrape', 'inspect'],
] as (Fault | Action)[];
const RARE: readonly Fault[] = ['fatal', 'unkillable', 'die-in-write'];

function happening(random: Random, actor: string, calmAtMs: number): Happening {
  const what = random.next() < 0.02 ? pick(random, RARE) : pick(random, HAPPENINGS);
  // Near the limit of a gated write is rare: the supervisor looks at a busy gate every millisecond. A hang may last
  // longer than a peer's restart, or than it takes to be noticed.
  const spansMs = what === 'write' ? [5, 60] : what === 'hang' ? [20, 500, 2_500, 4_500] : [20, 500];
  const forMs = eighths(random, 1, random.next() < 0.1 ? 1_900 : pick(random, spansMs));
  return { atMs: eighths(random, 0, calmAtMs), actor, what, forMs };
}

function settingsOf(policy: RestartPolicy, random: Random): RestartSettings {
  const usual = restartDefaults(policy);
  if (random.next() < 0.4) return usual;
  const floorMs = random.between(10, 200);
  return {
    policy,
    backoff: {
      floorMs,
      factor: pick(random, [1.5, 2, 3]),
      ceilingMs: floorMs * pick(random, [1, 4, 50]),
      jitter: pick(random, [0, 0.25, 0.5]),
    },
    breaker: {
      failures: random.between(1, 4),
      openMs: pick(random, [300, 3_000, 20_000]),
      successes: random.between(1, 3),
    },
    successAfterMs: pick(random, [200, 1_500, 10_000]),
  };
}

export function actorsOf(node: GroupSpec<SimConfig> | ActorSpec<SimConfig>): ActorSpec<SimConfig>[] {
  return 'children' in node ? node.children.flatMap((child) => actorsOf(child)) : [node];
}

function treeOf(random: Random): GroupSpec<SimConfig> {
  const ids = 'abcdefgh'.slice(0, random.between(1, 8)).split('');
  let groups = 0;
  const group = (members: readonly string[], depth: number): GroupSpec<SimConfig> => {
    const id = depth === 0 ? 'root' : `group-${++groups}`;
    const children: (ActorSpec<SimConfig> | GroupSpec<SimConfig>)[] = [];
    let rest = members;
    while (rest.length > 0) {
      const taken = depth < 3 && random.next() < 0.35 ? random.between(1, rest.length) : 1;
      const nested = depth < 3 && (taken > 1 || random.next() < 0.1);
      children.push(nested ? group(rest.slice(0, taken), depth + 1) : actorOf(rest[0]!, ids, random));
      rest = rest.slice(nested ? taken : 1);
    }
    const budget = { intensity: random.between(0, 5), periodMs: pick(random, [200, 2_000, 10_000, 60_000]) };
    return { id, strategy: pick(random, STRATEGIES), budget, children };
  };
  return breakersWhereAllowed(group(ids, 0));
}

function actorOf(id: string, ids: readonly string[], random: Random): ActorSpec<SimConfig> {
  return {
    id,
    module: MODULE,
    restart: pick(random, POLICIES),
    links: ids.filter((other) => other !== id && random.next() < 0.3),
    outcomeUnknownOnDeath: random.next() < 0.3,
    gated: random.next() < 0.3,
    heartbeatMs: pick(random, [3_000, 16_000]),
    memoryMb: 64,
    startTimeoutMs: pick(random, [400, 2_000]),
    shutdownMs: pick(random, [50, 600]),
    configure: (config) => config,
  };
}

/** A breaker that others stand on is refused by the supervisor: such actors wait by backoff instead. */
function breakersWhereAllowed(tree: GroupSpec<SimConfig>): GroupSpec<SimConfig> {
  const mended = (node: GroupSpec<SimConfig>, id: string): GroupSpec<SimConfig> => ({
    ...node,
    children: node.children.map((child) => {
      if ('children' in child) return mended(child, id);
      return child.id === id ? { ...child, restart: 'backoff' as const } : child;
    }),
  });
  let made = tree;
  for (const { id, restart } of actorsOf(tree)) {
    if (restart !== 'circuit-breaker') continue;
    if (treeProblems(made).some((problem) => problem.startsWith(`"${id}" is held down`))) made = mended(made, id);
  }
  return made;
}
