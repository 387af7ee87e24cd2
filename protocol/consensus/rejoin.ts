// Leaving the quarantine (1.8): asking the others where they are, answering who asks, and the floor above which to sign.
// Called by step() for the host's `recover`, for the messages of it, and in every turn.
// Must never count an answer that is not proved by a certificate, nor give one that says less than this node ever signed.
import { admitCertificate } from './admit.js';
import { type Certificate, certificateFault, HASH_HEX } from './certificate.js';
import type { State } from './state.js';
import { certificatesHeld, peerOf } from './state.js';
import { statusMs } from './timers.js';
import { broadcast, chargeWaste, isHeard, refuse, send, type Turn } from './turn.js';

/**
 * n − q + max(f, 1) other validators (DECISIONS 27). All but n − q of them signed the certificate by which this node
 * entered the last view that it may have voted in, so f of them did, or one where f = 0; and one of those is honest,
 * because this node itself, who forgot its votes, is one of the f.
 */
export function answersNeeded(n: number, quorum: number, faults: number): number {
  return n - quorum + Math.max(faults, 1);
}

/**
 * The host's word to try. Nothing happens where asking cannot help: with one or two validators the others cannot go on
 * without this one, which must not vote in the view where they are.
 */
export function beginRecovery(turn: Turn, nonce: string): void {
  const { state, context } = turn;
  if (!HASH_HEX.test(nonce)) throw new RangeError('a nonce is 64 lowercase hex digits');
  if (state.quarantined === null || state.barred || context.self === null) return;
  if (context.validators.length - 1 < state.quorum) return;
  if (state.recovery?.nonce === nonce) return;
  state.recovery = { nonce, answers: new Map(), askAtMs: turn.now };
}

/** Asks, again each status period, until enough have answered. */
export function recover(turn: Turn): void {
  const { state, context } = turn;
  const { recovery } = state;
  if (recovery === null || turn.now < recovery.askAtMs) return;
  recovery.askAtMs = turn.now + statusMs(context);
  broadcast(turn, { type: 'recover', epoch: context.epoch, nonce: recovery.nonce });
}

/**
 * Another node asks. The answer proves a view, and everything that this node ever signed is at or below it: so none is given
 * in quarantine, nor below the floor of an own rejoin, where it may have signed what it does not know.
 */
export function takeRecover(turn: Turn, from: number | null, nonce: string): void {
  const { state, context } = turn;
  if (from === null || from === context.self || context.self === null) {
    refuse(turn, 'unasked');
    return;
  }
  if (!HASH_HEX.test(nonce)) {
    refuse(turn, 'malformed');
    return;
  }
  if (state.quarantined !== null || state.view <= state.floorView || state.view !== state.certifiedView + 1) return;
  const certificate = entrance(state);
  if (certificate === null && state.view !== 1) return;
  const peer = peerOf(state, from);
  if (turn.now < peer.recoveredAtMs) return;
  peer.recoveredAtMs = turn.now + statusMs(context) / 2;
  send(turn, from, { type: 'recovered', epoch: context.epoch, nonce, certificate });
}

/** The certificate of the view before the current one. */
function entrance(state: State): Certificate | null {
  return certificatesHeld(state, state.certifiedView)[0] ?? null;
}

/** An answer to the current nonce, once from each validator. The last one needed ends the quarantine. */
export function takeRecovered(turn: Turn, from: number | null, nonce: string, certificate: Certificate | null): void {
  const { state, context } = turn;
  const { recovery } = state;
  const isOther = from !== null && from !== context.self && from < context.validators.length;
  if (recovery === null || recovery.nonce !== nonce || !isOther || recovery.answers.has(from)) {
    refuse(turn, 'unasked');
    return;
  }
  if (certificate !== null) {
    if (!isHeard(turn, from)) return;
    if (certificateFault(context, certificate) !== null) {
      chargeWaste(turn, from, certificate.signers.length);
      return;
    }
    admitCertificate(turn, from, certificate);
  }
  recovery.answers.set(from, certificate === null ? 1 : certificate.view + 1);
  if (recovery.answers.size < answersNeeded(context.validators.length, state.quorum, state.faults)) return;
  // The own last vote was at most one view above the highest that was reported.
  const view = Math.max(state.view, ...recovery.answers.values()) + 1;
  state.recovery = null;
  state.quarantined = null;
  state.rejoined = true;
  state.floorView = Math.max(state.floorView, view);
  turn.records.push({ type: 'rejoin', epoch: context.epoch, view: state.floorView });
  turn.effects.push({ type: 'rejoined', view: state.floorView });
}
