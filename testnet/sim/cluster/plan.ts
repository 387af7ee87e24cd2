// What one seed of the cluster's simulation means: how many nodes, who lies and how, how much is submitted, and which faults
// come when. Called by the cluster. Pure but for the chance it draws; it must never look at the cluster.
import { faults, quorum } from '../../../protocol/consensus/quorum.js';
import type { Timing } from './keys.js';
import { LIE_NAMES, type LieName } from './misdeeds.js';
import type { Chance } from './schedule.js';

export type Nemesis =
  | 'partition'
  | 'isolation'
  | 'one-way'
  | 'flapping'
  | 'slow-peer'
  | 'loss'
  | 'delay'
  | 'duplication'
  | 'ancient-replay'
  | 'slow-disk'
  | 'crash'
  | 'crash-storm'
  | 'crash-after-signature'
  | 'crash-of-all'
  | 'outage'
  | 'failed-sync'
  | 'clock-jump'
  | 'lost-log'
  | 'old-log';

export interface Episode {
  readonly nemesis: Nemesis;
  readonly atMs: number;
  readonly forMs: number;
  /** An instance. */
  readonly node: number;
}

export interface Liar {
  readonly index: number;
  readonly lies: readonly LieName[];
  readonly rate: number;
  readonly serves: boolean;
  /** Two instances of it run. */
  readonly isTwin: boolean;
}

export interface Plan {
  readonly n: number;
  readonly timing: Timing;
  readonly liars: readonly Liar[];
  readonly episodes: readonly Episode[];
  /** Mean time between submissions, and how often many come at once. */
  readonly submitEveryMs: number;
  readonly burstRate: number;
  /** When faults end. */
  readonly healAtMs: number;
}

export interface PlanOptions {
  /** Simulated minutes with faults. */
  readonly minutes: number;
  readonly n?: number;
  /** Only these. */
  readonly nemeses?: readonly Nemesis[];
  readonly lies?: readonly LieName[];
}

const SIZES = { 1: 3, 2: 5, 3: 14, 4: 44, 5: 10, 6: 8, 7: 13, 10: 3 } as const;

const WEIGHTS: { readonly [name in Nemesis]: number } = {
  partition: 8,
  isolation: 6,
  'one-way': 6,
  flapping: 5,
  'slow-peer': 4,
  loss: 7,
  delay: 6,
  duplication: 3,
  'ancient-replay': 4,
  'slow-disk': 4,
  crash: 8,
  'crash-storm': 4,
  'crash-after-signature': 8,
  'crash-of-all': 8,
  outage: 3,
  'failed-sync': 4,
  'clock-jump': 4,
  'lost-log': 2,
  'old-log': 2,
};

export const NEMESES = Object.keys(WEIGHTS) as readonly Nemesis[];

export function planOf(chance: Chance, options: PlanOptions): Plan {
  const n = options.n ?? Number(chance.weighted(SIZES));
  const delta0Ms = chance.pick([50, 100, 100, 250]);
  const healAtMs = Math.round(options.minutes * 60_000);
  const liars = liarsOf(chance, n, options.lies);
  const memory = memoryLossOf(chance, n, liars.length);
  const weights = weightsOf(options.nemeses, n, memory);
  const episodes: Episode[] = [];
  const instances = n + liars.filter(({ isTwin }) => isTwin).length;
  const gapMs = chance.pick([1_000, 5_000, 15_000]);
  let mayForget = true;
  for (let track = chance.between(1, 3); track > 0; track--) {
    for (let atMs = chance.between(200, gapMs); atMs < healAtMs; ) {
      const nemesis = chance.weighted(weights);
      const forMs = chance.pick([200, 1_000, 4_000, 10_000, 20_000]);
      const isLoss = nemesis === 'lost-log' || nemesis === 'old-log';
      if (!isLoss || mayForget) {
        const node = isLoss ? (memory.node ?? 0) : chance.between(0, instances - 1);
        episodes.push({ nemesis, atMs, forMs: Math.min(forMs, healAtMs - atMs), node });
      }
      if (isLoss) mayForget = false;
      atMs += forMs + chance.between(0, 2 * gapMs);
    }
  }
  return {
    n,
    timing: { delta0Ms, deltaMaxMs: 16 * delta0Ms },
    liars,
    episodes,
    submitEveryMs: chance.pick([200, 400, 800, 2_000]) * (n > 5 ? 2 : 1),
    burstRate: chance.pick([0, 0, 0.02]),
    healAtMs,
  };
}

function liarsOf(chance: Chance, n: number, only?: readonly LieName[]): Liar[] {
  const count = only === undefined ? chance.between(0, faults(n)) : faults(n);
  return chance
    .shuffled([...Array(n).keys()])
    .slice(0, count)
    .map((index) => {
      const isTwin = only === undefined && chance.happens(0.3);
      const lies = only ?? (isTwin ? [] : chance.shuffled(LIE_NAMES).slice(0, chance.between(1, 4)));
      return { index, lies, rate: chance.pick([0.1, 0.5, 1]), serves: chance.happens(0.5), isTwin };
    });
}

interface MemoryLoss {
  readonly node: number | null;
  /** One quarantined node more leaves a quorum. */
  readonly mayBeLost: boolean;
  /** One node more that contradicts itself leaves the cluster safe. */
  readonly mayBeOld: boolean;
}

function memoryLossOf(chance: Chance, n: number, liarCount: number): MemoryLoss {
  const spare = n - liarCount - 1 >= quorum(n);
  return {
    node: chance.between(0, n - 1),
    mayBeLost: spare,
    mayBeOld: spare && liarCount < faults(n),
  };
}

function weightsOf(only: readonly Nemesis[] | undefined, n: number, memory: MemoryLoss): Record<Nemesis, number> {
  const weights = { ...WEIGHTS };
  for (const name of NEMESES) if (only?.includes(name) === false) weights[name] = 0;
  if (!memory.mayBeLost) weights['lost-log'] = 0;
  if (!memory.mayBeOld) weights['old-log'] = 0;
  if (n === 1) {
    for (const name of ['partition', 'isolation', 'one-way', 'flapping', 'slow-peer'] as const) weights[name] = 0;
  }
  if (Object.values(weights).every((weight) => weight === 0)) weights.crash = 1;
  return weights;
}
