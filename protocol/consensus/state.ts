// The core's memory of one validator: finalized tip, current view, and per unfinalized view the votes and certificates.
// Made by createState(), changed only by step() and replay(); the host may read it (wakeAtMs, view, finalized, halted).
// Must never grow with the length of the chain: everything at or below the finalized view is forgotten.
import type { Certificate } from './certificate.js';
import type { Context } from './context.js';
import type { Contents, Want } from './effect.js';
import type { Evidence } from './evidence.js';
import type { BlockRef, Proposal, Vote } from './message.js';
import { faults, quorum } from './quorum.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

export const VOTE_KINDS: readonly VoteKind[] = [NOTARIZE, NULLIFY, FINALIZE];

export interface Finalized {
  readonly view: number;
  readonly height: number;
  readonly hash: string;
  /** The Finalization, or null for genesis and where the host did not keep it. */
  readonly certificate: Certificate | null;
}

/** What is known about one view above the finalized one. */
export interface ViewState {
  readonly view: number;
  /** By kind − 1, then by signer: the first verified vote of each (R0). The own votes stand here too, and only here. */
  readonly votes: readonly (Vote | undefined)[][];
  proposal: Proposal | null;
  /** Whose message brought the proposal, to tell who holds what it stands on. */
  proposalFrom: number | null;
  notarization: Certificate | null;
  nullification: Certificate | null;
  finalization: Certificate | null;
  /** The leader signed two blocks for this view. */
  leaderEquivocated: boolean;
}

export interface BlockEntry {
  readonly block: BlockRef;
  validity: 'unknown' | 'asked' | 'valid' | 'invalid';
  /** Its journal record has been given out. */
  durable: boolean;
}

export interface BuildRequest {
  readonly view: number;
  readonly height: number;
  readonly parentView: number;
  readonly parentHash: string;
  readonly contents: Contents;
}

/** What is kept about the validator at the other end of a link. */
export interface Peer {
  connected: boolean;
  /** What its newest status claims: a hint whom to ask, never believed. */
  height: number;
  /** Not before these moments: another status sent to it alone, another answer to its status or recover, our proposal again. */
  statusAtMs: number;
  answerAtMs: number;
  recoveredAtMs: number;
  proposalAtMs: number;
  /** Signatures that it made this node verify in vain until `wasteEndsMs`, when the count begins anew (R0). */
  wasted: number;
  wasteEndsMs: number;
}

/** Why a message was dropped at the door (R0), counted for the host's metrics. */
export type Refusal = 'epoch' | 'malformed' | 'signature' | 'muted' | 'out-of-range' | 'unasked';

/** Being behind (1.10): blocks come forward from `finalized.height + 1` until the finalized view reaches `view`. */
export interface Catchup {
  readonly view: number;
  /** How high that is, as far as it is known: for who watches. */
  readonly toHeight: number;
  /** Blocks come in this way alone: none is fetched by its hash, and proposed ones are not kept. */
  far: boolean;
  /** Who was asked last; the next one in order is asked next. */
  lastPeer: number;
  /** Who gave nothing, or something wrong, since the last progress of all. */
  readonly failed: Set<number>;
  /** Everybody failed: ask again then. */
  retryAtMs: number | null;
}

/** Asking the others where they are, to leave the quarantine (1.8). */
export interface Recovery {
  readonly nonce: string;
  /** The view that each answer proved, by validator. */
  readonly answers: Map<number, number>;
  askAtMs: number;
}

