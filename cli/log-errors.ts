// The log's own errors as lines with an exit code. Called by the commands that open a log. Other errors pass unchanged.
import { LogFailure, LogFull, LogRefused } from '../actors/wal-writer/errors.js';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError } from './output.js';

/** Turns the log's own errors into lines with an exit code. */
function explain(error: unknown): unknown {
  if (error instanceof LogRefused) return new CliError(EXIT.data.code, `${error.message}.`);
  if (error instanceof LogFull || error instanceof LogFailure) return new CliError(EXIT.io.code, `${error.message}.`);
  return error;
}

export function explained<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explain(error);
  }
}

export async function explainedAsync<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explain(error);
  }
}
