// Has the store write final blocks: gathered, in one transaction for all that became final meanwhile. Driven by the host.
// Nothing waits for the database; the log has everything. When the store dies, the next one is given again what it may not
// have written. It must never send a block before the one below it is written.
import type { Logger } from 'pino';
import type { Clock, Link, Links, Timer } from '../../runtime/kernel/contract.js';
import type { DedupContract } from '../dedup/contract.js';
import type { FinalizedForStore, StoreContract } from '../store/contract.js';
import type { Committed } from './committed.js';

/** A disk may stall for long; giving up before the process does would only lose the answer. */
const APPLY_DEADLINE_MS = 120_000;
/** Entries that may wait for the database before the next block is built: 50 000 index entries are about 15 MB. */
const UNWRITTEN_ENTRIES_MAX = 50_000;
/**
 * How long final blocks are gathered into one transaction of the store. Nothing waits for the database, so under load
 * fewer and larger transactions are better: each one fsyncs beside the log, and rewrites every tree page it touches
 * (with random ids nearly one an entry, whether the transaction is small or large).
 */
const WRITE_IDLE_MS = 25;
const WRITE_BUSY_MS = 1_000;
/**
 * What the store after one that died over its transaction is given at a time, and without gathering, until it has caught up:
 * a transaction that only grows would outlast every store that dies early, and end at UNWRITTEN_ENTRIES_MAX.
 */
const PORTION_ENTRIES = 2_000;
/** How often a store without room is asked again. */
const STORE_FULL_RETRY_MS = 500;
/** So many final entries a second say that the node is busy: a short gathering would hold a few dozen of them. */
const BUSY_PER_SECOND = 2_000;

export interface LedgerWriterParts {
  readonly links: Links<{ store: StoreContract; dedup: DedupContract }>;
  readonly committed: Committed;
  readonly clock: Clock;
  readonly log: Logger;
  /** A transaction is over: there may be room for more. */
  written(): void;
}

export class LedgerWriter {
  readonly #parts: LedgerWriterParts;
  /** Final blocks that wait for the next transaction of the store. */
  #unwritten: FinalizedForStore[] = [];
  #writing = false;
  #timer: Timer | null = null;
  /** When the last transaction was sent, monotonic. */
  #sentAtMs = 0;
  /** By what became final between the last two transactions. */
  #busy = false;
  /** A store died over a transaction, and the one after it has not caught up yet. */
  #behind = false;
  #draining = false;
  #stopped = false;

  constructor(parts: LedgerWriterParts) {
    this.#parts = parts;
    parts.links.store.onUp(() => this.flush());
  }

  /** So much waits for the database that no more should be built. */
  get full(): boolean {
    return this.#parts.committed.unwritten.entries >= UNWRITTEN_ENTRIES_MAX;
  }

  /** Nothing waits for the database, or for nobody: of a node that stops no store comes back, and the log has everything. */
  get idle(): boolean {
    const { committed, links } = this.#parts;
    return committed.unwritten.blocks === 0 || (this.#draining && !links.store.up);
  }

  add(block: FinalizedForStore): void {
    this.#unwritten.push(block);
  }

  /** After the last `add` of a turn. A store that is down is not asked: the one after it will be. */
  flush(): void {
    if (this.#stopped || this.#writing || this.#unwritten.length === 0 || !this.#parts.links.store.up) return;
    this.#writing = true;
    const delayMs = this.#draining || this.#behind ? 0 : this.#busy ? WRITE_BUSY_MS : WRITE_IDLE_MS;
    this.#timer = this.#parts.clock.setTimer(delayMs, () => void this.#write());
  }

  /** From here on nothing is gathered any more. */
  drain(): void {
    this.#draining = true;
    if (this.#timer === null) return;
    this.#timer.cancel();
    void this.#write();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** One transaction of the store for everything that became final meanwhile. */
  async #write(): Promise<void> {
    const blocks = this.#take();
    const isAll = this.#unwritten.length === 0;
    this.#timer = null;
    const { links, committed, clock, log } = this.#parts;
    const gatheredMs = clock.monotonic() - this.#sentAtMs;
    this.#sentAtMs += gatheredMs;
    this.#busy = blocks.reduce((sum, { keys }) => sum + keys.length, 0) > (gatheredMs * BUSY_PER_SECOND) / 1_000;
    try {
      const height = await applyBlocks(links.store, blocks);
      committed.written(height);
      // Under load something has always come meanwhile; less than a portion is no backlog.
      if (isAll) this.#behind = false;
      // From here dedup finds them in the ledger; until here a repetition counts as in flight, and apply() finds it.
      const keys: string[] = [];
      for (const block of blocks) keys.push(...block.keys);
      links.dedup.tell('release', { keys });
    } catch (error) {
      if (!isPeerGone(error)) throw error;
      log.warn(
        { err: error, height: blocks[0]?.height },
        'the store died over final blocks; the next one is given them',
      );
      this.#unwritten = [...blocks, ...this.#unwritten];
      this.#behind = true;
    }
    this.#writing = false;
    this.flush();
    this.#parts.written();
  }

  #take(): FinalizedForStore[] {
    let count = this.#behind ? 0 : this.#unwritten.length;
    for (let entries = 0; count < this.#unwritten.length && entries < PORTION_ENTRIES; count++) {
      entries += this.#unwritten[count]!.keys.length;
    }
    return this.#unwritten.splice(0, count);
  }
}

/**
 * Has the store write these blocks, and waits as long as its disk has no room for them: they are safe in the log. Resolves
 * with the height on record.
 */
export async function applyBlocks(store: Link<StoreContract>, blocks: readonly FinalizedForStore[]): Promise<number> {
  for (;;) {
    const { height, full } = await store.ask('apply', { blocks }, { deadlineMs: APPLY_DEADLINE_MS });
    if (!full) return height;
    await new Promise((resolve) => setTimeout(resolve, STORE_FULL_RETRY_MS));
  }
}

/** The peer died, with or without having done it. Any other failure of a call is a defect. */
export function isPeerGone(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === 'peer_down' || code === 'outcome_unknown';
}
