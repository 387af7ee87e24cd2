// Walks from a block back to the finalized tip, and asks for what is missing on the way.
// Called by R2, R3 and R7, which all need a block's whole unfinalized ancestry.
// Must never take a block as an ancestor unless its view and height fit its child.
import type { BlockRef } from './message.js';
import type { BlockEntry, State } from './state.js';
import { type Turn, want } from './turn.js';

export type Chain =
  /** Blocks above the tip, newest first; empty for the tip itself. */
  | { readonly state: 'complete'; readonly entries: readonly BlockEntry[] }
  | { readonly state: 'missing'; readonly hash: string; readonly view: number; readonly entries: readonly BlockEntry[] }
  /** The ancestry does not lead to the finalized tip. */
  | { readonly state: 'foreign'; readonly reason: string };

/** The chain that ends in `hash`, a block of `view`. */
export function chainTo(state: State, hash: string, view: number): Chain {
  const entries: BlockEntry[] = [];
  const tip = state.finalized;
  let child: BlockRef | null = null;
  for (;;) {
    if (hash === tip.hash && view === tip.view) {
      if (child !== null && child.height !== tip.height + 1) return foreign(child, `height ${tip.height}`);
      return { state: 'complete', entries };
    }
    if (view <= tip.view) return { state: 'foreign', reason: `block ${hash} of view ${view} is not the finalized tip` };
    const entry = state.blocks.get(hash);
    if (entry === undefined) return { state: 'missing', hash, view, entries };
    const { block } = entry;
    if (block.view !== view) return { state: 'foreign', reason: `block ${hash} is of view ${block.view}, not ${view}` };
    if (child !== null && child.height !== block.height + 1) return foreign(child, `height ${block.height}`);
    if (block.parentView >= view) return foreign(block, `view ${block.parentView}`);
    entries.push(entry);
    child = block;
    hash = block.parentHash;
    view = block.parentView;
  }
}

function foreign(child: BlockRef, parent: string): Chain {
  return {
    state: 'foreign',
    reason: `block ${child.hash} of view ${child.view} and height ${child.height} has a parent of ${parent}`,
  };
}

/**
 * Whether everything up to `hash` is held and valid, so that a block can be built or judged on it. Asks for the missing
 * body, or for the oldest block that was not judged, as a side effect; the answer to that leads back here.
 */
export function ancestry(turn: Turn, hash: string, view: number, holder: number | null): 'ready' | 'waiting' | 'unfit' {
  const chain = chainTo(turn.state, hash, view);
  if (chain.state === 'foreign') return 'unfit';
  if (chain.state === 'missing') {
    // Far behind, blocks come by height, not one by one along their hashes.
    if (!turn.state.catchup?.far) want(turn, { type: 'block', hash: chain.hash, view: chain.view }, holder);
    return 'waiting';
  }
  for (let i = chain.entries.length - 1; i >= 0; i--) {
    const entry = chain.entries[i]!;
    if (entry.validity === 'valid') continue;
    if (entry.validity === 'invalid') return 'unfit';
    judge(turn, entry, holder);
    return 'waiting';
  }
  return 'ready';
}

/** Asks the host to validate, once. */
export function judge(turn: Turn, entry: BlockEntry, from: number | null): void {
  if (entry.validity !== 'unknown') return;
  entry.validity = 'asked';
  turn.effects.push({ type: 'validate', block: entry.block, from });
}
