// Takes the unsettled entries of the log up again: after a restart of this actor or of the wal-writer, and now and then for
// appends whose answer got lost. Called by the door. What somebody works on already it leaves alone.
import type { Logger } from 'pino';
import { decodeInbox } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import type { Link } from '../../runtime/kernel/contract.js';
import type { ReadRecords, WalWriterContract } from '../wal-writer/contract.js';
import { emptySubmission, type Submission } from './submission.js';

export interface ReplayTarget {
  isInHand(lsn: number): boolean;
  take(batch: readonly Submission[]): void;
}

const PAGE_BYTES = 256 * 1024;

export class Replay {
  readonly #link: Link<WalWriterContract>;
  readonly #log: Logger;
  readonly #target: ReplayTarget;
  #running = false;

  constructor(link: Link<WalWriterContract>, log: Logger, target: ReplayTarget) {
    this.#link = link;
    this.#log = log;
    this.#target = target;
  }

  /** One pass over what was in the log when it began; a call while one runs does nothing. */
  async run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      let until = Number.POSITIVE_INFINITY;
      for (let after: number | null = 0; after !== null && after < until; ) {
        const page: ReadRecords & { until: number } = await this.#link.ask('unsettled', {
          after,
          maxBytes: PAGE_BYTES,
        });
        // Appends answered from here on lie above: they are in the hands of whoever got the answer.
        until = Math.min(until, page.until);
        this.#take(page, until);
        after = page.next;
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'replay of the log stopped; the next attempt takes up the rest');
    } finally {
      this.#running = false;
    }
  }

  #take(page: ReadRecords, until: number): void {
    const batch: Submission[] = [];
    unpackBytes(page.records).forEach((data, index) => {
      const lsn = page.lsns[index]!;
      if (lsn >= until || this.#target.isInHand(lsn)) return;
      const { route, requestId, body } = decodeInbox(data);
      // A copy: one body must not keep the whole page in memory.
      batch.push({ ...emptySubmission(route, new Uint8Array(body), requestId, null), lsn });
    });
    if (batch.length === 0) return;
    this.#log.info({ count: batch.length }, 'unsettled submissions of the log taken up');
    this.#target.take(batch);
  }
}
