// What the daemon knows before any actor starts: settings, identity, genesis, places. Built by runtime/daemon.ts and
// cut into slices by each actor's spec. Plain data: it crosses threads. It must hold no handle and no function.
import type { JsonObject } from '../protocol/json.js';
import type { ListenAddress, QuorateConfig, TlsVersion } from './schema.js';

export interface NodeIdentity {
  readonly nodeId: string;
  /** 64 hex. */
  readonly publicKey: string;
  /** The file that the key was read from; null when it came from the environment. */
  readonly keyFile: string | null;
  /** 32-byte Ed25519 seed; handed only to the actors that sign. */
  readonly seed: Uint8Array;
}

export interface NodePlaces {
  readonly data: string;
  readonly log: string;
  readonly ledger: string;
  readonly run: string;
  readonly crash: string;
  readonly keys: string;
}

/** A secret that this node holds for a client's HMAC key; never in the ledger. */
export interface HmacSecret {
  readonly issuer: string;
  readonly keyId: string;
  readonly secret: Uint8Array;
}

/** The operator's wish for the registry (clients.yml, kinds/), or null when none is configured. */
export interface RegistryWish {
  readonly clients: readonly JsonObject[];
  readonly kinds: readonly JsonObject[];
}

/** One line of peers.yml. */
export interface PeerConfig {
  readonly nodeId: string;
  readonly host: string;
  readonly port: number;
  /** Ed25519, 64 hex: what the peer's hello proves. */
  readonly publicKey: string;
  /** Fingerprints of certificates that it may show, 64 lowercase hex each: those under its node id and its host name. */
  readonly pins: readonly string[];
}

/** This node's own certificate and whom it trusts, as PEM texts that were read and checked. */
export interface PeerTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly minVersion: TlsVersion;
}

/** The peer network of a node that has peers. */
export interface PeersConfig {
  readonly listen: ListenAddress;
  /** Without this node itself, every node id once. */
  readonly peers: readonly PeerConfig[];
  /** Null: peers without TLS (allow_insecure_peers). */
  readonly tls: PeerTls | null;
  /** False: a certificate that matches no pin is told and counted, and let in. */
  readonly enforcePins: boolean;
  /** A peer without a pin is refused; else let in with a warning, when its certificate comes from the authority. */
  readonly requirePins: boolean;
}

export interface NodeConfig {
  readonly settings: QuorateConfig;
  readonly identity: NodeIdentity;
  /** Canonical text of genesis.json, and its SHA-256 in hex. */
  readonly genesis: string;
  readonly chainId: string;
  readonly places: NodePlaces;
  readonly wish: RegistryWish | null;
  readonly hmacSecrets: readonly HmacSecret[];
  /** Null without peers: then no peer port is opened and nothing dials. */
  readonly peers: PeersConfig | null;
  /** The client port: 0 until the first ingress has bound one, then the port that every later one must take. */
  apiPort: number;
  /** The same of the peer port. */
  peerPort: number;
}
