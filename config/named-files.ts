// The files that the configuration names, read and checked together: clients, kinds, peers with their pins and TLS files.
// Called at start, on SIGHUP and by --check-config. Equal contents give an equal fingerprint, so that a reload can tell "unchanged" from "ok".
import { canonicalize } from '../protocol/canonical.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import { type ClientsFile, type ClientWish, type HmacSecret, loadClients } from './clients.js';
import { ConfigError, type ConfigProblem } from './errors.js';
import { type KindWish, loadKinds } from './kinds.js';
import type { PeersConfig } from './node.js';
import { loadPeerNetwork, type PeerNetwork } from './peer-network.js';
import type { QuorateConfig } from './schema.js';

export interface NamedFiles {
  /** Empty when the configuration names no file. */
  readonly clients: readonly ClientWish[];
  readonly kinds: readonly KindWish[];
  readonly secrets: readonly HmacSecret[];
  /** Null without peers. */
  readonly peers: PeersConfig | null;
  readonly warnings: readonly string[];
  /** Hex SHA-256 over clients, kinds and secrets; says nothing about the secrets but that they changed. */
  readonly fingerprint: string;
}

/** Throws ConfigError with the problems of all files. `nowMs` is unix milliseconds. */
export function loadNamedFiles(config: QuorateConfig, nodeId: string, nowMs: number): NamedFiles {
  const problems: ConfigProblem[] = [];
  const collecting = <T>(read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return otherwise;
    }
  };
  const none: ClientsFile = { clients: [], secrets: [], warnings: [] };
  const { clients_file: clientsFile, kinds_dir: kindsDir } = config;
  const options = { nodeId, hmacForm: config.pcs.hmac_form, nowMs };
  const { clients, secrets, warnings } =
    clientsFile === null ? none : collecting(() => loadClients(clientsFile, options), none);
  const kinds = kindsDir === null ? [] : collecting(() => loadKinds(kindsDir), []);
  const noPeers: PeerNetwork = { peers: null, warnings: [] };
  const network = collecting(() => loadPeerNetwork(config, nodeId, nowMs), noPeers);
  if (problems.length > 0) throw new ConfigError(problems);
  const contents = {
    clients: [...clients],
    kinds: [...kinds],
    secrets: secrets.map(({ issuer, keyId, secret }) => ({ issuer, keyId, sha256: sha256Hex(secret) })),
  };
  const warned = [...warnings, ...network.warnings];
  return {
    clients,
    kinds,
    secrets,
    peers: network.peers,
    warnings: warned,
    fingerprint: sha256Hex(canonicalize(contents)),
  };
}
