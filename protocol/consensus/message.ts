// What validators say to each other: votes, proposals, certificates, where they stand, and what they miss; all tagged
// with their epoch.
// Made and judged by the core, carried by the host, which adds and removes the block body of a proposal.
// Must never hold a body: the core knows a block by its reference only.
import type { Certificate } from './certificate.js';
import type { Evidence } from './evidence.js';
import type { VoteKind } from './vote.js';

/**
 * A block as the core sees it. The host derives every field from the header whose hash it is, never from what a peer
 * says beside it: that is what makes `view`, `parentView` and `parentHash` as trustworthy as the hash.
 */
export interface BlockRef {
  /** Block hash, 64 lowercase hex digits. */
  readonly hash: string;
  readonly height: number;
  readonly view: number;
  readonly parentView: number;
  readonly parentHash: string;
  /** The proposer's clock, unix milliseconds. Carried, never judged (DECISIONS 21). */
  readonly timestamp: number;
  readonly entryCount: number;
}

/** One signed vote. `hash` is null exactly for a nullify vote; `signer` is a validator's index. */
export interface Vote {
  readonly kind: VoteKind;
  readonly view: number;
  readonly hash: string | null;
  readonly signer: number;
  readonly signature: Uint8Array;
}

/** The leader's block, its notarize signature, and what justifies the block's parent. */
export interface Proposal {
  readonly block: BlockRef;
  /** The leader's Notarize(view, hash). */
  readonly signature: Uint8Array;
  /**
   * Notarization or Finalization of the parent (absent for genesis), then the Nullification of every view between
   * parent and block, ascending, as far as JUSTIFICATION_MAX reaches; the receiver fetches what is missing (DECISIONS 29).
   */
  readonly justification: readonly Certificate[];
}

/** 64 certificates of q signatures are 15 KiB at n = 4 and 280 KiB at n = 100, beside a block of at most 512 KiB. */
export const JUSTIFICATION_MAX = 64;

/** A view above the finalized one in which something may still be missing (R10). */
export interface OpenView {
  readonly view: number;
  /** Kinds of the certificates held, ascending. */
  readonly certificates: readonly VoteKind[];
  /** By kind − 1: whose votes are held, ascending; empty where the certificate is held. */
  readonly votes: readonly (readonly number[])[];
}

/** Where a validator stands, so that a peer can send exactly what it lacks (R10). */
export interface Status {
  readonly finalizedView: number;
  readonly finalizedHash: string;
  /** Height of the finalized tip. */
  readonly height: number;
  /** The current view. */
  readonly view: number;
  /**
   * Views that are neither nullified nor final, ascending: the lowest OPEN_VIEWS_MAX − 1 above the finalized one, and the
   * current view. The sender misses nothing in views below its current one that are not listed.
   */
  readonly open: readonly OpenView[];
}

export const OPEN_VIEWS_MAX = 64;

export type Message =
  | { readonly type: 'proposal'; readonly epoch: number; readonly proposal: Proposal }
  | { readonly type: 'vote'; readonly epoch: number; readonly vote: Vote }
  | { readonly type: 'certificate'; readonly epoch: number; readonly certificate: Certificate }
  | { readonly type: 'status'; readonly epoch: number; readonly status: Status }
  /** A certificate of any of these kinds (ascending) for this view: what the host sends for such a `fetch`. The core answers. */
  | { readonly type: 'request'; readonly epoch: number; readonly view: number; readonly kinds: readonly VoteKind[] }
  /** A quarantined validator asks where the others are (1.8). `nonce`: 64 hex digits that were never used before. */
  | { readonly type: 'recover'; readonly epoch: number; readonly nonce: string }
  /**
   * The answer: the certificate by which its sender entered its current view, which is the one after it; null in view 1.
   * Who says it is known by the link it came over, and that it is new by the nonce; so it is not signed.
   */
  | {
      readonly type: 'recovered';
      readonly epoch: number;
      readonly nonce: string;
      readonly certificate: Certificate | null;
    }
  /** Two votes of one validator that prove each other wrong (1.9). */
  | { readonly type: 'evidence'; readonly epoch: number; readonly evidence: Evidence };

export type ProposalMessage = Extract<Message, { readonly type: 'proposal' }>;
