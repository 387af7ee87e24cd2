// What a node does in a view that is not its own to fill: notarize the leader's block (R3) or give the view up (R4).
// Called by step() in every turn.
// Must never call a block invalid that is merely not judged, or not justified, yet.
import { giveUpAtMs } from './activity.js';
import { maySign, signVote } from './ballot.js';
import { ancestry, chainTo, judge } from './chain.js';
import { recordBlock } from './commit.js';
import { leaderOf } from './context.js';
import { type BlockRef, JUSTIFICATION_MAX } from './message.js';
import { parentCertificate, voteOf } from './state.js';
import { broadcast, type Turn, want } from './turn.js';
import { FINALIZE, NOTARIZE, NULLIFY } from './vote.js';

/** R3: notarize the leader's block once it is justified, its ancestry held and valid, and the host found it valid. */
export function notarize(turn: Turn): void {
  const { state, context } = turn;
  const entry = state.views.get(state.view);
  if (entry === undefined || entry.proposal === null || leaderOf(context, state.view) === context.self) return;
  const { block } = entry.proposal;
  if (entry.leaderEquivocated || !maySign(turn, NOTARIZE, state.view, block.hash)) return;
  const known = state.blocks.get(block.hash);
  if (known === undefined) return;
  if (besideTip(turn, block)) known.validity = 'invalid';
  if (known.validity === 'invalid' || !justified(turn, block, entry.proposalFrom)) return;
  if (ancestry(turn, block.parentHash, block.parentView, entry.proposalFrom) !== 'ready') return;
  if (chainTo(state, block.hash, block.view).state === 'foreign') known.validity = 'invalid';
  if (known.validity === 'unknown') judge(turn, known, entry.proposalFrom);
  if (known.validity !== 'valid') return;
  recordBlock(turn, known);
  const vote = signVote(turn, NOTARIZE, state.view, block.hash);
  if (vote !== null) broadcast(turn, { type: 'vote', epoch: context.epoch, vote });
}

/** What is final cannot be built around: its view has no Nullification that could justify it. */
function besideTip(turn: Turn, block: BlockRef): boolean {
  const tip = turn.state.decided;
  return block.parentView < tip.view || (block.parentView === tip.view && block.parentHash !== tip.hash);
}

/** Whether the parent is certified and every view between nullified; asks the proposer for what is missing. */
function justified(turn: Turn, block: BlockRef, holder: number | null): boolean {
  const { state } = turn;
  const { parentView, parentHash, view } = block;
  let missing = 0;
  if (parentView > state.finalized.view && parentCertificate(state.views.get(parentView))?.hash !== parentHash) {
    want(turn, { type: 'certificate', view: parentView, kinds: [NOTARIZE, FINALIZE] }, holder);
    missing += 1;
  }
  // A leader may claim any gap: so many at a time, the next ones when these are there.
  for (let gap = parentView + 1; gap < view && missing < JUSTIFICATION_MAX; gap++) {
    if (state.views.get(gap)?.nullification != null) continue;
    want(turn, { type: 'certificate', view: gap, kinds: [NULLIFY] }, holder);
    missing += 1;
  }
  return missing === 0;
}

/** R4: give the current view up when there is a reason to, once. */
export function nullify(turn: Turn): void {
  const { state } = turn;
  if (!maySign(turn, NULLIFY, state.view, null) || !reasonToNullify(turn)) return;
  const vote = signVote(turn, NULLIFY, state.view, null);
  if (vote !== null) broadcast(turn, { type: 'vote', epoch: turn.context.epoch, vote });
}

function reasonToNullify(turn: Turn): boolean {
  const { state, context } = turn;
  const giveUp = giveUpAtMs(turn);
  if (giveUp !== null && turn.now >= giveUp) return true;
  const entry = state.views.get(state.view);
  if (entry === undefined) return false;
  if (entry.leaderEquivocated) return true;
  if (entry.proposal !== null && state.blocks.get(entry.proposal.block.hash)?.validity === 'invalid') return true;
  const leader = leaderOf(context, state.view);
  if (leader !== context.self && voteOf(entry, NULLIFY, leader) !== undefined) return true;
  // f + 1 nullify votes hold one of an honest node. With f = 0 that would be one vote of anybody: one slow node could
  // then end every view, so there each waits for its own clock.
  if (state.faults === 0) return false;
  let others = 0;
  for (const vote of entry.votes[NULLIFY - 1]!) if (vote !== undefined && vote.signer !== context.self) others += 1;
  return others > state.faults;
}
