// What a start that failed says and ends with, before there is anything to stop. Called by the daemon. One rule for all
// causes: a line that names the place and the remedy, and a code of the table.
import { DataDirectoryHeld } from '../config/data-lock.js';
import { ConfigError } from '../config/errors.js';
import { EXIT } from './exit-codes.js';
import { inSource } from './kernel/source-places.js';

export interface StartFailure {
  readonly code: number;
  /** Lines for standard error. */
  readonly text: string;
}

export function startFailure(error: unknown): StartFailure {
  if (error instanceof ConfigError) return { code: error.exitCode, text: error.message };
  if (error instanceof DataDirectoryHeld) {
    return { code: EXIT.running.code, text: `quorate: ${error.message}. Stop it, or choose another --data-dir.` };
  }
  if (!(error instanceof Error)) return unexpected(String(error));
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return unexpected(inSource(error.stack ?? error.message));
  const place = path === undefined ? '' : `${path}: `;
  return { code: exitOfSystem(code), text: `quorate: ${place}${remedyOf(code)} (${syscall}: ${code})` };
}

function unexpected(text: string): StartFailure {
  return { code: EXIT.internal.code, text: `quorate: unexpected failure, please report it\n${text}` };
}

function exitOfSystem(code: string): number {
  if (code === 'EACCES' || code === 'EPERM') return EXIT.permission.code;
  return code === 'EIO' || code === 'ENOSPC' || code === 'EDQUOT' ? EXIT.io.code : EXIT.cannotCreate.code;
}

function remedyOf(code: string): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return 'this user may not write there. Run as its owner, or change its owner';
    case 'EROFS':
      return 'the file system is read-only. Choose another place';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full. Make room and start again';
    case 'ENOTDIR':
    case 'EEXIST':
      return 'a file stands where a directory is needed. Move it away, or choose another place';
    case 'EISDIR':
      return 'a directory stands where a file is needed. Move it away, or choose another place';
    default:
      return 'it cannot be created or written. Check that the directory exists and is sound';
  }
}
