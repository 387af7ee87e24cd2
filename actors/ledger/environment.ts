// The ledger database opened for writing. Called by the store, its one writer, and by the composition root, which holds
// it open as long as the process lives and never writes after that; by repair, on a stopped node.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { ledgerFileDamage } from './file-check.js';
import { LEDGER_PARTS, openTables, type Tables } from './tables.js';

/** The files are no database. No restart mends them, and the log has all that was in them. */
export class LedgerDamaged extends Error {
  override readonly name = 'LedgerDamaged';

  constructor(path: string, damage: string) {
    super(`${path} is no usable database: ${damage}. Move it away: the start makes it again from the log.`);
  }
}

/**
 * A process has one LMDB environment for a file, shared by its threads, and the thread that opens it first decides how: a
 * reader that comes first, while every other user of the database is dead, makes it read-only for the store too, which
 * could then never start. Whoever holds the result keeps that from happening. Opening writes, so it must not happen in a
 * thread that may be killed meanwhile, other than inside its kill gate. Throws LedgerDamaged, or the error of the system with
 * code, syscall and path as Node has them.
 */
export function openLedger(path: string): Tables {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  for (const part of LEDGER_PARTS) {
    const damage = ledgerFileDamage(join(path, part));
    if (damage !== null) throw new LedgerDamaged(path, `${part}: ${damage}`);
  }
  try {
    return openTables(path, false);
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message: string };
    if (typeof code === 'number' && code > 0) throw systemError(path, code, message);
    throw new LedgerDamaged(path, message);
  }
}

/** LMDB's own codes are negative. Others are the system's: its disk, its rights; the files may be sound. */
function systemError(path: string, errno: number, message: string): Error {
  return Object.assign(new Error(`${path}: ${message}`), { code: getSystemErrorName(-errno), syscall: 'open', path });
}

export async function closeLedger({ root, bodies }: Tables): Promise<void> {
  await root.close();
  await bodies.close();
}
