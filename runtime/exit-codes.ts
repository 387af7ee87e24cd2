// The exit codes of the daemon and the CLI: one table, after sysexits(3). Whoever ends the process takes its code here;
// folders below runtime/ carry the bare number and a test holds it against this table. It must never end anything.

export interface ExitCode {
  readonly code: number;
  /** What happened, for the manual and for `run/last-exit.json`. */
  readonly meaning: string;
  /** What the operator, or the service manager, does next. */
  readonly next: string;
}

/** Codes 1–13 belong to Node itself, codes over 128 to signals: neither is ever chosen by us (see SELF_KILLED). */
export const EXIT = {
  ok: { code: 0, meaning: 'finished, or stopped cleanly', next: 'nothing to do' },
  usage: { code: 64, meaning: 'wrong command line', next: 'see --help' },
  data: {
    code: 65,
    meaning: 'data that cannot be used as it is: a corrupt log or file given to a command',
    next: 'run "quorate wal verify", then follow the command it prints',
  },
  unavailable: {
    code: 69,
    meaning: 'something needed does not answer: a node, or a port that another program holds',
    next: 'check that the node runs and that the address is free, then try again',
  },
  internal: {
    code: 70,
    meaning: 'the node could not go on: an actor kept dying (restart budget spent), a stop was forced, or a defect',
    next: 'the service manager restarts the process; the last log line and run/last-exit.json name the cause',
  },
  stuckThread: {
    code: 71,
    meaning: 'a thread that cannot be stopped',
    next: 'the service manager restarts the process',
  },
  cannotCreate: {
    code: 73,
    meaning: 'a file or directory could not be created',
    next: 'check that the directory named in the message exists and is writable',
  },
  io: {
    code: 74,
    meaning: 'input or output failed: a write or an fsync that nothing may be built on',
    next: 'check the disk; the next start recovers from what is durable',
  },
  running: {
    code: 75,
    meaning: 'another process already holds this data directory',
    next: 'stop the process whose id the message names, or choose another --data-dir',
  },
  permission: {
    code: 77,
    meaning: 'the user of this process may not do that',
    next: 'run as the owner of the data directory, or change its owner',
  },
  config: {
    code: 78,
    meaning: 'configuration, key files and their modes, or a migration that was rolled back',
    next: 'fix what the message names; a restart alone will not help',
  },
} as const satisfies Record<string, ExitCode>;

export type ExitName = keyof typeof EXIT;

/**
 * What the shell shows when the process had to kill itself (128 + SIGKILL), because exit() would have waited for a
 * thread that cannot be stopped. The code and the reason it meant are in `<data-dir>/run/last-exit.json`.
 */
export const SELF_KILLED = 137;

/** The row of a code, or undefined when we never exit with it. */
export function exitCode(code: number): (ExitCode & { readonly name: ExitName }) | undefined {
  for (const [name, row] of Object.entries(EXIT)) {
    if (row.code === code) return { name: name as ExitName, ...row };
  }
  return undefined;
}

/** The table as text, for --help and the manual: one line a code. */
export function exitCodeTable(): string {
  return Object.values(EXIT)
    .map((row) => `${String(row.code).padStart(3)}  ${row.meaning}`)
    .join('\n');
}
