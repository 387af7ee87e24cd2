// One seed's cluster from its start to its verdict: nodes, network and nemeses until the faults end, then calm, in which all
// must come to the same ledger. Called by the command, the tests and the mutants. A run is a function of its seed and options.
import type { JournalRecord } from '../../../protocol/consensus/journal.js';
import type { Outcome } from '../simulations.js';
import { short } from './body.js';
import { Checkers } from './checkers.js';
import { contextOf, type KeyRing, mockKeys } from './keys.js';
import { Misdeed } from './misdeeds.js';
import { type Arena, Nemeses } from './nemeses.js';
import { CALM, Network } from './network.js';
import { SimNode } from './node.js';
import type { Ending } from './node-disk.js';
import { type Plan, type PlanOptions, planOf } from './plan.js';
import { Chance, Schedule } from './schedule.js';
import type { Packet, Surroundings } from './surroundings.js';
import { Trace } from './trace.js';

export interface CrashPoint {
  readonly instance: number;
  readonly sync: number;
  readonly moment: 'before' | 'after';
  readonly ending: Ending;
}

export interface ClusterOptions extends PlanOptions {
  readonly keepTrace?: boolean;
  /** One crash of one node at its sync of that number, before or after it; whatever else the plan has. */
  readonly crashAt?: CrashPoint;
  /** Default: mock ones. */
  readonly keys?: (n: number) => KeyRing;
}

/** After the last fault: the cluster has so long to come to one ledger. */
const CONVERGE_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 250;
const LINKS_EVERY_MS = 500;
const CALM_SUBMISSIONS = 6;

export function simulateCluster(seed: number, options: ClusterOptions): Outcome {
  return new Cluster(seed, options).run();
}

/** Up to this height. The votes above it are another checker's: some may not have been durable yet. */
function known({ ledger }: SimNode, height: number): string {
  const blocks = ledger.executed.slice(0, height);
  const entries = blocks.reduce((sum, { body }) => sum + body.entries.length, 0);
  return `height ${blocks.length}, ${short(blocks.at(-1)?.body.block.hash ?? null)}, ${entries} entries`;
}

class Cluster implements Surroundings, Arena {
  readonly schedule = new Schedule();
  readonly chance: Chance;
  readonly trace: Trace;
  readonly checkers: Checkers;
  readonly plan: Plan;
  readonly n: number;
  readonly delta0Ms: number;
  readonly nodes: SimNode[];
  readonly network: Network;
  readonly #seed: number;
  readonly #nemeses: Nemeses;
  readonly #faulty: ReadonlySet<number>;
  #crashes = 0;
  #submitting = true;
  readonly #crashAt: CrashPoint | null;
  /** Syncs of the node that is to crash. */
  #syncs = 0;

  constructor(seed: number, options: ClusterOptions) {
    this.#seed = seed;
    this.#crashAt = options.crashAt ?? null;
    this.chance = new Chance(Math.imul(seed, 0x9e37_79b1) ^ 0x2545_f491);
    this.trace = new Trace(options.keepTrace === true);
    this.checkers = new Checkers(this.schedule, this.trace);
    this.plan = planOf(this.chance, options);
    this.n = this.plan.n;
    this.delta0Ms = this.plan.timing.delta0Ms;
    const ring = (options.keys ?? mockKeys)(this.n);
    const liars = new Map(this.plan.liars.map((liar) => [liar.index, liar]));
    this.#faulty = new Set(liars.keys());
    const identities = [
      ...Array(this.n).keys(),
      ...this.plan.liars.filter(({ isTwin }) => isTwin).map(({ index }) => index),
    ];
    this.nodes = identities.map((index, instance) => {
      const liar = liars.get(index);
      const misdeed = liar === undefined ? null : new Misdeed(liar.lies, liar.rate, liar.serves, this.chance);
      return new SimNode(this, contextOf(ring, index, this.plan.timing), instance, misdeed);
    });
    this.network = new Network(this.schedule, this.chance, this.nodes, this.n);
    this.#nemeses = new Nemeses(this);
  }

  run(): Outcome {
    const { schedule, checkers } = this;
    const ended = this.#story();
    return {
      seed: this.#seed,
      violations: checkers.violations,
      traceHash: this.trace.hash,
      steps: schedule.handled,
      simulatedMs: schedule.nowMs,
      ended,
      lines: this.trace.lines ?? [],
      counts: {
        blocks: checkers.chain.length,
        submissions: checkers.finalEntries,
        crashes: this.#crashes,
        syncs: this.#syncs,
        packets: this.network.sent,
        ...checkers.tally,
      },
    };
  }

