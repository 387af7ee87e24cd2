// What all parts of one simulation share: its clock, chance, scenario, trace and findings. Made by supervisor.ts, one a
// seed. Nothing in it may come from the system: not time, not order, not chance.
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ActorSpec } from '../../runtime/kernel/contract.js';
import type { SimulatedThread } from '../../runtime/kernel/simulated-thread.js';
import { Random } from '../drills/random.js';
import { actorsOf, eighths, type Scenario, type SimConfig, scenarioOf } from './plan.js';

export type Mode = 'running' | 'stopping' | 'halted';

export class World {
  readonly seed: number;
  readonly clock = new ManualClock(1_000_000);
  readonly random: Random;
  readonly scenario: Scenario;
  /** In start order. */
  readonly specs: readonly ActorSpec<SimConfig>[];
  /** What a checker found, the first few. */
  readonly violations: string[] = [];
  /** Every thread that was ever spawned, by actor. */
  readonly threads = new Map<string, SimulatedThread[]>();
  /** Lines of the trace, if they are kept. */
  readonly lines: string[] | null;
  mode: Mode = 'running';
  /** Since when it is no longer running. */
  endsAtMs = Number.POSITIVE_INFINITY;
  calm = false;
  steps = 0;
  #hashLow = 0xdead_beef;
  #hashHigh = 0x41c6_ce57;

  constructor(seed: number, keepTrace: boolean) {
    this.seed = seed;
    this.random = new Random(Math.imul(seed, 0x9e37_79b1) ^ 0x5bd1_e995);
    this.scenario = scenarioOf(seed, this.random);
    this.specs = actorsOf(this.scenario.tree);
    this.lines = keepTrace ? [] : null;
  }

  get nowMs(): number {
    return this.clock.monotonic();
  }

  /** How long the next message is under way. */
  delayMs(): number {
    const { delayMs } = this.scenario;
    return eighths(this.random, 0, delayMs);
  }

  /** The same between actors, where now and then one is overtaken by much. */
  dataDelayMs(): number {
    const { straggles } = this.scenario;
    return !this.calm && this.random.next() < straggles ? eighths(this.random, 5, 1_500) : this.delayMs();
  }

  end(mode: 'stopping' | 'halted'): void {
    this.mode = mode;
    this.endsAtMs = Math.min(this.endsAtMs, this.nowMs);
  }

  note(line: string): void {
    const text = `${this.nowMs.toFixed(3)} ${line}`;
    this.lines?.push(text);
    // Two multiplied 32-bit lanes: enough to tell two runs of one seed apart.
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      this.#hashLow = Math.imul(this.#hashLow ^ code, 0x9e37_79b1);
      this.#hashHigh = Math.imul(this.#hashHigh ^ code, 0x5f35_6495);
      this.#hashLow ^= this.#hashHigh >>> 13;
    }
  }

  get traceHash(): string {
    const hex = (lane: number) => (lane >>> 0).toString(16).padStart(8, '0');
    return hex(this.#hashHigh) + hex(this.#hashLow);
  }

  /** A checker's finding. Those after the first often follow from it. */
  found(checker: string, what: string): void {
    const text = `${checker}: at ${this.nowMs.toFixed(3)} ms: ${what}`;
    this.note(`VIOLATION ${text}`);
    if (this.violations.length < 5) this.violations.push(text);
  }

  spec(id: string): ActorSpec<SimConfig> {
    const spec = this.specs.find((each) => each.id === id);
    if (spec === undefined) throw new Error(`no actor ${id} in this tree`);
    return spec;
  }

  /** The newest thread of an actor that runs. */
  living(id: string): SimulatedThread | undefined {
    return this.threads.get(id)?.findLast(({ gone }) => !gone);
  }
}
