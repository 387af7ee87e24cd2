// The leader's rule (R2): choose the parent, have a block built, sign and send it.
// Called by step() in every turn, and with the host's answer to `build`.
// Must never put its name to a second block of one view; the guard in ballot.ts would refuse it.
import { backlog, currentDelays } from './activity.js';
import { maySign, signVote } from './ballot.js';
import type { Certificate } from './certificate.js';
import { ancestry, chainTo } from './chain.js';
import { recordBlock } from './commit.js';
import { leaderOf } from './context.js';
import type { Contents } from './effect.js';
import { type BlockRef, JUSTIFICATION_MAX, type Message, type Proposal } from './message.js';
import { parentCertificate, type State, viewState } from './state.js';
import { broadcast, type Turn, want } from './turn.js';
import { FINALIZE, NOTARIZE, NULLIFY } from './vote.js';

/** Past this many unfinalized blocks only empty ones follow (DECISIONS 18): it bounds the overlays held in memory. */
const UNFINALIZED_MAX = 8;

export function propose(turn: Turn): void {
  const { state, context } = turn;
  if (leaderOf(context, state.view) !== context.self || state.building !== null || state.declined) return;
  const contents = wantedContents(turn);
  // Any hash does: with own(v) = ∅ every block may be notarized, otherwise none.
  if (contents === null || !maySign(turn, NOTARIZE, state.view, null)) return;
  const parent = chooseParent(turn);
  if (parent === null || ancestry(turn, parent.hash, parent.view, null) !== 'ready') return;
  const chain = chainTo(state, parent.hash, parent.view);
  const depth = chain.state === 'complete' ? chain.entries.length : 0;
  state.building = {
    view: state.view,
    height: state.finalized.height + depth + 1,
    parentView: parent.view,
    parentHash: parent.hash,
    contents,
  };
  turn.effects.push({ type: 'build', ...state.building });
}

/** DECISIONS 28: entries when there are new ones; an empty block only for unfinalized content that has waited its Δ. */
function wantedContents(turn: Turn): Contents | null {
  const { state } = turn;
  const emptyDue = state.contentSinceMs !== null && turn.now >= state.contentSinceMs;
  if (backlog(state).depth >= UNFINALIZED_MAX) return emptyDue ? 'none' : null;
  if (emptyDue) return 'any';
  return state.pendingSinceMs !== null ? 'some' : null;
}

/** The highest certified view below the current one, all views between being nullified; asks for what it lacks. */
function chooseParent(turn: Turn): { readonly hash: string; readonly view: number } | null {
  const { state } = turn;
  for (let view = state.view - 1; view > state.finalized.view; view--) {
    const entry = state.views.get(view);
    const certificate = parentCertificate(entry);
    if (certificate !== null) return { hash: certificate.hash!, view };
    if (entry === undefined || entry.nullification === null) {
      want(turn, { type: 'certificate', view, kinds: [NOTARIZE, NULLIFY, FINALIZE] }, null);
      return null;
    }
  }
  return state.finalized;
}

/** The host's answer. A block for a view that has passed, or was nullified meanwhile, is dropped. */
export function takeBuilt(turn: Turn, view: number, block: BlockRef | null): void {
  const { state, context } = turn;
  const request = state.building;
  if (request === null || request.view !== view) throw new Error(`no build is under way for view ${view}`);
  state.building = null;
  if (block === null) {
    state.pendingCount = 0;
    state.declined = request.contents !== 'some' && view === state.view;
    return;
  }
  if (
    block.view !== view ||
    block.height !== request.height ||
    block.parentView !== request.parentView ||
    block.parentHash !== request.parentHash
  ) {
    throw new Error(`built block ${block.hash} is not the one that was asked for in view ${view}`);
  }
  if (view !== state.view || !maySign(turn, NOTARIZE, view, block.hash)) return;
  const entry = { block, validity: 'valid' as const, durable: false };
  state.blocks.set(block.hash, entry);
  recordBlock(turn, entry);
  signVote(turn, NOTARIZE, view, block.hash);
  const own = viewState(state, view);
  const signature = own.votes[NOTARIZE - 1]![context.self!]!.signature;
  own.proposal = { block, signature, justification: justification(state, block) };
  broadcast(turn, proposalMessage(turn, own.proposal));
  for (const peer of state.peers) peer.proposalAtMs = turn.now + currentDelays(turn).repeatMs;
}

export function proposalMessage(turn: Turn, proposal: Proposal): Message {
  return { type: 'proposal', epoch: turn.context.epoch, proposal };
}

/** The certificates that make the parent legitimate, as far as they are held. */
export function justification(state: State, block: BlockRef): Certificate[] {
  const certificates: Certificate[] = [];
  const { view, certificate } = state.finalized;
  const parent = block.parentView === view ? certificate : parentCertificate(state.views.get(block.parentView));
  if (parent !== null) certificates.push(parent);
  for (let gap = block.parentView + 1; gap < block.view && certificates.length < JUSTIFICATION_MAX; gap++) {
    const nullification = state.views.get(gap)?.nullification;
    if (nullification != null) certificates.push(nullification);
  }
  return certificates;
}
