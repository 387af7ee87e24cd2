// The other validators as consensus sees them: by index, where gossip knows them by node id; who is connected, and what of
// this turn goes to whom. Driven by the host. Nothing waits here: what gossip cannot take is lost, and asked for again.
import type { Context } from '../../protocol/consensus/context.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import type { Link } from '../../runtime/kernel/contract.js';
import type { GossipContract, Lane } from '../gossip/contract.js';
import type { ConsensusMetrics } from './metrics.js';

export class Peers {
  readonly #context: Context;
  readonly #gossip: Link<GossipContract>;
  readonly #metrics: ConsensusMetrics;
  readonly #indexes: ReadonlyMap<string, number>;
  readonly #connected = new Set<string>();
  /** Frames of this turn for everybody, and for one node each. */
  #broadcast: Uint8Array[] = [];
  readonly #single = new Map<string, Uint8Array[]>();

  constructor(context: Context, gossip: Link<GossipContract>, metrics: ConsensusMetrics) {
    this.#context = context;
    this.#gossip = gossip;
    this.#metrics = metrics;
    this.#indexes = new Map(context.validators.map(({ nodeId }, index) => [nodeId, index]));
  }

  /** Validators that this one could reach. */
  get count(): number {
    return this.#context.validators.length - (this.#context.self === null ? 0 : 1);
  }

  /** Node ids of the connected validators, in the order of the epoch. */
  get connected(): string[] {
    return this.#context.validators.filter(({ nodeId }) => this.#connected.has(nodeId)).map(({ nodeId }) => nodeId);
  }

  /** Validator's index, null for a node outside the set. */
  indexOf(nodeId: string): number | null {
    return this.#indexes.get(nodeId) ?? null;
  }

  nodeIdOf(index: number): string | null {
    return this.#context.validators[index]?.nodeId ?? null;
  }

  /** True when this changed something about a validator. */
  state(nodeId: string, connected: boolean): boolean {
    const index = this.indexOf(nodeId);
    if (index === null || index === this.#context.self || this.#connected.has(nodeId) === connected) return false;
    if (connected) this.#connected.add(nodeId);
    else this.#connected.delete(nodeId);
    return true;
  }

  /** For every connected validator, with the next flush. */
  broadcast(frame: Uint8Array): void {
    this.#broadcast.push(frame);
  }

  /** For one node, with the next flush. */
  send(nodeId: string, frame: Uint8Array): void {
    const frames = this.#single.get(nodeId);
    if (frames === undefined) this.#single.set(nodeId, [frame]);
    else frames.push(frame);
  }

  /** Sends what this turn has brought. */
  flush(): void {
    if (this.#broadcast.length > 0) {
      const frames = this.#broadcast;
      this.#broadcast = [];
      this.#tell(null, 'live', frames);
    }
    for (const [nodeId, frames] of this.#single) this.#tell([nodeId], 'live', frames);
    this.#single.clear();
  }

  /** At once, behind everything that is live: blocks for a peer that is behind. */
  sendBulk(nodeId: string, frames: readonly Uint8Array[]): void {
    this.#tell([nodeId], 'bulk', frames);
  }

  #tell(to: readonly string[] | null, lane: Lane, frames: readonly Uint8Array[]): void {
    const packed = packBytes(frames);
    const result = this.#gossip.tell('send', { to, lane, frames: packed }, [packed]);
    if (result !== 'ok') this.#metrics.unsent.inc({ reason: result }, frames.length);
  }
}
