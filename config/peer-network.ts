// The peer network as the configuration describes it: peers.yml, pins and TLS files put together and held against each
// other. Called with the other named files at start, on SIGHUP and by --check-config. It must never read without peers.
import { ConfigError, type ConfigProblem, configProblem } from './errors.js';
import type { PeersConfig } from './node.js';
import { loadPeersFile, type PeerEntry, type PeersFile } from './peers-file.js';
import { loadPinsFile, type PinsFile } from './pins-file.js';
import { parseListen, type QuorateConfig } from './schema.js';
import { loadTlsFiles, type TlsFiles } from './tls-files.js';

export interface PeerNetwork {
  /** Null when no peers are configured. */
  readonly peers: PeersConfig | null;
  readonly warnings: readonly string[];
}

/** @param nowMs unix milliseconds. Throws ConfigError with the problems of all files. */
export function loadPeerNetwork(config: QuorateConfig, nodeId: string, nowMs: number): PeerNetwork {
  const { peers_file: peersFile, pinned_certs: pinnedCerts, peer_listen: peerListen } = config;
  if (peersFile === null || peerListen === null) return { peers: null, warnings: [] };
  const problems: ConfigProblem[] = [];
  const reading = <T>(read: () => T): T | null => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return null;
    }
  };
  const file = reading(() => loadPeersFile(peersFile, nodeId));
  const pins = pinnedCerts === null ? null : reading(() => loadPinsFile(pinnedCerts));
  const tls = config.tls.enabled ? reading(() => loadTlsFiles(config.tls, nowMs)) : null;
  if (problems.length > 0) throw new ConfigError(problems);
  return assemble(config, nodeId, file!, pins, tls);
}

function assemble(
  config: QuorateConfig,
  nodeId: string,
  file: PeersFile,
  pins: PinsFile | null,
  tls: TlsFiles | null,
): PeerNetwork {
  const isProduction = config.mode === 'production';
  const peers = file.peers.map((peer) => ({ ...peer, pins: pinsOf(peer, pins) }));
  const warnings = [...file.warnings, ...(tls?.warnings ?? [])];
  if (peers.length === 0) {
    return { peers: null, warnings: [...warnings, 'peers_file names no peer: no peer port is opened.'] };
  }
  const unpinned = tls === null ? [] : peers.filter((peer) => peer.pins.length === 0).map((peer) => peer.nodeId);
  if (isProduction && unpinned.length > 0) {
    const hint = 'In production each peer needs a pin, under its node_id or its host name.';
    throw refused(config.pinned_certs!, `no pin of ${unpinned.join(', ')}`, 'a pin of every peer', hint);
  }
  if (unpinned.length > 0) warnings.push(`no certificate is pinned for ${unpinned.join(', ')}.`);
  if (pins !== null && !pins.enforce) {
    if (isProduction) throw refused(config.pinned_certs!, 'enforce: false', 'enforce: true in production', null);
    warnings.push('pinned_certs does not enforce: a certificate that matches no pin is let in.');
  }
  const own = pins?.pins.get(nodeId);
  if (tls !== null && own !== undefined && !own.includes(tls.own.fingerprint)) {
    warnings.push(`pinned_certs names other certificates for this node, ${nodeId}, than the one in tls.cert.`);
  }
  return {
    peers: {
      listen: parseListen(config.peer_listen!)!,
      peers,
      tls: tls?.tls ?? null,
      enforcePins: pins?.enforce ?? true,
      requirePins: isProduction,
    },
    warnings: [...warnings, ...strangers(file, nodeId, pins)],
  };
}

function pinsOf({ nodeId, host }: PeerEntry, file: PinsFile | null): string[] {
  return [...new Set([...(file?.pins.get(nodeId) ?? []), ...(file?.pins.get(host) ?? [])])];
}

function strangers({ peers }: PeersFile, nodeId: string, file: PinsFile | null): string[] {
  const known = new Set([nodeId, ...peers.flatMap((peer) => [peer.nodeId, peer.host])]);
  const unknown = [...(file?.pins.keys() ?? [])].filter((name) => !known.has(name));
  return unknown.length === 0 ? [] : [`pinned_certs names ${unknown.join(', ')}, which peers_file does not.`];
}

function refused(file: string, found: string, allowed: string, hint: string | null): ConfigError {
  return new ConfigError([configProblem({ file, found, allowed, hint })]);
}
