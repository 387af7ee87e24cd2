// Consensus nodes of one chain in one thread: the production host and core of each, on logs, ledgers and links in memory.
// Called by tests of consensus only. Time stands still unless a test moves it; what is not delivered is lost, as gossip does.
import { pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import type { Context } from '../../protocol/consensus/context.js';
import { quorum } from '../../protocol/consensus/quorum.js';
import type { State as CoreState } from '../../protocol/consensus/state.js';
import type { Entry, IndexEntry } from '../../protocol/ledger/apply.js';
import type { StoredBlock } from '../../protocol/ledger/block.js';
import { decodeBlock } from '../../protocol/ledger/block-codec.js';
import type { Tip } from '../../protocol/ledger/header.js';
import type { Testkit } from '../../protocol/ledger/testkit.js';
import { NO_ROUNDS, type RoundsState } from '../../protocol/rounds/round.js';
import { restoreRounds } from '../../protocol/rounds/text.js';
import { encodeInbox, InboxRoute, type PlacedRecord, RecordType } from '../../protocol/wal-record.js';
import { packBytes, unpackBytes } from '../../runtime/kernel/batch.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { DedupContract } from '../dedup/contract.js';
import type { GossipContract, SendFrames } from '../gossip/contract.js';
import type { IngressContract } from '../ingress/contract.js';
import type { LedgerReader } from '../ledger/reader.js';
import type { FinalizedForStore, StoreContract } from '../store/contract.js';
import { FakeLink } from '../testing/links.js';
import type { SignatureCheck } from '../verify/checks.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import { contentOf } from './block-record.js';
import { Blocks } from './blocks.js';
import { Checkpointer } from './checkpoint.js';
import { Committed } from './committed.js';
import { Host } from './host.js';
import { LogPages } from './log-pages.js';
import { Mempool } from './mempool.js';
import { createMetrics } from './metrics.js';
import { replayLog } from './replay.js';

/** What outlives a node. */
class Disk {
  readonly records: PlacedRecord[] = [];
  readonly blocks = new Map<number, Uint8Array>();
  readonly index = new Map<string, IndexEntry>();
  head: Tip | null = null;
  readonly #rounds = new Map<number, string>();
  #summary: string | null = null;

  get rounds(): RoundsState {
    return this.#summary === null ? NO_ROUNDS : restoreRounds(this.#summary, (number) => this.#rounds.get(number));
  }

  add(type: number, data: Uint8Array): number {
    const lsn = this.records.length + 1;
    this.records.push({ lsn, type, data: Buffer.from(data) });
    return lsn;
  }

  write(block: FinalizedForStore): void {
    this.blocks.set(block.height, Buffer.from(block.block));
    this.head = JSON.parse(block.head) as Tip;
    if (block.rounds !== null) {
      this.#summary = block.rounds.summary;
      for (const [number, text] of block.rounds.changed) this.#rounds.set(number, text);
    }
    const column = (bytes: Uint8Array, at: number): Buffer => Buffer.from(bytes.slice(32 * at, 32 * at + 32));
    for (const [index, key] of block.keys.entries()) {
      const digest = column(block.digests, index);
      this.index.set(key, { digest, body: column(block.contents, index), height: block.height, index });
    }
  }
}

export interface ClusterNode {
  readonly name: string;
  readonly disk: Disk;
  readonly host: Host;
  readonly core: CoreState;
  readonly committed: Committed;
  readonly mempool: Mempool;
  readonly registry: Registry;
  readonly ingress: FakeLink<IngressContract>;
}

/** Whether a frame arrives. */
export type Filter = (from: string, to: string, frame: Uint8Array) => boolean;

const TURNS_MAX = 400;
const STEP_MS = 5;
const DELTA0_MS = 100;

/** Its wall clock can be set, as an operator or a time server does. */
export class SettableClock extends ManualClock {
  aheadMs = 0;

  override now(): number {
    return super.now() + this.aheadMs;
  }
}

export class ConsensusCluster {
  readonly kit: Testkit;
  readonly clock = new SettableClock(Date.UTC(2026, 10, 20, 12));
  readonly names: readonly string[];
  readonly #nodes = new Map<string, ClusterNode>();
  readonly #disks = new Map<string, Disk>();
  filter: Filter = () => true;

  constructor(kit: Testkit) {
    this.kit = kit;
    this.names = kit.validators.map(({ name }) => name);
  }

  get nodes(): ClusterNode[] {
    return [...this.#nodes.values()];
  }

  node(name: string): ClusterNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`${name} does not run`);
    return node;
  }

  async startAll(): Promise<void> {
    for (const name of this.names) await this.start(name);
  }

  /** From what its disk holds. */
  async start(name: string): Promise<ClusterNode> {
    const node = await this.#make(name);
    this.#nodes.set(name, node);
    node.host.start();
    for (const other of this.#nodes.values()) {
      if (other === node) continue;
      node.host.peerState(other.name, true);
      other.host.peerState(name, true);
    }
    return node;
  }

  /** At once, as SIGKILL does. The disk stays. */
  kill(name: string): void {
    this.node(name).host.stop();
    this.#nodes.delete(name);
    for (const other of this.#nodes.values()) other.host.peerState(name, false);
  }

  /** A data directory that is gone. */
  forget(name: string): void {
    this.#disks.delete(name);
  }

  /** A client's submission, in the log of this node and told to `to`. */
  submit(name: string, entry: Entry, to: readonly string[] = this.names): void {
    const { disk, host, mempool } = this.node(name);
    const route = entry.prepared.kind === 'observation' ? InboxRoute.observation : InboxRoute.envelope;
    const body = { receivedAtMs: 0, route, requestId: 'r', body: entry.raw };
    const lsn = disk.add(RecordType.inbox, encodeInbox(body));
    const pooled = { entry, lsn, route, content: contentOf(entry.prepared), origin: name };
    mempool.add(pooled);
    host.pendingChanged();
    for (const other of this.nodes) {
      if (other.name === name || !to.includes(other.name)) continue;
      other.mempool.add({ ...pooled, lsn: 0 });
      other.host.pendingChanged();
    }
  }

  /** Lets messages arrive and time pass until it holds. Throws when it does not come to that within `limitMs`. */
  async until(condition: () => boolean, what: string, limitMs = 20_000): Promise<void> {
    const endMs = this.clock.monotonic() + limitMs;
    while (this.clock.monotonic() < endMs) {
      for (let turn = 0; turn < 12; turn++) {
        if (condition()) return;
        await new Promise((resolve) => setImmediate(resolve));
      }
      this.clock.advance(STEP_MS);
    }
    throw new Error(`${what} did not come true: ${this.nodes.map((node) => this.#where(node)).join('; ')}`);
  }

  async settle(turns = TURNS_MAX): Promise<void> {
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  stop(): void {
    for (const name of [...this.#nodes.keys()]) this.kill(name);
  }

  /** Final blocks without what differs between nodes: their certificates. */
  ledger(name: string): string[] {
    const { disk } = this.node(name);
    return [...disk.blocks.values()].map((bytes) => {
      const { hash, header, entries } = decodeBlock(bytes);
      return JSON.stringify({ hash, header, entries: entries.map(({ digest, outcome }) => [digest, outcome]) });
    });
  }

  block(name: string, height: number): StoredBlock {
    return decodeBlock(this.node(name).disk.blocks.get(height)!);
  }

  #where({ name, core, mempool, committed }: ClusterNode): string {
    const { view, finalized, quarantined, halted } = core;
    return `${name} view ${view} tip ${committed.tip.height}/${finalized.height} pending ${mempool.size} ${quarantined ?? ''} ${halted ?? ''}`;
  }

  #deliver(from: string, { to, frames }: SendFrames): void {
    for (const name of to ?? this.names) {
      if (name === from) continue;
      // Of its own for each, so that a filter may change what one of them gets.
      const kept = unpackBytes(frames)
        .map((frame) => Buffer.from(frame))
        .filter((frame) => this.filter(from, name, frame));
      if (kept.length > 0) setImmediate(() => this.#nodes.get(name)?.host.peerFrames(from, kept));
    }
  }

  async #make(name: string): Promise<ClusterNode> {
    const { kit, clock } = this;
    const disk = this.#disks.get(name) ?? new Disk();
    this.#disks.set(name, disk);
    const links = this.#links(name, disk);
    const reader = { find: (key: string) => disk.index.get(key), refresh: () => undefined };
    const tip = disk.head ?? kit.view.tip;
    const committed = new Committed(
      kit.genesis.chain,
      tip,
      kit.genesis.registry,
      disk.rounds,
      reader as unknown as LedgerReader,
    );
    const blocks = new Blocks(committed);
    const log = pino({ level: process.env.CLUSTER_LOG ?? 'silent' }).child({ node: name });
    const { context, core, proof, unwritten } = await replayLog({
      links,
      committed,
      blocks,
      log,
      validators: kit.set,
      quarantine: null,
      pages: new LogPages(links, 1),
      contextOf: () => this.#context(name),
    });
    const mempool = new Mempool(this.names.length);
    const registry = new Registry();
    const figures = {
      height: () => committed.tip.height,
      view: () => core.view,
      mempool: () => 0,
      mempoolBytes: () => 0,
      averageTis: () => 0,
      excludedNodes: () => 0,
      roundQuorum: () => 0,
    };
    const metrics = createMetrics(registry, figures, quorum(this.names.length));
    const shared = { context, core, links, committed, blocks, mempool, clock, log };
    const host = new Host({
      ...shared,
      nodeId: name,
      checkpoints: new Checkpointer({ ...shared, proof, intervalMs: 3_600_000 }),
      unwritten,
      metrics,
      verifier: { verify: async (checks) => this.#verify(checks) },
      stored: (height) => disk.blocks.get(height),
      nonce: () => Buffer.from(kit.ed25519.keyPair(Buffer.alloc(32, 9)).publicKey).toString('hex'),
      report: () => undefined,
      quarantined: () => undefined,
    });
    return { name, disk, host, core, committed, mempool, registry, ingress: links.ingress };
  }

  #verify(checks: readonly SignatureCheck[]): Uint8Array {
    return Uint8Array.from(checks, ({ signature, message, key }) =>
      this.kit.ed25519.verify(signature, message, key) ? 1 : 0,
    );
  }

  #context(name: string): Context {
    const { ed25519, validators, genesis } = this.kit;
    const self = this.names.indexOf(name);
    return {
      chainId: genesis.chainId,
      epoch: 0,
      self,
      validators: validators.map((validator) => ({ nodeId: validator.name, publicKey: validator.publicKey })),
      delta0Ms: DELTA0_MS,
      deltaMaxMs: 16 * DELTA0_MS,
      sign: (bytes) => ed25519.sign(bytes, validators[self]!.secretKey),
      verify: (signature, bytes, publicKey) => ed25519.verify(signature, bytes, publicKey),
    };
  }

  #links(name: string, disk: Disk) {
    const wal = new FakeLink<WalWriterContract>('wal-writer');
    wal.answer('appendJournal', ({ records, types }) => {
      const lsns = unpackBytes(records).map((data, index) => disk.add(types[index]!, data));
      return { firstLsn: lsns[0] ?? 0 };
    });
    wal.answer('read', ({ from, types }) => {
      const found = disk.records.filter(({ lsn, type }) => lsn >= from && types.includes(type));
      const records = packBytes(found.map(({ data }) => data));
      return { records, lsns: found.map(({ lsn }) => lsn), types: found.map(({ type }) => type), next: null };
    });
    wal.answer('trust', () => null);
    wal.answer('compactable', () => ({ segments: 0, due: false }));
    const store = new FakeLink<StoreContract>('store');
    store.answer('apply', ({ blocks }) => {
      for (const block of blocks) disk.write(block);
      return { height: disk.head?.height ?? 0, full: false };
    });
    const gossip = new FakeLink<GossipContract>('gossip');
    gossip.listen((_, payload) => this.#deliver(name, payload as SendFrames));
    const ingress = new FakeLink<IngressContract>('ingress');
    const dedup = new FakeLink<DedupContract>('dedup');
    return { 'wal-writer': wal, store, gossip, ingress, dedup };
  }
}
