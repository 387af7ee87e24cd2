// Commit (R7): what is final, in order, and the safety halt when two things would be.
// Called by step() and replay() whenever a Finalization or a missing body has come, and by catch-up with what it proved.
// Must never advance the finalized view over a body that is not held, in memory or on replay.
import type { Certificate } from './certificate.js';
import { chainTo } from './chain.js';
import type { Effect } from './effect.js';
import { type BlockEntry, prune, type State } from './state.js';
import { statusMs } from './timers.js';
import { halt, type Turn, want } from './turn.js';

/** Up to so many missing blocks are fetched one by one along their hashes; more by catch-up (1.10). */
const WALK_MAX = 16;
const WANTED_MAX = 128;
/** After so many status periods without progress the way by height is tried as well. */
const LATE_PERIODS = 5;

/** Commits the highest Finalization whose whole chain is held, and asks for what the others lack. */
export function commitFinalized(turn: Turn): void {
  const { state } = turn;
  if (state.uncommitted.length === 0 || state.catchup?.far) return;
  const views = [...state.uncommitted].sort((a, b) => b - a);
  const needed = new Set<string>();
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
      if (view === views[0]) considerCatchup(turn, view, chain.entries);
      if (state.catchup?.far) return;
      needed.add(chain.hash);
      want(turn, { type: 'block', hash: chain.hash, view: chain.view }, null);
      continue;
    }
    if (bypassed(turn, chain.entries, view)) return;
    commitChain(turn, chain.entries, certificate);
  }
  forgetWants(state, needed);
}

/** Bodies that were asked for and are not the next step to any Finalization kept: a node that gets none would ask for ever more. */
function forgetWants(state: State, needed: ReadonlySet<string>): void {
  if (state.wanted.size <= WANTED_MAX) return;
  for (const [key, want] of state.wanted) {
    if (want.type === 'block' && want.view <= state.decided.view && !needed.has(want.hash)) state.wanted.delete(key);
  }
}

/** Records the bodies of `entries` (newest first, a complete chain), then what makes them final, and hands them out. */
export function commitChain(turn: Turn, entries: readonly BlockEntry[], finalization: Certificate): void {
  for (let i = entries.length - 1; i >= 0; i--) recordBlock(turn, entries[i]!);
  const { height } = entries[0]!.block;
  turn.records.push({ type: 'finalization', epoch: turn.context.epoch, height, certificate: finalization });
  turn.effects.push(advance(turn.state, entries, finalization));
}

/**
 * 1.10: by height when many blocks are missing, and also when the few that are do not come by their hashes. How many they
 * are says the lowest block held; without any, what f + 1 peers claim, one of whom is honest.
 */
function considerCatchup(turn: Turn, view: number, held: readonly BlockEntry[]): void {
  const { state, context } = turn;
  const { height } = state.finalized;
  const lowest = held.at(-1)?.block.height ?? claimedHeight(state) + 1;
  const far = lowest - 1 - height > WALK_MAX;
  state.behindSinceMs ??= turn.now;
  const late = turn.now - state.behindSinceMs >= LATE_PERIODS * statusMs(context);
  if (far && !state.catchup?.far) {
    // What was gathered backwards is dropped, and fetched again where it is needed.
    for (const [key, want] of state.wanted) if (want.type === 'block') state.wanted.delete(key);
    state.blocks.clear();
  }
  if (state.catchup !== null) state.catchup.far ||= far;
  else if (far || late) {
    const toHeight = Math.max(height + 1, held[0]?.block.height ?? claimedHeight(state));
    state.catchup = {
      view,
      toHeight,
      far,
      lastPeer: view % context.validators.length,
      failed: new Set(),
      retryAtMs: null,
    };
  }
}

function claimedHeight(state: State): number {
  const heights = state.peers.map(({ height }) => height).sort((a, b) => b - a);
  return heights[state.faults]!;
}

/** R7: a lower Finalization that this chain passes by contradicts it, and one of the two must not be there. */
function bypassed(turn: Turn, entries: readonly BlockEntry[], view: number): boolean {
  const { state } = turn;
  const hashes = new Set(entries.map(({ block }) => block.hash));
  for (const lower of state.uncommitted) {
    const hash = lower < view ? state.views.get(lower)!.finalization!.hash! : null;
    if (hash === null || hashes.has(hash)) continue;
    halt(turn, `the Finalization of view ${view} does not build on the one of view ${lower}`);
    return true;
  }
  return false;
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
  state.behindSinceMs = null;
  state.finalized = { view: tip.view, height: tip.height, hash: tip.hash, certificate: finalization };
  prune(state);
  return { type: 'commit', blocks, finalization, certificates };
}
