// One run of step(): the state at hand and what it gives out so far.
// Passed from rule to rule; every record, effect, want, accusation and halt goes through here.
// Must never outlive the step that made it.
import type { Certificate } from './certificate.js';
import type { Context } from './context.js';
import type { Effect, Want } from './effect.js';
import type { Evidence } from './evidence.js';
import type { JournalRecord } from './journal.js';
import type { Message } from './message.js';
import type { State } from './state.js';

export interface Turn {
  readonly context: Context;
  readonly state: State;
  readonly now: number;
  readonly records: JournalRecord[];
  readonly effects: Effect[];
  /** Certificates reached by votes or verified on receipt, to be taken in by R5. */
  readonly certificates: Certificate[];
}

export function newTurn(context: Context, state: State, now: number): Turn {
  return { context, state, now, records: [], effects: [], certificates: [] };
}

/** To all others; nothing at n = 1, where there is nobody. */
export function broadcast(turn: Turn, message: Message): void {
  if (turn.context.validators.length > 1) turn.effects.push({ type: 'broadcast', message });
}

/** Asks the host to fetch, once for each want, until it is there or pruned. */
export function want(turn: Turn, wanted: Want, holder: number | null): void {
  const key = wantKey(wanted);
  if (turn.state.wanted.has(key)) return;
  turn.state.wanted.set(key, wanted);
  turn.effects.push({ type: 'fetch', want: wanted, holder: holder === turn.context.self ? null : holder });
}

export function wantKey(wanted: Want): string {
  return wanted.type === 'block' ? `block ${wanted.hash}` : `certificate ${wanted.view} ${wanted.kinds.join()}`;
}

/**
 * CONSENSUS.md 1.9: recorded and given out once for each (signer, view, rule). Where no fault is tolerated (f = 0) a
 * proven one stops the core (DECISIONS 26).
 */
export function accuse(turn: Turn, evidence: Evidence): void {
  const { state } = turn;
  const { signer, view } = evidence.first;
  const key = accusationKey(evidence);
  if (state.accused.has(key)) return;
  state.accused.set(key, view);
  turn.records.push({ type: 'evidence', epoch: turn.context.epoch, evidence });
  turn.effects.push({ type: 'evidence', evidence });
  if (state.faults === 0) {
    halt(
      turn,
      `validator ${signer} broke rule ${evidence.rule} in view ${view}, and ${state.heardInView.length} validators tolerate none`,
    );
  }
}

export function accusationKey(evidence: Evidence): string {
  return `${evidence.first.signer} ${evidence.first.view} ${evidence.rule}`;
}

/** SAFETY HALT: the first reason stays. It is recorded, so that a restart does not forget it. */
export function halt(turn: Turn, reason: string): void {
  if (turn.state.halted !== null) return;
  turn.state.halted = reason;
  turn.records.push({ type: 'halt', epoch: turn.context.epoch, reason });
  turn.effects.push({ type: 'halt', reason });
}
