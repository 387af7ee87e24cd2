// Messages of dedup: filter and cache in front of consensus. Senders: ingress (admit, release), consensus (release).
// It never decides alone: the ledger index, read by apply(), is the authority on what happened before.
import type { Policies } from '../../runtime/kernel/contract.js';

/**
 * in-flight: the same content is on its way, wait for its outcome. final: the same content stands at `height`, `index`.
 * conflict: the id was used for other content.
 */
export type AdmitVerdict = 'new' | 'in-flight' | 'final' | 'conflict';

export interface AdmitRequest {
  /** `issuer \0 id` of each submission. */
  readonly keys: readonly string[];
  /** 32 bytes each: what makes two submissions of one id the same (digest; for pcs the body hash). */
  readonly contents: Uint8Array;
}

/** A submission that is not new, by its place in the request. */
export interface Known {
  readonly place: number;
  readonly verdict: Exclude<AdmitVerdict, 'new'>;
  /** 0 unless final. */
  readonly height: number;
  readonly index: number;
}

export interface AdmitReply {
  /** Ascending; nearly always empty. */
  readonly known: readonly Known[];
}

export type DedupContract = {
  tell: {
    /** No longer in flight: final and readable in the ledger, or refused. */
    release: { readonly keys: readonly string[] };
  };
  ask: {
    admit: { request: AdmitRequest; reply: AdmitReply };
  };
};

export const dedupPolicies: Policies<DedupContract> = {
  tell: {
    release: { max: 256, reason: 'one a store transaction or refused batch; a lost one is only slower to repeat' },
  },
  ask: {
    admit: { max: 64, reason: 'one a pipeline turn; 64 turns of waiting is overload' },
  },
};
