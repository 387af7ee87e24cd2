// Who this node is and which chain it serves: key, genesis, registry wish, places. Called by the daemon before any actor
// starts, and by a reload for the parts that may change. In development mode it makes what is missing.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { createChain, DEV_CLIENT_FILE, devClient, isInitialising, readGenesis } from '../config/chain-files.js';
import { ConfigError, configProblem } from '../config/errors.js';
import { openNodeKey } from '../config/key-files.js';
import { loadNamedFiles, type NamedFiles } from '../config/named-files.js';
import type { NodeConfig, RegistryWish } from '../config/node.js';
import { exists } from '../config/private-file.js';
import type { QuorateConfig } from '../config/schema.js';
import { event } from '../observability/events.js';
import { canonicalize } from '../protocol/canonical.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import type { Genesis } from '../protocol/genesis.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { parseWish } from '../protocol/kinds/registry-kind.js';

/** Throws ConfigError: key file, modes, genesis, clients, kinds. */
export async function establish(settings: QuorateConfig, log: Logger): Promise<NodeConfig> {
  const ed25519 = await loadEd25519();
  const places = { mode: settings.mode, keysDir: settings.keys_dir, dataDir: settings.data_dir, env: process.env };
  const key = openNodeKey(places, ed25519);
  if (key.origin === 'generated') event(log, 'key.generated', { file: key.file ?? '', node_id: key.nodeId });
  const chainPlaces = { dataDir: settings.data_dir, keysDir: settings.keys_dir, genesis: settings.genesis };
  let genesis = readGenesis(settings.genesis);
  if (genesis === null) {
    if (settings.mode === 'production') throw missingGenesis(settings.genesis);
    const nowMs = Date.now();
    genesis = createChain({
      places: chainPlaces,
      key,
      ed25519,
      random: () => randomBytes(32),
      nowMs,
      devClient: true,
    });
    event(log, 'genesis.created', { file: settings.genesis, chain_id: genesis.chainIdHex });
  }
  const named = loadNamedFiles(settings, key.nodeId, Date.now());
  for (const warning of named.warnings) event(log, 'config.warning', { warning });
  mkdirSync(join(settings.data_dir, 'run'), { recursive: true, mode: 0o700 });
  return {
    settings,
    identity: { nodeId: key.nodeId, publicKey: key.publicKey.toString('hex'), seed: key.seed },
    genesis: canonicalize(genesis.json),
    chainId: genesis.chainIdHex,
    places: {
      data: settings.data_dir,
      log: join(settings.data_dir, 'wal'),
      ledger: join(settings.data_dir, 'ledger'),
      run: join(settings.data_dir, 'run'),
      keys: settings.keys_dir,
    },
    wish: await registryWish(settings, named, genesis),
    hmacSecrets: named.secrets,
    mayCreateLog: isInitialising(settings.data_dir),
    apiPort: 0,
  };
}

/**
 * What the operator wants the registry to be; null when nothing is configured. The development client stays registered
 * beside the configured ones as long as its key file is there. Throws ConfigError when this chain could never grant it.
 */
export async function registryWish(
  settings: QuorateConfig,
  named: NamedFiles,
  genesis: Genesis,
): Promise<RegistryWish | null> {
  if (settings.clients_file === null && settings.kinds_dir === null) return null;
  const keepDev = settings.mode === 'development' && exists(join(settings.keys_dir, DEV_CLIENT_FILE));
  const places = { dataDir: settings.data_dir, keysDir: settings.keys_dir, genesis: settings.genesis };
  const dev = keepDev ? [devClient({ places, ed25519: await loadEd25519(), random: () => randomBytes(32) })] : [];
  // Without a clients_file the clients of the genesis stand; a kinds_dir alone must not drop them.
  const clients = settings.clients_file === null ? clientsOf(genesis) : named.clients;
  const names = new Set(clients.map(({ issuer }) => issuer));
  const wish = {
    clients: [...clients, ...dev.filter(({ issuer }) => !names.has(issuer as string))],
    kinds: named.kinds,
  };
  refuseImpossible(settings, wish, genesis);
  return wish;
}

/** What the files cannot know and the chain does: its nodes, its operators. Refused here, before an actor trips over it. */
function refuseImpossible(settings: QuorateConfig, { clients, kinds }: RegistryWish, genesis: Genesis): void {
  try {
    parseWish({ clients: [...clients], kinds: [...kinds] }, genesis.registry.frame);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new ConfigError(
      error.errors.map(({ pointer, found, allowed }) => {
        const ofKinds = pointer.startsWith('/kinds') || settings.clients_file === null;
        return configProblem({
          file: (ofKinds ? settings.kinds_dir : settings.clients_file) ?? settings.genesis,
          path: pointer.slice(1).replaceAll('/', '.'),
          found,
          allowed,
          hint: `The chain of ${settings.genesis} decides this.`,
        });
      }),
    );
  }
}

function clientsOf(genesis: Genesis) {
  return (genesis.json as unknown as { clients: RegistryWish['clients'] }).clients;
}

function missingGenesis(path: string): ConfigError {
  return new ConfigError([
    configProblem({
      file: path,
      found: 'no such file',
      allowed: 'the genesis of the chain that this node serves',
      hint: 'Copy it from another node, or start a chain with "quorate init".',
    }),
  ]);
}
