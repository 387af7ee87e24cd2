// How far a log that was cut proves the ledger: the height that the record of a new epoch names. Called by wal.ts.
// It must rather find no height than one that the log does not prove.
import type { Log } from '../actors/wal-writer/log.js';
import { decodeJournal } from '../protocol/consensus/journal.js';
import { decodeEpoch, type PlacedRecord, RecordType } from '../protocol/wal-record.js';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError } from './output.js';

const PAGE_BYTES = 4 * 1024 * 1024;
const TYPES = [RecordType.journal, RecordType.epoch];

/**
 * Height of the last finalization in the log, in the order of the log: an earlier new epoch takes it back to its own.
 * @throws CliError (65) when the log has been pruned and the rest holds no finalization: then the ledger goes further
 * than the log can say, and 0 would void all of it.
 */
export function lastTrustedHeight(log: Pick<Log, 'records'>): number {
  let height: number | null = null;
  for (let from: number | null = 1; from !== null; ) {
    const page: ReturnType<Log['records']> = log.records({ from, types: TYPES, maxBytes: PAGE_BYTES });
    for (const record of page.records) height = heightAfter(record) ?? height;
    from = page.next;
  }
  if (height !== null) return height;
  const first = log.records({ from: 1, maxBytes: 1 }).records[0];
  if (first === undefined || first.lsn === 1) return 0;
  throw new CliError(EXIT.data.code, `the readable log begins at position ${first.lsn} and proves no height.`, {
    hint: 'Restore a backup: without one it cannot be said which receipts stay valid.',
  });
}

function heightAfter(record: PlacedRecord): number | null {
  if (record.type === RecordType.epoch) return decodeEpoch(record.data).lastTrustedHeight;
  const entry = decodeJournal(record.data);
  return entry.type === 'finalization' ? entry.height : null;
}
