// Gossip actors in one thread, talking over real sockets on loopback, with certificates of a network of their own. For the
// tests of this folder. It never waits for a time, only for what has to come true.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { createAuthority, type Issued, issueCertificate, type KeyAndCertificate } from '../../config/certificates.js';
import type { PeerConfig, PeersConfig } from '../../config/node.js';
import { canonicalize } from '../../protocol/canonical.js';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { createGenesis } from '../../protocol/genesis.js';
import { packBytes, unpackBytes } from '../../runtime/kernel/batch.js';
import { systemClock } from '../../runtime/kernel/clock.js';
import type { ConsensusContract } from '../consensus/contract.js';
import type { IngressContract } from '../ingress/contract.js';
import { type Recorded, testContext } from '../testing/context.js';
import { FakeLink } from '../testing/links.js';
import gossip from './actor.js';
import type { Lane, PeerView } from './contract.js';
import type { GossipContext, GossipLinks } from './network.js';
import type { GossipConfig, PeerLimits } from './spec.js';

export type GossipState = Awaited<ReturnType<typeof gossip.init>>;

const DAY_MS = 86_400_000;

export interface Identity {
  readonly nodeId: string;
  readonly seed: Uint8Array;
  readonly publicKey: string;
}

/** Two authorities, and one RSA key that all node certificates share: making keys is what takes time. */
export class Authorities {
  readonly good: KeyAndCertificate;
  readonly other: KeyAndCertificate;
  readonly #key: string;

  private constructor(good: KeyAndCertificate, other: KeyAndCertificate, key: string) {
    this.good = good;
    this.other = other;
    this.#key = key;
  }

  static async make(): Promise<Authorities> {
    const now = Date.now();
    const [good, other] = await Promise.all([createAuthority('good', now, 2048), createAuthority('other', now, 2048)]);
    const { key } = await issueCertificate(good, { commonName: 'x', names: ['x'], notBeforeMs: now, notAfterMs: now });
    return new Authorities(good, other, key);
  }

  issue(
    names: readonly string[],
    { by = this.good, days = 90, key = this.#key }: { by?: KeyAndCertificate; days?: number; key?: string } = {},
  ): Promise<Issued> {
    const now = Date.now();
    const notBeforeMs = now - 10 * DAY_MS;
    return issueCertificate(by, { commonName: names[0]!, names, notBeforeMs, notAfterMs: now + days * DAY_MS, key });
  }
}

export async function identities(...nodeIds: string[]): Promise<Identity[]> {
  const ed25519 = await loadEd25519();
  return nodeIds.map((nodeId, index) => identityOf(ed25519, nodeId, index + 1));
}

export function identityOf(ed25519: Ed25519, nodeId: string, fill: number): Identity {
  const seed = new Uint8Array(32).fill(fill);
  seed[0] = 0xa5;
  return { nodeId, seed, publicKey: Buffer.from(ed25519.keyPair(seed).publicKey).toString('hex') };
}

export function genesisOf(nodes: readonly Identity[]): { text: string; chainId: string } {
  const validators = nodes.map(({ nodeId, publicKey }) => ({ nodeId, publicKey: Buffer.from(publicKey, 'hex') }));
  const genesis = createGenesis({ createdAtMs: 1_700_000_000_000, validators });
  return { text: canonicalize(genesis.json), chainId: genesis.chainIdHex };
}

/**
 * A port that nobody has at this moment, below those that the system gives to outgoing connections: between the choice
 * and the use of it a dialing test could get it otherwise.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => void server.close(resolve));
    return port;
  }
}

export interface NodeParts {
  readonly identity: Identity;
  readonly port: number;
  /** Null: without TLS. */
  readonly certificate: { readonly ca: string; readonly cert: string; readonly key: string } | null;
  readonly peers: readonly PeerConfig[];
  readonly genesis: { readonly text: string; readonly chainId: string };
  readonly enforcePins?: boolean;
  readonly requirePins?: boolean;
  readonly limits?: Partial<PeerLimits>;
}

