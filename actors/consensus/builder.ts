// Fills the blocks of this leader from the mempool, and answers for what executing refuses. Driven by the host.
// It must never tell a client of a refusal that only a block that is not final stands behind.
import type { Effect } from '../../protocol/consensus/effect.js';
import type { BlockRef } from '../../protocol/consensus/message.js';
import { apply, type Refusal, refusal } from '../../protocol/ledger/apply.js';
import { blockTimeMs } from '../../protocol/ledger/header.js';
import type { Clock, Link } from '../../runtime/kernel/contract.js';
import type { IngressContract } from '../ingress/contract.js';
import type { Blocks, ExecutedBlock } from './blocks.js';
import type { Committed } from './committed.js';
import type { Mempool, Pooled } from './mempool.js';
import type { ConsensusMetrics } from './metrics.js';
import { isDue } from './rounds.js';

export type BuildEffect = Extract<Effect, { readonly type: 'build' }>;

export interface BuilderParts {
  readonly nodeId: string;
  /** Validators of the chain. */
  readonly nodes: number;
  readonly ingress: Link<IngressContract>;
  readonly committed: Committed;
  readonly blocks: Blocks;
  readonly mempool: Mempool;
  readonly metrics: ConsensusMetrics;
  readonly clock: Clock;
}

interface RefusedOne {
  readonly pooled: Pooled;
  readonly refusal: Refusal;
}

/**
 * What a block of a chain with peers may hold, whatever its genesis allows: with its header, what stands beside each body
 * and the certificates of its parent it has to fit into one frame between peers, which is 1 MiB.
 */
const PEER_BLOCK_BYTES = 560 * 1024;
const PEER_BLOCK_ENTRIES = 1_000;

export class Builder {
  readonly #parts: BuilderParts;

  constructor(parts: BuilderParts) {
    this.#parts = parts;
  }

  /** The block, or null: nothing to put in where something was asked for. The state after the parent must be held. */
  build(request: BuildEffect, nowMs: number): BlockRef | null {
    const { mempool, blocks, clock, nodeId } = this.#parts;
    const chain = blocks.chainTo(request.parentHash);
    const parent = blocks.viewOf(request.parentHash);
    if (chain === undefined || parent === undefined) {
      throw new Error(`the state after ${request.parentHash} is not held`);
    }
    this.#holdOnly(chain);
    const startedAtMs = clock.monotonic();
    const [entries, bytes] = this.#limits();
    const taken = request.contents === 'none' ? [] : mempool.take(entries, bytes);
    const proposal = { view: request.view, proposer: nodeId, timestampMs: nowMs };
    const block = blocks.build(parent, proposal, taken, startedAtMs);
    this.#answerRefused(block, taken, chain.length === 0);
    // Time alone may be what the block is for: a round is over.
    if (block.pooled.length > 0 || request.contents !== 'some' || isDue(parent.rounds, nowMs)) return block.ref;
    blocks.drop(block.ref.hash);
    return null;
  }

  #limits(): readonly [entries: number, bytes: number] {
    const { blockMaxEntries, blockMaxBytes } = this.#parts.committed.chain;
    if (this.#parts.nodes === 1) return [blockMaxEntries, blockMaxBytes];
    return [Math.min(blockMaxEntries, PEER_BLOCK_ENTRIES), Math.min(blockMaxBytes, PEER_BLOCK_BYTES)];
  }

  /** What stands in a block beside this chain waits again: a view was given up. */
  #holdOnly(chain: readonly ExecutedBlock[]): void {
    const { mempool, blocks } = this.#parts;
    const onChain = new Set(chain);
    let beside = false;
    for (const block of blocks.executed()) {
      if (onChain.has(block)) continue;
      mempool.release(block.pooled);
      beside = true;
    }
    if (beside) for (const { pooled } of chain) mempool.hold(pooled);
  }

  #answerRefused(block: ExecutedBlock, taken: readonly Pooled[], onFinal: boolean): void {
    if (block.result.refused.length === 0) return;
    const pooledOf = new Map(taken.map((pooled) => [pooled.entry, pooled]));
    const refused: RefusedOne[] = [];
    const again: Pooled[] = [];
    for (const { entry, refusal: found } of block.result.refused) {
      const pooled = pooledOf.get(entry)!;
      const settled = found.code === 'block-full' ? null : onFinal ? found : this.#refusalByFinal(pooled, block);
      if (settled === null) again.push(pooled);
      else refused.push({ pooled, refusal: settled });
    }
    this.#parts.mempool.release(again);
    this.#tell(refused);
  }

  /** Whether the final state refuses it too: what only an unfinalized block says may never come true. */
  #refusalByFinal({ entry }: Pooled, { header }: ExecutedBlock): Refusal | null {
    const { committed } = this.#parts;
    const verdict = apply(committed, entry, blockTimeMs(committed.tip, Date.parse(header.timestamp)));
    return verdict.ok ? null : verdict;
  }

  /** A block is final: what waits under the names that it has taken can never become final. */
  committed(block: ExecutedBlock, abandoned: readonly ExecutedBlock[]): void {
    const { mempool, committed } = this.#parts;
    for (const { pooled } of abandoned) mempool.release(pooled);
    mempool.remove(block.pooled);
    const namesakes = mempool.namesakes(block.pooled);
    if (namesakes.length === 0) return;
    const refused: RefusedOne[] = [];
    for (const pooled of namesakes) {
      const verdict = apply(committed, pooled.entry, committed.tip.blockTimeMs);
      refused.push({ pooled, refusal: verdict.ok ? refusal('conflict', 'its id was taken by another') : verdict });
    }
    this.#tell(refused);
  }

  /**
   * What has waited long, and would be refused now, is refused: the leaders that looked at it have done so, each for
   * itself, and this node would wait for a block that nobody builds.
   */
  refuseHopeless(beforeMs: number, nowMs: number): void {
    const { mempool, committed } = this.#parts;
    const timeMs = blockTimeMs(committed.tip, nowMs);
    const refused: RefusedOne[] = [];
    for (const pooled of mempool.waitingSince(beforeMs, 256)) {
      const verdict = apply(committed, pooled.entry, timeMs);
      if (!verdict.ok) refused.push({ pooled, refusal: verdict });
    }
    this.#tell(refused);
  }

  #tell(refused: readonly RefusedOne[]): void {
    if (refused.length === 0) return;
    const { mempool, metrics, ingress } = this.#parts;
    mempool.remove(refused.map(({ pooled }) => pooled));
    for (const { refusal: found } of refused) metrics.refused.inc({ reason: found.code });
    const hashes = (of: (pooled: Pooled) => Buffer) =>
      new Uint8Array(Buffer.concat(refused.map(({ pooled }) => of(pooled))));
    ingress.tell('refused', {
      digests: hashes(({ entry }) => entry.prepared.digest),
      bodies: hashes(({ entry }) => entry.prepared.body),
      statuses: refused.map(({ refusal: found }) => found.status),
      codes: refused.map(({ refusal: found }) => found.code),
      details: refused.map(({ refusal: found }) => found.detail),
      heights: refused.map(({ refusal: found }) => found.position?.height ?? 0),
      indexes: refused.map(({ refusal: found }) => found.position?.index ?? 0),
    });
  }
}
