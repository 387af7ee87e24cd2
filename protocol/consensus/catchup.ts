// Catching up (1.10): a node that lacks blocks takes them forward by height, each run proved by a Finalization.
// Called by step(): catchUp() in every turn, takeSynced() with the host's answer to a `catchup` effect.
// Must never commit a block that no verified Finalization reaches, nor hold more than one answer's blocks.
import { wellFormed } from './admit.js';
import { certificateFault } from './certificate.js';
import { disownVote, keepCertificate } from './certify.js';
import { commitChain, commitFinalized } from './commit.js';
import { SYNC_BLOCKS_MAX } from './effect.js';
import type { SyncedBlock } from './input.js';
import { type BlockEntry, type Catchup, peerOf, type State, voteOf } from './state.js';
import { statusMs } from './timers.js';
import { chargeWaste, halt, type Turn } from './turn.js';
import { FINALIZE } from './vote.js';

/** Signatures verified for one answer: 1 024 of 50 µs are 50 ms between two votes. The rest of the answer is asked for again. */
const SIGNATURES_MAX = 1_024;
/** When nobody could help, everybody is asked again after so many status periods. */
const RETRY_PERIODS = 5;

/** Asks the next peer as long as this node is behind, one at a time. */
export function catchUp(turn: Turn): void {
  const { state } = turn;
  if (state.catchup !== null && state.finalized.view >= state.catchup.view) {
    state.catchup = null;
    // The others went on meanwhile: the rest is near, or one more stretch.
    commitFinalized(turn);
  }
  const { catchup } = state;
  if (catchup === null || state.halted !== null) return;
  if (state.syncing !== null || (catchup.retryAtMs !== null && turn.now < catchup.retryAtMs)) return;
  catchup.retryAtMs = null;
  const peer = nextPeer(turn, catchup);
  if (peer === null) {
    catchup.failed.clear();
    catchup.retryAtMs = turn.now + RETRY_PERIODS * statusMs(turn.context);
    return;
  }
  catchup.lastPeer = peer;
  state.syncing = peer;
  const fromHeight = state.finalized.height + 1;
  turn.effects.push({ type: 'catchup', peer, fromHeight, toHeight: Math.max(catchup.toHeight, fromHeight) });
}

/** In rotation: who is connected and has not failed, rather one that claims to have what is missing. */
function nextPeer({ state, context }: Turn, catchup: Catchup): number | null {
  const n = context.validators.length;
  let unsure: number | null = null;
  for (let step = 1; step <= n; step++) {
    const index = (catchup.lastPeer + step) % n;
    const peer = peerOf(state, index);
    if (index === context.self || !peer.connected || catchup.failed.has(index)) continue;
    if (peer.height > state.finalized.height) return index;
    unsure ??= index;
  }
  return unsure;
}

/**
 * What a peer gave: the longest beginning that continues the tip and ends with a Finalization that holds becomes final.
 * A peer that brings nothing of that kind is not asked again before the others were.
 */
export function takeSynced(turn: Turn, peer: number, blocks: readonly SyncedBlock[]): void {
  const { state } = turn;
  if (state.syncing !== peer) throw new Error(`no catch-up from validator ${peer} is under way`);
  state.syncing = null;
  const { run, faulty } = provenRun(turn, blocks);
  if (faulty) chargeFault(turn, peer, blocks);
  if (run.length > 0) commitRun(turn, run);
  if (state.catchup !== null && (run.length === 0 || faulty)) state.catchup.failed.add(peer);
}

function chargeFault(turn: Turn, peer: number, blocks: readonly SyncedBlock[]): void {
  let signatures = 0;
  for (const { certificate } of blocks) signatures += certificate?.signers.length ?? 0;
  chargeWaste(turn, peer, Math.min(signatures, turn.context.validators.length));
}

/** Oldest first. `faulty`: something in it could not come from an honest peer. */
function provenRun(
  turn: Turn,
  blocks: readonly SyncedBlock[],
): { readonly run: readonly SyncedBlock[]; readonly faulty: boolean } {
  const { state, context } = turn;
  let previous: { readonly view: number; readonly height: number; readonly hash: string } = state.finalized;
  const run: SyncedBlock[] = [];
  let proven = 0;
  let signatures = 0;
  let faulty = false;
  for (const synced of blocks.slice(0, SYNC_BLOCKS_MAX)) {
    const { block, certificate } = synced;
    if (block.height <= state.finalized.height) continue;
    const follows = block.parentHash === previous.hash && block.parentView === previous.view;
    faulty = !wellFormed(block) || !follows || block.height !== previous.height + 1;
    if (faulty) break;
    run.push(synced);
    previous = block;
    if (certificate === null) continue;
    const { kind, view, hash, signers } = certificate;
    faulty = kind !== FINALIZE || view !== block.view || hash !== block.hash;
    if (faulty || certificateFault(context, certificate) !== null) {
      faulty = true;
      break;
    }
    proven = run.length;
    signatures += signers.length;
    if (signatures >= SIGNATURES_MAX) break;
  }
  return { run: run.slice(0, proven), faulty };
}

function commitRun(turn: Turn, run: readonly SyncedBlock[]): void {
  const { state, context } = turn;
  for (const { certificate } of run) {
    if (certificate === null) continue;
    const held = state.views.get(certificate.view)?.finalization;
    if (held != null && held.hash !== certificate.hash) {
      halt(turn, `two blocks are final in view ${certificate.view}`);
      return;
    }
    // An own signature that the log does not know: it lost votes, however long ago.
    const own = context.self !== null && certificate.signers.includes(context.self);
    const known = context.self !== null && voteOf(state.views.get(certificate.view), FINALIZE, context.self);
    if (own && !known) disownVote(turn, certificate.view);
  }
  for (const { certificate } of run) if (certificate !== null) keepCertificate(state, certificate);
  const entries = run.map(({ block }): BlockEntry => state.blocks.get(block.hash) ?? newEntry(block)).reverse();
  commitChain(turn, entries, run.at(-1)!.certificate!);
}

function newEntry(block: BlockEntry['block']): BlockEntry {
  return { block, validity: 'unknown', durable: false };
}

/** When catchUp has something to do by itself. */
export function catchupAtMs(state: State): number | null {
  return state.syncing === null ? (state.catchup?.retryAtMs ?? null) : null;
}
