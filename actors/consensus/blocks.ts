// Builds and judges blocks by executing them on the state of their parent, and keeps what executing gave until the
// block is final or abandoned; of blocks that peers sent and nobody judged yet it keeps the bodies. Called by the host.
// Execution itself is the ledger's one pure function.
import type { BlockRef } from '../../protocol/consensus/message.js';
import type { LedgerView } from '../../protocol/ledger/apply.js';
import { type BlockResult, executeBlock } from '../../protocol/ledger/execute.js';
import {
  blockHash,
  blockTimeMs,
  type Header,
  headerFault,
  headerText,
  makeHeader,
  timestampMs,
} from '../../protocol/ledger/header.js';
import { type BlockChanges, changesOf, Overlay } from '../../protocol/ledger/overlay.js';
import type { RoundsState } from '../../protocol/rounds/round.js';
import { ReleasingMap } from '../../runtime/kernel/releasing-map.js';
import type { Committed } from './committed.js';
import type { Pooled } from './mempool.js';

export interface ExecutedBlock {
  readonly ref: BlockRef;
  readonly header: Header;
  readonly headerText: string;
  readonly pooled: readonly Pooled[];
  readonly result: BlockResult;
  readonly changes: BlockChanges;
  /** Rounds before and after it, where it changed them. */
  readonly rounds: { readonly before: RoundsState; readonly after: RoundsState } | null;
  /** Monotonic milliseconds at which this node began to build it; null for a block of another leader or a replayed one. */
  readonly startedAtMs: number | null;
}

/** A block whose bodies are here and which was not executed. */
export interface HeldBlock {
  readonly ref: BlockRef;
  readonly header: Header;
  readonly headerText: string;
  /** Every signature in it was verified: it comes from this node's own log, or q validators have made it final. */
  readonly verified: boolean;
  /** Its entries, parsed at the first call. Throws when one cannot be parsed: then the block is not valid. */
  pooled(): readonly Pooled[];
  /** Of these, whose signatures nobody here has checked. */
  unverified(): readonly Pooled[];
}

export class Blocks {
  readonly #committed: Committed;
  readonly #executed = new ReleasingMap<string, ExecutedBlock>();
  readonly #held = new ReleasingMap<string, HeldBlock>();

  constructor(committed: Committed) {
    this.#committed = committed;
  }

  /** An executed block. */
  get(hash: string): ExecutedBlock | undefined {
    return this.#executed.get(hash);
  }

  /** A block whose bodies are here, executed or not. Its `pooled` throws where they cannot be parsed. */
  body(hash: string): { readonly headerText: string; readonly pooled: readonly Pooled[] } | undefined {
    const executed = this.#executed.get(hash);
    if (executed !== undefined) return executed;
    const held = this.#held.get(hash);
    return held === undefined ? undefined : { headerText: held.headerText, pooled: held.pooled() };
  }

  held(hash: string): HeldBlock | undefined {
    return this.#held.get(hash);
  }

  has(hash: string): boolean {
    return this.#executed.has(hash) || this.#held.has(hash);
  }

  executed(): Iterable<ExecutedBlock> {
    return this.#executed.values();
  }

  heldBlocks(): Iterable<HeldBlock> {
    return this.#held.values();
  }

  hold(block: HeldBlock): void {
    if (!this.has(block.ref.hash)) this.#held.set(block.ref.hash, block);
  }

  /** The block will not be proposed, or nobody asks for it. */
  drop(hash: string): void {
    this.#executed.take(hash);
    this.#held.take(hash);
  }

  /** Nothing unfinalized of an epoch outlives it. */
  clear(): void {
    this.#executed.clear();
    this.#held.clear();
  }

  /** The chain from the block after the last final one up to `hash`, oldest first; undefined where it is not executed. */
  chainTo(hash: string): readonly ExecutedBlock[] | undefined {
    const chain: ExecutedBlock[] = [];
    for (let at = hash; at !== this.#committed.tip.hash; ) {
      const block = this.#executed.get(at);
      if (block === undefined) return undefined;
      chain.unshift(block);
      at = block.ref.parentHash;
    }
    return chain;
  }

