// Messages of the wal-writer: the one thread that appends to the log. Senders: ingress (inbox), consensus (journal).
// Records travel packed (runtime/kernel/batch): all of a message in one transferred buffer.
// Nothing here may be acted upon by a sender before the reply: the reply is the promise that it is on disk.
import type { Policies } from '../../runtime/kernel/contract.js';

export interface ReadRecords {
  readonly records: ArrayBuffer;
  readonly lsns: readonly number[];
  readonly types: readonly number[];
  /** LSN to ask for next, or null at the end of the log. */
  readonly next: number | null;
}

export interface CompactRequest {
  /** Records from which a restart rebuilds consensus, given a ledger of the height that is confirmed durable. */
  readonly records: ArrayBuffer;
  readonly types: readonly number[];
  /** Nothing at or above this position may go; null: nothing above the checkpoint. */
  readonly keepFrom: number | null;
  /** Inbox entries that consensus works on. */
  readonly pins: readonly number[];
  /** Drop also what age and size would keep. */
  readonly all: boolean;
  /** Write the checkpoint also when nothing can go. */
  readonly always: boolean;
}

export interface CompactReply {
  readonly segments: number;
  readonly bytes: number;
  readonly carried: number;
  readonly firstLsn: number;
  /** Why nothing was done, or null. */
  readonly skipped: string | null;
}

export interface LogCondition {
  readonly state: 'clean' | 'torn' | 'suspect' | 'corrupt';
  /** One sentence for the operator; empty when clean. */
  readonly detail: string;
  /** Why this node may not sign, or null: a corrupt middle, a doubtful tail, a validator key without its log. */
  readonly quarantine: string | null;
  /** Position from which the records rebuild consensus: the last checkpoint of this process, else the log's first. */
  readonly replayFrom: number;
}

export type WalWriterContract = {
  tell: {
    /** Inbox entries that need no replay any more; recorded with the next batch. */
    settle: { readonly lsns: readonly number[]; readonly reason: number };
  };
  ask: {
    /** Inbox records (encoded); the reply comes after their fdatasync. */
    appendInbox: { request: { readonly records: ArrayBuffer }; reply: { readonly firstLsn: number } };
    /** Consensus records: go first in the batch that they join. */
    appendJournal: {
      request: {
        readonly records: ArrayBuffer;
        readonly types: readonly number[];
        readonly settles: readonly number[];
      };
      reply: { readonly firstLsn: number };
    };
    /** Streams the log, for replay. */
    read: {
      request: { readonly from: number; readonly types: readonly number[]; readonly maxBytes: number };
      reply: ReadRecords;
    };
    /**
     * Inbox records above `after` that are not settled, in order. `until` is the first LSN not yet written when the
     * reply was made: every append answered before it lies below.
     */
    unsettled: {
      request: { readonly after: number; readonly maxBytes: number };
      reply: ReadRecords & { readonly until: number };
    };
    /** The inbox records with these positions, wherever compaction has put them; what is not there is left out. */
    fetch: { request: { readonly lsns: readonly number[] }; reply: ReadRecords };
    condition: { request: null; reply: LogCondition };
    /**
     * The other validators have told this one where they are, and it signs above that: whatever the log has lost is answered
     * for, in a record that it holds (CONSENSUS.md 1.8). Rejects for a corrupt log.
     */
    trust: { request: null; reply: null };
    /** Segments that a checkpoint would let go, and whether the log has grown enough since the last one for another. */
    compactable: { request: null; reply: { readonly segments: number; readonly due: boolean } };
    /** Appends the checkpoint, then drops the segments that nothing needs any more. Reply: after it is done. */
    compact: { request: CompactRequest; reply: CompactReply };
  };
};

export const walWriterPolicies: Policies<WalWriterContract> = {
  tell: {
    settle: { max: 1_000, reason: 'one a pipeline turn; a lost one is only replayed and deduplicated again' },
  },
  ask: {
    appendInbox: { max: 4, reason: 'two batches in flight keep the disk busy; more would only wait in memory' },
    appendJournal: { max: 64, reason: 'a consensus step each; votes must never be refused for room' },
    read: { max: 2, reason: 'replay reads page after page' },
    unsettled: { max: 2, reason: 'replay reads page after page' },
    fetch: { max: 2, reason: 'replay asks for one block after the other' },
    condition: { max: 4, reason: 'asked once a start' },
    trust: { max: 1, reason: 'once a quarantine' },
    compactable: { max: 2, reason: 'asked twice a second' },
    compact: { max: 1, reason: 'one after the other: each looks at what the one before has left' },
  },
};
