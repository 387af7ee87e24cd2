// The ledger database opened for writing. Called by the store, its one writer, and by the composition root, which holds
// it open as long as the process lives and must never write after that.
import { mkdirSync } from 'node:fs';
import { openTables, type Tables } from './tables.js';

/**
 * A process has one LMDB environment for a file, shared by its threads, and the thread that opens it first decides how: a
 * reader that comes first, while every other user of the database is dead, makes it read-only for the store too, which
 * could then never start. Whoever holds the result keeps that from happening. Opening writes, so it must not happen in a
 * thread that may be killed meanwhile, other than inside its kill gate.
 */
export function openLedger(path: string): Tables {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return openTables(path, false);
}
