// Answers that were given before: a cache of recent ones, and the ledger behind it. Called by the door for replays.
// An answer from here is the recorded one; nothing is judged again.
import type { LRUCache } from 'lru-cache';
import { BlockReceipts } from '../../protocol/ledger/block.js';
import type { LedgerReader } from '../ledger/reader.js';
import { answerCache, type CacheLimits, resized } from './answer-cache.js';
import type { Answers, BlockAnswers } from './answers.js';
import type { Answer } from './submission.js';

export interface RecentAnswer {
  readonly block: BlockAnswers;
  readonly index: number;
}

export class Recorded {
  /**
   * Content → place in its block, which is kept as it came (IN-6: 10 000 answers, 10 minutes, both configurable). The
   * text is written again when it is asked for: 10 000 ready answers would be 17 MB that every collection has to move.
   */
  #cache: LRUCache<string, RecentAnswer>;
  readonly #monotonic: () => number;
  readonly #ledger: LedgerReader;
  readonly #answers: Answers;

  constructor(limits: CacheLimits, monotonic: () => number, ledger: LedgerReader, answers: Answers) {
    this.#cache = answerCache(limits, monotonic);
    this.#monotonic = monotonic;
    this.#ledger = ledger;
    this.#answers = answers;
  }

  resize(limits: CacheLimits): void {
    this.#cache = resized(this.#cache, limits, this.#monotonic);
  }

  /** Under its content, and under its digest where that is another: a GET may come before the database has the block. */
  remember(content: string, digest: string, recent: RecentAnswer): void {
    this.#cache.set(content, recent);
    if (digest !== content && !this.#cache.has(digest)) this.#cache.set(digest, recent);
  }

  /** By content or by digest. */
  recent(name: string): Answer | null {
    const recent = this.#cache.get(name);
    return recent === undefined ? null : recent.block.answer(recent.index);
  }

  /** Null while the block is final but not readable yet. */
  answer(content: string, height: number, index: number): Answer | null {
    return this.recent(content) ?? this.fromLedger(height, index);
  }

  fromLedger(height: number, index: number): Answer | null {
    const block = this.#ledger.block(height);
    const entry = block?.entries[index];
    if (block === undefined || entry === undefined) return null;
    return this.#answers.final(entry.outcome, new BlockReceipts(block).text(index));
  }
}
