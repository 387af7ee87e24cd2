// Who this node is and which chain it serves: key, genesis, registry wish, places. Called by the daemon before any actor
// starts, and by a reload for the parts that may change. In development mode it makes what is missing.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { UnsignedAuditEvent } from '../config/audit-events.js';
import { createChain, DEV_CLIENT_FILE, devClient, isInitialising, readGenesis } from '../config/chain-files.js';
import { ConfigError, configProblem } from '../config/errors.js';
import { checkNodeKey, type NodeKey, openNodeKey } from '../config/key-files.js';
import { loadNamedFiles, type NamedFiles } from '../config/named-files.js';
import type { NodeConfig, PeersConfig, RegistryWish } from '../config/node.js';
import { exists } from '../config/private-file.js';
import type { QuorateConfig } from '../config/schema.js';
import { event } from '../observability/events.js';
import { canonicalize } from '../protocol/canonical.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import type { Genesis } from '../protocol/genesis.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { parseWish } from '../protocol/kinds/registry-kind.js';

/**
 * @param made told of what did not exist before, also when the start is refused afterwards
 * Throws ConfigError: key file, modes, genesis, clients, kinds.
 */
export async function establish(
  settings: QuorateConfig,
  log: Logger,
  made: (event: UnsignedAuditEvent) => void = () => undefined,
): Promise<NodeConfig> {
  const ed25519 = await loadEd25519();
  const places = { mode: settings.mode, keysDir: settings.keys_dir, dataDir: settings.data_dir, env: process.env };
  let genesis = readGenesis(settings.genesis);
  // Looked at before anything is written: a start that fails must not leave a key behind, nor remember a wrong one.
  checkChain(settings, genesis, checkNodeKey({ ...places, env: { ...process.env } }, ed25519));
  const key = openNodeKey(places, ed25519);
  if (key.origin === 'generated') {
    const facts = { file: key.file ?? '', node_id: key.nodeId };
    event(log, 'key.generated', facts);
    made({ event: 'key_generated', ...facts });
  }
  const chainPlaces = { dataDir: settings.data_dir, keysDir: settings.keys_dir, genesis: settings.genesis };
  if (genesis === null) {
    const nowMs = Date.now();
    genesis = createChain({
      places: chainPlaces,
      key,
      ed25519,
      random: () => randomBytes(32),
      nowMs,
      devClient: true,
    });
    const facts = { file: settings.genesis, chain_id: genesis.chainIdHex };
    event(log, 'genesis.created', facts);
    made({ event: 'genesis_created', ...facts, dev_client: true });
  }
  const named = loadNamedFiles(settings, key.nodeId, Date.now());
  checkPeers(settings, named.peers, genesis);
  for (const warning of named.warnings) event(log, 'config.warning', { warning });
  mkdirSync(join(settings.data_dir, 'run'), { recursive: true, mode: 0o700 });
  return {
    settings,
    identity: {
      nodeId: key.nodeId,
      publicKey: key.publicKey.toString('hex'),
      keyFile: key.file,
      seed: key.seed,
    },
    genesis: canonicalize(genesis.json),
    chainId: genesis.chainIdHex,
    places: {
      data: settings.data_dir,
      log: join(settings.data_dir, 'wal'),
      ledger: join(settings.data_dir, 'ledger'),
      run: join(settings.data_dir, 'run'),
      crash: join(settings.data_dir, 'crash'),
      keys: settings.keys_dir,
    },
    wish: await registryWish(settings, named, genesis),
    hmacSecrets: named.secrets,
    peers: named.peers,
    apiPort: 0,
    peerPort: 0,
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

/**
 * Whether genesis, key and data belong together. A missing genesis is made in development mode, on data that has no log
 * yet. `key` is null when there is none. Throws ConfigError; writes nothing.
 */
export function checkChain(settings: QuorateConfig, genesis: Genesis | null, key: NodeKey | null): void {
  const file = settings.genesis;
  if (genesis === null) {
    const hasLog = exists(join(settings.data_dir, 'wal')) && !isInitialising(settings.data_dir);
    if (settings.mode === 'development' && !hasLog) return;
    throw refused(
      file,
      'no such file',
      hasLog ? 'the genesis that the log in this data directory was made with' : 'the genesis of the chain to serve',
      hasLog
        ? 'Restore it from a backup; another genesis is another chain, and needs a --data-dir of its own.'
        : 'Copy it from a backup, or start a chain with "quorate init".',
    );
  }
  const names = genesis.validators.map(({ nodeId }) => nodeId).join(', ');
  if (genesis.validators.length > 1 && settings.peers_file === null) {
    const hint =
      'Name the other validators in peers.yml and set peers_file, or give this node a chain and data of its own.';
    throw refused(file, `the validators ${names}`, 'one validator, since no peers are configured', hint);
  }
  if (key !== null && genesis.validators.some(({ publicKey }) => publicKey.equals(key.publicKey))) return;
  const found = key === null ? 'no key of this node' : `the key of ${key.nodeId}`;
  const hint = 'Configure that key (keys_dir), or take the genesis that was made with this one.';
  throw refused(file, found, `the key of the validator that it names, ${names}`, hint);
}

/**
 * Whether peers.yml and the chain name the same keys: a peer that is a validator signs with the key of the genesis.
 * Throws ConfigError.
 */
export function checkPeers(settings: QuorateConfig, peers: PeersConfig | null, genesis: Genesis): void {
  if (peers === null || settings.peers_file === null) return;
  const keys = new Map(genesis.validators.map(({ nodeId, publicKey }) => [nodeId, publicKey.toString('hex')]));
  const owners = new Map([...keys].map(([nodeId, key]) => [key, nodeId]));
  const file = settings.peers_file;
  const problems = peers.peers.flatMap(({ nodeId, publicKey }) => {
    const key = keys.get(nodeId);
    const owner = owners.get(publicKey);
    const place = { file, path: nodeId, hint: `The validators stand in ${settings.genesis}.` };
    if (key !== undefined && key !== publicKey) {
      return [configProblem({ ...place, found: `public_key ${publicKey.slice(0, 16)}…`, allowed: `${key}` })];
    }
    if (owner !== undefined && owner !== nodeId) {
      return [configProblem({ ...place, found: `the public_key of ${owner}`, allowed: 'a key of its own' })];
    }
    return [];
  });
  if (problems.length > 0) throw new ConfigError(problems);
}

function refused(file: string, found: string, allowed: string, hint: string): ConfigError {
  return new ConfigError([configProblem({ file, found, allowed, hint })]);
}
