// Drives the pure core: gives it inputs, writes its records to the log, and carries its effects out once everything
// before them is durable. Owned by actor.ts. It must never touch an effect early: that order is what makes restarts safe.
import type { Logger } from 'pino';
import { canonicalize } from '../../protocol/canonical.js';
import type { Context } from '../../protocol/consensus/context.js';
import type { Effect, Output } from '../../protocol/consensus/effect.js';
import type { Evidence } from '../../protocol/consensus/evidence.js';
import type { Input } from '../../protocol/consensus/input.js';
import { encodeJournal, type JournalRecord } from '../../protocol/consensus/journal.js';
import type { BlockRef } from '../../protocol/consensus/message.js';
import type { State as CoreState } from '../../protocol/consensus/state.js';
import { step } from '../../protocol/consensus/step.js';
import { FINALIZE, NOTARIZE } from '../../protocol/consensus/vote.js';
import { evidenceToJson } from '../../protocol/evidence-verify.js';
import { RecordType } from '../../protocol/wal-record.js';
import { column, packBytes } from '../../runtime/kernel/batch.js';
import type { Clock, Links, ReportValue, Timer } from '../../runtime/kernel/contract.js';
import type { DedupContract } from '../dedup/contract.js';
import type { GossipContract } from '../gossip/contract.js';
import type { IngressContract } from '../ingress/contract.js';
import type { FinalizedForStore, StoreContract } from '../store/contract.js';
import type { WalWriterContract } from '../wal-writer/contract.js';
import { encodeBlockRecord } from './block-record.js';
import type { Blocks } from './blocks.js';
import { type BuildEffect, Builder } from './builder.js';
import type { Checkpointer } from './checkpoint.js';
import type { Committed } from './committed.js';
import { type CommitEffect, finalize, messageForIngress, messageForStore, notarizedMessage } from './finality.js';
import { isPeerGone, LedgerWriter } from './ledger-writer.js';
import type { Mempool } from './mempool.js';
import type { ConsensusMetrics } from './metrics.js';
import { Network, type TimelessInput } from './network.js';
import { isDue, RoundClock, tellRounds } from './rounds.js';
import type { SignatureVerifier } from './validation.js';

export type ConsensusLinks = {
  'wal-writer': WalWriterContract;
  store: StoreContract;
  dedup: DedupContract;
  ingress: IngressContract;
  gossip: GossipContract;
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
  /** Final blocks that a replay left for the database, oldest first. */
  readonly unwritten: readonly FinalizedForStore[];
  readonly metrics: ConsensusMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** Checks the signatures in peers' blocks; null where there are no peers. */
  readonly verifier: SignatureVerifier | null;
  /** Bytes of a final block in the database. */
  stored(height: number): Uint8Array | undefined;
  /** 64 hex digits that were never used before. */
  nonce(): string;
  report(name: string, value: ReportValue): void;
  /** The core signs nothing any more, or signs again; why stands in its state. */
  quarantined(): void;
}

/** A disk may stall for long; giving up on an append before the process does would only lose the answer. */
const APPEND_DEADLINE_MS = 120_000;
/** How often a quarantined node asks the others where they are (1.8). */
const RECOVER_MS = 2_000;
/** How long notarized blocks are told of after ingress asked: as long as a client may wait, its admission included. */
const NOTARIZED_MS = 602_000;
/** How often what waits is looked at again, and how long it must have waited. */
const HOPELESS_LOOK_MS = 5_000;

