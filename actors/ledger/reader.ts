// Read-only view of the ledger database for one thread. Opened by every actor that looks something up; the store alone
// writes. A read sees what was committed when this turn of the event loop began, or later.
import type { StoredBlock } from '../../protocol/ledger/block.js';
import { decodeBlock } from '../../protocol/ledger/block-codec.js';
import { NO_ROUNDS, type RoundsState } from '../../protocol/rounds/round.js';
import { restoreRounds } from '../../protocol/rounds/text.js';
import {
  digestKey,
  type IndexValue,
  indexKey,
  META_CHAIN,
  META_HEAD,
  META_REGISTRY,
  META_ROUNDS,
  META_VALIDATORS,
  openTables,
  type Position,
  readIndexValue,
  readPosition,
  roundKey,
  type Tables,
} from './tables.js';

export class LedgerReader {
  readonly #tables: Tables;

  private constructor(tables: Tables) {
    this.#tables = tables;
  }

  /**
   * Throws when the database is not there: the store makes it, and starts first. Inside the kill gate only: a thread that
   * is terminated while it opens takes the whole process down (lmdb then throws into a thread that takes no exception).
   */
  static open(path: string): LedgerReader {
    return new LedgerReader(openTables(path, true));
  }

  /** From here on reads see everything that is committed now. */
  refresh(): void {
    this.#tables.root.resetReadTxn();
    this.#tables.bodies.resetReadTxn();
  }

  get chain(): string | undefined {
    return this.#tables.meta.get(META_CHAIN);
  }

  /** JSON text of the head, undefined before the first block. */
  get head(): string | undefined {
    return this.#tables.meta.get(META_HEAD);
  }

  get registry(): string | undefined {
    return this.#tables.meta.get(META_REGISTRY);
  }

  /** Observation rounds at the head. */
  get rounds(): RoundsState {
    return readRounds(this.#tables);
  }

  /** The validator set with its epochs as JSON text, undefined in the first epoch. */
  get validators(): string | undefined {
    return this.#tables.meta.get(META_VALIDATORS);
  }

  /** `key` is issuer \0 id. */
  find(key: string): IndexValue | undefined {
    const value = this.#tables.index.get(indexKey(key));
    return value === undefined ? undefined : readIndexValue(value);
  }

  /** Where the digest table says that a digest with this beginning stands. */
  hint(digest: Buffer): Position | undefined {
    const value = this.#tables.digests.get(digestKey(digest));
    return value === undefined ? undefined : readPosition(value);
  }

  /** Where the entry with this digest stands. */
  position(digest: Buffer): Position | undefined {
    const position = this.hint(digest);
    if (position === undefined) return undefined;
    const found = this.block(position.height)?.entries[position.index];
    return found?.digest === digest.toString('hex') ? position : undefined;
  }

  hasBlock(height: number): boolean {
    return this.#tables.blocks.doesExist(height);
  }

  /** A block as it was stored: for whoever passes it on as it is. */
  blockBytes(height: number): Buffer | undefined {
    const bytes = this.#tables.blocks.get(height);
    return bytes === undefined ? undefined : Buffer.from(bytes);
  }

  block(height: number): StoredBlock | undefined {
    const bytes = this.#tables.blocks.get(height);
    return bytes === undefined ? undefined : decodeBlock(bytes);
  }

  /** Verdict JSON of a submission that was refused after its 202. */
  rejected(digest: Buffer): string | undefined {
    return this.#tables.rejected.get(digestKey(digest))?.toString('utf8');
  }

  async close(): Promise<void> {
    await this.#tables.root.close();
    await this.#tables.bodies.close();
  }
}

/** Throws RoundsTextError when what is stored is of another version, or incomplete. */
export function readRounds({ meta }: Pick<Tables, 'meta'>): RoundsState {
  const summary = meta.get(META_ROUNDS);
  return summary === undefined ? NO_ROUNDS : restoreRounds(summary, (number) => meta.get(roundKey(number)));
}
