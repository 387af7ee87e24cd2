// Signing and counting votes: the durable per-view automaton (CONSENSUS.md 1.5) and the tally.
// signVote() is the only place in the tree that signs for consensus; castVote() the only place that counts.
// Must never sign what does not follow from what is already signed in that view.
import { signedBytes } from './certificate.js';
import { leaderOf } from './context.js';
import { evidenceOf } from './evidence.js';
import type { Vote } from './message.js';
import { certificateOf, type State, type ViewState, viewState, voteOf } from './state.js';
import { accuse, type Turn } from './turn.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

/** What one validator has signed in one view. */
export interface OwnVotes {
  readonly notarized: string | null;
  readonly nullified: boolean;
  readonly finalized: string | null;
}

/** 1.5: ∅ → N(h); ∅ | N(h) → X; ∅ | N(h) → F(h); X and F are terminal. */
export function mayVote(own: OwnVotes, kind: VoteKind, hash: string | null): boolean {
  if (own.nullified || own.finalized !== null) return false;
  if (kind === NOTARIZE) return own.notarized === null;
  if (kind === FINALIZE) return own.notarized === null || own.notarized === hash;
  return true;
}

export function ownVotes(state: State, self: number, view: number): OwnVotes {
  const entry = state.views.get(view);
  return {
    notarized: voteOf(entry, NOTARIZE, self)?.hash ?? null,
    nullified: voteOf(entry, NULLIFY, self) !== undefined,
    finalized: voteOf(entry, FINALIZE, self)?.hash ?? null,
  };
}

/** Whether this node may sign at all in this view, and this vote after what it has signed there. */
export function maySign(turn: Turn, kind: VoteKind, view: number, hash: string | null): boolean {
  const { state, context } = turn;
  if (context.self === null || !state.started || state.quarantined !== null || state.halted !== null) return false;
  // Below a Finalization, committed or not, no vote is of use to anybody.
  if (view <= state.floorView || view <= state.decided.view) return false;
  return mayVote(ownVotes(state, context.self, view), kind, hash);
}

/**
 * The guarded signature. Records the vote and counts it at once: that is safe because nothing leaves this node before
 * the record is durable (1.7). Null when the automaton, the floor, quarantine or a halt forbids it.
 */
export function signVote(turn: Turn, kind: VoteKind, view: number, hash: string | null): Vote | null {
  const { context } = turn;
  if (context.self === null || !maySign(turn, kind, view, hash)) return null;
  const signature = context.sign(signedBytes(context, kind, view, hash));
  const vote: Vote = { kind, view, hash, signer: context.self, signature };
  turn.state.votedAtMs = turn.now;
  turn.records.push({ type: 'vote', epoch: context.epoch, vote });
  castVote(turn, vote);
  return vote;
}

/**
 * Counts a verified vote: once per (signer, kind, view); one that does not go with the signer's others is evidence (1.9).
 * At q equal votes a certificate joins `turn.certificates`. The view must be above the finalized one.
 */
export function castVote(turn: Turn, vote: Vote): void {
  const entry = viewState(turn.state, vote.view);
  for (const votes of entry.votes) {
    const other = votes[vote.signer];
    if (other === undefined) continue;
    const evidence = evidenceOf(other, vote);
    if (evidence === null) continue;
    accuse(turn, evidence);
    if (evidence.rule === 'E1' && vote.signer === leaderOf(turn.context, vote.view)) entry.leaderEquivocated = true;
  }
  const votes = entry.votes[vote.kind - 1]!;
  if (votes[vote.signer] !== undefined) return;
  votes[vote.signer] = vote;
  countVotes(turn, entry, vote.kind, vote.hash);
}

/** R5: forms the certificate when q votes agree and none is held. */
export function countVotes(turn: Turn, entry: ViewState, kind: VoteKind, hash: string | null): void {
  if (certificateOf(entry, kind) !== null) return;
  const votes = entry.votes[kind - 1]!;
  let count = 0;
  for (const vote of votes) if (vote !== undefined && vote.hash === hash) count += 1;
  if (count < turn.state.quorum) return;
  const signers: number[] = [];
  const signatures: Uint8Array[] = [];
  for (const vote of votes) {
    if (vote === undefined || vote.hash !== hash) continue;
    signers.push(vote.signer);
    signatures.push(vote.signature);
  }
  turn.certificates.push({ kind, view: entry.view, hash, signers, signatures });
}
