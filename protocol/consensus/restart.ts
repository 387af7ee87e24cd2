// Coming back: what the journal's records mean (replay), what start does, and how the journal is kept short (checkpoint).
// Called by the host for every record of its log, in log order, before `start`; checkpoint before segments are dropped.
// Must never sign: replay only remembers. The log was written by this core, so nothing in it is verified again.
import { countVotes } from './ballot.js';
import { finalizeVote, keepCertificate } from './certify.js';
import { chainTo } from './chain.js';
import { advance } from './commit.js';
import type { Context } from './context.js';
import type { Effect } from './effect.js';
import type { JournalRecord } from './journal.js';
import { certificatesHeld, type State, VOTE_KINDS, viewState, voteOf } from './state.js';
import { keepAccusation, type Turn } from './turn.js';

const NO_EFFECTS: readonly Effect[] = [];

/**
 * Remembers one durable record. The effects it returns (commits above the tip that the state was made with, evidence)
 * rest on durable records and may be carried out at once. Records of other epochs change nothing: their blocks are
 * below the tip, and their votes bind nobody in this one.
 */
export function replay(context: Context, state: State, record: JournalRecord): readonly Effect[] {
  if (state.started) throw new Error('replay after start');
  if (record.type === 'block') {
    const { block } = record;
    if (block.view > state.finalized.view && !state.blocks.has(block.hash)) {
      state.blocks.set(block.hash, { block, validity: 'unknown', durable: true });
    }
    return NO_EFFECTS;
  }
  if (record.epoch !== context.epoch) return NO_EFFECTS;
  switch (record.type) {
    case 'vote': {
      const { vote } = record;
      if (vote.view > state.finalized.view) viewState(state, vote.view).votes[vote.kind - 1]![vote.signer] ??= vote;
      return NO_EFFECTS;
    }
    case 'certificate':
      if (record.certificate.view > state.finalized.view) keepCertificate(state, record.certificate);
      return NO_EFFECTS;
    case 'finalization': {
      const { view, hash } = record.certificate;
      if (view === state.finalized.view && hash === state.finalized.hash && state.finalized.certificate === null) {
        state.finalized = { ...state.finalized, certificate: record.certificate };
      }
      if (view <= state.finalized.view) return NO_EFFECTS;
      keepCertificate(state, record.certificate);
      const chain = chainTo(state, hash!, view);
      return chain.state === 'complete' ? [advance(state, chain.entries, record.certificate)] : NO_EFFECTS;
    }
    case 'floor':
      state.floorView = Math.max(state.floorView, record.view);
      return NO_EFFECTS;
    case 'evidence': {
      const { evidence } = record;
      keepAccusation(state, evidence);
      return [{ type: 'evidence', evidence }];
    }
    case 'quarantine':
      state.quarantined ??= record.reason;
      state.barred = state.rejoined;
      return NO_EFFECTS;
    case 'rejoin':
      state.quarantined = state.doubt;
      state.floorView = Math.max(state.floorView, record.view);
      state.rejoined = true;
      state.barred = false;
      return NO_EFFECTS;
    case 'halt':
      state.halted ??= record.reason;
      return NO_EFFECTS;
  }
}

/**
 * `start`: the view is above every certificate and not below any own vote; own votes count again (at n = 1, or when all
 * nodes crashed at once, nobody else will say them); finalize votes that a crash cut off are made up for (R6). What may
 * never have left goes to those whose status shows that they lack it (R10).
 */
export function resume(turn: Turn): void {
  const { state, context } = turn;
  if (state.started) throw new Error('start twice');
  state.started = true;
  if (state.halted !== null) {
    turn.effects.push({ type: 'halt', reason: state.halted });
    return;
  }
  if (state.quarantined !== null) turn.effects.push({ type: 'quarantine', reason: state.quarantined });
  state.view = Math.max(state.finalized.view, state.certifiedView) + 1;
  const views = [...state.views.values()].sort((a, b) => a.view - b.view);
  for (const entry of views) {
    for (const kind of VOTE_KINDS) {
      const own = context.self === null ? undefined : voteOf(entry, kind, context.self);
      if (own === undefined) continue;
      state.view = Math.max(state.view, own.view);
      countVotes(turn, entry, kind, own.hash);
    }
    finalizeVote(turn, entry);
  }
  state.enteredAtMs = turn.now;
  state.heardInView.fill(state.view);
}

/**
 * The records from which replay rebuilds this state, given the same finalized tip: to be appended and made durable
 * before the segments that hold the originals are dropped (1.7: votes only below the floor). Bodies among them are
 * written anew by the host.
 */
export function checkpoint(context: Context, state: State): JournalRecord[] {
  const { epoch } = context;
  const floor = Math.max(state.floorView, state.finalized.view, state.forgotten?.to ?? 0);
  const records: JournalRecord[] = [{ type: 'floor', epoch, view: floor }];
  if (state.rejoined) records.push({ type: 'rejoin', epoch, view: state.floorView });
  for (const { block, durable } of state.blocks.values()) if (durable) records.push({ type: 'block', block });
  for (const entry of state.views.values()) {
    for (const certificate of certificatesHeld(state, entry.view)) {
      records.push({ type: 'certificate', epoch, certificate });
    }
    if (context.self === null) continue;
    for (const kind of VOTE_KINDS) {
      const vote = voteOf(entry, kind, context.self);
      if (vote !== undefined) records.push({ type: 'vote', epoch, vote });
    }
  }
  if (state.quarantined !== null) records.push({ type: 'quarantine', epoch, reason: state.quarantined });
  if (state.halted !== null) records.push({ type: 'halt', epoch, reason: state.halted });
  return records;
}
