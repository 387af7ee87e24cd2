// Messages of rpc-client: calls to the peer ports of other nodes. Senders: ingress and consensus (reconcile, comparing
// status, blocks). Every call settles with an outcome; it never throws for what the network or the peer did.
import type { Policies } from '../../runtime/kernel/contract.js';

export interface PeerCall {
  /** A configured peer. */
  readonly nodeId: string;
  readonly method: 'GET' | 'POST';
  /** Path and query: `/rpc/status?round_id=r1`. */
  readonly path: string;
  readonly body: Uint8Array | null;
  /** Lower-case names. content-type, accept; what identifies the node is set here and not by the caller. */
  readonly headers: Readonly<Record<string, string>>;
  readonly requestId: string;
  /** 1 … 10; 10 when absent. */
  readonly attempts?: number;
}

/** How a call ended. Only network_error, http_5xx and timeout are tried again. */
export type PeerOutcome = 'success' | 'network_error' | 'tls_error' | 'http_4xx' | 'http_5xx' | 'timeout';

export interface PeerReply {
  /** Of the last attempt. */
  readonly outcome: PeerOutcome;
  /** HTTP status of the last attempt; null when there was no answer. */
  readonly status: number | null;
  /** At most ANSWER_MAX_BYTES; empty when there was no answer. */
  readonly body: Uint8Array;
  /** Attempts made; 0 when the breaker of the peer is open, or no such peer is configured. */
  readonly attempts: number;
  /** One sentence for a log or an error, null on success. */
  readonly detail: string | null;
}

export type RpcClientContract = {
  tell: Record<never, never>;
  ask: {
    /** Ten attempts with their waits take up to 50 s: give `deadlineMs`, or fewer attempts. */
    call: { request: PeerCall; reply: PeerReply };
  };
};

export const rpcClientPolicies: Policies<RpcClientContract> = {
  tell: {},
  ask: { call: { max: 64, reason: 'a question to every peer at once, a few callers at a time' } },
};
