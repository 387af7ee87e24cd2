// Holding a data directory while no node runs on it. Called by the commands that change one offline: wal verify and repair,
// migrate-state, init. It never removes what another process has left.
import { statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { UnsignedAuditEvent } from '../config/audit-events.js';
import { AUDIT_FILE, AuditFile } from '../config/audit-file.js';
import { DataDirectoryHeld, lockDataDirectory } from '../config/data-lock.js';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError, type Terminal } from './output.js';

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

/**
 * Writes a line of the audit log durably; without an event only makes sure that there is a log which can be written.
 * The directory must be locked. @throws CliError (74) when it cannot be written.
 */
export function audit(directory: string, terminal: Terminal, event?: UnsignedAuditEvent): void {
  const nowMs = terminal.nowMs();
  const events = event === undefined ? [] : [{ atMs: nowMs, event: { ...event, by: operator() } }];
  try {
    new AuditFile(directory).append(nowMs, events);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const path = join(directory, AUDIT_FILE);
    const what = event?.event ?? 'what is about to be done';
    throw new CliError(EXIT.io.code, `${path}: ${what} cannot be recorded (${reason}).`, {
      hint: 'Make room on the disk or mend the file, then run the command again.',
    });
  }
}

/** Who runs this command, for the audit log. */
function operator(): string {
  try {
    return `command of ${userInfo().username}`;
  } catch {
    // A user id that has no name, as in some containers.
    return `command of user ${process.getuid?.() ?? 'unknown'}`;
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
