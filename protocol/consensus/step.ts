// The consensus core: step(state, input) → records to make durable, and effects to carry out after that.
// Called by the consensus actor for every event, and by every test and simulator in its place.
// Must never read a clock, draw a random number, await, or depend on anything but its arguments.
import { refreshActivity, setWakeUp } from './activity.js';
import {
  admitBlock,
  admitCertificate,
  admitEvidence,
  admitProposal,
  admitVote,
  proposalIsSigned,
  wellFormed,
} from './admit.js';
import { catchUp, catchupAtMs, takeSynced } from './catchup.js';
import { acceptCertificate, enterView } from './certify.js';
import { commitFinalized } from './commit.js';
import type { Context } from './context.js';
import type { Output } from './effect.js';
import { notarize, nullify } from './follow.js';
import type { Input } from './input.js';
import type { Message } from './message.js';
import { propose, takeBuilt } from './propose.js';
import { beginRecovery, recover, takeRecover, takeRecovered } from './rejoin.js';
import { resume } from './restart.js';
import type { State } from './state.js';
import { sayStatus, statusAtMs, takePeer, takeRequest, takeStatus } from './status.js';
import { newTurn, refuse, type Turn } from './turn.js';

/**
 * Applies one input. The state is changed in place; the same state and input give the same output, byte for byte.
 * Messages may hold anything; every other input comes from the host, and one that contradicts an earlier effect throws.
 */
export function step(context: Context, state: State, input: Input): Output {
  const turn = newTurn(context, state, input.now);
  if (input.type === 'start') resume(turn);
  else if (!state.started) throw new Error(`${input.type} before start`);
  else if (state.halted === null) take(turn, input);
  settle(turn);
  setWakeUp(turn, [statusAtMs(turn), catchupAtMs(state), state.recovery?.askAtMs ?? null]);
  return { records: turn.records, effects: turn.effects };
}

function take(turn: Turn, input: Exclude<Input, { type: 'start' }>): void {
  const { state } = turn;
  switch (input.type) {
    case 'tick':
      return;
    case 'pending':
      state.pendingCount = input.count;
      state.declined = false;
      return;
    case 'built':
      takeBuilt(turn, input.view, input.block);
      return;
    case 'validated': {
      const entry = state.blocks.get(input.hash);
      if (entry !== undefined) entry.validity = input.valid ? 'valid' : 'invalid';
      return;
    }
    case 'block':
      // Only what was asked for: a peer cannot fill this memory.
      if (state.wanted.has(`block ${input.block.hash}`) && wellFormed(input.block)) admitBlock(turn, input.block);
      else refuse(turn, 'unasked');
      return;
    case 'peer':
      takePeer(turn, input.peer, input.connected);
      return;
    case 'synced':
      takeSynced(turn, input.peer, input.blocks);
      return;
    case 'recover':
      beginRecovery(turn, input.nonce);
      return;
    case 'message':
      if (input.from !== null && input.from in state.heardInView) state.heardInView[input.from] = state.view;
      takeMessage(turn, input.from, input.message);
      return;
  }
}

/** R0: another epoch's messages say nothing here. */
function takeMessage(turn: Turn, from: number | null, message: Message): void {
  if (message.epoch !== turn.context.epoch) {
    refuse(turn, 'epoch');
    return;
  }
  switch (message.type) {
    case 'vote':
      admitVote(turn, from, message.vote);
      return;
    case 'certificate':
      admitCertificate(turn, from, message.certificate);
      return;
    case 'status':
      takeStatus(turn, from, message.status);
      return;
    case 'request':
      takeRequest(turn, from, message.view, message.kinds);
      return;
    case 'recover':
      takeRecover(turn, from, message.nonce);
      return;
    case 'recovered':
      takeRecovered(turn, from, message.nonce, message.certificate);
      return;
    case 'evidence':
      admitEvidence(turn, from, message.evidence);
      return;
    case 'proposal': {
      if (!proposalIsSigned(turn, from, message.proposal)) return;
      for (const certificate of message.proposal.justification) {
        if (!admitCertificate(turn, from, certificate)) break;
      }
      // They may bring this node into the proposal's view (R1), so they are taken in before it is judged.
      settle(turn);
      if (turn.state.halted === null) admitProposal(turn, from, message.proposal);
      return;
    }
  }
}

/** Follows every rule until none has anything more to do. Each round of the loop takes in new certificates. */
function settle(turn: Turn): void {
  const { state, certificates } = turn;
  do {
    for (let next = certificates.shift(); next !== undefined; next = certificates.shift()) {
      if (state.halted === null) acceptCertificate(turn, next);
    }
    if (state.halted !== null) return;
    commitFinalized(turn);
    if (state.halted !== null) return;
    catchUp(turn);
    enterView(turn);
    refreshActivity(turn);
    propose(turn);
    notarize(turn);
    nullify(turn);
  } while (certificates.length > 0);
  recover(turn);
  sayStatus(turn);
}
