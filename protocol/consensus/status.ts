// Anti-entropy (R10): saying where this node stands, and sending a peer exactly what its status shows that it lacks.
// Called by step() for statuses, requests and links, and in every turn for the status that is due.
// Must never answer a status with a status that calls for another: a peer is asked only for what it shows to have.
import { activeSince, currentDelays } from './activity.js';
import type { Certificate } from './certificate.js';
import { leaderOf } from './context.js';
import { type Message, OPEN_VIEWS_MAX, type OpenView, type Status } from './message.js';
import { justification, proposalMessage } from './propose.js';
import {
  certificateOf,
  certificatesHeld,
  newestFinalization,
  peerOf,
  type State,
  type ViewState,
  VOTE_KINDS,
  viewState,
  voteOf,
} from './state.js';
import { idleStatusMs, statusMs } from './timers.js';
import { broadcast, refuse, send, type Turn } from './turn.js';
import { NOTARIZE, type VoteKind } from './vote.js';

/** Certificates, and votes, in one answer. */
const ANSWER_MAX = 64;
/** Up to so many peers all hear each status; of more, so many in turn. */
const PEERS_AT_ONCE = 16;
/** A peer is answered at most so often in a status period. */
const ANSWERS_A_PERIOD = 4;

// --- saying

export function statusOf(state: State): Status {
  const { view, height, hash } = state.finalized;
  const open: OpenView[] = [];
  // A node that jumped over a million views must not walk through them: what it does not know is open, and fills the list.
  for (let at = state.decided.view + 1; at < state.view && open.length < OPEN_VIEWS_MAX - 1; at++) {
    const entry = state.views.get(at);
    if ((entry?.nullification ?? entry?.finalization) == null) open.push(openView(at, entry));
  }
  open.push(openView(state.view, state.views.get(state.view)));
  return { finalizedView: view, finalizedHash: hash, height, view: state.view, open };
}

function openView(view: number, entry: ViewState | undefined): OpenView {
  const certificates = VOTE_KINDS.filter((kind) => certificateOf(entry, kind) !== null);
  const votes = VOTE_KINDS.map((kind) => {
    if (entry === undefined || certificates.includes(kind)) return [];
    return entry.votes[kind - 1]!.flatMap((vote) => (vote === undefined ? [] : [vote.signer]));
  });
  return { view, certificates, votes };
}

/** When the next status to all is due, or null where there is nobody to tell. */
export function statusAtMs(turn: Turn): number | null {
  const { state, context } = turn;
  if (context.self === null || context.validators.length === 1) return null;
  const idleAtMs = state.statusSentAtMs + idleStatusMs(context);
  const since = activeSince(state);
  const waiting = state.recovery !== null || state.decided.view > state.finalized.view;
  if (since === null && !waiting) return idleAtMs;
  // A view that is left in time needs no help, and what was just sent has to arrive first.
  const base = Math.max(state.statusSentAtMs, state.enteredAtMs, state.votedAtMs, since ?? state.statusSentAtMs);
  return Math.min(idleAtMs, base + statusMs(context));
}

export function sayStatus(turn: Turn): void {
  const dueAtMs = statusAtMs(turn);
  if (dueAtMs === null || turn.now < dueAtMs) return;
  const { state, context } = turn;
  state.statusSentAtMs = turn.now;
  const message = statusMessage(turn);
  const n = context.validators.length;
  if (n - 1 <= PEERS_AT_ONCE) {
    broadcast(turn, message);
    return;
  }
  for (let sent = 0; sent < PEERS_AT_ONCE; sent++) {
    state.statusTurn = (state.statusTurn + 1) % n;
    if (state.statusTurn === context.self) state.statusTurn = (state.statusTurn + 1) % n;
    send(turn, state.statusTurn, message);
  }
}

function statusMessage(turn: Turn): Message {
  return { type: 'status', epoch: turn.context.epoch, status: statusOf(turn.state) };
}

/** A link came up: both ends say where they are, and what evidence there is. */
export function takePeer(turn: Turn, index: number, connected: boolean): void {
  const { state, context } = turn;
  const peer = state.peers[index];
  if (peer === undefined || index >= context.validators.length || index === context.self) {
    throw new RangeError(`peer ${index} is no other validator of this epoch`);
  }
  peer.connected = connected;
  if (!connected || context.self === null) return;
  peer.statusAtMs = turn.now + statusMs(context);
  send(turn, index, statusMessage(turn));
  for (const evidence of state.evidence) send(turn, index, { type: 'evidence', epoch: context.epoch, evidence });
}

// --- answering

export function takeStatus(turn: Turn, from: number | null, status: Status): void {
  const { state, context } = turn;
  if (from === null || from === context.self || from >= context.validators.length) {
    refuse(turn, 'unasked');
    return;
  }
  if (!wellFormed(status)) {
    refuse(turn, 'malformed');
    return;
  }
  const peer = peerOf(state, from);
  peer.height = status.height;
  if (turn.now >= peer.answerAtMs) {
    peer.answerAtMs = turn.now + statusMs(context) / ANSWERS_A_PERIOD;
    answer(turn, from, status);
  }
  if (context.self === null || turn.now < peer.statusAtMs || !showsMore(turn, from, status)) return;
  peer.statusAtMs = turn.now + statusMs(context);
  send(turn, from, statusMessage(turn));
}

