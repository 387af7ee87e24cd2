// Drives the pure core: gives it inputs, writes its records to the log, and carries its effects out once everything
// before them is durable. Owned by actor.ts. It must never touch an effect early: that order is what makes restarts safe.
import type { Logger } from 'pino';
import type { Context } from '../../protocol/consensus/context.js';
import type { Effect, Output } from '../../protocol/consensus/effect.js';
import type { Evidence } from '../../protocol/consensus/evidence.js';
import type { Input } from '../../protocol/consensus/input.js';
import { encodeJournal, type JournalRecord } from '../../protocol/consensus/journal.js';
import type { State as CoreState } from '../../protocol/consensus/state.js';
import { step } from '../../protocol/consensus/step.js';
import { FINALIZE, NOTARIZE } from '../../protocol/consensus/vote.js';
import type { Refusal } from '../../protocol/ledger/apply.js';
import { RecordType } from '../../protocol/wal-record.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import type { Clock, Link, Links, ReportValue, Timer } from '../../runtime/kernel/contract.js';
import type { DedupContract } from '../dedup/contract.js';
import type { IngressContract } from '../ingress/contract.js';
import type { FinalizedForStore, StoreContract } from '../store/contract.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import { encodeBlockRecord } from './block-record.js';
import type { Blocks, ExecutedBlock } from './blocks.js';
import type { Checkpointer } from './checkpoint.js';
import type { Committed } from './committed.js';
import { type FinalMessages, finalMessages } from './finality.js';
import type { Mempool, Pooled } from './mempool.js';
import type { ConsensusMetrics } from './metrics.js';
import { isDue, RoundClock, tellRounds } from './rounds.js';

export type ConsensusLinks = {
  'wal-writer': WalWriterContract;
  store: StoreContract;
  dedup: DedupContract;
  ingress: IngressContract;
};

export interface HostParts {
  readonly context: Context;
  readonly core: CoreState;
  readonly nodeId: string;
  readonly links: Links<ConsensusLinks>;
  readonly committed: Committed;
  readonly blocks: Blocks;
  readonly mempool: Mempool;
  readonly checkpoints: Checkpointer;
  readonly metrics: ConsensusMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  report(name: string, value: ReportValue): void;
  /** The core signs nothing any more; why stands in its state. */
  quarantined(): void;
}

/** A disk may stall for long; giving up on an append before the process does would only lose the answer. */
const APPEND_DEADLINE_MS = 120_000;
/** Entries that may wait for the database before the next block is built: 50 000 index entries are about 15 MB. */
const UNWRITTEN_ENTRIES_MAX = 50_000;
/**
 * How long final blocks are gathered into one transaction of the store. Nothing waits for the database, so under load
 * fewer and larger transactions are better: each one fsyncs beside the log, and rewrites every tree page it touches
 * (with random ids nearly one an entry, whether the transaction is small or large).
 */
const WRITE_IDLE_MS = 25;
const WRITE_BUSY_MS = 1_000;
/** How often a store without room is asked again. */
const STORE_FULL_RETRY_MS = 500;
/** A transaction of more entries than this says that the node is busy. */
const BUSY_ENTRIES = 256;

type BuildEffect = Extract<Effect, { readonly type: 'build' }>;
type CommitEffect = Extract<Effect, { readonly type: 'commit' }>;

