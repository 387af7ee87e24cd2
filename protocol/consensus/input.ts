// Everything the core can be told. Time comes with each input, in unix milliseconds, from a clock that does not go back.
// Made by the host (the consensus actor, or a test); consumed by step().
// Must never carry a body or anything that cannot be written down and fed again: same state and input, same result.
import type { Certificate } from './certificate.js';
import type { BlockRef, Message } from './message.js';

/** A block as a peer serves it: with its own Finalization, or null where only a descendant's makes it final. */
export interface SyncedBlock {
  readonly block: BlockRef;
  readonly certificate: Certificate | null;
}

export type Input =
  /** Once, after the last replayed record: from here on the core may sign. `pending` follows it where something waits. */
  | { readonly type: 'start'; readonly now: number }
  /** `state.wakeAtMs` has come. Earlier or later ticks do no harm. */
  | { readonly type: 'tick'; readonly now: number }
  /**
   * How many submissions this node knows that are in no finalized block. Sent when one arrives and whenever the host's
   * count differs from `state.pendingCount`, which the core lowers by itself at each commit.
   */
  | { readonly type: 'pending'; readonly now: number; readonly count: number }
  /**
   * The answer to a `build` effect, exactly one each, also when the view has passed meanwhile. The host may hold it
   * back to gather submissions. `block` null: there is nothing to put in (or, unwanted as it is, nothing could be built).
   */
  | { readonly type: 'built'; readonly now: number; readonly view: number; readonly block: BlockRef | null }
  /** The answer to a `validate` effect: by deterministic rules alone, so that every node says the same (R3). */
  | { readonly type: 'validated'; readonly now: number; readonly hash: string; readonly valid: boolean }
  /** The answer to a `fetch` of a block: its body is held by the host now, and hashes to `block.hash`. */
  | { readonly type: 'block'; readonly now: number; readonly block: BlockRef }
  /** `from` is the validator at the other end of the authenticated link, or null for a peer outside the set. */
  | { readonly type: 'message'; readonly now: number; readonly from: number | null; readonly message: Message }
  /** The link to this validator came up or went down. Without these inputs every validator counts as connected. */
  | { readonly type: 'peer'; readonly now: number; readonly peer: number; readonly connected: boolean }
  /**
   * The answer to a `catchup` effect, exactly one each: what `peer` gave for `fromHeight` on, ascending, none where it
   * refused or its time was up. The bodies are held by the host and hash to each `block.hash`; nothing else is checked yet.
   * What is no longer wanted afterwards (not committed, not in `state.blocks`) the host may drop.
   */
  | {
      readonly type: 'synced';
      readonly now: number;
      readonly peer: number;
      readonly fromHeight: number;
      readonly blocks: readonly SyncedBlock[];
    }
  /**
   * Try to leave the quarantine (1.8). The host says so when its log is fit to be written again, and with a `nonce` of 32
   * random bytes, 64 hex digits, for each try. Says nothing to a node that is not quarantined.
   */
  | { readonly type: 'recover'; readonly now: number; readonly nonce: string };
