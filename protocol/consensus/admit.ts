// The door (R0): which messages are worth counting, and what a peer that lags is answered.
// Called by step() for every message; everything behind it may rely on verified signatures.
// Must never let an unverified vote or certificate through, nor store more for one view than n × 3 votes and one block.

import { activeSince } from './activity.js';
import { castVote } from './ballot.js';
import { ballotFault, type Certificate, certificateFault, HASH_HEX, verifySignature } from './certificate.js';
import { disownVote, refuteTip } from './certify.js';
import { leaderOf } from './context.js';
import { type BlockRef, JUSTIFICATION_MAX, type Proposal, type Vote } from './message.js';
import { certificateOf, certificatesHeld, viewState, voteOf } from './state.js';
import type { Turn } from './turn.js';
import { FINALIZE, NOTARIZE, NULLIFY } from './vote.js';

/** Votes for the current view and the one after it, above the finalized view; each is verified once. */
export function admitVote(turn: Turn, from: number | null, vote: Vote): void {
  const { state, context } = turn;
  const { kind, view, hash, signer, signature } = vote;
  if (ballotFault(kind, view, hash) !== null) return;
  if (kind === NULLIFY && view <= state.view && from === signer) helpStuck(turn, from, view);
  if (view <= state.finalized.view || view > state.view + 1) return;
  const known = voteOf(state.views.get(view), kind, signer);
  if (known !== undefined && known.hash === hash) return;
  if (!verifySignature(context, signer, signature, kind, view, hash)) return;
  if (signer === context.self) disownVote(turn, view);
  else castVote(turn, { kind, view, hash, signer, signature });
}

/**
 * Who repeats Nullify for a view that we have left, or sit in without a reason to leave it, lacks certificates that we
 * hold. The answer goes to that peer alone. (The smallest form of R10. Votes are never answered with votes: two idle
 * nodes would go on for ever.)
 */
function helpStuck(turn: Turn, from: number, view: number): void {
  const { state, context } = turn;
  if (from === context.self) return;
  if (view === state.view && activeSince(state) !== null) return;
  const certificates = view > state.finalized.view ? certificatesHeld(state, view) : [];
  if (state.finalized.certificate !== null) certificates.unshift(state.finalized.certificate);
  for (const certificate of certificates) {
    turn.effects.push({ type: 'send', to: from, message: { type: 'certificate', epoch: context.epoch, certificate } });
  }
}

/** Certificates are welcome from any view: they prove themselves. */
export function admitCertificate(turn: Turn, certificate: Certificate): void {
  const { state, context } = turn;
  const { kind, view, hash } = certificate;
  const tip = state.finalized;
  if (view < tip.view || (view === tip.view && (kind !== FINALIZE || hash === tip.hash))) return;
  const entry = state.views.get(view);
  const held = certificateOf(entry, kind);
  if (held !== null && held.hash === hash) return;
  const known = (signer: number): Uint8Array | undefined => {
    const vote = voteOf(entry, kind, signer);
    return vote?.hash === hash ? vote.signature : undefined;
  };
  if (certificateFault(context, certificate, known) !== null) return;
  if (view === tip.view) refuteTip(turn, certificate);
  else turn.certificates.push(certificate);
}

/** Whether a proposal is worth a look: well formed, above the finalized view, and signed by its view's leader. */
export function proposalIsSigned(turn: Turn, { block, signature, justification }: Proposal): boolean {
  const { state, context } = turn;
  if (justification.length > JUSTIFICATION_MAX || !wellFormed(block) || block.view <= state.finalized.view)
    return false;
  const leader = leaderOf(context, block.view);
  const known = voteOf(state.views.get(block.view), NOTARIZE, leader);
  if (known?.hash === block.hash) return true;
  return verifySignature(context, leader, signature, NOTARIZE, block.view, block.hash);
}

/**
 * A signed proposal, after the certificates in it were taken in. One block a view is kept; the leader's signature
 * counts as its vote, so that a second block becomes evidence there.
 */
export function admitProposal(turn: Turn, from: number | null, proposal: Proposal): void {
  const { state, context } = turn;
  const { block, signature } = proposal;
  if (block.view <= state.finalized.view || block.view > state.view + 1) return;
  const leader = leaderOf(context, block.view);
  const known = voteOf(state.views.get(block.view), NOTARIZE, leader);
  if (leader === context.self) {
    if (known?.hash !== block.hash) disownVote(turn, block.view);
    return;
  }
  castVote(turn, { kind: NOTARIZE, view: block.view, hash: block.hash, signer: leader, signature });
  if (known !== undefined && known.hash !== block.hash) return;
  const entry = viewState(state, block.view);
  entry.proposal ??= proposal;
  entry.proposalFrom ??= from;
  admitBlock(turn, block);
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