  /** How it ended. What is thrown would end the thread of a real node, so nothing may be. */
  #story(): string {
    try {
      this.#trouble();
      const failed = (): boolean => this.checkers.violations.length > 0;
      this.schedule.runUntil(this.plan.healAtMs, failed);
      return failed() ? 'violation' : this.#calm(failed);
    } catch (error) {
      this.checkers.found('exception', (error as Error).message);
      return 'violation';
    }
  }

  /** Everybody starts, clients submit, and the plan's episodes are set. */
  #trouble(): void {
    const { schedule, plan } = this;
    this.trace.line(0, `${this.n} nodes, ${JSON.stringify(plan.liars)}, a submission each ${plan.submitEveryMs} ms`);
    for (const node of this.nodes) node.start();
    for (const episode of plan.episodes) {
      schedule.at(episode.atMs, () => {
        this.trace.line(schedule.nowMs, `NEMESIS ${episode.nemesis} of node ${episode.node} for ${episode.forMs} ms`);
        this.#nemeses.begin(episode);
      });
    }
    this.#submitLater();
    this.#watch();
    this.#watchLinks();
  }

  /** Nothing goes wrong any more: liveness, convergence, and one restart of everybody. */
  #calm(failed: () => boolean): string {
    const { schedule, checkers, network, nodes } = this;
    this.trace.line(schedule.nowMs, 'HEALED');
    this.#nemeses.heal();
    network.weather = { ...CALM };
    this.#submitting = false;
    for (const node of nodes) if (!node.up) this.#startLater(node, this.chance.between(1, 500));
    for (let count = 0; count < CALM_SUBMISSIONS; count++) schedule.after(600 + 700 * count, () => this.#submit());
    const startMs = schedule.nowMs;
    let isDone = false;
    const look = (): void => {
      isDone = this.#unconverged() === null;
      if (!isDone) schedule.after(LOOK_EVERY_MS, look);
    };
    schedule.after(600 + 700 * CALM_SUBMISSIONS, look);
    schedule.runUntil(startMs + CONVERGE_WITHIN_MS, () => isDone || failed());
    if (failed()) return 'violation';
    const why = this.#unconverged();
    if (why !== null) {
      checkers.found('liveness', `${CONVERGE_WITHIN_MS / 1_000} s after the last fault ${why}`);
      return 'violation';
    }
    this.#checkAtRest();
    for (const node of nodes) this.#restartAtRest(node);
    return failed() ? 'violation' : 'one ledger';
  }

  /**
   * What was final in a node is final in it again, though its store was written behind. A block more is right where its
   * record was on the way to the disk: nobody had been told of it yet.
   */
  #restartAtRest(node: SimNode): void {
    const { height } = node.ledger;
    const before = known(node, height);
    node.end('power-cut');
    node.start();
    const after = known(node, height);
    if (node.isFaulty || after === before) return;
    this.checkers.found('restart', `node ${node.index} knew ${before}, and comes back with ${after}`);
  }

  // --- clients

  #submitLater(): void {
    const { chance, plan, schedule } = this;
    const { submitEveryMs, burstRate } = plan;
    const pauseMs = chance.happens(0.01) ? 12_000 : chance.between(1, 2 * submitEveryMs);
    schedule.after(pauseMs, () => {
      if (!this.#submitting) return;
      for (let count = chance.happens(burstRate) ? 25 : 1; count > 0; count--) this.#submit();
      this.#submitLater();
    });
  }

  #submit(): void {
    const home = this.chance.pick(this.nodes);
    if (!home.up) return;
    home.submit(this.checkers.submitted(home.index));
  }

  // --- what checkers look at now and then

  /** As gossip does: each node hears of its links some time after they came or went. */
  #watchLinks(): void {
    this.schedule.after(LINKS_EVERY_MS, () => {
      for (const node of this.nodes) {
        if (!node.up) continue;
        const linked = new Set<number>();
        for (const peer of this.nodes) {
          const both = peer.up && this.network.passes(node, peer) && this.network.passes(peer, node);
          if (both) linked.add(peer.index);
        }
        for (let peer = 0; peer < this.n; peer++) if (peer !== node.index) node.linked(peer, linked.has(peer));
      }
      this.#watchLinks();
    });
  }

  #watch(): void {
    this.schedule.after(1_000, () => {
      for (const node of this.nodes) if (node.up && !node.isFaulty) this.#checkMemory(node);
      this.#watch();
    });
  }

  /** What the core keeps is bounded by the views that are not final, never by the chain or by what a peer sends. */
  #checkMemory({ index, state, chain }: SimNode): void {
    const open = Math.max(state.view, state.certifiedView) - state.finalized.view;
    const bounds: [string, number, number][] = [
      ['views', state.views.size, open + 2],
      ['blocks', state.blocks.size, 2 * open + 8],
      ['wants', state.wanted.size, 2 * open + 8],
      ['accusations', state.accused.size, 4 * this.n * (open + 2)],
      ['bodies', chain.bodies.size, 2 * open + 16 + state.finalized.height - chain.ledger.height],
    ];
    for (const [what, found, allowed] of bounds) {
      if (found <= allowed) continue;
      this.checkers.found(
        'bounded memory',
        `node ${index} keeps ${found} ${what} at ${open} open views; allowed: ${allowed}`,
      );
    }
  }

  get #honest(): SimNode[] {
    return this.nodes.filter(({ isFaulty }) => !isFaulty);
  }

  /** What keeps the cluster from being of one ledger that holds everything, or null. */
  #unconverged(): string | null {
    const honest = this.#honest;
    const { submissions } = this.checkers;
    const { tip } = honest[0]!.ledger;
    for (const { index, ledger, up } of honest) {
      if (!up) return `node ${index} is down`;
      if (ledger.tip.hash !== tip.hash) {
        const heights = honest.map(
          (node) => `node ${node.index} at height ${node.ledger.height} and view ${node.state.view}`,
        );
        return `the ledgers differ: ${heights.join(', ')}`;
      }
    }
    const homes = new Set(honest.filter(({ wasLost }) => !wasLost).map(({ index }) => index));
    for (const [entry, { kept, position, home }] of submissions.entries()) {
      if (kept && position === null && homes.has(home)) return `submission ${entry} of node ${home} is not final`;
    }
    for (const { index, ledger } of honest) {
      const { size } = ledger.positions;
      if (size !== this.checkers.finalEntries)
        return `node ${index} has ${size} of ${this.checkers.finalEntries} entries`;
    }
    return null;
  }

  #checkAtRest(): void {
    for (const { index, state, ledger } of this.#honest) {
      const kept = Math.max(state.views.size, state.blocks.size);
      if (kept > 4 + (state.view - state.finalized.view)) {
        this.checkers.found('bounded memory', `node ${index} keeps ${kept} views or blocks at rest`);
      }
      if (ledger.tip.hash !== this.checkers.chain[ledger.height]) {
        this.checkers.found('convergence', `node ${index} ends at ${short(ledger.tip.hash)}`);
      }
    }
  }

  // --- what nodes have around them

  send(from: SimNode, to: number, packet: Packet): void {
    this.network.send(from, to, packet);
  }

  syncMs(node: SimNode): number {
    return this.#nemeses.syncMs(node);
  }

  beforeSync(node: SimNode): boolean {
    return this.#crashesAsPlanned(node, 'before') || this.#nemeses.beforeSync(node);
  }

  afterSync(node: SimNode, records: readonly JournalRecord[]): boolean {
    return this.#crashesAsPlanned(node, 'after') || this.#nemeses.afterSync(node, records);
  }

  #crashesAsPlanned(node: SimNode, moment: CrashPoint['moment']): boolean {
    const crashAt = this.#crashAt;
    if (crashAt?.instance !== node.instance) return false;
    if (moment === 'before') this.#syncs += 1;
    if (this.#syncs !== crashAt.sync || moment !== crashAt.moment) return false;
    this.crash(node, crashAt.ending, 300);
    return true;
  }

  ended(node: SimNode): void {
    this.crash(node, 'kill', 300);
  }

  isFaulty(index: number): boolean {
    return this.#faulty.has(index) || this.nodes[index]!.isFaulty;
  }

  crash(node: SimNode, ending: Ending, downMs: number): void {
    if (!node.up) return;
    this.#crashes += 1;
    node.end(ending);
    this.#startLater(node, downMs);
  }

  #startLater(node: SimNode, delayMs: number): void {
    const { life } = node;
    this.schedule.after(delayMs, () => {
      if (!node.up && node.life === life) node.start();
    });
  }
}
