// Commit (R7): what is final, in order, and the safety halt when two things would be.
// Called by step() and replay() whenever a Finalization or a missing body has come.
// Must never advance the finalized view over a body that is not held, in memory or on replay.
import type { Certificate } from './certificate.js';
import { chainTo } from './chain.js';
import type { Effect } from './effect.js';
import { type BlockEntry, prune, type State } from './state.js';
import { halt, type Turn, want } from './turn.js';

/** Commits the highest Finalization whose whole chain is held, and asks for what the others lack. */
export function commitFinalized(turn: Turn): void {
  const { state, context } = turn;
  if (state.uncommitted.length === 0) return;
  const views = [...state.uncommitted].sort((a, b) => b - a);
  for (const view of views) {
    if (view <= state.finalized.view) return;
    const certificate = state.views.get(view)!.finalization!;
    const chain = chainTo(state, certificate.hash!, view);
    if (chain.state === 'foreign') {
      halt(
        turn,
        `the Finalization of view ${view} does not extend finalized view ${state.finalized.view}: ${chain.reason}`,
      );
      return;
    }
    if (chain.state === 'missing') {
      want(turn, { type: 'block', hash: chain.hash, view: chain.view }, null);
      continue;
    }
    for (let i = chain.entries.length - 1; i >= 0; i--) recordBlock(turn, chain.entries[i]!);
    const height = chain.entries[0]!.block.height;
    turn.records.push({ type: 'finalization', epoch: context.epoch, height, certificate });
    turn.effects.push(advance(state, chain.entries, certificate));
  }
}

/** The body goes into the journal once, before the first record that relies on it. */
export function recordBlock(turn: Turn, entry: BlockEntry): void {
  if (entry.durable) return;
  entry.durable = true;
  turn.records.push({ type: 'block', block: entry.block });
}

/** Moves the tip to the newest of `entries` (newest first, a complete chain) and forgets what lies behind it. */
export function advance(state: State, entries: readonly BlockEntry[], finalization: Certificate): Effect {
  const blocks = entries.map((entry) => entry.block).reverse();
  const certificates = blocks.map((block) => {
    const own = state.views.get(block.view)?.finalization;
    return own?.hash === block.hash ? own : null;
  });
  const tip = blocks[blocks.length - 1]!;
  let committed = 0;
  for (const block of blocks) committed += block.entryCount;
  state.pendingCount = Math.max(0, state.pendingCount - committed);
  state.finalized = { view: tip.view, height: tip.height, hash: tip.hash, certificate: finalization };
  prune(state);
  return { type: 'commit', blocks, finalization, certificates };
}
