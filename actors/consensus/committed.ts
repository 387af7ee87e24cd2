// The ledger as of the last final block: the database plus the final blocks that the store has not written yet.
// Read by the block builder and by replay through LedgerView. It must never show less than what is final.
import type { ChainParameters } from '../../protocol/genesis.js';
import type { IndexEntry, LedgerView } from '../../protocol/ledger/apply.js';
import type { Tip } from '../../protocol/ledger/header.js';
import type { BlockChanges } from '../../protocol/ledger/overlay.js';
import type { Registry } from '../../protocol/registry.js';
import type { RoundsState } from '../../protocol/rounds/round.js';
import { ReleasingMap } from '../../runtime/kernel/releasing-map.js';
import type { LedgerReader } from '../ledger/reader.js';

export class Committed implements LedgerView {
  readonly chain: ChainParameters;
  tip: Tip;
  registry: Registry;
  rounds: RoundsState;
  readonly #reader: Pick<LedgerReader, 'find' | 'refresh'>;
  /** Index entries of final blocks on their way to the database, and those blocks, oldest first. */
  readonly #recent = new ReleasingMap<string, IndexEntry>();
  readonly #unwritten: { readonly height: number; readonly index: ReadonlyMap<string, IndexEntry> }[] = [];

  constructor(
    chain: ChainParameters,
    tip: Tip,
    registry: Registry,
    rounds: RoundsState,
    reader: Pick<LedgerReader, 'find' | 'refresh'>,
  ) {
    this.chain = chain;
    this.tip = tip;
    this.registry = registry;
    this.rounds = rounds;
    this.#reader = reader;
  }

  /** Blocks that the database does not have yet, and their entries. */
  get unwritten(): { readonly blocks: number; readonly entries: number } {
    return { blocks: this.#unwritten.length, entries: this.#recent.size };
  }

  find(key: string): IndexEntry | undefined {
    return this.#recent.get(key) ?? this.#reader.find(key);
  }

  /** A block became final on top of this. */
  advance(changes: BlockChanges): void {
    this.tip = changes.tip;
    this.registry = changes.registry ?? this.registry;
    this.rounds = changes.rounds ?? this.rounds;
    this.#unwritten.push({ height: changes.tip.height, index: changes.index });
    for (const [key, entry] of changes.index) this.#recent.set(key, entry);
  }

  /** The store has written everything up to `height`. */
  written(height: number): void {
    this.#reader.refresh();
    while (this.#unwritten.length > 0 && this.#unwritten[0]!.height <= height) {
      for (const key of this.#unwritten.shift()!.index.keys()) this.#recent.take(key);
    }
  }
}
