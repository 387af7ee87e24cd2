// Stage one: raw bodies of this turn become one append to the log. Called by the door; nothing has been parsed yet.
// While two appends are under way the next batch fills: batches grow with load, and the disk is never idle.

import { encodeInbox } from '../../protocol/wal-record.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import type { Link } from '../../runtime/kernel/contract.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import type { Submission } from './submission.js';

const APPENDS_IN_FLIGHT = 2;

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
  #filling: Submission[] = [];
  #inFlight = 0;
  #scheduled = false;

  constructor(link: Link<WalWriterContract>, now: () => number, events: InboxEvents) {
    this.#link = link;
    this.#now = now;
    this.#events = events;
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
    if (this.#filling.length === 0 || this.#inFlight >= APPENDS_IN_FLIGHT) return;
    const batch = this.#filling;
    this.#filling = [];
    this.#inFlight += 1;
    void this.#append(batch).finally(() => {
      this.#inFlight -= 1;
      this.#flush();
    });
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
