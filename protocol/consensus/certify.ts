// Taking in certificates (R5), the finalize votes they call for (R6), and entering the next view (R1).
// Called by step() after every input, and by replay for the records of earlier runs.
// Must never be given a certificate that was not verified or formed here.
import { castVote, signVote } from './ballot.js';
import type { Certificate } from './certificate.js';
import { chainTo } from './chain.js';
import { leaderOf } from './context.js';
import { evidenceOf } from './evidence.js';
import type { Vote } from './message.js';
import {
  certificateOf,
  forgetDecided,
  forgottenBelow,
  type State,
  type ViewState,
  viewState,
  voteOf,
} from './state.js';
import { accuse, broadcast, halt, type Turn } from './turn.js';
import { FINALIZE, NOTARIZE, NULLIFY } from './vote.js';

/** Up to so many validators all pass a certificate on; beyond, three of them and the next leader do. */
const ALL_RELAY_MAX = 16;
const RELAYS = 3;

/** R5: store, record, broadcast once; then what follows from it (R6). Duplicates and views that are over change nothing. */
export function acceptCertificate(turn: Turn, certificate: Certificate): void {
  const { state, context } = turn;
  if (certificate.view <= state.finalized.view || certificate.view < forgottenBelow(state)) return;
  const entry = viewState(state, certificate.view);
  const held = certificateOf(entry, certificate.kind);
  if (held !== null && held.hash === certificate.hash) return;
  countSigners(turn, entry, certificate);
  if (held !== null) {
    if (certificate.kind === FINALIZE) halt(turn, `two blocks are final in view ${certificate.view}`);
    return;
  }
  keepCertificate(state, certificate);
  // A Finalization that can be committed is recorded there, behind the bodies it needs (R7).
  if (certificate.kind !== FINALIZE || chainTo(state, certificate.hash!, certificate.view).state !== 'complete') {
    turn.records.push({ type: 'certificate', epoch: context.epoch, certificate });
  }
  if (relays(turn, certificate.view)) broadcast(turn, { type: 'certificate', epoch: context.epoch, certificate });
  finalizeVote(turn, entry);
  forgetDecided(state, context.self);
}

/**
 * Votes go to everybody, so a certificate passed on matters only where votes were lost or held back. From every one of 100
 * validators that would be 87 MB a view; what three relays do not reach, R10 does.
 */
function relays({ context }: Turn, view: number): boolean {
  const n = context.validators.length;
  if (n <= ALL_RELAY_MAX || context.self === null || leaderOf(context, view + 1) === context.self) return true;
  return (context.self + view) % n < RELAYS;
}

/** Stores a certificate and what is known by it alone. Also what replay does with one. */
export function keepCertificate(state: State, certificate: Certificate): void {
  const { kind, view, hash } = certificate;
  const entry = viewState(state, view);
  if (kind === NOTARIZE) entry.notarization = certificate;
  else if (kind === NULLIFY) entry.nullification = certificate;
  else {
    entry.finalization = certificate;
    state.uncommitted.push(view);
    if (view > state.decided.view) state.decided = { view, hash: hash! };
  }
  if (view > state.certifiedView) state.certifiedView = view;
  if (hash !== null && view > state.newest.view) state.newest = { view, hash };
  for (const [key, want] of state.wanted) {
    if (want.type !== 'certificate') continue;
    if (want.view < state.decided.view || (want.view === view && want.kinds.includes(kind))) state.wanted.delete(key);
  }
}

/**
 * The votes inside a certificate count like any others, so that contradictions between certificates name their signers.
 * An own signature that this node does not remember means that its log lost votes, or that its key signs elsewhere.
 */
function countSigners(turn: Turn, entry: ViewState, certificate: Certificate): void {
  for (const vote of votesIn(certificate)) {
    if (vote.signer !== turn.context.self) castVote(turn, vote);
    else if (voteOf(entry, vote.kind, vote.signer)?.hash !== vote.hash) disownVote(turn, vote.view);
  }
}

function votesIn({ kind, view, hash, signers, signatures }: Certificate): Vote[] {
  return signers.map((signer, i) => ({ kind, view, hash, signer, signature: signatures[i]! }));
}

/**
 * CONSENSUS.md 1.8: a verified own signature without a record of it. From here on this node signs nothing, also after a
 * restart. The second time, above the floor of a rejoin, only one thing can be the reason, and asking others cannot help.
 */
export function disownVote(turn: Turn, view: number): void {
  const { state } = turn;
  if (view <= state.floorView || state.quarantined !== null) return;
  if (state.forgotten !== null && view >= state.forgotten.from && view <= state.forgotten.to) return;
  const cause = state.rejoined ? 'the key is used twice' : 'the log lost votes, or the key is used twice';
  const reason = `a vote of this node in view ${view} is not in its log: ${cause}`;
  state.quarantined = reason;
  state.barred = state.rejoined;
  turn.records.push({ type: 'quarantine', epoch: turn.context.epoch, reason });
  turn.effects.push({ type: 'quarantine', reason });
}

/** R7: a verified Finalization of another block in the finalized view. Its common signers are named, then the core stops. */
export function refuteTip(turn: Turn, certificate: Certificate): void {
  const held = turn.state.finalized.certificate;
  for (const vote of votesIn(certificate)) {
    const at = held?.signers.indexOf(vote.signer) ?? -1;
    if (held === null || at < 0) continue;
    const evidence = evidenceOf({ ...vote, hash: held.hash, signature: held.signatures[at]! }, vote);
    if (evidence !== null) accuse(turn, evidence);
  }
  halt(turn, `two blocks are final in view ${certificate.view}`);
}

/** R6: on Notarization(v, h) finalize h, unless own(v) or a Nullification(v) stands against it. */
export function finalizeVote(turn: Turn, entry: ViewState): void {
  const { notarization, nullification, view } = entry;
  if (notarization === null || nullification !== null) return;
  const vote = signVote(turn, FINALIZE, view, notarization.hash);
  if (vote !== null) broadcast(turn, { type: 'vote', epoch: turn.context.epoch, vote });
}

/** R1: the current view is the one above the highest certificate; jumping over unknown views is allowed. */
export function enterView(turn: Turn): void {
  const { state } = turn;
  if (state.certifiedView < state.view) return;
  const jumped = state.certifiedView - state.view;
  // Views that this node jumped over say nothing about who was silent in them.
  for (let i = 0; i < state.heardInView.length; i++) state.heardInView[i]! += jumped;
  state.view = state.certifiedView + 1;
  state.enteredAtMs = turn.now;
  state.pendingSinceMs = null;
  state.contentSinceMs = null;
  state.engagedSinceMs = null;
  state.declined = false;
}
