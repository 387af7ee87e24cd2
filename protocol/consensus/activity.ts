// Why the current view should end in time, and when the host must wake the core (R8, R9 as DECISIONS 28 words it).
// Called by step() before the rules that act in the current view, and after them.
// Must never let a view time out in an idle cluster: without work, nothing but a status now and then is sent.
import { maySign } from './ballot.js';
import { chainTo } from './chain.js';
import { leaderOf } from './context.js';
import { type State, voteOf } from './state.js';
import { type Delays, delays } from './timers.js';
import type { Turn } from './turn.js';
import { NOTARIZE, NULLIFY } from './vote.js';

/** What lies between the tip and the newest certified block. */
export interface Backlog {
  readonly depth: number;
  readonly entryCount: number;
  /** Something a client waits for may be in there: entries, or a body that is not held. */
  readonly content: boolean;
}

export function backlog(state: State): Backlog {
  // What is decided needs no further view, only bodies.
  if (state.newest.view <= state.decided.view) return { depth: 0, entryCount: 0, content: false };
  const chain = chainTo(state, state.newest.hash, state.newest.view);
  if (chain.state === 'foreign') return { depth: 0, entryCount: 0, content: true };
  let entryCount = 0;
  for (const { block } of chain.entries) entryCount += block.entryCount;
  return { depth: chain.entries.length, entryCount, content: entryCount > 0 || chain.state === 'missing' };
}

export function currentDelays(turn: Turn): Delays {
  const { state, context } = turn;
  return delays(context, state.faults, state.view, state.finalized.view);
}

/**
 * Three reasons, each with the moment from which the view's time runs:
 * pending: submissions beyond those in the unfinalized chain; the first one counts, later ones never move it. A node that
 * lacks bodies of what is decided does not know which of them are final, and could not vote for a block anyway.
 * content: an unfinalized block with entries. One Δ is left for its finalize votes before an empty block is due.
 * Empty blocks alone are no reason, or each would call for the next.
 * engaged: a proposal or a notarize vote of this view was seen, or this node joined others in giving it up.
 */
export function refreshActivity(turn: Turn): void {
  const { state } = turn;
  const { entryCount, content } = backlog(state);
  const behind = state.decided.view > state.finalized.view;
  if (behind || state.pendingCount <= entryCount) state.pendingSinceMs = null;
  else state.pendingSinceMs ??= turn.now;
  if (!content) state.contentSinceMs = null;
  else state.contentSinceMs ??= state.enteredAtMs + currentDelays(turn).deltaMs;
  if (state.engagedSinceMs === null && engaged(turn)) state.engagedSinceMs = turn.now;
}

function engaged({ state, context }: Turn): boolean {
  const entry = state.views.get(state.view);
  if (entry === undefined) return false;
  if (entry.proposal !== null || entry.votes[NOTARIZE - 1]!.some((vote) => vote !== undefined)) return true;
  if (context.self === null || voteOf(entry, NULLIFY, context.self) === undefined) return false;
  return entry.votes[NULLIFY - 1]!.some((vote) => vote !== undefined && vote.signer !== context.self);
}

/** From when the current view's time runs, or null while it is idle. */
export function activeSince(state: State): number | null {
  let since: number | null = null;
  for (const reason of [state.pendingSinceMs, state.contentSinceMs, state.engagedSinceMs]) {
    if (reason !== null && (since === null || reason < since)) since = reason;
  }
  return since;
}

/**
 * R4: when this node gives the current view up, or null. t_l while no proposal was seen, t_a after that.
 * A leader from whom nothing came while the view advanced n times gets no time at all: every live node votes in every
 * view. (R8 measures this silence in time; in views, the silence of an idle cluster is not held against anyone.)
 * At n = 1 there is nobody to wait for.
 */
export function giveUpAtMs(turn: Turn): number | null {
  const { state, context } = turn;
  const n = context.validators.length;
  const since = activeSince(state);
  if (n === 1 || since === null) return null;
  const leader = leaderOf(context, state.view);
  if (leader !== context.self && state.view - state.heardInView[leader]! >= n) return since;
  const entry = state.views.get(state.view);
  const seen =
    entry?.proposal != null || (context.self !== null && voteOf(entry, NOTARIZE, context.self) !== undefined);
  const { leaderMs, leaveMs } = currentDelays(turn);
  return since + (seen ? leaveMs : leaderMs);
}

/** Sets `state.wakeAtMs`: only moments at which the core would really do something, those of R10, 1.8 and 1.10 being `due`. */
export function setWakeUp(turn: Turn, due: readonly (number | null)[]): void {
  const { state, context } = turn;
  const moments: number[] = [];
  if (state.halted === null && state.started) {
    for (const moment of due) if (moment !== null) moments.push(moment);
    const giveUp = giveUpAtMs(turn);
    if (giveUp !== null && maySign(turn, NULLIFY, state.view, null)) moments.push(giveUp);
    const leads = leaderOf(context, state.view) === context.self;
    if (leads && state.contentSinceMs !== null && state.contentSinceMs > turn.now) moments.push(state.contentSinceMs);
  }
  state.wakeAtMs = moments.length === 0 ? null : Math.min(...moments);
}
