// Builds and judges blocks by executing them on the state of their parent, and keeps what executing gave until the
// block is final or abandoned. Called by the host. Execution itself is the ledger's one pure function.
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

export class Blocks {
  readonly #committed: Committed;
  readonly #executed = new ReleasingMap<string, ExecutedBlock>();

  constructor(committed: Committed) {
    this.#committed = committed;
  }

  get(hash: string): ExecutedBlock | undefined {
    return this.#executed.get(hash);
  }

  executed(): Iterable<ExecutedBlock> {
    return this.#executed.values();
  }

  /** The block will not be proposed. */
  drop(hash: string): void {
    this.#executed.take(hash);
  }

  /** Nothing unfinalized of an epoch outlives it. */
  clear(): void {
    this.#executed.clear();
  }

  /** The state after `hash`, which is the last final block or an executed one above it. Undefined when it is neither. */
  viewOf(hash: string): LedgerView | undefined {
    const changes: BlockChanges[] = [];
    for (let at = hash; at !== this.#committed.tip.hash; ) {
      const block = this.#executed.get(at);
      if (block === undefined) return undefined;
      changes.unshift(block.changes);
      at = block.ref.parentHash;
    }
    return changes.length === 0 ? this.#committed : new Overlay(this.#committed, changes);
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
    return block;
  }

  /** The block is final: its changes are part of the state, and blocks of its height or below are forgotten. */
  commit(block: ExecutedBlock): void {
    this.#committed.advance(block.changes);
    for (const [hash, { ref }] of this.#executed.entries())
      if (ref.height <= block.ref.height) this.#executed.take(hash);
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
