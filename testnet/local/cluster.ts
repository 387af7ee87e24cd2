// A chain of several validators on this machine: keys, one genesis, certificates, peers.yml, a configuration each, and the
// real daemons. Called by `npm run testnet`, by tests and by drills. It never touches a process that it did not start, and
// leaves nothing behind but what the caller asked it to keep.

import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClusterCertificates, writeClusterCertificates } from '../../config/certificates.js';
import { type ChainPlaces, devClient, joinChain } from '../../config/chain-files.js';
import { type NodeKey, openNodeKey } from '../../config/key-files.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { createGenesis } from '../../protocol/genesis.js';
import { type Exit, LocalNode } from './node.js';

export interface ClusterOptions {
  readonly nodes: number;
  /** Kept when given; otherwise a temporary one, removed by `dispose`. */
  readonly directory?: string;
  /** `fixed`: API from 8081, peers from 8001, ops from 9001, as the documents say. Default: free ones. */
  readonly ports?: 'auto' | 'fixed';
  /** Lines for every quorate.yaml. */
  readonly settings?: readonly string[];
  /** Where node `from` finds node `to`; default: where it listens. For proxies in between. */
  readonly address?: (
    from: number,
    to: number,
    port: number,
  ) => Promise<{ readonly host: string; readonly port: number }>;
  /** Without TLS between the nodes. */
  readonly insecure?: boolean;
  /** Node index → what is loaded ahead of its launcher (`node --import`), such as a fault. */
  readonly preloads?: ReadonlyMap<number, URL>;
}

export interface Member {
  readonly index: number;
  readonly dataDir: string;
  readonly configFile: string;
  readonly key: NodeKey;
  readonly ports: { readonly api: number; readonly peer: number; readonly ops: number };
}

/** Several nodes share this machine's cores and its disk (DECISIONS 29). */
const DELTA_MS = 250;
const READY_LIMIT_MS = 60_000;
const POLL_MS = 25;
const HOST = '127.0.0.1';

/** Fixed ports that something else listens on. */
export class PortsTaken extends Error {
  override readonly name = 'PortsTaken';
}

export class LocalCluster {
  readonly directory: string;
  readonly members: readonly Member[];
  /** Null without TLS. */
  readonly certificates: ClusterCertificates | null;
  readonly #temporary: boolean;
  readonly #preloads: ReadonlyMap<number, URL>;
  readonly #nodes: (LocalNode | null)[];
  readonly #atExit = (): void => this.#abandon();

  private constructor(parts: Pick<LocalCluster, 'directory' | 'members' | 'certificates'>, options: ClusterOptions) {
    this.directory = parts.directory;
    this.members = parts.members;
    this.certificates = parts.certificates;
    this.#temporary = options.directory === undefined;
    this.#preloads = options.preloads ?? new Map();
    this.#nodes = parts.members.map(() => null);
    process.on('exit', this.#atExit);
  }

  /** Writes everything, starts nothing. @throws PortsTaken */
  static async make(options: ClusterOptions): Promise<LocalCluster> {
    const ports = await portsOf(options);
    if (options.directory !== undefined) return LocalCluster.#make(options.directory, ports, options);
    const directory = mkdtempSync(join(tmpdir(), 'quorate-testnet-'));
    const remove = (): void => rmSync(directory, { recursive: true, force: true });
    process.on('exit', remove);
    try {
      return await LocalCluster.#make(directory, ports, options);
    } catch (error) {
      remove();
      throw error;
    } finally {
      process.removeListener('exit', remove);
    }
  }

  static async #make(
    directory: string,
    ports: readonly Member['ports'][],
    options: ClusterOptions,
  ): Promise<LocalCluster> {
    const ed25519 = await loadEd25519();
    const members = ports.map((own, index): Member => {
      const dataDir = join(directory, `node_${index + 1}`);
      mkdirSync(dataDir, { recursive: true, mode: 0o700 });
      const keysDir = join(dataDir, 'keys');
      const key = openNodeKey({ mode: 'development', keysDir, dataDir, env: {} }, ed25519);
      return { index, dataDir, configFile: join(dataDir, 'quorate.yaml'), key, ports: own };
    });
    const first = placesOf(members[0]!);
    const client = devClient({ places: first, ed25519, random: () => randomBytes(32) });
    const genesis = createGenesis({
      createdAtMs: Date.now(),
      validators: members.map(({ key }) => ({ nodeId: key.nodeId, publicKey: key.publicKey })),
      clients: [client],
    });
    const tls = options.insecure === true ? null : await certificates(directory, members);
    for (const member of members) {
      joinChain(placesOf(member), genesis);
      writeFileSync(join(member.dataDir, 'peers.yml'), await peersText(member, members, options), { mode: 0o644 });
      writeFileSync(member.configFile, configText(member, options, tls), { mode: 0o644 });
    }
    return new LocalCluster({ directory, members, certificates: tls }, options);
  }

