// Messages of the store: the only writer of the ledger database. Senders: consensus (finalized blocks), ingress
// (rejections). Readers open the database themselves, read-only.
import type { RoundsChange } from '../../protocol/rounds/text.js';
import type { Policies } from '../../runtime/kernel/contract.js';

/** One finalized block, encoded by consensus before it is sent: the store adds nothing to it. */
export interface FinalizedForStore {
  readonly height: number;
  /** StoredBlock bytes (protocol/ledger/block). */
  readonly block: Uint8Array;
  /** `issuer \0 id` of each entry, in order. */
  readonly keys: readonly string[];
  /** 32 bytes an entry. */
  readonly digests: Uint8Array;
  /** What makes two submissions of one id the same: the digest, of a PCS the body hash. 32 bytes an entry. */
  readonly contents: Uint8Array;
  /** Head after this block, as JSON text (hash, view, sequence, state digest, block time). */
  readonly head: string;
  /** The registry after this block as JSON text, when the block changed it. */
  readonly registry: string | null;
  /** What the block changed in the observation rounds, when it did. */
  readonly rounds: RoundsChange | null;
}

export type StoreContract = {
  tell: {
    /** Verdicts on submissions that ended refused after their 202: `digest` (32 bytes) → JSON text. */
    reject: { readonly digest: Uint8Array; readonly verdict: string };
  };
  ask: {
    /**
     * Applies blocks in height order; what is already applied is skipped. Reply: the height on record. `full`: the disk had
     * no room, nothing was written, and the same may be asked again.
     */
    apply: {
      request: { readonly blocks: readonly FinalizedForStore[] };
      reply: { readonly height: number; readonly full: boolean };
    };
    /** Reply: the height that no power cut takes back. */
    confirm: { request: null; reply: { readonly height: number } };
    /** The chain goes on in a new epoch: `head` is the tip in it, `validators` the answer of GET /v1/validators. */
    beginEpoch: { request: { readonly head: string; readonly validators: string }; reply: { readonly height: number } };
  };
};

export const storePolicies: Policies<StoreContract> = {
  tell: {
    reject: { max: 1_000, reason: 'refusals after 202 are rare; a lost one only answers 404 instead of rejected' },
  },
  ask: {
    apply: { max: 2, reason: 'one transaction at a time, with every block that became final meanwhile' },
    confirm: { max: 2, reason: 'asked before the log is compacted' },
    beginEpoch: { max: 1, reason: 'asked during replay only, one after the other' },
  },
};
