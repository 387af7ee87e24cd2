// One run of step(): the state at hand and what it gives out so far.
// Passed from rule to rule; every record, effect, want, accusation and halt goes through here.
// Must never outlive the step that made it.
import type { Certificate } from './certificate.js';
import type { Context } from './context.js';
import type { Effect, Want } from './effect.js';
import type { Evidence, EvidenceRule } from './evidence.js';
import type { JournalRecord } from './journal.js';
import type { Message } from './message.js';
import { peerOf, type Refusal, type State } from './state.js';

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

export function send(turn: Turn, to: number, message: Message): void {
  turn.effects.push({ type: 'send', to, message });
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

/** A message dropped at the door (R0). */
export function refuse(turn: Turn, reason: Refusal): void {
  turn.state.refused[reason] += 1;
}

/** In this time a link may cost so many verifications in vain: 256 of 50 µs are 13 ms of every 10 s. */
const WASTE_MS = 10_000;
const WASTE_MAX = 256;

/** R0: whether signatures from this link are verified at present. No honest peer ever sends a wrong one. */
export function isHeard(turn: Turn, from: number | null): boolean {
  const peer = peerOf(turn.state, from);
  if (peer.wasted < WASTE_MAX || turn.now >= peer.wasteEndsMs) return true;
  refuse(turn, 'muted');
  return false;
}

/** `count` signatures, at most, were verified for this link and did not hold. */
export function chargeWaste(turn: Turn, from: number | null, count: number): void {
  const peer = peerOf(turn.state, from);
  if (turn.now >= peer.wasteEndsMs) {
    peer.wasted = 0;
    peer.wasteEndsMs = turn.now + WASTE_MS;
  }
  peer.wasted += count;
  refuse(turn, 'signature');
}

/** Accusations kept against one validator: the first says all, a liar may not fill memory and log with more. */
const ACCUSATIONS_MAX = 8;

/**
 * CONSENSUS.md 1.9: recorded, given out and passed on once for each (signer, view, rule). Where no fault is tolerated
 * (f = 0) a proven one stops the core (DECISIONS 26).
 */
export function accuse(turn: Turn, evidence: Evidence): void {
  const { state, context } = turn;
  const { signer, view } = evidence.first;
  if (!keepAccusation(state, evidence)) return;
  turn.records.push({ type: 'evidence', epoch: context.epoch, evidence });
  turn.effects.push({ type: 'evidence', evidence });
  broadcast(turn, { type: 'evidence', epoch: context.epoch, evidence });
  if (state.faults === 0) {
    halt(
      turn,
      `validator ${signer} broke rule ${evidence.rule} in view ${view}, and ${state.heardInView.length} validators tolerate none`,
    );
  }
}

/** Whether this accusation is new and kept. */
export function keepAccusation(state: State, evidence: Evidence): boolean {
  const { signer, view } = evidence.first;
  if (isAccused(state, signer, view, evidence.rule)) return false;
  state.accused.set(accusationKey(signer, view, evidence.rule), view);
  state.evidence.push(evidence);
  return true;
}

/** Whether one more accusation of this kind would say nothing new: it is kept already, or so many others are. */
export function isAccused(state: State, signer: number, view: number, rule: EvidenceRule): boolean {
  if (state.accused.has(accusationKey(signer, view, rule))) return true;
  let count = 0;
  for (const { first } of state.evidence) if (first.signer === signer) count += 1;
  return count >= ACCUSATIONS_MAX;
}

function accusationKey(signer: number, view: number, rule: EvidenceRule): string {
  return `${signer} ${view} ${rule}`;
}

/** SAFETY HALT: the first reason stays. It is recorded, so that a restart does not forget it. */
export function halt(turn: Turn, reason: string): void {
  if (turn.state.halted !== null) return;
  turn.state.halted = reason;
  turn.records.push({ type: 'halt', epoch: turn.context.epoch, reason });
  turn.effects.push({ type: 'halt', reason });
}
