// The faults of a simulated cluster: how each begins, and how it ends. Called by the cluster for each episode of its plan. A
// nemesis acts on links, disks, clocks and power only; it must never touch a core.
import type { JournalRecord } from '../../../protocol/consensus/journal.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from '../../../protocol/consensus/vote.js';
import type { Network } from './network.js';
import type { SimNode } from './node.js';
import type { Ending } from './node-disk.js';
import type { Episode, Nemesis } from './plan.js';
import type { Chance, Schedule } from './schedule.js';

export interface Arena {
  readonly schedule: Schedule;
  readonly chance: Chance;
  readonly nodes: readonly SimNode[];
  readonly network: Network;
  readonly delta0Ms: number;
  /** Ends a node now and starts it again after that long. */
  crash(node: SimNode, ending: Ending, downMs: number): void;
}

type Undo = () => void;
type Begin = (nemeses: Nemeses, arena: Arena, episode: Episode) => Undo;

const NOTHING: Undo = () => {};
/** A crash of all: those that ended start again together, so long after the first of them. */
const WAIT_FOR_ALL_MS = 4_000;

/** Cuts every directed link for which `between` says so. */
function cut({ nodes, network }: Arena, between: (from: SimNode, to: SimNode) => boolean): Undo {
  const links = nodes.flatMap((from) =>
    nodes.filter((to) => to !== from && between(from, to)).map((to) => network.link(from, to)),
  );
  for (const link of links) link.cuts += 1;
  return () => {
    for (const link of links) link.cuts -= 1;
  };
}

/** Sets something of the weather until the end. */
function weather(arena: Arena, change: Partial<Network['weather']>): Undo {
  const { network } = arena;
  const before = network.weather;
  network.weather = { ...before, ...change };
  return () => {
    network.weather = {
      ...network.weather,
      ...Object.fromEntries(Object.keys(change).map((key) => [key, before[key as keyof typeof before]])),
    };
  };
}

const BEGIN: { readonly [name in Nemesis]: Begin } = {
  partition: (_, arena) => {
    const side = new Map(arena.nodes.map((node) => [node, arena.chance.between(0, arena.chance.pick([1, 1, 2]))]));
    return cut(arena, (from, to) => side.get(from) !== side.get(to));
  },
  isolation: (_, arena, { node }) => cut(arena, (from, to) => from.instance === node || to.instance === node),
  'one-way': (_, arena, { node }) => {
    const deaf = arena.chance.happens(0.5);
    const peers = new Set(arena.nodes.filter(() => arena.chance.happens(0.7)));
    return cut(arena, (from, to) =>
      deaf ? to.instance === node && peers.has(from) : from.instance === node && peers.has(to),
    );
  },
  flapping: (_, arena, { node, forMs }) => {
    const periodMs = arena.chance.pick([1, 2, 3, 6]) * arena.delta0Ms;
    const endMs = arena.schedule.nowMs + forMs;
    let undo: Undo | null = null;
    const turn = (): void => {
      if (arena.schedule.nowMs >= endMs) return;
      if (undo === null) undo = cut(arena, (from, to) => from.instance === node || to.instance === node);
      else {
        undo();
        undo = null;
      }
      arena.schedule.after(periodMs, turn);
    };
    turn();
    return () => undo?.();
  },
  'slow-peer': (_, arena, { node }) => {
    const links = [...arena.network.linksOf(arena.nodes[node]!)];
    const extraMs = arena.chance.pick([0, 300, 2_000]);
    for (const link of links) {
      link.extraMs = extraMs;
      link.gapMs = arena.chance.pick([10, 50, 200]);
    }
    return () => {
      for (const link of links) {
        link.extraMs = 0;
        link.gapMs = 0;
      }
    };
  },
  loss: (_, arena) => weather(arena, { lossRate: arena.chance.pick([0.05, 0.15, 0.35]) }),
  delay: (_, arena) =>
    weather(arena, {
      delayMs: arena.chance.pick([50, 200, 800]),
      stragglerRate: 0.1,
      stragglerMs: arena.chance.pick([500, 3_000]),
    }),
  duplication: (_, arena) => weather(arena, { duplicateRate: 0.5, stragglerRate: 0.2, stragglerMs: 1_000 }),
  'ancient-replay': (_, arena, { forMs }) => {
    const endMs = arena.schedule.nowMs + forMs;
    const again = (): void => {
      if (arena.schedule.nowMs >= endMs) return;
      arena.network.replay();
      arena.schedule.after(arena.chance.between(1, 60), again);
    };
    again();
    return NOTHING;
  },
  'slow-disk': (nemeses, arena, { node }) => {
    const slow = arena.chance.happens(0.2) ? arena.nodes.map(({ instance }) => instance) : [node];
    for (const instance of slow) nemeses.slowDisks.add(instance);
    return () => {
      for (const instance of slow) nemeses.slowDisks.delete(instance);
    };
  },
  crash: (_, arena, { node, forMs }) => {
    arena.crash(arena.nodes[node]!, arena.chance.pick(['kill', 'power-cut']), forMs);
    return NOTHING;
  },
  'crash-storm': (nemeses) => {
    nemeses.stormRate = 0.02;
    return () => {
      nemeses.stormRate = 0;
    };
  },
  'crash-after-signature': (nemeses) => {
    nemeses.afterSignatureRate = 0.25;
    return () => {
      nemeses.afterSignatureRate = 0;
    };
  },
  'crash-of-all': (nemeses, arena) => {
    nemeses.arm(arena.chance.pick([NOTARIZE, NULLIFY, FINALIZE]));
    return () => nemeses.disarm();
  },
  outage: (_, arena) => {
    const downMs = arena.chance.between(1, 3_000);
    for (const node of arena.nodes) arena.crash(node, 'power-cut', downMs + arena.chance.between(0, 200));
    return NOTHING;
  },
  'failed-sync': (_, arena, { node }) => {
    if (arena.nodes[node]!.up) arena.nodes[node]!.disk.failSyncs();
    return NOTHING;
  },
  'clock-jump': (_, arena, { node }) => {
    const jumped = arena.nodes[node]!;
    // Back by little: a clock that the system sets back stands still until its time has come again.
    jumped.clock.offsetMs += arena.chance.pick([-1_500, -200, 700, 60_000, 86_400_000]);
    return NOTHING;
  },
  'lost-log': (_, arena, { node }) => {
    const lost = arena.nodes.find(({ index }) => index === node)!;
    if (lost.isFaulty) return NOTHING;
    arena.crash(lost, 'power-cut', 500);
    lost.disk.lose();
    lost.forget('the log was lost');
    return NOTHING;
  },
  'old-log': (_, arena, { node }) => {
    const old = arena.nodes.find(({ index }) => index === node)!;
    if (old.isFaulty || !old.up) return NOTHING;
    const disk = old.disk.snapshot();
    return () => {
      arena.crash(old, 'power-cut', 200);
      old.disk.replace(disk);
      old.becomeAmnesiac();
    };
  },
};

