// genesis.json on the disk: read with errors that name place and remedy, written in two steps so that its presence means that
// the node was made completely. Called by the daemon and by `quorate init`. It never replaces a genesis.
import { renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Genesis, parseGenesis } from '../protocol/genesis.js';
import { JsonError, parseStrict } from '../protocol/json.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { diskSteps } from './durable-file.js';
import { ConfigError, configProblem } from './errors.js';
import { replaceFile } from './private-file.js';

/** @returns null when there is none. @throws ConfigError with everything wrong. */
export function readGenesis(path: string): Genesis | null {
  const bytes = diskSteps.read(path);
  if (bytes === null) return null;
  try {
    return parseGenesis(parseStrict(bytes));
  } catch (error) {
    if (error instanceof ShapeError) {
      throw new ConfigError(
        error.errors.map(({ pointer, found, allowed }) =>
          configProblem({ file: path, path: pointer.slice(1).replaceAll('/', '.'), found, allowed }),
        ),
      );
    }
    if (!(error instanceof JsonError)) throw error;
    const { line, column, found, allowed } = error;
    throw new ConfigError([configProblem({ file: path, line, column, found, allowed })]);
  }
}

/**
 * Step one: the genesis lies beside its place while the log for it is being made. One left by an interrupted run is taken
 * up again, since a log may exist that carries its chain id.
 * @param make called when there is none
 */
export function draftGenesis(path: string, make: () => Genesis): Genesis {
  const earlier = readGenesis(draftOf(path));
  if (earlier !== null) return earlier;
  const genesis = make();
  replaceFile(draftOf(path), `${JSON.stringify(genesis.json, null, 2)}\n`, 0o644);
  return genesis;
}

/** Step two, after the log exists. @throws what the file system throws. */
export function publishGenesis(path: string): void {
  renameSync(draftOf(path), path);
  diskSteps.syncDirectory(dirname(path));
}

function draftOf(path: string): string {
  return `${path}.new`;
}
