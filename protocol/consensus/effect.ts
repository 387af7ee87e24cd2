// Everything the core can ask of its host, and what answers it.
// Returned by step() and replay(); carried out by the consensus actor or a test's host model.
// Must never be carried out before the records of the same step, and all earlier ones, are durable (CONSENSUS.md 1.7).
import type { Certificate } from './certificate.js';
import type { Evidence } from './evidence.js';
import type { JournalRecord } from './journal.js';
import type { BlockRef, Message } from './message.js';
import type { VoteKind } from './vote.js';

/** What a block asked for may hold: 'some' at least one entry, 'any' possibly none, 'none' no entry at all (DECISIONS 18, 28). */
export type Contents = 'some' | 'any' | 'none';

export type Want =
  | { readonly type: 'block'; readonly hash: string; readonly view: number }
  /** A certificate of any of these kinds for this view. */
  | { readonly type: 'certificate'; readonly view: number; readonly kinds: readonly VoteKind[] };

/** Blocks of one `synced`. Without certificates of their own they are mostly empty: past 8 unfinalized ones there are only such. */
export const SYNC_BLOCKS_MAX = 512;

export type Effect =
  /** Build a block on this parent. Answered by `built`, always; at most one is under way. */
  | {
      readonly type: 'build';
      readonly view: number;
      readonly height: number;
      readonly parentView: number;
      readonly parentHash: string;
      readonly contents: Contents;
    }
  /** Judge a block whose parent is final or was judged valid before. Answered by `validated`. `from`: whose proposal it was. */
  | { readonly type: 'validate'; readonly block: BlockRef; readonly from: number | null }
  /** To every other validator; the body of a proposal goes with it. No answer, may be lost. */
  | { readonly type: 'broadcast'; readonly message: Message }
  | { readonly type: 'send'; readonly to: number; readonly message: Message }
  /**
   * Ask peers, first `holder` when it is named, in rotation, until it is there or a commit has reached `want.view`.
   * Answered by `block`, or by a `message` with the certificate (the request for that is a message too, `requestOf`).
   * Asked once for each want. The host, who knows the links, keeps one request of each want in flight and turns to the
   * next peer after 2·RTT; what is no longer in `state.wanted` it stops asking for.
   */
  | { readonly type: 'fetch'; readonly want: Want; readonly holder: number | null }
  /**
   * This node is behind (1.10): ask `peer` for blocks with their certificates, from `fromHeight` forward, gathering
   * until a block that has its own certificate, at most SYNC_BLOCKS_MAX of them. Answered by `synced`, always, soon: with
   * no blocks when the peer is silent. The core judges, turns to another peer, and asks again; at most one is under way.
   */
  | { readonly type: 'catchup'; readonly peer: number; readonly fromHeight: number; readonly toHeight: number }
  /**
   * These blocks are final, oldest first, each the child of the one before; execute them in this order.
   * `finalization` is of the last; `certificates[i]` is the Finalization of `blocks[i]` itself, or null where it is
   * final only through a descendant.
   */
  | {
      readonly type: 'commit';
      readonly blocks: readonly BlockRef[];
      readonly finalization: Certificate;
      readonly certificates: readonly (Certificate | null)[];
    }
  /** A validator signed two things that no honest one signs (CONSENSUS.md 1.9). May be repeated after a restart. */
  | { readonly type: 'evidence'; readonly evidence: Evidence }
  /** The own log cannot be trusted: this node goes on following, and signs nothing (CONSENSUS.md 1.8). */
  | { readonly type: 'quarantine'; readonly reason: string }
  /** The quarantine is over: this node signs again in views above `view`. */
  | { readonly type: 'rejoined'; readonly view: number }
  /** The core stops; finalized data may still be served. After a restart it says so again. */
  | { readonly type: 'halt'; readonly reason: string };

/** What the host sends, to one peer after the other, for a `fetch` of a certificate. */
export function requestOf(want: Extract<Want, { type: 'certificate' }>, epoch: number): Message {
  return { type: 'request', epoch, view: want.view, kinds: want.kinds };
}

/** WAL-first as data: append `records` in this order, and touch `effects` only when they are durable. */
export interface Output {
  readonly records: readonly JournalRecord[];
  readonly effects: readonly Effect[];
}
