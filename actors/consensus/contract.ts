// Messages of consensus: orders submissions into blocks and executes them. Senders: ingress (propose), gossip (peers).
import type { Policies } from '../../runtime/kernel/contract.js';
import type { CompactReply } from '../wal-writer/contract.js';

/** What entries of a batch have in common: where they came in, and the key that verified them. */
export interface ProposedForm {
  /** Node that admitted them; '' for this one. */
  readonly origin: string;
  /** A value of InboxRoute (protocol/wal-record). */
  readonly route: number;
  readonly kind: string;
  /** 'ed25519' or 'hmac-sha256' as the envelope says; '' for a bare PCS body. */
  readonly alg: string;
  readonly issuer: string;
  readonly keyId: string;
  /** In hex; '' for HMAC. */
  readonly publicKey: string;
}

/**
 * Verified submissions, column by column; raw bodies packed (runtime/kernel/batch). What ingress read from each body when it
 * checked it (protocol/submission) is here, so that it is parsed once.
 */
export interface ProposeBatch {
  readonly raws: ArrayBuffer;
  /** 32 bytes each. */
  readonly digests: Uint8Array;
  readonly bodies: Uint8Array;
  /** Each once, as far as it is cheap to find it again. */
  readonly forms: readonly ProposedForm[];
  /** The place of each entry's form. */
  readonly formOf: readonly number[];
  /** Log position of each body's inbox record; 0 where a peer brought it. */
  readonly lsns: readonly number[];
  readonly ids: readonly string[];
  /** Unix milliseconds; NaN where the kind has no signed time. */
  readonly issuedAtMs: readonly number[];
  /** Attestation JSON of the home node, '' for none; null where no entry has one. */
  readonly attestations: readonly string[] | null;
}

/** Frames of types 1 … 63 that a peer sent: packBytes, in the order in which they came. */
export interface PeerFrames {
  /** Node id of the peer, proven by its hello. */
  readonly from: string;
  readonly frames: ArrayBuffer;
}

export interface PeerState {
  readonly nodeId: string;
  readonly connected: boolean;
}

export type ConsensusContract = {
  tell: {
    peerFrames: PeerFrames;
    /** The newest state counts; each is told again when consensus is a new incarnation. */
    peerState: PeerState;
    /** A client waits to hear that a quorum has its submission: from here on, for a while, ingress is told of notarized blocks. */
    wantNotarized: null;
  };
  ask: {
    /**
     * Reply: the places of those that found no room, ascending: for anybody, for their node or for their issuer; and whether
     * there is none for this node now, whoever the issuer.
     */
    propose: { request: ProposeBatch; reply: { readonly left: readonly number[]; readonly full: boolean } };
    /** An operator wants the log compacted; with `all` also what age and size would keep. */
    compact: { request: { readonly all: boolean }; reply: CompactReply };
  };
};

export const consensusPolicies: Policies<ConsensusContract> = {
  tell: {
    peerFrames: {
      max: 64,
      reason: 'one a turn and peer; gossip holds the rest, bounded a peer, and stops reading its socket',
    },
    wantNotarized: { max: 4, reason: 'one a second; a lost one is said again with the next such client' },
    peerState: { max: 256, reason: 'one a change; gossip tells a state that found no room again' },
  },
  ask: {
    propose: { max: 64, reason: 'one a pipeline turn; more than 64 unanswered turns is overload' },
    compact: { max: 1, reason: 'an operator command, one at a time' },
  },
};
