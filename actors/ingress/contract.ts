// Messages of ingress: the client-facing door. Senders: consensus (what became of the submissions), and whoever holds the
// peer port (what peers ask).
import type { CertifiedBlock } from '../../protocol/receipt.js';
import type { Policies } from '../../runtime/kernel/contract.js';

/** A finalized block as its waiting clients need it: enough to write every receipt without a read. */
export interface FinalizedBlock {
  readonly height: number;
  /** 32 bytes an entry. */
  readonly digests: Uint8Array;
  readonly bodies: Uint8Array;
  /** Canonical JSON text an entry. */
  readonly outcomes: readonly string[];
  /** Nodes of the block's Merkle tree (protocol/merkle). */
  readonly tree: Uint8Array;
  readonly certified: CertifiedBlock;
  /** The registry in force after this block, as JSON text, when the block changed it. */
  readonly registry: string | null;
}

/** Submissions that apply() refused when their block was built. */
export interface RefusedBatch {
  readonly digests: Uint8Array;
  readonly bodies: Uint8Array;
  readonly statuses: readonly number[];
  readonly codes: readonly string[];
  readonly details: readonly string[];
  /** Where the recorded outcome stands, for a replay; 0 when there is none. */
  readonly heights: readonly number[];
  readonly indexes: readonly number[];
}

/** A request of the peer port, as far as ingress answers it (`/rpc/submit`, `/rpc/status`, `/rpc/reconcile`). */
export interface RpcRequest {
  /** Node id that the connection proved; never a claim of the request. */
  readonly from: string;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** What follows the `?`, or ''. */
  readonly query: string;
  /** Header Content-Type, where there is one. */
  readonly contentType?: string;
  readonly requestId: string;
  readonly body: Uint8Array;
}

/** Header names in lower case; the body is JSON text. */
export interface RpcAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type IngressContract = {
  tell: {
    /**
     * From here on this consensus is heard: one is said to each new pair of incarnations. What became of submissions
     * before was told to nobody. `registry` is the one in force, as JSON text; `quarantine` why nothing is proposed, or null.
     */
    connected: { readonly registry: string; readonly quarantine: string | null };
    finalized: FinalizedBlock;
    refused: RefusedBatch;
  };
  ask: {
    /** Settles within the default wait for finality, and a little. */
    rpc: { request: RpcRequest; reply: RpcAnswer };
  };
};

export const ingressPolicies: Policies<IngressContract> = {
  tell: {
    connected: { max: 4, reason: 'one for each pair of incarnations' },
    finalized: { max: 256, reason: 'one a block; of lost ones consensus tells again when ingress proposes again' },
    refused: { max: 256, reason: 'one a block' },
  },
  ask: {
    rpc: { max: 256, reason: 'requests of peers under way; more are told that this node is busy' },
  },
};
