// Messages of ingress: the client-facing door. Senders: consensus (what became of the submissions), gossip (what peers
// sent and asked).
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
  /** Inbox records that the consensus journal settled with it, an entry each; 0 where its body came from a peer. */
  readonly lsns: readonly number[];
  /** Nodes of the block's Merkle tree (protocol/merkle). */
  readonly tree: Uint8Array;
  readonly certified: CertifiedBlock;
  /** The registry in force after this block, as JSON text, when the block changed it. */
  readonly registry: string | null;
}

/** Entries of a block that q validators have voted for: each of these has it on disk. It may still come to nothing. */
export interface NotarizedBlock {
  /** 32 bytes an entry. */
  readonly digests: Uint8Array;
  readonly bodies: Uint8Array;
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

/** Frames of peers' submissions: packBytes of frames of types 64 … 95, in the order in which they came. */
export interface GossipedFrames {
  /** Node id of the peer, proven by its hello. */
  readonly from: string;
  readonly frames: ArrayBuffer;
}

/** A request on the peer port. */
export interface PeerRequest {
  /** Node id that the client certificate's pin names. */
  readonly from: string;
  readonly method: 'GET' | 'POST';
  /** Of a route of the peer port: `/rpc/submit`, `/rpc/status`, `/rpc/reconcile`, `/rpc/blocks`. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
  readonly body: Uint8Array;
  readonly requestId: string;
}

export interface PeerAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export type IngressContract = {
  tell: {
    /**
     * From here on this consensus is heard: one is said to each new pair of incarnations. What became of submissions
     * before was told to nobody. `registry` is the one in force, as JSON text; `quarantine` why nothing is proposed, or null.
     */
    connected: { readonly registry: string; readonly quarantine: string | null };
    finalized: FinalizedBlock;
    /** For a while after ingress has asked for it, each before the block is told as final. */
    notarized: NotarizedBlock;
    refused: RefusedBatch;
    gossiped: GossipedFrames;
    /** Consensus has come to reach this validator: it may know nothing of what waits here. */
    peerUp: { readonly nodeId: string };
    /** Proven offences of validators, each the canonical text of its document (protocol/evidence-verify). */
    evidence: { readonly documents: readonly string[] };
  };
  ask: {
    rpc: { request: PeerRequest; reply: PeerAnswer };
  };
};

export const ingressPolicies: Policies<IngressContract> = {
  tell: {
    connected: { max: 4, reason: 'one for each pair of incarnations' },
    finalized: { max: 256, reason: 'one a block; of lost ones consensus tells again when ingress proposes again' },
    notarized: {
      max: 256,
      reason: 'one a block; of a lost one a client is told that this node has it, or that it is final',
    },
    refused: { max: 256, reason: 'one a block' },
    evidence: { max: 64, reason: 'one an offence, at most eight a validator; all are told again to a new ingress' },
    peerUp: { max: 256, reason: 'one a change of a connection; a lost one only delays' },
    gossiped: {
      max: 64,
      reason: 'one a turn and peer; gossip holds the rest, bounded a peer, and stops reading its socket',
    },
  },
  ask: {
    rpc: { max: 64, reason: 'requests of all peers in hand; more is 503' },
  },
};
