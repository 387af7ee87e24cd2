// The way of `state.json` from layout 1 to layout 2: backup, checksum, conversion, verification, swap, audit line, and the
// way back when any of it fails. Called by the daemon at start and by `quorate migrate-state`. Stopped between any two steps
// and started again, it ends in a complete layout 2 with one success line; it must never lose the layout 1 bytes.
import { join } from 'node:path';
import { sha256Hex } from '../protocol/crypto/hash.js';
import type { UnsignedAuditEvent } from './audit-events.js';
import { appendAudit, hasAuditRecord } from './audit-file.js';
import { diskSteps, type FileSteps, replaceFile } from './durable-file.js';
import {
  convertV1,
  freshState,
  type NodeState,
  parseState,
  STATE_FILE,
  STATE_MODE,
  STATE_VERSION,
  type StateFacts,
  stateBytes,
  writeStateFile,
} from './state-file.js';

export const BACKUP_FILE = 'state.backup.v1';
/** One line as sha256sum(1) writes it, so that `sha256sum -c state.backup.v1.sha256` works in the data directory. */
export const CHECKSUM_FILE = 'state.backup.v1.sha256';
const CONVERTED_FILE = 'state.v2.json';
/** Exists from before the swap until its audit line is written: a start that finds it completes the line. */
const MARKER_FILE = 'state.migration';

export interface MigrationOptions {
  readonly directory: string;
  readonly nowMs: number;
  readonly facts: StateFacts;
  readonly files?: FileSteps;
  /** Writes a record durably, or throws. Default: appended to the audit log of the directory, as done by the node. */
  readonly audit?: (event: UnsignedAuditEvent) => void;
  /** Told at each milestone, as it happens: what the daemon logs. */
  readonly note?: (event: MigrationNote) => void;
}

export type MigrationNote =
  | { readonly event: 'migration_started'; readonly backup: string; readonly checksum: string }
  | { readonly event: 'migration_succeeded'; readonly checksum: string; readonly dropped: readonly string[] }
  | { readonly event: 'migration_failed'; readonly cause: string }
  | { readonly event: 'migration_rolled_back'; readonly checksum: string };

export type MigrationResult =
  | { readonly result: 'absent' }
  | { readonly result: 'current'; readonly state: NodeState }
  | {
      readonly result: 'migrated';
      readonly state: NodeState;
      /** SHA-256 of the backup, hex. */
      readonly checksum: string;
      /** Fields of layout 1 that layout 2 has no place for; they stay in the backup. */
      readonly dropped: readonly string[];
    };

/** A migration that did not complete. The process ends with 78. */
export class MigrationError extends Error {
  /** Is `state.json` the layout 1 file that it was? */
  readonly rolledBack: boolean;

  constructor(message: string, rolledBack: boolean, cause: unknown) {
    super(message, { cause });
    this.name = 'MigrationError';
    this.rolledBack = rolledBack;
  }
}

/**
 * What the daemon calls at start: migrates when needed and writes a fresh state when there is none.
 * @throws StateFileError, MigrationError: both end the process with 78.
 */
export function openStateFile(options: MigrationOptions): MigrationResult & { readonly state: NodeState } {
  const outcome = migrateStateFile(options);
  if (outcome.result !== 'absent') return outcome;
  const state = freshState(options.facts);
  writeStateFile(options.directory, state, options.files ?? diskSteps);
  return { result: 'current', state };
}

/**
 * Brings the file to layout 2; a file that has it already is left alone.
 * @throws StateFileError when the file is damaged (nothing is changed), MigrationError when a step failed.
 */
export function migrateStateFile(options: MigrationOptions): MigrationResult {
  return new Migration(options).run();
}

class Migration {
  private readonly options: MigrationOptions;
  private readonly files: FileSteps;

  constructor(options: MigrationOptions) {
    this.options = options;
    this.files = options.files ?? diskSteps;
  }

  run(): MigrationResult {
    const original = this.files.read(this.path(STATE_FILE));
    if (original === null) return { result: 'absent' };
    const parsed = parseState(original, this.path(STATE_FILE));
    if (parsed.version === STATE_VERSION) {
      this.completeInterrupted();
      return { result: 'current', state: parsed.state };
    }
    const state = convertV1(parsed.state, this.options.facts);
    const checksum = sha256Hex(original);
    try {
      this.backUp(original, checksum);
      this.options.note?.({ event: 'migration_started', backup: this.path(BACKUP_FILE), checksum });
      this.audit(migrationEvent(checksum, 'started'));
      this.swap(state, checksum);
      this.audit(migrationEvent(checksum, 'success'));
      this.clearMarker();
    } catch (cause) {
      throw this.rollBack(original, checksum, cause);
    }
    const dropped = parsed.state.others;
    this.options.note?.({ event: 'migration_succeeded', checksum, dropped });
    return { result: 'migrated', state, checksum, dropped };
  }

  /** Copies layout 1 aside and proves the copy by reading it back. */
  private backUp(original: Uint8Array, checksum: string): void {
    this.keepOlderBackup(checksum);
    replaceFile(this.files, this.path(BACKUP_FILE), original, STATE_MODE);
    replaceFile(this.files, this.path(CHECKSUM_FILE), checksumLine(checksum, BACKUP_FILE), STATE_MODE);
    this.verifyBackup(checksum);
  }