export interface State {
  readonly faults: number;
  readonly quorum: number;
  finalized: Finalized;
  /** Sign nothing at or below this view (a floor record, or the tip the state was made with). */
  floorView: number;
  view: number;
  enteredAtMs: number;
  /** The highest view with any certificate; the current view is above it (R1). */
  certifiedView: number;
  /** The block of the highest view that is notarized or final: what the next leader most likely builds on. */
  newest: { readonly view: number; readonly hash: string };
  readonly views: Map<number, ViewState>;
  readonly blocks: Map<string, BlockEntry>;
  /** Views with a Finalization that is not committed, for lack of a body. */
  uncommitted: number[];
  /** The highest view with a Finalization, committed or not: below it nothing is open any more. */
  decided: { readonly view: number; readonly hash: string };
  /** Between these views own votes above the tip were forgotten, because this node is far behind (1.10). */
  forgotten: { readonly from: number; readonly to: number } | null;
  pendingCount: number;
  /** Reasons for the current view to end in time, each since when; null where it does not hold (R9). */
  pendingSinceMs: number | null;
  contentSinceMs: number | null;
  engagedSinceMs: number | null;
  /** The host could not build in this view. */
  declined: boolean;
  building: BuildRequest | null;
  /** When this node last signed a vote. */
  votedAtMs: number;
  /** When the last status went to all, and whose turn is next where it goes to some (R10). */
  statusSentAtMs: number;
  statusTurn: number;
  /** By validator; one more at the end stands for all others. */
  readonly peers: readonly Peer[];
  readonly refused: Record<Refusal, number>;
  catchup: Catchup | null;
  /** Since when something is decided that cannot be committed, without any progress. */
  behindSinceMs: number | null;
  /** Whose answer to a `catchup` effect is awaited. */
  syncing: number | null;
  recovery: Recovery | null;
  /** By validator: our view when its link last brought anything. */
  readonly heardInView: number[];
  /** Wants that were given out and not answered; the host may stop fetching what is no longer here. */
  readonly wanted: Map<string, Want>;
  /** Evidence given out, with its view. Never forgotten, and bounded for each validator (1.9). */
  readonly accused: Map<string, number>;
  /** The same evidence, for peers whose link comes up. */
  readonly evidence: Evidence[];
  /** Why this node signs nothing although its core runs (a doubtful log, CONSENSUS.md 1.8), or null. */
  quarantined: string | null;
  /** The reason that the state was made with: it stands outside the log, so that no record in there ends it. */
  readonly doubt: string | null;
  /** The log holds the end of a quarantine. One after it is not left again: the key is used twice. */
  rejoined: boolean;
  barred: boolean;
  /** Why the core stopped for good, or null. */
  halted: string | null;
  started: boolean;
  /** When the host must send the next tick, unix milliseconds, or null while nothing is awaited. */
  wakeAtMs: number | null;
}

export interface StateOptions {
  /** Tip of the ledger: genesis is view 0, height 0. */
  readonly finalized: {
    readonly view: number;
    readonly height: number;
    readonly hash: string;
    readonly certificate?: Certificate;
  };
  /** A reason to sign nothing, from the start. */
  readonly quarantined?: string;
}

/** Throws RangeError for a context that no genesis yields: it would otherwise vote under a wrong index. */
export function createState(context: Context, options: StateOptions): State {
  const n = context.validators.length;
  if (n === 0) throw new RangeError('a context without validators');
  if (context.self !== null && context.validators[context.self] === undefined) {
    throw new RangeError(`own index ${context.self} is not among ${n} validators`);
  }
  const { view, height, hash, certificate } = options.finalized;
  return {
    faults: faults(n),
    quorum: quorum(n),
    finalized: { view, height, hash, certificate: certificate ?? null },
    floorView: view,
    view: view + 1,
    enteredAtMs: 0,
    certifiedView: view,
    newest: { view, hash },
    views: new Map(),
    blocks: new Map(),
    uncommitted: [],
    decided: { view, hash },
    forgotten: null,
    pendingCount: 0,
    pendingSinceMs: null,
    contentSinceMs: null,
    engagedSinceMs: null,
    declined: false,
    building: null,
    votedAtMs: Number.MIN_SAFE_INTEGER,
    statusSentAtMs: Number.MIN_SAFE_INTEGER,
    statusTurn: 0,
    peers: [...context.validators, null].map(newPeer),
    refused: { epoch: 0, malformed: 0, signature: 0, muted: 0, 'out-of-range': 0, unasked: 0 },
    catchup: null,
    behindSinceMs: null,
    syncing: null,
    recovery: null,
    heardInView: context.validators.map(() => view + 1),
    wanted: new Map(),
    accused: new Map(),
    evidence: [],
    quarantined: options.quarantined ?? null,
    doubt: options.quarantined ?? null,
    rejoined: false,
    barred: false,
    halted: null,
    started: false,
    wakeAtMs: null,
  };
}

