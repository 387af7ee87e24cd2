// Blocks for peers that ask: by hash what is not final yet or became so just now, by height what is in the ledger. Driven
// by the host. A peer gets so many bytes a second and no more: one that asks again and again must not slow the votes down.

import { SYNC_BLOCKS_MAX } from '../../protocol/consensus/effect.js';
import type { StoredBlock } from '../../protocol/ledger/block.js';
import { decodeBlock } from '../../protocol/ledger/block-codec.js';
import { headerText } from '../../protocol/ledger/header.js';
import { type BodyEntry, encodeBlockBody } from '../../protocol/peer/block-body.js';
import { type BlockExchange, encodeBlockFrame } from '../../protocol/peer/block-frames.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Clock } from '../../runtime/kernel/contract.js';
import type { FinalizedForStore } from '../store/contract.js';
import type { Blocks } from './blocks.js';
import type { Committed } from './committed.js';
import type { Pooled } from './mempool.js';
import type { ConsensusMetrics } from './metrics.js';
import type { Peers } from './peers.js';

export interface ExchangeParts {
  readonly blocks: Blocks;
  readonly committed: Committed;
  readonly peers: Peers;
  readonly metrics: ConsensusMetrics;
  readonly clock: Clock;
  /** Bytes of a final block in the database. */
  stored(height: number): Uint8Array | undefined;
}

interface Recent {
  readonly height: number;
  readonly hash: string;
  readonly bytes: Uint8Array;
}

/** Final blocks that are kept in memory: the database has them a second later, and finds none by its hash. */
const RECENT_BLOCKS_MAX = 64;
const RECENT_BYTES_MAX = 16 * 1024 * 1024;
/** Of one answer to a range; a certified block ends it in any case. */
const RANGE_BLOCKS = 64;
const RANGE_BYTES = 4 * 1024 * 1024;
/** What a peer is served: a burst, and then so much a second. */
const SERVED_BURST_BYTES = 16 * 1024 * 1024;
const SERVED_BYTES_PER_MS = 8 * 1024;

export class Exchange {
  readonly #parts: ExchangeParts;
  #recent: Recent[] = [];
  #recentBytes = 0;
  /** By node: bytes it may still be given, as of a moment. */
  readonly #allowances = new Map<string, { bytes: number; atMs: number }>();

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
  }

  /** The block is final. */
  remember({ height, block }: FinalizedForStore, hash: string): void {
    this.#recent.push({ height, hash, bytes: block });
    this.#recentBytes += block.length;
    while (this.#recent.length > RECENT_BLOCKS_MAX || this.#recentBytes > RECENT_BYTES_MAX) {
      this.#recentBytes -= this.#recent.shift()!.bytes.length;
    }
  }

  /** Answers `request`: the block's body, or that it is not here. */
  serveBlock(from: string, hash: string): void {
    const { peers, metrics } = this.#parts;
    const body = this.#body(hash);
    if (body === null || !this.#mayServe(from, body.length)) {
      metrics.served.inc({ what: body === null ? 'absent' : 'throttled' });
      peers.send(from, encodeBlockFrame({ type: 'absent', hash }));
      return;
    }
    metrics.served.inc({ what: 'block' });
    peers.send(from, encodeBlockFrame({ type: 'body', body }));
  }

  #body(hash: string): Buffer | null {
    const held = this.#parts.blocks.get(hash) ?? null;
    if (held !== null) return encodeBlockBody(held.headerText, bodyEntries(held.pooled));
    const recent = this.#recent.find((each) => each.hash === hash);
    if (recent === undefined) return null;
    const block = decodeBlock(recent.bytes);
    return encodeBlockBody(headerText(block.header), storedEntries(block));
  }

  /** Answers `range`: blocks with their certificates, in order, then `end`. Without room for any it ends at once. */
  serveRange(from: string, range: Extract<BlockExchange, { type: 'range' }>): void {
    const { peers, committed, metrics } = this.#parts;
    const tip = committed.tip.height;
    const to = Math.min(range.to, tip);
    const frames: Uint8Array[] = [];
    let height = range.from;
    let sizeBytes = 0;
    let certified = true;
    // A block that only a descendant makes final is worth nothing without it.
    while (height <= to || (!certified && height <= tip)) {
      const full = frames.length >= RANGE_BLOCKS || sizeBytes >= RANGE_BYTES;
      if ((full && certified) || frames.length >= SYNC_BLOCKS_MAX) break;
      const block = this.#final(height);
      if (block === undefined || !this.#mayServe(from, block.length)) break;
      certified = decodeBlock(block).chain.length === 0;
      frames.push(encodeBlockFrame({ type: 'stored', block }));
      sizeBytes += block.length;
      height += 1;
    }
    metrics.served.inc({ what: 'range' });
    frames.push(encodeBlockFrame({ type: 'end', from: range.from, next: height, tip }));
    peers.sendBulk(from, frames);
  }

  #final(height: number): Uint8Array | undefined {
    return this.#recent.find((each) => each.height === height)?.bytes ?? this.#parts.stored(height);
  }

  #mayServe(nodeId: string, sizeBytes: number): boolean {
    const nowMs = this.#parts.clock.monotonic();
    let allowance = this.#allowances.get(nodeId);
    if (allowance === undefined) {
      allowance = { bytes: SERVED_BURST_BYTES, atMs: nowMs };
      this.#allowances.set(nodeId, allowance);
    }
    const refilled = allowance.bytes + (nowMs - allowance.atMs) * SERVED_BYTES_PER_MS;
    allowance.bytes = Math.min(SERVED_BURST_BYTES, refilled);
    allowance.atMs = nowMs;
    if (allowance.bytes < sizeBytes) return false;
    allowance.bytes -= sizeBytes;
    return true;
  }
}

/** The entries of a block as they travel. */
export function bodyEntries(pooled: readonly Pooled[]): BodyEntry[] {
  return pooled.map(({ route, entry }) => {
    const { raw, issuer, key, attestation } = entry;
    return { route, raw, issuer, key, attestation };
  });
}

function storedEntries({ entries }: StoredBlock): BodyEntry[] {
  return entries.map(({ route, raw, issuer, key, attestation }) => ({
    route: InboxRoute[route],
    raw,
    issuer,
    key,
    attestation,
  }));
}