export class Nemeses {
  readonly slowDisks = new Set<number>();
  stormRate = 0;
  afterSignatureRate = 0;
  readonly #arena: Arena;
  #armed: {
    readonly kind: VoteKind;
    readonly ended: Set<SimNode>;
    readonly afterSending: boolean;
    sinceMs: number | null;
  } | null = null;
  readonly #undo = new Set<Undo>();

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  begin(episode: Episode): void {
    const undo = BEGIN[episode.nemesis](this, this.#arena, episode);
    const once = (): void => {
      if (this.#undo.delete(once)) undo();
    };
    this.#undo.add(once);
    this.#arena.schedule.after(episode.forMs, once);
  }

  /** Everything that is under way ends. */
  heal(): void {
    for (const undo of [...this.#undo]) undo();
    this.disarm();
    this.slowDisks.clear();
    this.stormRate = 0;
    this.afterSignatureRate = 0;
  }

  arm(kind: VoteKind): void {
    this.#armed ??= { kind, ended: new Set(), afterSending: this.#arena.chance.happens(0.5), sinceMs: null };
  }

  disarm(): void {
    this.#armed = null;
  }

  syncMs(node: SimNode): number {
    const { chance } = this.#arena;
    if (this.slowDisks.has(node.instance)) return chance.between(1_000, 10_000);
    return chance.happens(0.03) ? chance.between(5, 60) : chance.between(0, 3);
  }

  beforeSync(node: SimNode): boolean {
    const { chance } = this.#arena;
    if (!chance.happens(this.stormRate)) return false;
    this.#arena.crash(node, chance.pick(['kill', 'power-cut']), chance.between(1, 1_500));
    return true;
  }

  afterSync(node: SimNode, records: readonly JournalRecord[]): boolean {
    const { chance, nodes } = this.#arena;
    const armed = this.#armed;
    if (armed === null && this.afterSignatureRate === 0) return false;
    const votes = records.flatMap((record) => (record.type === 'vote' ? [record.vote] : []));
    if (votes.length === 0) return false;
    if (armed !== null && !armed.ended.has(node) && votes.some(({ kind }) => kind === armed.kind)) {
      armed.ended.add(node);
      armed.sinceMs ??= this.#arena.schedule.nowMs;
      const downMs = Math.max(1, armed.sinceMs + WAIT_FOR_ALL_MS - this.#arena.schedule.nowMs);
      // A block must get out, or nobody else ever has something to vote for.
      const leads = votes.some(({ view }) => view % node.context.validators.length === node.index);
      if (armed.afterSending || (leads && armed.kind === NOTARIZE)) {
        node.after(0, () => this.#arena.crash(node, 'power-cut', downMs));
        return false;
      }
      this.#arena.crash(node, 'power-cut', downMs);
      if (nodes.every((each) => armed.ended.has(each))) this.disarm();
      return true;
    }
    if (!chance.happens(this.afterSignatureRate)) return false;
    this.#arena.crash(node, chance.pick(['kill', 'power-cut']), chance.between(1, 400));
    return true;
  }
}
