// Executes the entries of one block in order: what is taken, what is refused, and the hashes that the header must carry.
// Called by the leader before it proposes, by the voter before it votes, and by replay: one function for all three (DECISIONS 18).
// Must never keep anything between two calls.
import { Buffer } from 'node:buffer';
import { sha256 } from '../crypto/hash.js';
import { buildTree, type Tree } from '../merkle.js';
import type { Registry } from '../registry.js';
import { advance } from '../rounds/fold.js';
import type { RoundsState } from '../rounds/round.js';
import {
  apply,
  type Entry,
  type IndexEntry,
  indexKey,
  type LedgerView,
  type Refusal,
  refusal,
  roundsDiff,
} from './apply.js';
import type { EntriesResult } from './header.js';

export interface AcceptedEntry {
  readonly entry: Entry;
  /** Canonical JSON. */
  readonly outcome: string;
  readonly diff: Buffer;
}

export interface RefusedEntry {
  readonly entry: Entry;
  readonly refusal: Refusal;
}

export interface BlockResult extends EntriesResult {
  /** In block order: index i is the position of the entry in the block. */
  readonly accepted: readonly AcceptedEntry[];
  /** A voter takes the block only when this is empty. The leader drops these; `block-full` ones wait for the next block. */
  readonly refused: readonly RefusedEntry[];
  readonly tree: Tree;
  /** New index entries by index key, in block order. */
  readonly index: ReadonlyMap<string, IndexEntry>;
  /** The registry after the block, where an entry changed it. */
  readonly registry: Registry | null;
  /** The rounds after the block, where an observation or the time that passed changed them. */
  readonly rounds: RoundsState | null;
  /** Sum of the raw bodies taken. */
  readonly sizeBytes: number;
}

/** Executes `entries` on top of `view` as the block at height `view.tip.height + 1` with this block time. */
export function executeBlock(view: LedgerView, entries: readonly Entry[], blockTimeMs: number): BlockResult {
  const { blockMaxBytes, blockMaxEntries } = view.chain;
  const height = view.tip.height + 1;
  const accepted: AcceptedEntry[] = [];
  const refused: RefusedEntry[] = [];
  const leaves: Buffer[] = [];
  const diffs: Buffer[] = [Buffer.from(view.tip.stateDigest, 'hex')];
  const state = new BlockState(view);
  // What is due is due before the entries, also in a block that has none (DECISIONS 28).
  state.rounds = advance(view.rounds, blockTimeMs);
  if (state.rounds !== view.rounds) diffs.push(roundsDiff(view.rounds, state.rounds));
  let sizeBytes = 0;
  for (const entry of entries) {
    const size = entry.raw.length;
    if (size > blockMaxBytes) {
      refused.push({ entry, refusal: refusal('too-large', `body of ${size} bytes; a block holds ${blockMaxBytes}`) });
      continue;
    }
    if (accepted.length >= blockMaxEntries || sizeBytes + size > blockMaxBytes) {
      refused.push({ entry, refusal: refusal('block-full', 'this block is full; the entry waits for the next') });
      continue;
    }
    const result = apply(state, entry, blockTimeMs);
    if (!result.ok) {
      refused.push({ entry, refusal: result });
      continue;
    }
    const { digest, body, id } = entry.prepared;
    state.index.set(indexKey(entry.issuer, id), { digest, body, height, index: accepted.length });
    if (result.registry !== undefined) state.registry = result.registry;
    if (result.rounds !== undefined) state.rounds = result.rounds;
    accepted.push({ entry, outcome: result.outcome, diff: result.diff });
    leaves.push(result.leaf);
    diffs.push(result.diff);
    sizeBytes += size;
  }
  const tree = buildTree(leaves);
  return {
    accepted,
    refused,
    tree,
    index: state.index,
    registry: state.registry === view.registry ? null : state.registry,
    rounds: state.rounds === view.rounds ? null : state.rounds,
    sizeBytes,
    entriesRoot: tree.root.toString('hex'),
    entryCount: accepted.length,
    stateDigest: sha256(Buffer.concat(diffs)).toString('hex'),
  };
}

/** The state within a block: what its own entries recorded so far, over the state before it. */
class BlockState implements LedgerView {
  readonly chain: LedgerView['chain'];
  readonly tip: LedgerView['tip'];
  registry: Registry;
  rounds: RoundsState;
  readonly index = new Map<string, IndexEntry>();
  readonly #base: LedgerView;

  constructor(base: LedgerView) {
    this.chain = base.chain;
    this.tip = base.tip;
    this.registry = base.registry;
    this.rounds = base.rounds;
    this.#base = base;
  }

  find(key: string): IndexEntry | undefined {
    return this.index.get(key) ?? this.#base.find(key);
  }
}
