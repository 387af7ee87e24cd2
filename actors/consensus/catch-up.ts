// Gathers final blocks from one peer for a core that is far behind (1.10). Driven by the host. It judges nothing but the
// form: hash, links and certificates are the core's to check. Every question it is given gets exactly one answer, soon.
import type { Certificate } from '../../protocol/consensus/certificate.js';
import type { Context } from '../../protocol/consensus/context.js';
import { type Effect, SYNC_BLOCKS_MAX } from '../../protocol/consensus/effect.js';
import type { SyncedBlock } from '../../protocol/consensus/input.js';
import { FINALIZE } from '../../protocol/consensus/vote.js';
import { restoreEntry, type StoredBlock } from '../../protocol/ledger/block.js';
import { BlockCodecError, decodeBlock } from '../../protocol/ledger/block-codec.js';
import { blockHash, headerText } from '../../protocol/ledger/header.js';
import { type BlockExchange, encodeBlockFrame } from '../../protocol/peer/block-frames.js';
import { FrameError } from '../../protocol/peer/bytes.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Clock, Timer } from '../../runtime/kernel/contract.js';
import { contentOf } from './block-record.js';
import { type HeldBlock, refOf } from './blocks.js';
import type { Pooled } from './mempool.js';

export type CatchUpEffect = Extract<Effect, { readonly type: 'catchup' }>;

export interface CatchUpParts {
  readonly context: Context;
  readonly clock: Clock;
  send(nodeId: string, frame: Uint8Array): void;
  /** Keeps a block's bodies. */
  hold(block: HeldBlock): void;
  synced(peer: number, fromHeight: number, blocks: readonly SyncedBlock[]): void;
}

interface Asked extends CatchUpEffect {
  readonly nodeId: string;
  readonly blocks: SyncedBlock[];
  next: number;
}

/** A peer that is silent for so long is left: its blocks may be large, but they come one by one. */
const SILENCE_MS = 1_500;

export class CatchUp {
  readonly #parts: CatchUpParts;
  #asked: Asked | null = null;
  #timer: Timer | null = null;

  constructor(parts: CatchUpParts) {
    this.#parts = parts;
  }

  /** How many blocks are missing as far as it is known; 0 while nobody asks. */
  get behind(): number {
    return this.#asked === null ? 0 : Math.max(0, this.#asked.toHeight - this.#asked.next + 1);
  }

  start(effect: CatchUpEffect): void {
    const nodeId = this.#parts.context.validators[effect.peer]?.nodeId ?? '';
    this.#asked = { ...effect, nodeId, blocks: [], next: effect.fromHeight };
    this.#parts.send(nodeId, encodeBlockFrame({ type: 'range', from: effect.fromHeight, to: effect.toHeight }));
    this.#wait();
  }

  /** A block of the answer. Throws FrameError for one that cannot be part of it. */
  stored(from: string, bytes: Uint8Array): void {
    const asked = this.#asked;
    if (asked === null || asked.nodeId !== from) throw new FrameError('unasked', 'a block that nobody asked for');
    const { held, synced } = readStored(this.#parts.context, bytes);
    if (held.ref.height !== asked.next) {
      throw new FrameError('out-of-order', `block ${held.ref.height} where ${asked.next} is due`);
    }
    this.#parts.hold(held);
    asked.blocks.push(synced);
    asked.next += 1;
    if (asked.blocks.length >= SYNC_BLOCKS_MAX) this.#answer();
    else this.#wait();
  }

  end(from: string, end: Extract<BlockExchange, { type: 'end' }>): void {
    const asked = this.#asked;
    if (asked !== null && asked.nodeId === from && asked.fromHeight === end.from) this.#answer();
  }

  /** This peer is gone, or sent what cannot be read: what it gave so far is the answer. */
  failed(from: string): void {
    if (this.#asked?.nodeId === from) this.#answer();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #wait(): void {
    this.#timer?.cancel();
    this.#timer = this.#parts.clock.setTimer(SILENCE_MS, () => this.#answer());
  }

  #answer(): void {
    const asked = this.#asked;
    if (asked === null) return;
    this.#timer?.cancel();
    this.#asked = null;
    // What stands above the last certificate proves nothing yet.
    const last = asked.blocks.findLastIndex(({ certificate }) => certificate !== null);
    this.#parts.synced(asked.peer, asked.fromHeight, asked.blocks.slice(0, last + 1));
  }
}

function readStored(context: Context, bytes: Uint8Array): { held: HeldBlock; synced: SyncedBlock } {
  let block: StoredBlock;
  try {
    // A copy: the bytes are a view of a frame that goes away.
    block = decodeBlock(Buffer.from(bytes));
  } catch (error) {
    if (error instanceof BlockCodecError) throw new FrameError('malformed', error.message);
    throw error;
  }
  const text = headerText(block.header);
  const hash = blockHash(text).toString('hex');
  const ref = refOf(block.header, hash);
  let pooled: readonly Pooled[] | null = null;
  const parse = (): readonly Pooled[] => {
    pooled ??= block.entries.map((stored) => {
      const entry = restoreEntry(stored);
      const route = InboxRoute[stored.route];
      return { entry, lsn: 0, route, content: contentOf(entry.prepared), origin: '' };
    });
    return pooled;
  };
  const held: HeldBlock = {
    ref,
    header: block.header,
    headerText: text,
    verified: false,
    pooled: parse,
    unverified: parse,
  };
  const certificate = block.chain.length === 0 ? certificateOf(context, block, hash) : null;
  return { held, synced: { block: ref, certificate } };
}

/** The stored form of a certificate as the core has it; null where it cannot be one of this epoch. */
export function certificateOf(context: Context, { certificate }: StoredBlock, hash: string): Certificate | null {
  if (certificate.epoch !== context.epoch || certificate.signers.length !== certificate.signatures.length) return null;
  const signers = certificate.signers.map((signer) => context.validators.findIndex(({ nodeId }) => nodeId === signer));
  if (signers.includes(-1)) return null;
  const signatures = certificate.signatures.map((text) => new Uint8Array(Buffer.from(text, 'base64')));
  return { kind: FINALIZE, view: certificate.view, hash, signers, signatures };
}