function wellFormed({ finalizedView, height, view, open }: Status): boolean {
  for (const count of [finalizedView, height, view]) if (!Number.isSafeInteger(count) || count < 0) return false;
  if (view <= finalizedView || open.length > OPEN_VIEWS_MAX) return false;
  let previous = finalizedView;
  for (const entry of open) {
    if (!Number.isSafeInteger(entry.view) || entry.view <= previous || entry.view > view) return false;
    if (entry.votes.length !== VOTE_KINDS.length) return false;
    previous = entry.view;
  }
  return true;
}

/** Newest Finalization, then what is above it: certificates, then the own votes and the own proposal. */
function answer(turn: Turn, to: number, status: Status): void {
  const { state, context } = turn;
  const newest = newestFinalization(state);
  const { view, hash } = state.decided;
  const lags = status.finalizedView < view || (status.finalizedView === view && status.finalizedHash !== hash);
  const certificates: Certificate[] = lags && newest !== null ? [newest] : [];
  const floor = Math.max(status.finalizedView, view);
  const entries = [...state.views.values()].filter((entry) => entry.view > floor).sort((a, b) => a.view - b.view);
  const lacking = new Lacking(status);
  for (const entry of entries) {
    for (const certificate of certificatesHeld(state, entry.view)) {
      if (lacking.certificate(entry.view, certificate.kind)) certificates.push(certificate);
    }
  }
  // The newest one brings the peer into the present (R1), the others fill what it jumps over.
  const last = certificates.at(-1);
  if (certificates.length > ANSWER_MAX) certificates.splice(ANSWER_MAX - 1, certificates.length, last!);
  for (const certificate of certificates) send(turn, to, { type: 'certificate', epoch: context.epoch, certificate });
  if (context.self !== null) sendVotes(turn, to, entries, lacking);
}

function sendVotes(turn: Turn, to: number, entries: readonly ViewState[], lacking: Lacking): void {
  const { context } = turn;
  const self = context.self!;
  const missing: { readonly entry: ViewState; readonly kind: VoteKind }[] = [];
  for (const entry of entries) {
    for (const kind of VOTE_KINDS) {
      // Where the certificate is held, that was sent.
      if (certificateOf(entry, kind) !== null || voteOf(entry, kind, self) === undefined) continue;
      if (lacking.vote(entry.view, kind, self)) missing.push({ entry, kind });
    }
  }
  for (const { entry, kind } of missing.slice(-ANSWER_MAX)) {
    if (kind === NOTARIZE && leaderOf(context, entry.view) === self && sendProposal(turn, to, entry)) continue;
    send(turn, to, { type: 'vote', epoch: context.epoch, vote: voteOf(entry, kind, self)! });
  }
}

/**
 * The same bytes as before, which hold the own notarize vote; not while the last copy may be on its way. False where the
 * block is not held.
 */
function sendProposal(turn: Turn, to: number, entry: ViewState): boolean {
  const { state, context } = turn;
  const { hash, signature } = voteOf(entry, NOTARIZE, context.self!)!;
  const block = state.blocks.get(hash!)?.block;
  if (block === undefined) return false;
  const peer = peerOf(state, to);
  if (turn.now < peer.proposalAtMs) return true;
  peer.proposalAtMs = turn.now + currentDelays(turn).repeatMs;
  const proposal = { block, signature, justification: justification(state, block) };
  viewState(state, entry.view).proposal = proposal;
  send(turn, to, proposalMessage(turn, proposal));
  return true;
}

/** What a status says its sender does not have. */
class Lacking {
  private readonly status: Status;
  private readonly open: ReadonlyMap<number, OpenView>;

  constructor(status: Status) {
    this.status = status;
    this.open = new Map(status.open.map((entry) => [entry.view, entry]));
  }

  certificate(view: number, kind: VoteKind): boolean {
    if (view > this.status.view) return true;
    const entry = this.open.get(view);
    return entry !== undefined && !entry.certificates.includes(kind);
  }

  vote(view: number, kind: VoteKind, signer: number): boolean {
    if (!this.certificate(view, kind)) return false;
    return view > this.status.view || !this.open.get(view)!.votes[kind - 1]!.includes(signer);
  }
}

/** Whether the sender shows something that this node lacks and would be sent: where it stands, a certificate, a vote of its own. */
function showsMore({ state }: Turn, from: number, status: Status): boolean {
  if (status.finalizedView > state.decided.view || status.view > state.view) return true;
  for (const { view, certificates, votes } of status.open) {
    if (view <= state.decided.view) continue;
    const entry = state.views.get(view);
    if (entry?.nullification != null) continue;
    for (const kind of VOTE_KINDS) {
      if (certificateOf(entry, kind) !== null) continue;
      if (certificates.includes(kind)) return true;
      if (votes[kind - 1]!.includes(from) && voteOf(entry, kind, from) === undefined) return true;
    }
  }
  return false;
}

/** A peer wants a certificate of one view. Below the finalized view only what makes it final can help. */
export function takeRequest(turn: Turn, from: number | null, view: number, kinds: readonly VoteKind[]): void {
  const { state, context } = turn;
  if (from === null || from === context.self) {
    refuse(turn, 'unasked');
    return;
  }
  const newest = newestFinalization(state);
  const held = view > state.decided.view ? certificatesHeld(state, view) : newest === null ? [] : [newest];
  for (const certificate of held) {
    if (view > state.decided.view && !kinds.includes(certificate.kind)) continue;
    send(turn, from, { type: 'certificate', epoch: context.epoch, certificate });
  }
}