function newPeer(): Peer {
  return {
    connected: true,
    height: 0,
    statusAtMs: 0,
    answerAtMs: 0,
    recoveredAtMs: 0,
    proposalAtMs: 0,
    wasted: 0,
    wasteEndsMs: 0,
  };
}

/** `from` as messages name it: a validator's index, or null for a peer outside the set. */
export function peerOf(state: State, from: number | null): Peer {
  return state.peers[from ?? state.peers.length - 1] ?? state.peers[state.peers.length - 1]!;
}

/** The record of a view, made on first use. Only for views above the finalized one. */
export function viewState(state: State, view: number): ViewState {
  let entry = state.views.get(view);
  if (entry === undefined) {
    entry = {
      view,
      votes: [[], [], []],
      proposal: null,
      proposalFrom: null,
      notarization: null,
      nullification: null,
      finalization: null,
      leaderEquivocated: false,
    };
    state.views.set(view, entry);
  }
  return entry;
}

export function voteOf(entry: ViewState | undefined, kind: VoteKind, signer: number): Vote | undefined {
  return entry === undefined ? undefined : entry.votes[kind - 1]![signer];
}

export function certificateOf(entry: ViewState | undefined, kind: VoteKind): Certificate | null {
  if (entry === undefined) return null;
  if (kind === NOTARIZE) return entry.notarization;
  return kind === NULLIFY ? entry.nullification : entry.finalization;
}

/** The certificate that makes a block of this view fit to be a parent: a Finalization implies a Notarization (1.12). */
export function parentCertificate(entry: ViewState | undefined): Certificate | null {
  return entry === undefined ? null : (entry.notarization ?? entry.finalization);
}

/** What this node can give a peer that asks for certificates of a view. */
export function certificatesHeld(state: State, view: number): Certificate[] {
  if (view === state.finalized.view) return state.finalized.certificate === null ? [] : [state.finalized.certificate];
  const entry = state.views.get(view);
  const held = VOTE_KINDS.map((kind) => certificateOf(entry, kind));
  return held.filter((certificate) => certificate !== null);
}

/** The Finalization of the highest view that has one; null for genesis, and where the host did not keep it. */
export function newestFinalization(state: State): Certificate | null {
  if (state.decided.view === state.finalized.view) return state.finalized.certificate;
  return state.views.get(state.decided.view)!.finalization;
}

/** R7: forgets everything at or below the finalized view. */
export function prune(state: State): void {
  const floor = state.finalized.view;
  for (const view of state.views.keys()) if (view <= floor) state.views.delete(view);
  for (const [hash, { block }] of state.blocks) if (block.view <= floor) state.blocks.delete(hash);
  for (const [key, { view }] of state.wanted) if (view <= floor) state.wanted.delete(key);
  if (state.newest.view <= floor) state.newest = { view: floor, hash: state.finalized.hash };
  if (state.decided.view <= floor) state.decided = { view: floor, hash: state.finalized.hash };
  if (state.certifiedView < floor) state.certifiedView = floor;
  if (state.forgotten !== null && state.forgotten.to <= floor) state.forgotten = null;
  state.uncommitted = state.uncommitted.filter((view) => view > floor);
}

/** Far below a Finalization nothing can change any more; certificates there still name signers, so the nearest are kept. */
const DECIDED_VIEWS_KEPT = 64;

/** Nothing of views below this one is taken in: it would be forgotten at once, and taken in again. */
export function forgottenBelow({ decided }: State): number {
  return decided.view - DECIDED_VIEWS_KEPT;
}

/**
 * A node that cannot commit (1.10) would hold every view of a cluster that goes on without it. What was signed below the
 * decided view binds nothing any more: nothing is ever signed there again.
 */
export function forgetDecided(state: State, self: number | null): void {
  const below = forgottenBelow(state);
  if (below <= state.finalized.view) return;
  for (const [view, entry] of state.views) {
    if (view >= below) continue;
    if (self !== null && entry.votes.some((votes) => votes[self] !== undefined)) {
      const { from, to } = state.forgotten ?? { from: view, to: view };
      state.forgotten = { from: Math.min(from, view), to: Math.max(to, view) };
    }
    state.views.delete(view);
  }
  state.uncommitted = state.uncommitted.filter((view) => view >= below);
}
