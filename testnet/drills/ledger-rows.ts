// The rows of a ledger database that the protocol determines, byte for byte. Called by cluster-check.ts on directories that no
// node has open. It must only read, and leave out nothing but what nodes may have differently: certificates and own refusals.
import { join } from 'node:path';
import { openTables, type Tables } from '../../actors/ledger/tables.js';
import type { StoredBlock } from '../../protocol/ledger/block.js';
import { decodeBlock, encodeBlock } from '../../protocol/ledger/block-codec.js';

/** Not `rejected`: what this node alone refused after its 202, and consensus never heard of. */
export const DETERMINED = ['blocks', 'index', 'digests', 'meta'] as const;
export type Determined = (typeof DETERMINED)[number];

export interface LedgerRow {
  readonly key: Buffer;
  readonly value: Buffer;
}

export class LedgerRows {
  readonly #tables: Tables;

  constructor(dataDir: string) {
    this.#tables = openTables(join(dataDir, 'ledger'), true);
  }

  /** In the order of the keys. A block comes without its certificate; one that cannot be read as the bytes that are there. */
  *of(table: Determined): Generator<LedgerRow> {
    const { meta, blocks } = this.#tables;
    switch (table) {
      case 'meta':
        for (const { key, value } of meta.getRange()) yield { key: Buffer.from(key), value: Buffer.from(value) };
        return;
      case 'blocks':
        for (const { key, value } of blocks.getRange())
          yield { key: Buffer.from(String(key)), value: uncertified(value) };
        return;
      default:
        for (const { key, value } of this.#tables[table].getRange()) yield { key: Buffer.from(key), value };
    }
  }

  async close(): Promise<void> {
    await this.#tables.root.close();
    await this.#tables.bodies.close();
  }
}

const NO_CERTIFICATE: Pick<StoredBlock, 'certificate' | 'chain'> = {
  certificate: { epoch: 0, view: 0, signers: [], signatures: [] },
  chain: [],
};

/** `chain` leads from the block to the one that is certified: another certificate, another way to it. */
function uncertified(bytes: Buffer): Buffer {
  try {
    return encodeBlock({ ...decodeBlock(bytes), ...NO_CERTIFICATE });
  } catch {
    return bytes;
  }
}
