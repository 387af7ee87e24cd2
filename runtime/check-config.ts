// --check-config: everything a start would read, read and judged, without a single write. Called by the daemon.
import { join } from 'node:path';
import { readGenesis } from '../config/chain-files.js';
import { ConfigError, type ConfigProblem, configProblem } from '../config/errors.js';
import { checkNodeKey } from '../config/key-files.js';
import type { LoadedConfig } from '../config/load.js';
import { loadNamedFiles } from '../config/named-files.js';
import { readStateFile, STATE_FILE, StateFileError } from '../config/state-file.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { checkChain, checkPeers, registryWish } from './identity.js';

/** One line for standard output. Throws ConfigError with everything that is wrong. */
export async function checkConfiguration({ config, file, warnings }: LoadedConfig): Promise<string> {
  const ed25519 = await loadEd25519();
  const places = { mode: config.mode, keysDir: config.keys_dir, dataDir: config.data_dir, env: { ...process.env } };
  const all = new Problems();
  const key = await all.of(() => checkNodeKey(places, ed25519));
  const genesis = await all.of(() => readGenesis(config.genesis));
  if (key !== undefined && genesis !== undefined) await all.of(() => checkChain(config, genesis, key));
  await all.of(() => checkState(config.data_dir));
  const named = await all.of(() => loadNamedFiles(config, key?.nodeId ?? 'node_not_made_yet', Date.now()));
  if (named !== undefined && genesis) await all.of(() => checkPeers(config, named.peers, genesis));
  if (named !== undefined && genesis) await all.of(() => registryWish(config, named, genesis));
  all.throwIfAny();
  const notes = [...warnings, ...(named?.warnings ?? [])].map((warning) => `warning: ${warning}\n`);
  const peers = named?.peers === null || named === undefined ? '' : `, ${named.peers.peers.length} peers`;
  const clients = `${named?.clients.length ?? 0} clients, ${named?.kinds.length ?? 0} kinds${peers}`;
  return `${notes.join('')}ok: ${file ?? 'built-in defaults'} (${config.mode} mode, ${clients})\n`;
}

class Problems {
  readonly #found: ConfigProblem[] = [];

  /** Undefined when the step was refused; its problems are kept. */
  async of<T>(step: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#found.push(...error.problems);
      return undefined;
    }
  }

  throwIfAny(): void {
    if (this.#found.length > 0) throw new ConfigError(this.#found);
  }
}

/** A file of an older layout is fine: the start migrates it. */
function checkState(dataDir: string): void {
  try {
    readStateFile(dataDir);
  } catch (error) {
    if (!(error instanceof StateFileError)) throw error;
    const file = join(dataDir, STATE_FILE);
    const allowed = 'a state file that this version knows';
    throw new ConfigError([
      configProblem({ file, found: 'one that cannot be used', allowed, hint: `${error.message}` }),
    ]);
  }
}
