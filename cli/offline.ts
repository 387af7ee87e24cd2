// Holding a data directory while no node runs on it. Called by the commands that change one offline: wal verify and repair,
// migrate-state, init. It never removes what another process has left.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DataDirectoryHeld, lockDataDirectory } from '../config/data-lock.js';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError } from './output.js';

/** @throws CliError (65) when the directory does not exist. */
export function requireDirectory(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new CliError(EXIT.data.code, `${directory}: no such data directory.`, {
    hint: 'Name it with --data-dir; "quorate start" or "quorate init" makes one.',
  });
}

/** Runs `work` with the directory locked. @throws CliError: 65 no such directory, 75 a node runs on it. */
export async function withDataDirectory<T>(directory: string, work: () => T | Promise<T>): Promise<T> {
  requireDirectory(directory);
  const lock = await lockDataDirectory(directory).catch((error: unknown) => {
    if (!(error instanceof DataDirectoryHeld)) throw error;
    throw new CliError(EXIT.running.code, `${error.message}.`, {
      hint: 'Stop the node first: this command works on the files themselves.',
    });
  });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Where the log lies in a data directory. */
export function logDirectory(directory: string): string {
  return join(directory, 'wal');
}

/** Where the ledger database lies in a data directory. */
export function ledgerDirectory(directory: string): string {
  return join(directory, 'ledger');
}

/** For a log that has no segment yet to take the size from; the node's first rotation takes the configured one. */
export const DEFAULT_SEGMENT_BYTES = 8_388_608;
