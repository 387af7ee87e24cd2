// The door (R0): which messages are worth counting.
// Called by step() for every message; everything behind it may rely on verified signatures.
// Must never let an unverified vote or certificate through, nor store more for one view than n × 3 votes and one block.

import { castVote } from './ballot.js';
import { ballotFault, type Certificate, certificateFault, HASH_HEX, verifySignature } from './certificate.js';
import { disownVote, refuteTip } from './certify.js';
import { leaderOf } from './context.js';
import { type Evidence, evidenceFault } from './evidence.js';
import { type BlockRef, JUSTIFICATION_MAX, type Proposal, type Vote } from './message.js';
import { certificateOf, forgottenBelow, type ViewState, viewState, voteOf } from './state.js';
import { accuse, chargeWaste, isAccused, isHeard, refuse, type Turn } from './turn.js';
import { FINALIZE, NOTARIZE, type VoteKind } from './vote.js';

/** Up to so many validators every vote is verified; beyond, not one that a certificate has made superfluous. */
const EAGER_MAX = 16;

/** Votes for the current view and the one after it, above the finalized view; each is verified once. */
export function admitVote(turn: Turn, from: number | null, vote: Vote): void {
  const { state, context } = turn;
  const { kind, view, hash, signer, signature } = vote;
  if (ballotFault(kind, view, hash) !== null) {
    refuse(turn, 'malformed');
    return;
  }
  if (view <= state.finalized.view || view < forgottenBelow(state) || view > state.view + 1) {
    refuse(turn, 'out-of-range');
    return;
  }
  const entry = state.views.get(view);
  const known = voteOf(entry, kind, signer);
  if (known !== undefined && known.hash === hash) return;
  if (known !== undefined && isOldNews(turn, entry!, signer, kind)) return;
  if (context.validators.length > EAGER_MAX && certificateOf(entry, kind)?.hash === hash && entry !== undefined) return;
  if (!isHeard(turn, from)) return;
  if (!verifySignature(context, signer, signature, kind, view, hash)) {
    chargeWaste(turn, from, 1);
    return;
  }
  if (signer === context.self) disownVote(turn, view);
  else castVote(turn, { kind, view, hash, signer, signature });
}

/**
 * A second different vote of one kind says all; a third may not cost another verification. That its leader signed two blocks
 * ends a view (R4), however often that leader was accused before.
 */
function isOldNews({ state, context }: Turn, entry: ViewState, signer: number, kind: VoteKind): boolean {
  if (kind === NOTARIZE && signer === leaderOf(context, entry.view)) return entry.leaderEquivocated;
  return isAccused(state, signer, entry.view, kind === NOTARIZE ? 'E1' : 'E2');
}

/** Certificates are welcome from any view: they prove themselves. False when it does not hold. */
export function admitCertificate(turn: Turn, from: number | null, certificate: Certificate): boolean {
  const { state, context } = turn;
  const { kind, view, hash, signers } = certificate;
  const tip = state.finalized;
  if (view < tip.view || (view === tip.view && (kind !== FINALIZE || hash === tip.hash))) return true;
  if (view < forgottenBelow(state)) return true;
  const entry = state.views.get(view);
  const held = certificateOf(entry, kind);
  if (held !== null && held.hash === hash) return true;
  if (!isHeard(turn, from)) return false;
  const known = (signer: number): Uint8Array | undefined => {
    const vote = voteOf(entry, kind, signer);
    return vote?.hash === hash ? vote.signature : undefined;
  };
  if (certificateFault(context, certificate, known) !== null) {
    chargeWaste(turn, from, signers.length);
    return false;
  }
  if (view === tip.view) refuteTip(turn, certificate);
  else turn.certificates.push(certificate);
  return true;
}

/** Somebody else's accusation, proved again here before it is kept or passed on (1.9). */
export function admitEvidence(turn: Turn, from: number | null, evidence: Evidence): void {
  const { state, context } = turn;
  const { signer, view } = evidence.first;
  if (isAccused(state, signer, view, evidence.rule) || !isHeard(turn, from)) return;
  if (evidenceFault(context, evidence) !== null) {
    chargeWaste(turn, from, 2);
    return;
  }
  accuse(turn, evidence);
}

/** Whether a proposal is worth a look: well formed, above the finalized view, and signed by its view's leader. */
export function proposalIsSigned(turn: Turn, from: number | null, proposal: Proposal): boolean {
  const { state, context } = turn;
  const { block, signature, justification } = proposal;
  if (justification.length > JUSTIFICATION_MAX || !wellFormed(block)) {
    refuse(turn, 'malformed');
    return false;
  }
  if (block.view <= state.finalized.view) {
    refuse(turn, 'out-of-range');
    return false;
  }
  const leader = leaderOf(context, block.view);
  const known = voteOf(state.views.get(block.view), NOTARIZE, leader);
  if (known?.hash === block.hash) return true;
  if (known !== undefined && isOldNews(turn, state.views.get(block.view)!, leader, NOTARIZE)) return false;
  if (!isHeard(turn, from)) return false;
  if (verifySignature(context, leader, signature, NOTARIZE, block.view, block.hash)) return true;
  chargeWaste(turn, from, 1);
  return false;
}

/**
 * A signed proposal, after the certificates in it were taken in. One block a view is kept; the leader's signature
 * counts as its vote, so that a second block becomes evidence there.
 */
export function admitProposal(turn: Turn, from: number | null, proposal: Proposal): void {
  const { state, context } = turn;
  const { block, signature } = proposal;
  if (block.view <= state.finalized.view || block.view > state.view + 1) {
    refuse(turn, 'out-of-range');
    return;
  }
  const leader = leaderOf(context, block.view);
  const known = voteOf(state.views.get(block.view), NOTARIZE, leader);
  if (leader === context.self) {
    if (known?.hash !== block.hash) disownVote(turn, block.view);
    return;
  }
  castVote(turn, { kind: NOTARIZE, view: block.view, hash: block.hash, signer: leader, signature });
  if (known !== undefined && known.hash !== block.hash) return;
  if (!hasRoom(turn)) return;
  const entry = viewState(state, block.view);
  // Its certificates were taken in by themselves.
  entry.proposal ??= { block, signature, justification: [] };
  entry.proposalFrom ??= from;
  admitBlock(turn, block);
}

/** Blocks that a node holds while it waits for a body below them. */
const BLOCKS_BEHIND_MAX = 256;

/** Whether a proposed block may be kept: not by a node that is behind, could not use it, and would gather them without end. */
function hasRoom(turn: Turn): boolean {
  const { state } = turn;
  const behind = state.decided.view > state.finalized.view;
  if (!state.catchup?.far && (!behind || state.blocks.size < BLOCKS_BEHIND_MAX)) return true;
  refuse(turn, 'out-of-range');
  return false;
}

/** A body the host holds now: the one proposed, or one that was asked for. */
export function admitBlock(turn: Turn, block: BlockRef): void {
  const { state } = turn;
  state.wanted.delete(`block ${block.hash}`);
  if (block.view <= state.finalized.view || state.blocks.has(block.hash)) return;
  state.blocks.set(block.hash, { block, validity: 'unknown', durable: false });
}

export function wellFormed(block: BlockRef): boolean {
  const { hash, height, view, parentView, parentHash, entryCount } = block;
  if (!HASH_HEX.test(hash) || !HASH_HEX.test(parentHash)) return false;
  for (const count of [height, view, parentView, entryCount])
    if (!Number.isSafeInteger(count) || count < 0) return false;
  return parentView < view && height > 0;
}
