// What one simulated node executes: its ledger, the bodies above it, and the submissions that wait for a block. Owned by the
// node model. It judges by deterministic rules alone, and must never forget a body that is final and not executed yet.
import type { Effect } from '../../../protocol/consensus/effect.js';
import type { State } from '../../../protocol/consensus/state.js';
import { BLOCK_ENTRIES_MAX, type Body, Ledger, makeBody } from './body.js';

type BuildRequest = Extract<Effect, { type: 'build' }>;

/** Submissions that a node keeps for others. */
const MEMPOOL_MAX = 512;

export class NodeChain {
  readonly ledger = new Ledger();
  /** Bodies above the ledger, by hash. */
  readonly bodies = new Map<string, Body>();
  /** Submissions known and not final; those of own clients are on the disk. */
  readonly open = new Set<number>();
  readonly own = new Set<number>();
  readonly #index: number;
  /** Whether anybody ever submitted it: what a signature is in earnest. */
  readonly #isAuthentic: (entry: number) => boolean;

  constructor(index: number, isAuthentic: (entry: number) => boolean) {
    this.#index = index;
    this.#isAuthentic = isAuthentic;
  }

  /** Memory goes; of the ledger stays what was written. */
  end(): void {
    this.ledger.cutTo(this.ledger.durableHeight);
    for (const memory of [this.bodies, this.open, this.own]) memory.clear();
  }

  hold(body: Body): void {
    if (body.block.height > this.ledger.height) this.bodies.set(body.block.hash, body);
  }

  /** What the core neither counts on nor has made final is not kept. */
  dropUnknown(hash: string, state: State): void {
    const body = this.bodies.get(hash);
    if (body === undefined || state.blocks.has(hash) || body.block.height <= state.finalized.height) return;
    this.bodies.delete(hash);
  }

  heard(entry: number): void {
    if (!this.ledger.positions.has(entry) && this.open.size < MEMPOOL_MAX) this.open.add(entry);
  }

  keep(entry: number): void {
    if (this.ledger.positions.has(entry)) return;
    this.own.add(entry);
    this.open.add(entry);
  }

  /** Null when there is nothing to put in. */
  build({ view, height, parentView, parentHash, contents }: BuildRequest, timestamp: number): Body | null {
    const taken = this.#entriesUpTo(parentHash);
    const entries: number[] = [];
    if (contents !== 'none') {
      for (const entry of this.open) {
        if (entries.length === BLOCK_ENTRIES_MAX) break;
        if (!taken.has(entry)) entries.push(entry);
      }
    }
    if (contents === 'some' && entries.length === 0) return null;
    const body = makeBody({ height, view, parentView, parentHash, timestamp }, this.#index, entries);
    this.bodies.set(body.block.hash, body);
    return body;
  }

  isValid(hash: string): boolean {
    const body = this.bodies.get(hash);
    if (body === undefined) return false;
    const { entries, block } = body;
    if (entries.length > BLOCK_ENTRIES_MAX || new Set(entries).size !== entries.length) return false;
    const taken = this.#entriesUpTo(block.parentHash);
    const { positions } = this.ledger;
    return entries.every((entry) => this.#isAuthentic(entry) && !taken.has(entry) && !positions.has(entry));
  }

  /** Bodies at or below the ledger's tip, and those that no core wants. */
  prune(state: State): void {
    for (const [hash, { block }] of this.bodies) {
      if (block.height <= this.ledger.height) this.bodies.delete(hash);
      else this.dropUnknown(hash, state);
    }
  }

  /** Entries of the unfinalized chain that ends here. */
  #entriesUpTo(hash: string): Set<number> {
    const taken = new Set<number>();
    for (let body = this.bodies.get(hash); body !== undefined; body = this.bodies.get(body.block.parentHash)) {
      for (const entry of body.entries) taken.add(entry);
    }
    return taken;
  }
}