export class Host {
  readonly #parts: HostParts;
  readonly #builder: Builder;
  readonly #ledger: LedgerWriter;
  /** Null on a chain of one. */
  readonly #network: Network | null;
  /** Outputs whose records, or whose predecessors' records, are not durable yet. */
  readonly #held: { readonly effects: readonly Effect[]; readonly notarized: readonly string[]; durable: boolean }[] =
    [];
  /** Outputs behind one whose final block lacks its right bodies. */
  #waiting: Output[] = [];
  #building: BuildEffect | null = null;
  #buildDue = false;
  #notarizedUntilMs = Number.NEGATIVE_INFINITY;
  /** The last block asked for came to nothing, and nothing has changed since. */
  #barren = false;
  #timer: Timer | null = null;
  #lookTimer: Timer | null = null;
  #recoverTimer: Timer | null = null;
  #started = false;
  #stopped = false;
  /** What the system's clock said when `monotonic` said 0. */
  readonly #epochMs: number;
  readonly #roundClock: RoundClock;

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.#epochMs = parts.clock.now() - parts.clock.monotonic();
    const { context, links, clock, log } = parts;
    const nodes = context.validators.length;
    this.#roundClock = new RoundClock(clock, () => this.#roundsDue());
    this.#builder = new Builder({ ...parts, nodes, ingress: links.ingress });
    this.#ledger = new LedgerWriter({ links, committed: parts.committed, clock, log, written: () => this.#tryBuild() });
    for (const block of parts.unwritten) this.#ledger.add(block);
    this.#ledger.flush();
    const feed = (input: TimelessInput) => this.#feed({ ...input, now: this.#now() } as Input);
    this.#network =
      parts.verifier === null
        ? null
        : new Network({
            ...parts,
            verifier: parts.verifier,
            gossip: links.gossip,
            feed,
            peerUp: (nodeId) => void links.ingress.tell('peerUp', { nodeId }),
            pendingChanged: () => this.pendingChanged(),
          });
  }

  start(): void {
    this.#started = true;
    this.#feed({ type: 'start', now: this.#now() });
    this.#roundsDue();
    this.#parts.checkpoints.start();
    if (this.#network === null) return;
    this.#network.start();
    this.#look();
    this.#recover();
  }

  /** Submissions arrived in the mempool, or left it. */
  pendingChanged(): void {
    const { core, mempool, committed } = this.#parts;
    if (!this.#started) return;
    this.#barren = false;
    // A round that is over counts as work though it has no entry: a block lets it fail.
    const count = mempool.size + (isDue(committed.rounds, this.#parts.clock.now()) ? 1 : 0);
    if (count !== core.pendingCount) this.#feed({ type: 'pending', now: this.#now(), count });
    this.#tryBuild();
  }

  #roundsDue(): void {
    this.#roundClock.arm(this.#parts.committed.rounds, this.#parts.clock.now());
    this.pendingChanged();
  }

  /** What a peer sent. Nothing in it is trusted. */
  peerFrames(from: string, frames: readonly Uint8Array[]): void {
    if (this.#started && !this.#stopped) this.#network?.frames(from, frames);
  }

  peerState(nodeId: string, connected: boolean): void {
    this.#network?.peerState(nodeId, connected);
  }

  /** Ingress has a client that waits for a quorum's disks. */
  wantNotarized(): void {
    this.#notarizedUntilMs = this.#parts.clock.monotonic() + NOTARIZED_MS;
  }

  get #idle(): boolean {
    const { mempool } = this.#parts;
    // With peers what waits may wait for them: it is in the log, and theirs too.
    const nothingWaits = this.#network !== null || mempool.size === 0;
    return this.#held.length === 0 && this.#waiting.length === 0 && nothingWaits && this.#ledger.idle;
  }

  /** Resolves when everything known is final and in the database. */
  async drain(): Promise<void> {
    this.#ledger.drain();
    while (!this.#idle) await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#parts.checkpoints.close();
  }

  stop(): void {
    this.#stopped = true;
    this.#parts.checkpoints.stop();
    this.#ledger.stop();
    this.#network?.stop();
    this.#roundClock.stop();
    for (const timer of [this.#timer, this.#lookTimer, this.#recoverTimer]) timer?.cancel();
  }

  /**
   * The core's time, which neither goes back nor stands still: what a clock that is set back would do to its timers. Blocks
   * and rounds go by the system's clock.
   */
  #now(): number {
    return Math.floor(this.#epochMs + this.#parts.clock.monotonic());
  }

  #feed(input: Input): void {
    if (this.#stopped) return;
    this.#take(step(this.#parts.context, this.#parts.core, input));
    this.#network?.fed();
    this.#arm();
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const { wakeAtMs } = this.#parts.core;
    if (wakeAtMs === null || this.#stopped) return;
    const delayMs = Math.max(1, wakeAtMs - this.#now());
    this.#timer = this.#parts.clock.setTimer(delayMs, () => this.#feed({ type: 'tick', now: this.#now() }));
  }

  /**
   * What becomes final is executed before it is written: bodies that do not lead to their header must not get into the log.
   * Where they do not, this output and all later ones wait for the right ones.
   */
  #take(output: Output): void {
    if (this.#waiting.length > 0) {
      this.#waiting.push(output);
      return;
    }
    const unfit = this.#unfit(output);
    if (unfit === null) {
      this.#write(output);
      return;
    }
    this.#waiting.push(output);
    this.#network!.bring(unfit, () => this.#goOn());
  }

  #goOn(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const output of waiting) this.#take(output);
  }

  #unfit({ effects }: Output): BlockRef | null {
    const { blocks, log } = this.#parts;
    for (const effect of effects) {
      if (effect.type !== 'commit') continue;
      for (const block of effect.blocks) {
        try {
          blocks.settled(block.hash);
        } catch (error) {
          if (this.#network === null) throw error;
          log.error({ err: error, block: block.hash }, 'a final block does not come of the bodies that are here');
          blocks.drop(block.hash);
          return block;
        }
      }
    }
    return null;
  }

  #write(output: Output): void {
    if (output.records.length === 0 && output.effects.length === 0) return;
    if (output.records.length === 0 && this.#held.length === 0) {
      this.#carryOut(output.effects);
      return;
    }
    const { effects, records } = output;
    const isWanted = this.#parts.clock.monotonic() < this.#notarizedUntilMs;
    const held = { effects, notarized: isWanted ? notarizedIn(records) : [], durable: records.length === 0 };
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
    const types = column(records, ({ type }) => (type === 'block' ? RecordType.block : RecordType.journal));
    const settles = this.#settles(effects);
    for (const record of records)
      if (record.type === 'vote') this.#parts.metrics.votes(kindName(record.vote.kind)).inc();
    this.#parts.checkpoints.sending();
    const { firstLsn } = await this.#parts.links['wal-writer'].ask(
      'appendJournal',
      { records: packed, types, settles },
      { transfer: [packed], deadlineMs: APPEND_DEADLINE_MS },
    );
    this.#parts.checkpoints.recorded(records, firstLsn);
  }

  /** Log positions of the bodies that become final. */
  #settles(effects: readonly Effect[]): number[] {
    const lsns: number[] = [];
    for (const effect of effects) {
      if (effect.type !== 'commit') continue;
      for (const { hash } of effect.blocks) {
        for (const { lsn } of this.#parts.blocks.body(hash)?.pooled ?? []) if (lsn > 0) lsns.push(lsn);
      }
    }
    return lsns;
  }

  #encode(record: JournalRecord): Buffer {
    if (record.type !== 'block') return encodeJournal(record);
    const block = this.#parts.blocks.body(record.block.hash);
    if (block === undefined) throw new Error(`block ${record.block.hash} is to be written and is not held`);
    return encodeBlockRecord(block.headerText, block.pooled);
  }

  #release(): void {
    while (this.#held.length > 0 && this.#held[0]!.durable && !this.#stopped) {
      const { effects, notarized } = this.#held.shift()!;
      for (const hash of notarized) this.#tellNotarized(hash);
      this.#carryOut(effects);
    }
  }

  /** One whose body is still on its way is final soon after. */
  #tellNotarized(hash: string): void {
    const pooled = this.#parts.blocks.body(hash)?.pooled ?? [];
    if (pooled.length > 0) this.#parts.links.ingress.tell('notarized', notarizedMessage(pooled));
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) this.#carryOutOne(effect);
    this.#network?.flush();
  }

  #carryOutOne(effect: Effect): void {
    const { log, report, context } = this.#parts;
    switch (effect.type) {
      case 'build':
        this.#building = effect;
        this.#tryBuild();
        break;
      case 'commit':
        this.#commit(effect);
        break;
      case 'halt':
        log.fatal({ reason: effect.reason }, 'consensus halted: this node signs nothing more');
        report('consensus', { ok: false, detail: `halted: ${effect.reason}`, data: { halted: effect.reason } });
        break;
      case 'evidence':
        log.error({ evidence: effect.evidence }, 'a validator signed two conflicting messages');
        this.#parts.metrics.evidence.inc({ rule: effect.evidence.rule });
        report('evidence', { ok: true, data: evidenceFacts(context, effect.evidence) });
        this.#parts.links.ingress.tell('evidence', { documents: [evidenceText(context, effect.evidence)] });
        break;
      case 'quarantine':
        log.error({ reason: effect.reason }, 'this node is quarantined: it signs nothing');
        this.#parts.quarantined();
        this.#recover();
        break;
      case 'rejoined':
        log.warn({ view: effect.view }, 'this node signs again, in views above those that its log may have lost');
        this.#rejoined();
        break;
      case 'broadcast':
      case 'send':
      case 'validate':
      case 'fetch':
      case 'catchup':
        // A chain of one has nobody to hear it; what would be sent is in the log.
        this.#network?.carryOut(effect);
        break;
    }
  }

  /**
   * Answers a build request as soon as there is something to build and the store keeps up: at the end of the turn, so that
   * what has come in already gets into this block. A block costs as much as a score of its entries.
   */
  #tryBuild(): void {
    if (this.#building === null || this.#buildDue) return;
    this.#buildDue = true;
    setImmediate(() => {
      this.#buildDue = false;
      this.#build();
    });
  }

  #build(): void {
    const request = this.#building;
    if (request === null || this.#ledger.full || this.#stopped) return;
    this.#building = null;
    // A view that has passed since wants no block, and the state after its parent may be held no longer.
    const isPast = request.view !== this.#parts.core.view;
    const block = isPast ? null : this.#builder.build(request, this.#parts.clock.now());
    this.#barren = block === null && !isPast;
    this.#feed({ type: 'built', now: this.#now(), view: request.view, block });
    // What only an unfinalized block stands against waits for that to become final.
    if (this.#parts.mempool.size > 0 && !this.#barren) this.pendingChanged();
  }

  #commit(effect: CommitEffect): void {
    const { links, metrics, clock, checkpoints, blocks, context } = this.#parts;
    for (const final of finalize(blocks, context, effect)) {
      const { block, abandoned } = final;
      // First, for clients wait for it: what comes after runs beside their answers.
      links.ingress.tell('finalized', messageForIngress(final));
      this.#builder.committed(block, abandoned);
      metrics.blocks.inc();
      metrics.entries.inc(block.pooled.length);
      metrics.blockEntries.observe(block.pooled.length);
      if (block.startedAtMs !== null) metrics.commitSeconds.observe((clock.monotonic() - block.startedAtMs) / 1000);
      if (block.rounds !== null) tellRounds(this.#parts, block.rounds);
      checkpoints.final(block);
      const stored = messageForStore(final);
      this.#ledger.add(stored);
      this.#network?.committed(block, stored);
    }
    this.#ledger.flush();
    this.#roundsDue();
  }

  #look(): void {
    const { clock, mempool } = this.#parts;
    this.#lookTimer = clock.setTimer(HOPELESS_LOOK_MS, () => {
      if (mempool.waiting > 0) {
        this.#builder.refuseHopeless(clock.monotonic() - HOPELESS_LOOK_MS, clock.now());
        this.pendingChanged();
      }
      this.#look();
    });
  }

  /** Before clients are let in, the log takes what they send. */
  #rejoined(): void {
    const { links, quarantined, log } = this.#parts;
    links['wal-writer'].ask('trust', null, { deadlineMs: APPEND_DEADLINE_MS }).then(quarantined, (error: Error) => {
      if (!isPeerGone(error)) log.error({ err: error }, 'the log does not end its quarantine');
    });
  }

  /** While this node is quarantined it asks the others how far they are (1.8). */
  #recover(): void {
    this.#recoverTimer?.cancel();
    this.#recoverTimer = null;
    const { core, clock } = this.#parts;
    if (this.#network === null || core.quarantined === null || core.halted !== null || !this.#started) return;
    this.#recoverTimer = clock.setTimer(RECOVER_MS, () => {
      this.#feed({ type: 'recover', now: this.#now(), nonce: this.#parts.nonce() });
      this.#recover();
    });
  }
}

/** The document that proves it to anybody. */
export function evidenceText(context: Context, evidence: Evidence): string {
  return canonicalize(evidenceToJson(context, evidence));
}

/** What an operator has to know of it; the votes themselves stand in the log. */
function evidenceFacts({ validators }: Context, { rule, first }: Evidence) {
  return { rule, validator: validators[first.signer]?.nodeId ?? String(first.signer), view: first.view };
}

function notarizedIn(records: readonly JournalRecord[]): string[] {
  return records.flatMap((record) => {
    if (record.type !== 'certificate') return [];
    const { kind, hash } = record.certificate;
    return kind === NOTARIZE && hash !== null ? [hash] : [];
  });
}

function kindName(kind: number): string {
  return kind === NOTARIZE ? 'notarize' : kind === FINALIZE ? 'finalize' : 'nullify';
}