  /** Makes a cluster and waits until every node is ready. */
  static async start(options: ClusterOptions): Promise<LocalCluster> {
    const cluster = await LocalCluster.make(options);
    try {
      for (const { index } of cluster.members) cluster.launch(index);
      await cluster.ready();
    } catch (error) {
      await cluster.dispose();
      throw error;
    }
    return cluster;
  }

  get nodes(): readonly LocalNode[] {
    return this.#nodes.filter((node) => node !== null);
  }

  node(index: number): LocalNode {
    const node = this.#nodes[index];
    if (node == null) throw new Error(`node ${index + 1} does not run`);
    return node;
  }

  launch(index: number): LocalNode {
    const { dataDir, configFile } = this.members[index]!;
    const preload = this.#preloads.get(index);
    const env = preload === undefined ? {} : { NODE_OPTIONS: `--import=${preload.href}` };
    const node = new LocalNode({ dataDir, bare: true, args: ['--config', configFile], env });
    this.#nodes[index] = node;
    return node;
  }

  /** Resolves when these nodes say that they are ready, which needs a quorum of them. */
  async ready(indexes: readonly number[] = this.members.map(({ index }) => index)): Promise<void> {
    await Promise.all(indexes.map(async (index) => this.#ready(index)));
  }

  async #ready(index: number): Promise<void> {
    const node = this.node(index);
    const { ops } = await node.ready();
    let last = '';
    for (const untilMs = Date.now() + READY_LIMIT_MS; Date.now() < untilMs; ) {
      if (node.hasExited) throw new Error(`node ${index + 1} ended before it was ready:\n${node.output}`);
      try {
        const response = await fetch(`${ops}/readyz`);
        last = await response.text();
        if (response.status === 200) return;
      } catch (error) {
        last = String(error);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(
      `node ${index + 1} was not ready within ${READY_LIMIT_MS} ms: ${last}\n${node.output.slice(-4_000)}`,
    );
  }

  api(index: number): string {
    return `http://${HOST}:${this.members[index]!.ports.api}`;
  }

  ops(index: number): string {
    return `http://${HOST}:${this.members[index]!.ports.ops}`;
  }

  async kill(index: number): Promise<Exit> {
    return this.node(index).kill();
  }

  /** SIGTERM to all, and the exits that follow. */
  async stop(): Promise<Exit[]> {
    return Promise.all(this.nodes.map((node) => node.stop()));
  }

  /** Ends every process, and removes the directory when it is a temporary one. */
  async dispose(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.dispose()));
    if (this.#temporary) rmSync(this.directory, { recursive: true, force: true });
    process.removeListener('exit', this.#atExit);
  }

  /** This process ends, whatever ended it: no node may go on without it. */
  #abandon(): void {
    for (const node of this.nodes) if (!node.hasExited) node.process.kill('SIGKILL');
    // They may write until they are really gone.
    if (this.#temporary) rmSync(this.directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

function placesOf({ dataDir }: { readonly dataDir: string }): ChainPlaces {
  return { dataDir, keysDir: join(dataDir, 'keys'), genesis: join(dataDir, 'genesis.json') };
}

async function portsOf({ nodes, ports = 'auto' }: ClusterOptions): Promise<Member['ports'][]> {
  if (ports === 'fixed') {
    const fixed = Array.from({ length: nodes }, (_, index) => fixedPorts(index));
    const taken = await takenPorts(fixed.flatMap(({ api, peer, ops }) => [api, peer, ops]));
    if (taken.length === 0) return fixed;
    throw new PortsTaken(
      `found something that listens on ${HOST}, port ${taken.join(', ')}. End it, or let any free ports be taken: --ports auto.`,
    );
  }
  const free = await freePorts(3 * nodes);
  return Array.from({ length: nodes }, (_, index) => {
    const [api, peer, ops] = free.slice(3 * index, 3 * index + 3);
    return { api: api!, peer: peer!, ops: ops! };
  });
}

function fixedPorts(index: number): Member['ports'] {
  return { api: 8081 + index, peer: 8001 + index, ops: 9001 + index };
}

async function takenPorts(ports: readonly number[]): Promise<number[]> {
  const tried = await Promise.allSettled(ports.map(listen));
  await Promise.all(tried.map((each) => (each.status === 'fulfilled' ? closed(each.value) : null)));
  return ports.filter((_, index) => tried[index]!.status === 'rejected');
}

/** Below those that systems give to outgoing connections: one of these could take a port before its node listens. */
const PORTS_FROM = 10_240;
const PORTS_TO = 32_768;

/** Ports that nobody listens on now. All are held until all are found, so that none comes twice. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listenAnywhere));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map(closed));
  return ports;
}

async function listenAnywhere(): Promise<Server> {
  for (;;) {
    try {
      return await listen(randomInt(PORTS_FROM, PORTS_TO));
    } catch (error) {
      if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    }
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, HOST, resolve);
  });
  return server;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}

async function peersText(member: Member, members: readonly Member[], { address }: ClusterOptions): Promise<string> {
  const lines = ['peers:'];
  for (const { index, key, ports } of members) {
    if (index === member.index) continue;
    const place =
      address === undefined ? { host: HOST, port: ports.peer } : await address(member.index, index, ports.peer);
    lines.push(
      `  - node_id: ${key.nodeId}`,
      `    address: ${place.host}`,
      `    port: ${place.port}`,
      `    public_key: "${key.publicKey.toString('hex')}"`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** An authority for this cluster alone: 2048 bits are made in a fraction of the time that 4096 take. */
function certificates(directory: string, members: readonly Member[]): Promise<ClusterCertificates> {
  const nodes = members.map(({ key }) => ({ nodeId: key.nodeId, addresses: [HOST] }));
  return writeClusterCertificates(join(directory, 'certs'), nodes, { nowMs: Date.now(), authorityBits: 2048 });
}

function tlsLines({ ca, pins, nodes }: ClusterCertificates, nodeId: string): readonly string[] {
  const { cert, key } = nodes.get(nodeId)!;
  return [`pinned_certs: ${pins}`, 'tls:', `  ca: ${ca}`, `  cert: ${cert}`, `  key: ${key}`];
}

const INSECURE = ['allow_insecure_peers: true', 'tls:', '  enabled: false'];

function configText(
  { dataDir, ports, key }: Member,
  { settings }: ClusterOptions,
  tls: ClusterCertificates | null,
): string {
  return `${[
    'mode: development',
    `data_dir: ${dataDir}`,
    `listen: ${HOST}:${ports.api}`,
    `ops_listen: ${HOST}:${ports.ops}`,
    `peer_listen: ${HOST}:${ports.peer}`,
    `peers_file: ${join(dataDir, 'peers.yml')}`,
    ...(tls === null ? INSECURE : tlsLines(tls, key.nodeId)),
    'consensus:',
    `  delta_ms: ${DELTA_MS}`,
    'log:',
    '  format: json',
    ...(settings ?? []),
  ].join('\n')}\n`;
}