  /** The state after `hash`, which is the last final block or an executed one above it. Undefined when it is neither. */
  viewOf(hash: string): LedgerView | undefined {
    const chain = this.chainTo(hash);
    if (chain === undefined) return undefined;
    if (chain.length === 0) return this.#committed;
    return new Overlay(
      this.#committed,
      chain.map(({ changes }) => changes),
    );
  }

  /** A block of this leader. What executing refused is in `result.refused`, for the caller to answer. */
  build(
    parent: LedgerView,
    proposal: { readonly view: number; readonly proposer: string; readonly timestampMs: number },
    pooled: readonly Pooled[],
    startedAtMs: number,
  ): ExecutedBlock {
    const timeMs = blockTimeMs(parent.tip, proposal.timestampMs);
    const result = executeBlock(
      parent,
      pooled.map(({ entry }) => entry),
      timeMs,
    );
    const header = makeHeader(parent.tip, proposal, result);
    const refused = new Set(result.refused.map(({ entry }) => entry));
    const accepted = refused.size === 0 ? pooled : pooled.filter(({ entry }) => !refused.has(entry));
    return this.#keep(parent, header, accepted, result, startedAtMs);
  }

  /** Executes a block that somebody else, or this node before a restart, built. Throws when it is not valid. */
  judge(parent: LedgerView, header: Header, pooled: readonly Pooled[]): ExecutedBlock {
    const timeMs = blockTimeMs(parent.tip, timestampMs(header));
    const result = executeBlock(
      parent,
      pooled.map(({ entry }) => entry),
      timeMs,
    );
    const first = result.refused[0];
    if (first !== undefined) throw new Error(`the block holds an entry that is refused: ${first.refusal.detail}`);
    const fault = headerFault(parent.tip, header, result);
    if (fault !== null) throw new Error(`the block's header is wrong: ${fault}`);
    return this.#keep(parent, header, pooled, result, null);
  }

  /** A final block, executed: where nobody has judged it here, now, on the word of the validators that made it final. */
  settled(hash: string): ExecutedBlock {
    const executed = this.#executed.get(hash);
    if (executed !== undefined) return executed;
    const held = this.#held.get(hash);
    const parent = held === undefined ? undefined : this.viewOf(held.header.parent_hash);
    if (held === undefined || parent === undefined) throw new Error(`block ${hash} is final and is not held here`);
    return this.judge(parent, held.header, held.pooled());
  }

  #keep(
    parent: LedgerView,
    header: Header,
    pooled: readonly Pooled[],
    result: BlockResult,
    startedAtMs: number | null,
  ): ExecutedBlock {
    const text = headerText(header);
    const hash = blockHash(text).toString('hex');
    const block: ExecutedBlock = {
      ref: refOf(header, hash),
      header,
      headerText: text,
      pooled,
      result,
      changes: changesOf(parent.tip, header, hash, result),
      rounds: result.rounds === null ? null : { before: parent.rounds, after: result.rounds },
      startedAtMs,
    };
    this.#executed.set(hash, block);
    this.#held.take(hash);
    return block;
  }

  /**
   * The block is final: its changes are part of the state, and blocks of its height or below are forgotten. What else was
   * executed there is given back: it was abandoned.
   */
  commit(block: ExecutedBlock): ExecutedBlock[] {
    this.#committed.advance(block.changes);
    const abandoned: ExecutedBlock[] = [];
    for (const [hash, other] of this.#executed.entries()) {
      if (other.ref.height > block.ref.height) continue;
      this.#executed.take(hash);
      if (other !== block) abandoned.push(other);
    }
    for (const [hash, { ref }] of this.#held.entries()) if (ref.height <= block.ref.height) this.#held.take(hash);
    return abandoned;
  }
}

export function refOf(header: Header, hash: string): BlockRef {
  return {
    hash,
    height: header.height,
    view: header.view,
    parentView: header.parent_view,
    parentHash: header.parent_hash,
    timestamp: timestampMs(header),
    entryCount: header.entry_count,
  };
}
