// A consensus host with everything behind it in one thread: a log, a database, listeners. It can be killed and started
// again on any prefix of its log. Called by tests of this folder only.
import { Buffer } from 'node:buffer';
import { Registry } from 'prom-client';
import type { Context } from '../../protocol/consensus/context.js';
import { decodeJournal } from '../../protocol/consensus/journal.js';
import type { Vote } from '../../protocol/consensus/message.js';
import { type State as CoreState, createState } from '../../protocol/consensus/state.js';
import { checkVotes, type Stored } from '../../protocol/consensus/testing/host.js';
import type { JsonObject } from '../../protocol/json.js';
import type { Entry, IndexEntry } from '../../protocol/ledger/apply.js';
import { genesisTip, type Tip } from '../../protocol/ledger/header.js';
import { NOON_MS, type Testkit } from '../../protocol/ledger/testkit.js';
import { restoreRegistry } from '../../protocol/registry.js';
import { encodeInbox, encodeSettled, InboxRoute, RecordType, SettledReason } from '../../protocol/wal-record.js';
import { packBytes, unpackBytes } from '../../runtime/kernel/batch.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ReportValue } from '../../runtime/kernel/contract.js';
import type { DedupContract } from '../dedup/contract.js';
import type { FinalizedBlock, IngressContract } from '../ingress/contract.js';
import type { FinalizedForStore, StoreContract } from '../store/contract.js';
import { type LogLine, memoryLog } from '../testing/context.js';
import { FakeLink, until } from '../testing/links.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import { contentOf } from './block-record.js';
import { Blocks } from './blocks.js';
import { Committed } from './committed.js';
import { Host } from './host.js';
import { Mempool, type Pooled } from './mempool.js';
import { createMetrics } from './metrics.js';
import { replayLog } from './replay.js';

export interface LoggedRecord {
  readonly type: number;
  readonly data: Buffer;
}

/** A log as the wal-writer keeps it: positions from 1, settlements after the records that they belong to. */
export class JournalLog {
  readonly link = new FakeLink<WalWriterContract>('wal-writer', 'outcome_unknown');
  records: LoggedRecord[];
  /** Records of each append, in order. */
  readonly appends: number[] = [];

  constructor(records: readonly LoggedRecord[] = []) {
    this.records = [...records];
    this.link.answer('appendJournal', (request) => this.append(request));
    this.link.answer('read', ({ from, types, maxBytes }) => this.page(from, types, maxBytes));
  }

  append({ records, types, settles }: WalWriterContract['ask']['appendJournal']['request']): { firstLsn: number } {
    const firstLsn = this.records.length + 1;
    const list = unpackBytes(records);
    this.appends.push(list.length);
    list.forEach((data, index) => void this.records.push({ type: types[index]!, data: Buffer.from(data) }));
    if (settles.length > 0) this.settle(SettledReason.final, settles);
    return { firstLsn };
  }

  settle(reason: number, lsns: readonly number[]): void {
    this.records.push({ type: RecordType.settled, data: encodeSettled({ reason, lsns }) });
  }

  inbox(body: Uint8Array, route: number): number {
    this.records.push({ type: RecordType.inbox, data: encodeInbox({ receivedAtMs: 0, route, requestId: 'r', body }) });
    return this.records.length;
  }

  page(from: number, types: readonly number[], maxBytes: number) {
    const lsns: number[] = [];
    let sizeBytes = 0;
    let at = from;
    for (; at <= this.records.length && sizeBytes < maxBytes; at++) {
      const { type, data } = this.records[at - 1]!;
      if (!types.includes(type)) continue;
      sizeBytes += data.length;
      lsns.push(at);
    }
    return {
      records: packBytes(lsns.map((lsn) => this.records[lsn - 1]!.data)),
      lsns,
      types: lsns.map((lsn) => this.records[lsn - 1]!.type),
      next: at <= this.records.length ? at : null,
    };
  }

  /** The own votes in the log. Throws where two of them contradict each other (CONSENSUS.md 1.5). */
  votes(): Vote[] {
    const journal = this.records.filter(({ type }) => type === RecordType.journal);
    return checkVotes(journal.map(({ data }): Stored => data));
  }

  names(): string[] {
    return this.records.map(({ type, data }) =>
      type === RecordType.journal ? decodeJournal(data).type : Object.keys(RecordType)[type]!,
    );
  }
}

/** What the store has written, and what a reader finds there. */
export class Database {
  readonly blocks: FinalizedForStore[] = [];
  readonly #index = new Map<string, IndexEntry>();
  refreshes = 0;

  constructor(blocks: readonly FinalizedForStore[] = []) {
    for (const block of blocks) this.write(block);
  }

  get height(): number {
    return this.blocks.at(-1)?.height ?? 0;
  }

  apply(blocks: readonly FinalizedForStore[]): { height: number } {
    for (const block of blocks) if (block.height > this.height) this.write(block);
    return { height: this.height };
  }