export function configOf(parts: NodeParts): GossipConfig {
  const { identity, port, certificate, peers, genesis, enforcePins = true, requirePins = true } = parts;
  const listen = { host: '127.0.0.1', port };
  const tls = certificate === null ? null : { ...certificate, minVersion: 'TLSv1.3' as const };
  const config: PeersConfig = { listen, peers, tls, enforcePins, requirePins };
  const { nodeId, publicKey, seed } = identity;
  const limits = { peer_burst: 20, peer_sustained: 100, peer_bytes_per_second: 32 * 1024 * 1024, ...parts.limits };
  return { peers: config, limits, ...listen, genesis: genesis.text, chainId: genesis.chainId, nodeId, publicKey, seed };
}

/** One running gossip actor. */
export class GossipNode {
  readonly config: GossipConfig;
  readonly consensus = new FakeLink<ConsensusContract>('consensus');
  readonly ingress = new FakeLink<IngressContract>('ingress');
  readonly context: GossipContext;
  readonly recorded: Recorded;
  #state: GossipState | null = null;

  constructor(config: GossipConfig) {
    this.config = config;
    const links = { consensus: this.consensus, ingress: this.ingress };
    const { context, recorded } = testContext<GossipLinks, GossipConfig | null>({
      config,
      links,
      clock: systemClock,
      id: 'gossip',
    });
    this.context = context;
    this.recorded = recorded;
  }

  async start(): Promise<this> {
    this.#state = await gossip.init(this.context);
    return this;
  }

  get nodeId(): string {
    return this.config.nodeId;
  }

  get state(): GossipState {
    if (this.#state === null) throw new Error('not started');
    return this.#state;
  }

  async stop(): Promise<void> {
    if (this.#state === null) return;
    await gossip.drain?.(this.#state);
    await gossip.stop(this.#state);
    this.#state = null;
  }

  /** As a killed thread would: sockets close without a word. */
  kill(): void {
    gossip.abandon?.(this.state);
    this.#state = null;
  }

  async reload(peers: PeersConfig, limits: PeerLimits = this.config.limits): Promise<void> {
    const next = { ...this.config, peers, limits };
    await gossip.reconfigure!.prepare(this.state, next);
    gossip.reconfigure!.commit(this.state);
  }

  send(to: readonly string[] | null, lane: Lane, ...frames: Uint8Array[]): void {
    gossip.tell.send(this.state, { to, lane, frames: packBytes(frames) });
  }

  view(nodeId: string): PeerView {
    const views = gossip.ask.peers(this.state, null) as readonly PeerView[];
    const found = views.find((view) => view.nodeId === nodeId);
    if (found === undefined) throw new Error(`no peer ${nodeId}`);
    return found;
  }

  isConnected(nodeId: string): boolean {
    return this.view(nodeId).connected;
  }

  /** What consensus was told of this peer's coming and going. */
  states(nodeId: string): boolean[] {
    return this.consensus.told('peerState').flatMap((told) => (told.nodeId === nodeId ? [told.connected] : []));
  }

  framesFrom(nodeId: string, receiver: 'consensus' | 'ingress' = 'consensus'): Buffer[] {
    const told = receiver === 'consensus' ? this.consensus.told('peerFrames') : this.ingress.told('gossiped');
    return told.filter(({ from }) => from === nodeId).flatMap(({ frames }) => unpackBytes(frames));
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const metric = await this.context.registry.getSingleMetric(name)?.get();
    if (metric === undefined) throw new Error(`no metric ${name}`);
    return metric.values
      .filter((value) => Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted))
      .reduce((sum, { value }) => sum + value, 0);
  }

  /** Names of the events that were logged. */
  events(): string[] {
    return this.recorded.lines.flatMap(({ event }) => (typeof event === 'string' ? [event] : []));
  }
}

/** Waits until it holds; what takes longer than this on the busiest machine does not happen. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 20_000,
): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > endMs) throw new Error(`${what} did not come true within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function peerOf({ nodeId, publicKey }: Identity, port: number, ...pins: string[]): PeerConfig {
  return { nodeId, host: '127.0.0.1', port, publicKey, pins };
}
