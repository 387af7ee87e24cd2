// The records of the log that consensus is rebuilt from, page after page. Begun by the actor's init and the cluster's
// fixture, taken by replay.ts. The wal-writer reads a page while the one before it is taken; never more than one is held.
import { type PlacedRecord, RecordType } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import type { Links } from '../../runtime/kernel/contract.js';
import type { ReadRecords, WalWriterContract } from '../wal-writer/contract.js';

/** Small enough that reading and taking overlap in the restart of a thread, which has a few of them. */
const PAGE_BYTES = 64 * 1024;
const DEADLINE_MS = 120_000;
const TYPES = [RecordType.inbox, RecordType.settled, RecordType.journal, RecordType.block, RecordType.epoch];

export class LogPages {
  readonly #wal: Links<{ 'wal-writer': WalWriterContract }>['wal-writer'];
  #coming: Promise<ReadRecords> | null;

  /** Asks for the first page at once. */
  constructor(links: Links<{ 'wal-writer': WalWriterContract }>, from: number) {
    this.#wal = links['wal-writer'];
    this.#coming = this.#ask(from);
  }

  /** Null behind the last page. Rejects when the wal-writer does not answer. */
  async next(): Promise<readonly PlacedRecord[] | null> {
    if (this.#coming === null) return null;
    const { records, lsns, types, next } = await this.#coming;
    this.#coming = next === null ? null : this.#ask(next);
    return unpackBytes(records).map((data, index) => ({ lsn: lsns[index]!, type: types[index]!, data }));
  }

  #ask(from: number): Promise<ReadRecords> {
    const page = this.#wal.ask('read', { from, types: TYPES, maxBytes: PAGE_BYTES }, { deadlineMs: DEADLINE_MS });
    // Whoever gave up before asks for no further page; a refusal is thrown to whoever does.
    page.catch(() => undefined);
    return page;
  }
}
