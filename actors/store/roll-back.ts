// Takes blocks off the end of a ledger database: what a repair of the log could not prove. Called by `quorate wal repair`
// on a stopped node, under the data directory's lock. The index first, in one transaction: a body above the head counts for
// nothing, so that the ledger is as before, or as told.
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Tip } from '../../protocol/ledger/header.js';
import { type Registry, registryText } from '../../protocol/registry.js';
import { NO_ROUNDS, type RoundsState } from '../../protocol/rounds/round.js';
import { keptRounds, roundsChange } from '../../protocol/rounds/text.js';
import { closeLedger, openLedger } from '../ledger/environment.js';
import {
  LEDGER_PARTS,
  META_HEAD,
  META_REGISTRY,
  META_ROUNDS,
  readIndexValue,
  readPosition,
  roundKey,
  type Tables,
} from '../ledger/tables.js';

/** The part of the ledger that stays. */
export interface TrustedLedger {
  readonly tip: Tip;
  readonly registry: Registry;
  readonly rounds: RoundsState;
}

/** What is stored behind `tip` is removed, found by looking at every entry: a damaged block cannot name its own. */
export async function rollBackLedger(path: string, trusted: TrustedLedger): Promise<void> {
  const tables = openLedger(path);
  try {
    tables.root.transactionSync(() => cutIndex(tables, trusted));
    tables.bodies.transactionSync(() => cutBodies(tables, trusted.tip.height));
  } finally {
    await closeLedger(tables);
  }
}

/**
 * Everything written to the database so far is on the disk. A node leaves that to the operating system, for it can build
 * the newest blocks again from its log; after a repair the log may no longer have them.
 */
export function syncLedger(path: string): void {
  for (const part of LEDGER_PARTS) {
    const fd = openSync(join(path, part, 'data.mdb'), 'r+');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

function cutBodies({ blocks }: Tables, height: number): void {
  for (const key of [...blocks.getKeys({ start: height + 1 })]) blocks.removeSync(key);
}

function cutIndex({ index, digests, meta }: Tables, { tip, registry, rounds }: TrustedLedger): void {
  const { height } = tip;
  for (const { key, value } of index.getRange({})) if (readIndexValue(value).height > height) index.removeSync(key);
  for (const { key, value } of digests.getRange({})) if (readPosition(value).height > height) digests.removeSync(key);
  if (height === 0) meta.removeSync(META_HEAD);
  else meta.putSync(META_HEAD, JSON.stringify(tip));
  if (registry.version === 0) meta.removeSync(META_REGISTRY);
  else meta.putSync(META_REGISTRY, registryText(registry));
  cutRounds(meta, rounds);
}

function cutRounds(meta: Tables['meta'], rounds: RoundsState): void {
  const stored = meta.get(META_ROUNDS);
  if (stored === undefined) return;
  for (const number of keptRounds(stored)) meta.removeSync(roundKey(number));
  if (rounds.opened === 0 && rounds.excluded.length === 0) {
    meta.removeSync(META_ROUNDS);
    return;
  }
  const { summary, changed } = roundsChange(NO_ROUNDS, rounds);
  for (const [number, text] of changed) meta.putSync(roundKey(number), text);
  meta.putSync(META_ROUNDS, summary);
}