  /** A backup of other bytes comes from an earlier migration: it moves to the first free number instead of being lost. */
  private keepOlderBackup(checksum: string): void {
    const older = this.files.read(this.path(BACKUP_FILE));
    if (older === null) return;
    const olderChecksum = sha256Hex(older);
    if (olderChecksum === checksum) return;
    let number = 1;
    for (;;) {
      const taken = this.files.read(this.path(`${BACKUP_FILE}.${number}`));
      if (taken === null || sha256Hex(taken) === olderChecksum) break;
      number++;
    }
    const name = `${BACKUP_FILE}.${number}`;
    replaceFile(this.files, this.path(name), older, STATE_MODE);
    replaceFile(this.files, this.path(`${name}.sha256`), checksumLine(olderChecksum, name), STATE_MODE);
  }

  private swap(state: NodeState, checksum: string): void {
    const bytes = stateBytes(state);
    this.files.write(this.path(CONVERTED_FILE), bytes, STATE_MODE);
    this.expectContent(CONVERTED_FILE, bytes);
    this.verifyBackup(checksum);
    replaceFile(this.files, this.path(MARKER_FILE), Buffer.from(`${checksum}\n`), STATE_MODE);
    this.files.rename(this.path(CONVERTED_FILE), this.path(STATE_FILE));
    this.files.syncDirectory(this.options.directory);
    this.expectContent(STATE_FILE, bytes);
  }

  /** Layout 2 is in place; after an interruption its success line may be missing. */
  private completeInterrupted(): void {
    const marker = this.files.read(this.path(MARKER_FILE));
    if (marker === null) return;
    const checksum = Buffer.from(marker).toString('utf8').trim();
    const success = migrationEvent(checksum, 'success');
    if (!hasAuditRecord(this.options.directory, success, this.files)) this.audit(success);
    this.clearMarker();
    this.options.note?.({ event: 'migration_succeeded', checksum, dropped: [] });
  }

  /** Back to layout 1. Never throws: what cannot be undone is said in the error it returns. */
  private rollBack(original: Uint8Array, checksum: string, cause: unknown): MigrationError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.options.note?.({ event: 'migration_failed', cause: reason });
    const path = this.path(STATE_FILE);
    try {
      const current = this.files.read(path);
      if (current === null || sha256Hex(current) !== checksum) {
        this.verifyBackup(checksum);
        replaceFile(this.files, path, original, STATE_MODE);
      }
      this.files.remove(this.path(CONVERTED_FILE));
      this.clearMarker();
    } catch (error) {
      const second = error instanceof Error ? error.message : String(error);
      return new MigrationError(
        `${path}: migration to version ${STATE_VERSION} failed (${reason}), and so did the rollback (${second}). ` +
          `Mend the disk, then check and copy the backup: cd ${this.options.directory} && sha256sum -c ${CHECKSUM_FILE} && cp ${BACKUP_FILE} ${STATE_FILE}`,
        false,
        cause,
      );
    }
    const audited = this.auditRollback(checksum);
    this.options.note?.({ event: 'migration_rolled_back', checksum });
    return new MigrationError(
      `${path}: migration to version ${STATE_VERSION} failed (${reason}); version 1 is back in place.${audited} Mend the cause, then run "quorate migrate-state".`,
      true,
      cause,
    );
  }

  /** The disk that failed the migration may fail this line too; the rollback itself is done by then. */
  private auditRollback(checksum: string): string {
    try {
      this.audit(migrationEvent(checksum, 'failure'));
      this.audit({
        event: 'state_rollback',
        from_version: STATE_VERSION,
        to_version: 1,
        backup_checksum: checksum,
        reason: 'migration_verification_failed',
        result: 'rolled_back',
      });
      return '';
    } catch (error) {
      return ` The audit line could not be written (${error instanceof Error ? error.message : String(error)}).`;
    }
  }

  private verifyBackup(checksum: string): void {
    const backup = this.files.read(this.path(BACKUP_FILE));
    const found = backup === null ? 'no file' : sha256Hex(backup);
    if (found !== checksum) {
      throw new Error(`${this.path(BACKUP_FILE)}: found checksum ${found}, expected ${checksum}`);
    }
    this.expectContent(CHECKSUM_FILE, checksumLine(checksum, BACKUP_FILE));
  }

  private expectContent(name: string, bytes: Uint8Array): void {
    const found = this.files.read(this.path(name));
    if (found === null || Buffer.compare(found, bytes) !== 0) {
      throw new Error(`${this.path(name)}: what was read back is not what was written`);
    }
  }

  private clearMarker(): void {
    this.files.remove(this.path(MARKER_FILE));
    this.files.syncDirectory(this.options.directory);
  }

  private audit(event: UnsignedAuditEvent): void {
    const { audit, directory, nowMs } = this.options;
    if (audit === undefined) appendAudit(directory, nowMs, { ...event, by: 'node' }, this.files);
    else audit(event);
  }

  private path(name: string): string {
    return join(this.options.directory, name);
  }
}

function migrationEvent(checksum: string, result: 'started' | 'success' | 'failure'): UnsignedAuditEvent {
  return { event: 'state_migration', from_version: 1, to_version: STATE_VERSION, backup_checksum: checksum, result };
}

function checksumLine(checksum: string, name: string): Uint8Array {
  return Buffer.from(`${checksum}  ${name}\n`);
}
