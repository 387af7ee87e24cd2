// The ways in which the log says no, one class for each thing the caller has to do about it.
// Thrown by the log, recovery and repair; caught by the wal-writer actor and the CLI.
// A message tells what was found, what is allowed and what to do, and never holds record contents.

/**
 * A write or sync failed: what is on the disk is unknown, and the page cache may claim otherwise. The log refuses
 * everything from here on, and the process must end (exit code 74) so that the next start reads the truth.
 */
export class LogFailure extends Error {
  override readonly name = 'LogFailure';
}

/** The disk has no room for the next segment. Nothing was written or lost: the same append may be tried again later. */
export class LogFull extends Error {
  override readonly name = 'LogFull';
}

/** The log is damaged before its end: its readable part is served, nothing is appended until an operator repairs it. */
export class LogQuarantined extends Error {
  override readonly name = 'LogQuarantined';
}

/** Bytes that were good when the log was opened cannot be read, or are no longer what was written. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
}

export type LogRefusal = 'missing' | 'foreign' | 'version' | 'oversize' | 'option' | 'closed' | 'accept-loss';

/** The request cannot be met as it stands; nothing was changed. */
export class LogRefused extends Error {
  override readonly name = 'LogRefused';
  readonly code: LogRefusal;

  constructor(code: LogRefusal, message: string) {
    super(message);
    this.code = code;
  }
}