export class Host {
  readonly #parts: HostParts;
  /** Outputs whose records, or whose predecessors' records, are not durable yet. */
  readonly #held: { readonly effects: readonly Effect[]; durable: boolean }[] = [];
  #building: BuildEffect | null = null;
  #timer: Timer | null = null;
  /** Final blocks that wait for the next transaction of the store. */
  #unwritten: FinalMessages[] = [];
  #writing = false;
  #writeTimer: Timer | null = null;
  /** The last transaction was a large one. */
  #busy = false;
  #draining = false;
  #lastNowMs = 0;
  readonly #roundClock: RoundClock;

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.#roundClock = new RoundClock(parts.clock, () => this.#roundsDue());
  }

  start(): void {
    this.#feed({ type: 'start', now: this.#now() });
    this.#roundsDue();
    this.#parts.checkpoints.start();
  }

  /** Submissions arrived in the mempool, or left it. */
  pendingChanged(): void {
    const { core, mempool, blocks } = this.#parts;
    let count = mempool.size;
    for (const { pooled } of blocks.executed()) count += pooled.length;
    // A round that is over counts as work though it has no entry: a block lets it fail.
    if (isDue(this.#parts.committed.rounds, this.#now())) count += 1;
    if (count !== core.pendingCount) this.#feed({ type: 'pending', now: this.#now(), count });
    this.#tryBuild();
  }

  #roundsDue(): void {
    this.#roundClock.arm(this.#parts.committed.rounds, this.#now());
    this.pendingChanged();
  }

  get #idle(): boolean {
    return this.#held.length === 0 && this.#parts.mempool.size === 0 && this.#parts.committed.unwritten.blocks === 0;
  }

  /** Resolves when everything known is final and in the database. */
  async drain(): Promise<void> {
    this.#draining = true;
    if (this.#writeTimer !== null) {
      this.#writeTimer.cancel();
      void this.#write();
    }
    while (!this.#idle) await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#parts.checkpoints.close();
  }

  stop(): void {
    this.#parts.checkpoints.stop();
    this.#timer?.cancel();
    this.#roundClock.stop();
    this.#writeTimer?.cancel();
  }

  /** The core is promised a clock that does not go back. */
  #now(): number {
    this.#lastNowMs = Math.max(this.#lastNowMs, this.#parts.clock.now());
    return this.#lastNowMs;
  }

  #feed(input: Input): void {
    this.#take(step(this.#parts.context, this.#parts.core, input));
    this.#arm();
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const { wakeAtMs } = this.#parts.core;
    if (wakeAtMs === null) return;
    const delayMs = Math.max(1, wakeAtMs - this.#now());
    this.#timer = this.#parts.clock.setTimer(delayMs, () => this.#feed({ type: 'tick', now: this.#now() }));
  }

  #take(output: Output): void {
    if (output.records.length === 0 && output.effects.length === 0) return;
    if (output.records.length === 0 && this.#held.length === 0) {
      this.#carryOut(output.effects);
      return;
    }
    const held = { effects: output.effects, durable: output.records.length === 0 };
    this.#held.push(held);
    if (held.durable) return;
    this.#append(output).then(
      () => {
        held.durable = true;
        this.#release();
      },
      (error: Error) => this.#lost(error),
    );
  }

  /**
   * The records may be on disk or not, so nothing that rests on them may go out: this incarnation only waits for its end.
   * When the log is gone the supervisor brings it; anything else it must be told by dying.
   */
  #lost(error: Error): void {
    this.stop();
    this.#parts.log.warn({ err: error }, 'the journal could not be written; consensus stands still');
    if (!isPeerGone(error)) throw error;
  }

  async #append({ records, effects }: Output): Promise<void> {
    const packed = packBytes(records.map((record) => this.#encode(record)));
    const types = records.map(({ type }) => (type === 'block' ? RecordType.block : RecordType.journal));
    const settles = effects.flatMap((effect) =>
      effect.type === 'commit' ? effect.blocks.flatMap(({ hash }) => lsnsOf(this.#parts.blocks.get(hash))) : [],
    );
    for (const record of records)
      if (record.type === 'vote') this.#parts.metrics.votes.inc({ kind: kindName(record.vote.kind) });
    this.#parts.checkpoints.sending();
    const { firstLsn } = await this.#parts.links['wal-writer'].ask(
      'appendJournal',
      { records: packed, types, settles },
      { transfer: [packed], deadlineMs: APPEND_DEADLINE_MS },
    );
    this.#parts.checkpoints.recorded(records, firstLsn);
  }

  #encode(record: JournalRecord): Buffer {
    if (record.type !== 'block') return encodeJournal(record);
    const block = this.#parts.blocks.get(record.block.hash);
    if (block === undefined) throw new Error(`block ${record.block.hash} is to be written and is not held`);
    return encodeBlockRecord(block.headerText, block.pooled);
  }

  #release(): void {
    while (this.#held.length > 0 && this.#held[0]!.durable) {
      const { effects } = this.#held.shift()!;
      this.#carryOut(effects);
    }
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'build':
          this.#building = effect;
          this.#tryBuild();
          break;
        case 'commit':
          this.#commit(effect);
          break;
        case 'halt':
          this.#parts.log.fatal({ reason: effect.reason }, 'consensus halted: this node signs nothing more');
          this.#parts.report('consensus', {
            ok: false,
            detail: `halted: ${effect.reason}`,
            data: { halted: effect.reason },
          });
          break;
        case 'evidence':
          this.#parts.log.error({ evidence: effect.evidence }, 'a validator signed two conflicting messages');
          this.#parts.report('evidence', { ok: true, data: evidenceFacts(this.#parts.context, effect.evidence) });
          break;
        case 'quarantine':
          this.#parts.log.error({ reason: effect.reason }, 'this node is quarantined: it signs nothing');
          this.#parts.quarantined();
          break;
        case 'broadcast':
        case 'send':
          // Without peers nobody is there to hear it; what is sent is in the log.
          break;
        case 'validate':
        case 'fetch':
          throw new Error(`the core asked for ${effect.type}, which nothing but a peer's message leads to`);
      }
    }
  }

  /** Answers a build request as soon as there is something to build and the store keeps up. */
  #tryBuild(): void {
    const request = this.#building;
    if (request === null || this.#parts.committed.unwritten.entries >= UNWRITTEN_ENTRIES_MAX) return;
    const { mempool, blocks, committed, clock, nodeId } = this.#parts;
    const parent = blocks.viewOf(request.parentHash);
    if (parent === undefined) throw new Error(`the state after ${request.parentHash} is not held`);
    this.#building = null;
    const { blockMaxEntries, blockMaxBytes } = committed.chain;
    const startedAtMs = clock.monotonic();
    const taken = request.contents === 'none' ? [] : mempool.take(blockMaxEntries, blockMaxBytes);
    const proposal = { view: request.view, proposer: nodeId, timestampMs: this.#now() };
    const block = blocks.build(parent, proposal, taken, startedAtMs);
    this.#answerRefused(block, taken);
    const isEmpty = block.pooled.length === 0 && !isDue(parent.rounds, proposal.timestampMs);
    const unwanted = isEmpty && request.contents === 'some';
    if (unwanted) blocks.drop(block.ref.hash);
    this.#feed({ type: 'built', now: this.#now(), view: request.view, block: unwanted ? null : block.ref });
    if (mempool.size > 0) this.pendingChanged();
  }

  #answerRefused(block: ExecutedBlock, taken: readonly Pooled[]): void {
    if (block.result.refused.length === 0) return;
    const pooledOf = new Map(taken.map((pooled) => [pooled.entry, pooled]));
    const refused: { readonly pooled: Pooled; readonly refusal: Refusal }[] = [];
    for (const { entry, refusal } of block.result.refused) {
      const pooled = pooledOf.get(entry)!;
      this.#parts.metrics.refused.inc({ reason: refusal.code });
      if (refusal.code === 'block-full') this.#parts.mempool.add(pooled);
      else refused.push({ pooled, refusal });
    }
    if (refused.length === 0) return;
    const hashes = (of: (pooled: Pooled) => Buffer) =>
      new Uint8Array(Buffer.concat(refused.map(({ pooled }) => of(pooled))));
    this.#parts.links.ingress.tell('refused', {
      digests: hashes(({ entry }) => entry.prepared.digest),
      bodies: hashes(({ entry }) => entry.prepared.body),
      statuses: refused.map(({ refusal }) => refusal.status),
      codes: refused.map(({ refusal }) => refusal.code),
      details: refused.map(({ refusal }) => refusal.detail),
      heights: refused.map(({ refusal }) => refusal.position?.height ?? 0),
      indexes: refused.map(({ refusal }) => refusal.position?.index ?? 0),
    });
  }

  #commit(effect: CommitEffect): void {
    for (const { block, messages } of finalize(this.#parts, effect)) {
      this.#parts.links.ingress.tell('finalized', messages.ingress);
      this.#parts.metrics.blocks.inc();
      this.#parts.metrics.entries.inc(block.pooled.length);
      this.#parts.metrics.blockEntries.observe(block.pooled.length);
      if (block.startedAtMs !== null) {
        this.#parts.metrics.commitSeconds.observe((this.#parts.clock.monotonic() - block.startedAtMs) / 1000);
      }
      if (block.rounds !== null) tellRounds(this.#parts, block.rounds);
      this.#parts.checkpoints.final(block);
      this.#unwritten.push(messages);
    }
    this.#writeSoon();
    this.#roundsDue();
  }

  #writeSoon(): void {
    if (this.#writing || this.#unwritten.length === 0) return;
    this.#writing = true;
    const delayMs = this.#draining ? 0 : this.#busy ? WRITE_BUSY_MS : WRITE_IDLE_MS;
    this.#writeTimer = this.#parts.clock.setTimer(delayMs, () => void this.#write());
  }

  /** One transaction of the store for everything that became final meanwhile. */
  async #write(): Promise<void> {
    const blocks = this.#unwritten.map(({ store }) => store);
    this.#unwritten = [];
    this.#writeTimer = null;
    this.#busy = blocks.reduce((sum, { keys }) => sum + keys.length, 0) > BUSY_ENTRIES;
    try {
      const height = await applyBlocks(this.#parts.links.store, blocks);
      this.#parts.committed.written(height);
      // From here dedup finds them in the ledger; until here a repetition counts as in flight, and apply() finds it.
      this.#parts.links.dedup.tell('release', { keys: blocks.flatMap(({ keys }) => keys) });
    } catch (error) {
      if (!isPeerGone(error)) throw error;
      // The supervisor restarts this actor after the store: replay writes the blocks again. Later ones cannot be
      // written without these, so nothing more is sent.
      this.#parts.log.warn({ err: error, height: blocks[0]?.height }, 'final blocks were not written by the store');
      return;
    }
    this.#writing = false;
    this.#writeSoon();
    this.#tryBuild();
  }
}

