// Messages of gossip: the connections to peers. Senders: consensus and ingress, with frames for peers. Gossip knows the
// first byte of a frame and its size, and nothing else of what a frame means.
import type { Policies } from '../../runtime/kernel/contract.js';

/** live: votes, proposals, certificates. bulk: blocks of a catch-up, re-gossiped submissions; live frames overtake them. */
export type Lane = 'live' | 'bulk';

/**
 * Frames for peers. Each frame is 1 byte of type (1 … 95) and its content, at most FRAME_MAX_BYTES (protocol/peer/frame) together.
 * What cannot be queued is dropped and counted, bulk first: the sender never waits, and repeats by itself what it needs.
 */
export interface SendFrames {
  /** Node ids; null: every connected peer that is a validator. Who is not connected gets nothing. */
  readonly to: readonly string[] | null;
  readonly lane: Lane;
  /** packBytes of the frames; give it to the transfer list. */
  readonly frames: ArrayBuffer;
}

/** A configured peer as gossip sees it. */
export interface PeerView {
  readonly nodeId: string;
  readonly host: string;
  readonly port: number;
  /** False: a relay that does not vote. */
  readonly validator: boolean;
  readonly connected: boolean;
  /** Unix milliseconds of the last change of `connected`; null before the first connection. */
  readonly sinceMs: number | null;
  /** Unix milliseconds at which something was heard of it, two seconds at most before now while it lives; null when never. */
  readonly lastSeenMs: number | null;
  /** Who opened the connection in use; null without one. */
  readonly direction: 'dialed' | 'accepted' | null;
  /** SHA-256 of the certificate that the peer showed, masked; null without a connection or without TLS. */
  readonly fingerprint: string | null;
  /** Unix milliseconds until which the certificate of its last connection is valid; null before one, and without TLS. */
  readonly certificateEndMs: number | null;
  /** Fingerprints of the certificates that it may show, masked. */
  readonly pins: readonly string[];
  readonly queuedFrames: number;
  readonly queuedBytes: number;
  readonly breaker: 'closed' | 'open' | 'half-open';
  /** Why the last connection or attempt ended; null when none has. */
  readonly lastError: string | null;
}

export type GossipContract = {
  tell: { send: SendFrames };
  ask: { peers: { request: null; reply: readonly PeerView[] } };
};

export const gossipPolicies: Policies<GossipContract> = {
  tell: {
    // A sender packs what one turn produced; 256 turns unheard mean that this thread stands still.
    send: { max: 256, reason: 'one or two a turn of the sender; what is lost it repeats' },
  },
  ask: { peers: { max: 8, reason: 'operators and readiness' } },
};
