// The one function that ends the process when it cannot go on (DECISIONS 2). Called by the daemon for every fatal end.
// It must always end the process: process.exit alone can wait for ever for a worker that is inside native code.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { event } from '../observability/events.js';

/** Gates are waited for inside this (2 s), and threads joined. */
const HALT_LIMIT_MS = 4_000;

export interface Haltable {
  halt(limitMs: number): Promise<boolean>;
}

export async function endProcess(
  runDirectory: string,
  code: number,
  reason: string,
  log: Logger,
  supervisor: Haltable | null,
): Promise<never> {
  event(log, 'node.fatal', { exit_code: code, reason });
  complain(reason);
  writeLastExit(runDirectory, code, reason);
  const joined = supervisor === null ? true : await supervisor.halt(HALT_LIMIT_MS);
  if (joined) process.exit(code);
  process.kill(process.pid, 'SIGKILL');
  return new Promise<never>(() => undefined);
}

/** For whoever started it: the log may go elsewhere, or nowhere. */
function complain(reason: string): void {
  try {
    writeSync(2, `quorate: ${reason}\n`);
  } catch {
    // Standard error is gone; the log line has said it.
  }
}

/** What the shell's 137 cannot say. Best effort: a disk that takes no more writes must not keep the process alive. */
function writeLastExit(runDirectory: string, code: number, reason: string): void {
  try {
    const fd = openSync(join(runDirectory, 'last-exit.json'), 'w', 0o600);
    try {
      writeSync(fd, `${JSON.stringify({ code, reason, at: new Date().toISOString() })}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // The log line above has said it.
  }
}