  write(block: FinalizedForStore): void {
    if (block.height !== this.height + 1) throw new RangeError(`block ${block.height} cannot follow ${this.height}`);
    this.blocks.push(block);
    block.keys.forEach((key, index) => {
      const hash = (bytes: Uint8Array) => Buffer.from(bytes).subarray(32 * index, 32 * index + 32);
      this.#index.set(key, { digest: hash(block.digests), body: hash(block.bodies), height: block.height, index });
    });
  }

  find(key: string): IndexEntry | undefined {
    return this.#index.get(key);
  }

  refresh(): void {
    this.refreshes += 1;
  }
}

export interface NodeOptions {
  readonly log?: JournalLog;
  readonly database?: Database;
  readonly mempool?: Mempool;
  readonly makeCommitted?: (...parts: ConstructorParameters<typeof Committed>) => Committed;
  readonly quarantined?: string;
}

/** One incarnation of consensus on a log and a database. */
export class Node {
  readonly kit: Testkit;
  readonly clock = new ManualClock(NOON_MS);
  readonly log: JournalLog;
  readonly database: Database;
  readonly store = new FakeLink<StoreContract>('store');
  readonly dedup = new FakeLink<DedupContract>('dedup');
  readonly ingress = new FakeLink<IngressContract>('ingress');
  readonly mempool: Mempool;
  readonly metrics = new Registry();
  readonly reports: { readonly name: string; readonly value: ReportValue }[] = [];
  readonly lines: LogLine[];
  readonly core: CoreState;
  readonly context: Context;
  readonly committed: Committed;
  readonly blocks: Blocks;
  readonly host: Host;

  constructor(kit: Testkit, options: NodeOptions = {}) {
    this.kit = kit;
    this.log = options.log ?? new JournalLog();
    this.database = options.database ?? new Database();
    this.mempool = options.mempool ?? new Mempool();
    this.store.answer('apply', ({ blocks }) => this.database.apply(blocks));
    const { log, lines } = memoryLog();
    this.lines = lines;
    const { genesis, ed25519, validators } = kit;
    this.context = {
      chainId: genesis.chainId,
      epoch: 0,
      self: 0,
      validators: genesis.validators,
      delta0Ms: 100,
      deltaMaxMs: 1_600,
      sign: (bytes) => ed25519.sign(bytes, validators[0]!.secretKey),
      verify: (signature, bytes, publicKey) => ed25519.verify(signature, bytes, publicKey),
    };
    const head = this.database.blocks.at(-1)?.head;
    const tip =
      head === undefined
        ? genesisTip(genesis.chainIdHex, genesis.validatorsHash, validators.length)
        : (JSON.parse(head) as Tip);
    const text = this.database.blocks.findLast(({ registry }) => registry !== null)?.registry ?? null;
    const registry =
      text === null ? genesis.registry : restoreRegistry(genesis.registry, JSON.parse(text) as JsonObject);
    const make = options.makeCommitted ?? ((...parts) => new Committed(...parts));
    this.committed = make(genesis.chain, tip, registry, this.database);
    this.blocks = new Blocks(this.committed);
    this.core = createState(this.context, {
      finalized: { view: tip.view, height: tip.height, hash: tip.hash },
      ...(options.quarantined === undefined ? {} : { quarantined: options.quarantined }),
    });
    const figures = { height: () => 0, view: () => 0, mempool: () => this.mempool.size, mempoolBytes: () => 0 };
    this.host = new Host({
      ...this.#shared(log),
      mempool: this.mempool,
      metrics: createMetrics(this.metrics, figures, 1),
      report: (name, value) => void this.reports.push({ name, value }),
    });
    this.replay = () => replayLog(this.#shared(log));
  }

  /** Replays the log and starts, as the actor's init does. */
  static async start(kit: Testkit, options: NodeOptions = {}): Promise<Node> {
    const node = new Node(kit, options);
    await node.replay();
    node.host.start();
    return node;
  }

  readonly replay: () => Promise<void>;

  /** A verified submission: its body in the log, itself in the mempool. */
  propose(...entries: readonly Entry[]): Pooled[] {
    const pooled = entries.map((entry) => this.pool(entry));
    for (const each of pooled) this.mempool.add(each);
    this.host.pendingChanged();
    return pooled;
  }

  pool(entry: Entry): Pooled {
    const route = entry.prepared.alg === null ? InboxRoute.pcs : InboxRoute.envelope;
    return { entry, lsn: this.log.inbox(entry.raw, route), route, content: contentOf(entry.prepared) };
  }

  get finalized(): FinalizedBlock[] {
    return this.ingress.told('finalized');
  }

  /** All that was proposed is final and written. */
  async settle(): Promise<void> {
    for (let round = 0; round < 50 && !this.host.idle; round++) {
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      this.clock.advance(25);
    }
    await until(() => this.host.idle, 'an idle host');
  }

  #shared(log: ReturnType<typeof memoryLog>['log']) {
    const { context, core, committed, blocks, clock, kit } = this;
    const links = { 'wal-writer': this.log.link, store: this.store, dedup: this.dedup, ingress: this.ingress };
    return { context, core, nodeId: kit.validators[0]!.name, links, committed, blocks, clock, log };
  }
}
