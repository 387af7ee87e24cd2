// Stage one: raw bodies of this turn become one append to the log. Called by the door; nothing has been parsed yet.
// While two appends are under way, or the wal-writer is restarting, the next batch fills: batches grow with load, and the
// disk is never idle.

import { encodeInbox } from '../../protocol/wal-record.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import type { Link } from '../../runtime/kernel/contract.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import type { Submission } from './submission.js';

const APPENDS_IN_FLIGHT = 2;
/** What one batch of the log takes of the inbox (DECISIONS 12): more in one append would make votes wait behind it. */
const APPEND_BYTES = 256 * 1024;

export interface InboxEvents {
  /** These are on disk, with their LSNs. */
  logged(submissions: readonly Submission[]): void;
  /** Whether these are on disk is not known: their clients must ask again with the same id. */
  failed(submissions: readonly Submission[], error: Error): void;
}

export class Inbox {
  readonly #link: Link<WalWriterContract>;
  readonly #events: InboxEvents;
  readonly #now: () => number;
  readonly #filling: Submission[] = [];
  #inFlight = 0;
  #scheduled = false;

  constructor(link: Link<WalWriterContract>, now: () => number, events: InboxEvents) {
    this.#link = link;
    this.#now = now;
    this.#events = events;
    link.onUp(() => this.#flush());
  }

  get idle(): boolean {
    return this.#inFlight === 0 && this.#filling.length === 0;
  }

  add(submission: Submission): void {
    this.#filling.push(submission);
    if (this.#scheduled || this.#inFlight >= APPENDS_IN_FLIGHT) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#filling.length > 0 && this.#inFlight < APPENDS_IN_FLIGHT && this.#link.up) {
      this.#inFlight += 1;
      void this.#append(this.#next()).finally(() => {
        this.#inFlight -= 1;
        this.#flush();
      });
    }
  }

  #next(): Submission[] {
    let count = 0;
    for (let sizeBytes = 0; count < this.#filling.length; count++) {
      sizeBytes += this.#filling[count]!.raw.length;
      if (count > 0 && sizeBytes > APPEND_BYTES) break;
    }
    return this.#filling.splice(0, count);
  }

  async #append(batch: readonly Submission[]): Promise<void> {
    const receivedAtMs = this.#now();
    const records = packBytes(
      batch.map(({ route, requestId, raw }) => encodeInbox({ receivedAtMs, route, requestId, body: raw })),
    );
    try {
      const { firstLsn } = await this.#link.ask('appendInbox', { records }, { transfer: [records] });
      batch.forEach((submission, index) => {
        submission.lsn = firstLsn + index;
      });
      this.#events.logged(batch);
    } catch (error) {
      this.#events.failed(batch, error as Error);
    }
  }
}
