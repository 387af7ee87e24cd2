// The ledger after a kill drill, held against what clients were told. Used by actor-kills.ts on a data directory that no
// node has open. It must only read.
import { join } from 'node:path';
import { LedgerReader } from '../../actors/ledger/reader.js';
import { BlockReceipts, blockFault } from '../../protocol/ledger/block.js';
import { type Acknowledged, hashOf } from './actor-kills-load.js';

export interface LedgerFindings {
  readonly blocks: number;
  readonly entries: number;
  /** Sentences; empty when every promise was kept. */
  readonly faults: readonly string[];
}

const FAULTS_MAX = 20;

/** Every acknowledged id once, with the receipt that its client has; every block sound and standing on the one before. */
export async function checkLedger(
  dataDir: string,
  acknowledged: ReadonlyMap<string, Acknowledged>,
): Promise<LedgerFindings> {
  const ledger = LedgerReader.open(join(dataDir, 'ledger'));
  const faults: string[] = [];
  const fault = (text: string): void => {
    if (faults.length < FAULTS_MAX) faults.push(text);
  };
  const seen = new Set<string>();
  let parentHash: string | null = null;
  let height = 1;
  for (let block = ledger.block(height); block !== undefined; block = ledger.block(++height)) {
    const unsound = blockFault(block);
    if (unsound !== null) fault(`block ${height}: ${unsound}`);
    if (parentHash !== null && block.header.parent_hash !== parentHash)
      fault(`block ${height} does not stand on ${height - 1}`);
    parentHash = block.hash;
    const receipts = new BlockReceipts(block);
    for (const [index, { id }] of block.entries.entries()) {
      if (seen.has(id)) fault(`${id} is in the ledger more than once, again in block ${height}`);
      seen.add(id);
      const promised = acknowledged.get(id)?.receiptHash ?? null;
      if (promised !== null && !promised.equals(hashOf(receipts.text(index))))
        fault(`${id}: the ledger gives another receipt`);
    }
  }
  for (const id of acknowledged.keys()) if (!seen.has(id)) fault(`${id} was acknowledged and is not in the ledger`);
  await ledger.close();
  return { blocks: height - 1, entries: seen.size, faults };
}
