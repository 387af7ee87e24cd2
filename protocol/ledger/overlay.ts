// The ledger after blocks that are not final or not stored yet: their changes over the stored state (DECISIONS 18).
// Called by the consensus actor to build and judge on unfinalized blocks, and by the store to write a finalized one.
// Must never write through to its base, which other blocks of the same parent share.
import type { Registry } from '../registry.js';
import type { RoundsState } from '../rounds/round.js';
import type { IndexEntry, LedgerView } from './apply.js';
import type { BlockResult } from './execute.js';
import { type Header, nextTip, type Tip } from './header.js';

/** All that a block changes: an overlay lays it over its base, the store writes it into its tables. */
export interface BlockChanges {
  readonly parentHash: string;
  /** New entries of the ledger index by raw index key (`issuer ‖ NUL ‖ id`), in block order. */
  readonly index: ReadonlyMap<string, IndexEntry>;
  /** The new version of the registry, where the block has one. */
  readonly registry: Registry | null;
  /** The rounds after the block, where it changed them. */
  readonly rounds: RoundsState | null;
  /** Where the chain stands after the block. */
  readonly tip: Tip;
}

/** `hash` is the block's, hex; `result` is what executing it on `tip` gave. */
export function changesOf(tip: Tip, header: Header, hash: string, result: BlockResult): BlockChanges {
  return {
    parentHash: header.parent_hash,
    index: result.index,
    registry: result.registry,
    rounds: result.rounds,
    tip: nextTip(tip, header, hash),
  };
}

/**
 * The base with the changes of a chain of blocks laid over it. Cheap to make: one is made for every block built or judged, over the
 * newest stored state, so that nothing keeps the changes of stored blocks alive.
 */
export class Overlay implements LedgerView {
  readonly chain: LedgerView['chain'];
  readonly tip: Tip;
  readonly registry: Registry;
  readonly rounds: RoundsState;
  readonly #base: LedgerView;
  /** Newest block first. */
  readonly #indexes: readonly ReadonlyMap<string, IndexEntry>[];

  /**
   * `blocks` is a chain, oldest first; those that the base already contains are left out. Throws RangeError when the rest does not
   * continue the base: it would be laid over a state that it was not made on.
   */
  constructor(base: LedgerView, blocks: readonly BlockChanges[]) {
    const indexes: ReadonlyMap<string, IndexEntry>[] = [];
    let { tip, registry, rounds } = base;
    for (const block of blocks) {
      if (block.tip.height <= base.tip.height) continue;
      if (block.tip.height !== tip.height + 1 || block.parentHash !== tip.hash) {
        throw new RangeError(
          `block ${block.tip.height} on ${block.parentHash} does not follow ${tip.height} ${tip.hash}`,
        );
      }
      indexes.unshift(block.index);
      tip = block.tip;
      registry = block.registry ?? registry;
      rounds = block.rounds ?? rounds;
    }
    this.chain = base.chain;
    this.tip = tip;
    this.registry = registry;
    this.rounds = rounds;
    this.#base = base;
    this.#indexes = indexes;
  }

  find(key: string): IndexEntry | undefined {
    for (const index of this.#indexes) {
      const entry = index.get(key);
      if (entry !== undefined) return entry;
    }
    return this.#base.find(key);
  }
}
