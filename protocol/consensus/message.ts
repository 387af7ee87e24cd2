// What validators say to each other: votes, proposals, certificates, all tagged with their epoch.
// Made and judged by the core, carried by the host, which adds and removes the block body of a proposal.
// Must never hold a body: the core knows a block by its reference only.
import type { Certificate } from './certificate.js';
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

export type Message =
  | { readonly type: 'proposal'; readonly epoch: number; readonly proposal: Proposal }
  | { readonly type: 'vote'; readonly epoch: number; readonly vote: Vote }
  | { readonly type: 'certificate'; readonly epoch: number; readonly certificate: Certificate };