/** What an operator has to know of it; the votes themselves stand in the log. */
function evidenceFacts({ validators }: Context, { rule, first }: Evidence) {
  return { rule, validator: validators[first.signer]?.nodeId ?? String(first.signer), view: first.view };
}

/**
 * Has the store write these blocks, and waits as long as its disk has no room for them: they are safe in the log. Resolves
 * with the height on record.
 */
export async function applyBlocks(store: Link<StoreContract>, blocks: readonly FinalizedForStore[]): Promise<number> {
  for (;;) {
    const { height, full } = await store.ask('apply', { blocks }, { deadlineMs: APPEND_DEADLINE_MS });
    if (!full) return height;
    await new Promise((resolve) => setTimeout(resolve, STORE_FULL_RETRY_MS));
  }
}

/** Makes the committed blocks part of the state, oldest first, with what has to be sent out for each. */
export function* finalize(
  parts: Pick<HostParts, 'blocks' | 'context'>,
  { blocks, finalization, certificates }: CommitEffect,
): Generator<{ readonly block: ExecutedBlock; readonly messages: FinalMessages }> {
  const executed = blocks.map(({ hash }) => {
    const block = parts.blocks.get(hash);
    if (block === undefined) throw new Error(`block ${hash} is final and was not executed here`);
    return block;
  });
  for (const [index, block] of executed.entries()) {
    const own = certificates[index];
    const chain = own ? [] : executed.slice(index + 1);
    const messages = finalMessages(parts.context, block, own ?? finalization, chain);
    parts.blocks.commit(block);
    yield { block, messages };
  }
}

/** The peer died; the supervisor takes this actor, which stands on it, along. Any other failure of a call is a defect. */
function isPeerGone(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === 'peer_down' || code === 'outcome_unknown';
}

function lsnsOf(block: ExecutedBlock | undefined): number[] {
  return block === undefined ? [] : block.pooled.map(({ lsn }) => lsn);
}

function kindName(kind: number): string {
  return kind === NOTARIZE ? 'notarize' : kind === FINALIZE ? 'finalize' : 'nullify';
}
