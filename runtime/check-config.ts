// --check-config: everything a start would read, read and judged, without a single write. Called by the daemon.
import { readGenesis } from '../config/chain-files.js';
import { checkNodeKey } from '../config/key-files.js';
import type { LoadedConfig } from '../config/load.js';
import { loadNamedFiles } from '../config/named-files.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { registryWish } from './identity.js';

/** One line for standard output. Throws ConfigError with everything that is wrong. */
export async function checkConfiguration({ config, file, warnings }: LoadedConfig): Promise<string> {
  const ed25519 = await loadEd25519();
  const places = { mode: config.mode, keysDir: config.keys_dir, dataDir: config.data_dir, env: { ...process.env } };
  const key = checkNodeKey(places, ed25519);
  const genesis = readGenesis(config.genesis);
  const named = loadNamedFiles(config, key?.nodeId ?? 'node_not_made_yet', Date.now());
  if (genesis !== null) await registryWish(config, named, genesis);
  const notes = [...warnings, ...named.warnings].map((warning) => `warning: ${warning}\n`);
  const clients = `${named.clients.length} clients, ${named.kinds.length} kinds`;
  return `${notes.join('')}ok: ${file ?? 'built-in defaults'} (${config.mode} mode, ${clients})\n`;
}
