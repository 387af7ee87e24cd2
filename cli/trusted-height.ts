// How far a log proves the ledger: the height that the record of a new epoch names. Called by wal.ts before a repair.
// It must rather find no height than one that the log does not prove.
import { decodeJournal } from '../protocol/consensus/journal.js';
import { decodeEpoch, type LogRecord, RecordType } from '../protocol/wal-record.js';

/** Follows the records of a log in their order. */
export class TrustedHeight {
  #height: number | null = null;

  /** The last finalized height so far; null when no record has named one. */
  get height(): number | null {
    return this.#height;
  }

  /** @throws JournalError, WalRecordError for a record that this version cannot read. */
  take(record: LogRecord): void {
    if (record.type === RecordType.epoch) {
      // An earlier loss took back what was final above this height.
      this.#height = decodeEpoch(record.data).lastTrustedHeight;
    } else if (record.type === RecordType.journal) {
      const entry = decodeJournal(record.data);
      if (entry.type === 'finalization') this.#height = entry.height;
    }
  }
}
