// Knows which records of the log a restart needs beside the ledger, and has the rest dropped: now and then a checkpoint of
// the core is appended, once the ledger has confirmed how far it is durable. Driven by the host. It must never let a record
// go on the word of a ledger that may still forget it.
import type { Logger } from 'pino';
import type { Context } from '../../protocol/consensus/context.js';
import { encodeJournal, type JournalEntry, type JournalRecord } from '../../protocol/consensus/journal.js';
import { checkpoint } from '../../protocol/consensus/restart.js';
import type { State as CoreState } from '../../protocol/consensus/state.js';
import { decodeEpoch, type LogRecord, RecordType } from '../../protocol/wal-record.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import type { Clock, Links, Timer } from '../../runtime/kernel/contract.js';
import type { StoreContract } from '../store/contract.js';
import type { CompactReply, WalWriterContract } from '../wal-writer/contract.js';
import { encodeBlockRecord } from './block-record.js';
import type { Blocks, ExecutedBlock } from './blocks.js';
import type { Committed } from './committed.js';
import type { Pooled } from './mempool.js';

export type Finalization = Extract<JournalEntry, { readonly type: 'finalization' }>;

/** What the log says and neither core nor ledger does: a checkpoint repeats it. */
export interface LogProof {
  /** The newest: a log that proves less than the ledger holds has lost votes. */
  readonly finalization: Finalization | null;
  /** The newest epoch record, as it is. */
  readonly epoch: Uint8Array | null;
  readonly evidence: readonly JournalEntry[];
  /** Position of each block's record, by hash. */
  readonly blocks: ReadonlyMap<string, number>;
  /** Final blocks that the ledger has not been given. */
  readonly unconfirmed: readonly Unconfirmed[];
}

/** A final block that the ledger has not confirmed. */
export interface Unconfirmed {
  readonly height: number;
  /** The lowest position that it stands on, record and bodies. */
  readonly from: number;
}

/** `recordedAt` is the position of the block's record. Where that is unknown nothing goes until the ledger has the block. */
export function unconfirmed(
  { ref, pooled }: Pick<ExecutedBlock, 'ref' | 'pooled'>,
  recordedAt: number | undefined,
): Unconfirmed {
  let from = recordedAt ?? 0;
  for (const { lsn } of pooled) if (lsn > 0) from = Math.min(from, lsn);
  return { height: ref.height, from };
}

export interface CheckpointerParts {
  readonly context: Context;
  readonly core: CoreState;
  readonly links: Links<{ 'wal-writer': WalWriterContract; store: StoreContract }>;
  readonly committed: Pick<Committed, 'tip'>;
  readonly blocks: Blocks;
  readonly mempool: { lsns(): Iterable<number> };
  readonly clock: Clock;
  readonly log: Logger;
  readonly proof: LogProof;
  readonly intervalMs: number;
}

/**
 * How often the log is asked whether a checkpoint is due or something can go: what was written since is read again when the
 * wal-writer or consensus restarts. At 6 MB/s the log grows by 3 MB meanwhile.
 */
const LOOK_MS = 500;
/**
 * A disk on which a checkpoint takes long gets fewer: they take at most one part in so many of its time. But one that waited
 * for room on a full disk says nothing of the next, which may be what makes room.
 */
const SHARE = 10;
const LOOK_MAX_MS = 3_000;
/** The first time: a log that an earlier process left long, or a full disk, should not wait. */
const FIRST_LOOK_MS = 250;
/** After two runs that let nothing go: something needed stands in the way. One says little: it may have come too early. */
const FRUITLESS_MS = 60_000;
const DEADLINE_MS = 120_000;
/** Evidence is written down once for each signer, kind and view; a flood of it must not fill every checkpoint. */
const EVIDENCE_MAX = 64;

export interface CompactOptions {
  /** Drop also what age and size would keep. */
  readonly all: boolean;
  /** Write the checkpoint also when nothing can go. */
  readonly always: boolean;
}

export class Checkpointer {
  readonly #parts: CheckpointerParts;
  #unconfirmed: Unconfirmed[];
  readonly #recordedAt: Map<string, { readonly height: number; readonly lsn: number }>;
  #finalization: Finalization | null;
  #evidence: JournalEntry[];
  /** Journal appends that are not acknowledged, and the position after the last one that is. */
  #pending = 0;
  #acknowledged = 0;
  #changed = true;
  #running: Promise<unknown> = Promise.resolve();
  #timer: Timer | null = null;
  #dueAtMs: number;
  #fruitless = 0;
  #fruitlessUntilMs = 0;
  #stopped = false;

  constructor(parts: CheckpointerParts) {
    this.#parts = parts;
    const { proof, clock, core } = parts;
    this.#finalization = proof.finalization;
    this.#unconfirmed = [...proof.unconfirmed];
    this.#evidence = [...proof.evidence];
    this.#recordedAt = new Map();
    for (const [hash, lsn] of proof.blocks) {
      const block = core.blocks.get(hash)?.block;
      if (block !== undefined) this.#recordedAt.set(hash, { height: block.height, lsn });
    }
    this.#dueAtMs = clock.monotonic() + parts.intervalMs;
  }

  start(delayMs = FIRST_LOOK_MS): void {
    this.#timer = this.#parts.clock.setTimer(delayMs, () => void this.#look());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  // --- what the host tells

  sending(): void {
    this.#pending += 1;
  }

  /** These records are durable, the first at this position. */
  recorded(records: readonly JournalRecord[], firstLsn: number): void {
    this.#pending -= 1;
    this.#acknowledged = firstLsn + records.length;
    this.#changed = true;
    for (const [index, record] of records.entries()) {
      if (record.type === 'finalization') this.#finalization = record;
      else if (record.type === 'evidence') this.#evidence = [...this.#evidence, record].slice(-EVIDENCE_MAX);
      else if (record.type === 'block') {
        this.#recordedAt.set(record.block.hash, { height: record.block.height, lsn: firstLsn + index });
      }
    }
  }

  /** The block is final; the store will be given it. */
  final(block: Pick<ExecutedBlock, 'ref' | 'pooled'>): void {
    this.#unconfirmed.push(unconfirmed(block, this.#recordedAt.get(block.ref.hash)?.lsn));
    for (const [hash, { height }] of this.#recordedAt) if (height <= block.ref.height) this.#recordedAt.delete(hash);
  }

  // --- compaction

  /** One run after the other. Rejects when log or store are away. */
  compact(options: CompactOptions): Promise<CompactReply> {
    const run = this.#running.then(() => this.#compact(options));
    this.#running = run.catch(() => undefined);
    return run;
  }

  /**
   * For an operator: twice, for what ingress settles just now is let go by the second run only. The turn between lets in
   * what was on its way from ingress to here.
   */
  async compactNow(all: boolean): Promise<CompactReply> {
    const first = await this.compact({ all, always: true });
    if (first.skipped !== null) return first;
    await new Promise((resolve) => setTimeout(resolve, 10));
    const second = await this.compact({ all, always: false });
    return {
      segments: first.segments + second.segments,
      bytes: first.bytes + second.bytes,
      carried: first.carried + second.carried,
      firstLsn: Math.max(first.firstLsn, second.firstLsn),
      skipped: null,
    };
  }

  /** A last checkpoint: what is compacted while the node is stopped goes by it. */
  async close(): Promise<void> {
    this.stop();
    try {
      if (this.#changed) await this.compact({ all: false, always: true });
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'no checkpoint could be written at the end');
    }
  }

  async #look(): Promise<void> {
    const { clock, links, log, intervalMs } = this.#parts;
    const nowMs = clock.monotonic();
    let spareMs = 0;
    try {
      const { segments, due } = await links['wal-writer'].ask('compactable', null);
      const isDue = due || nowMs >= this.#dueAtMs;
      if ((isDue && this.#changed) || (segments > 0 && nowMs >= this.#fruitlessUntilMs)) {
        this.#dueAtMs = nowMs + intervalMs;
        const freed = await this.compact({ all: false, always: isDue });
        this.#fruitless = segments > 0 && freed.segments === 0 ? this.#fruitless + 1 : 0;
        if (this.#fruitless > 1) this.#fruitlessUntilMs = clock.monotonic() + FRUITLESS_MS;
      }
      spareMs = Math.min(LOOK_MAX_MS, (SHARE - 1) * (clock.monotonic() - nowMs));
    } catch (error) {
      // Log or store have died, or are slow. How long a store hung before it died says nothing of the disk.
      log.warn({ err: error }, 'the log was not compacted');
    }
    if (!this.#stopped) this.start(Math.max(LOOK_MS, spareMs));
  }

  async #compact({ all, always }: CompactOptions): Promise<CompactReply> {
    const { core, links, log } = this.#parts;
    const reason = !core.started ? 'consensus has not started' : (core.quarantined ?? core.halted);
    if (reason !== null) return { segments: 0, bytes: 0, carried: 0, firstLsn: 0, skipped: reason };
    const { height } = await links.store.ask('confirm', null, { deadlineMs: DEADLINE_MS });
    this.#unconfirmed = this.#unconfirmed.filter((block) => block.height > height);
    const checkpointed = this.#records();
    const packed = packBytes(checkpointed.map(({ data }) => data));
    const request = {
      records: packed,
      types: checkpointed.map(({ type }) => type),
      keepFrom: this.#keepFrom(),
      pins: this.#pins(),
      all,
      always,
    };
    this.#changed = false;
    const options = { transfer: [packed], deadlineMs: DEADLINE_MS };
    let isDone = false;
    try {
      const reply = await links['wal-writer'].ask('compact', request, options);
      isDone = reply.skipped === null;
      if (!isDone) log.info({ reason: reply.skipped }, 'the log was not compacted');
      return reply;
    } finally {
      // What was not written is due as before.
      if (!isDone) this.#changed = true;
    }
  }

  /** From these, and a ledger of the confirmed height, a restart rebuilds what is held now. */
  #records(): LogRecord[] {
    const { context, core, proof, blocks } = this.#parts;
    const records: LogRecord[] = [];
    const add = (record: JournalEntry) => records.push({ type: RecordType.journal, data: encodeJournal(record) });
    for (const record of checkpoint(context, core)) {
      if (record.type !== 'block') {
        add(record);
        continue;
      }
      const block = blocks.body(record.block.hash);
      if (block === undefined) throw new Error(`block ${record.block.hash} is durable and is not held`);
      records.push({ type: RecordType.block, data: encodeBlockRecord(block.headerText, block.pooled) });
    }
    for (const evidence of this.#evidence) add(evidence);
    if (proof.epoch !== null) records.push({ type: RecordType.epoch, data: proof.epoch });
    const trusted = proof.epoch === null ? 0 : decodeEpoch(proof.epoch).lastTrustedHeight;
    if (this.#finalization !== null && this.#finalization.height >= trusted) add(this.#finalization);
    return records;
  }

  #keepFrom(): number | null {
    const { committed, core } = this.#parts;
    let from: number | null = this.#pending > 0 ? this.#acknowledged : null;
    const keep = (lsn: number) => {
      from = Math.min(from ?? lsn, lsn);
    };
    for (const block of this.#unconfirmed) keep(block.from);
    // The core counts them as final, and what rests on them is still held back.
    for (const { height, lsn } of this.#recordedAt.values()) {
      if (height > committed.tip.height && height <= core.finalized.height) keep(lsn);
    }
    return from;
  }

  /** Bodies that wait for a block, or stand in one that is not final. */
  #pins(): number[] {
    const { blocks, mempool } = this.#parts;
    const pins = [...mempool.lsns()];
    const add = (pooled: readonly Pooled[]): void => {
      for (const { lsn } of pooled) if (lsn > 0) pins.push(lsn);
    };
    for (const { pooled } of blocks.executed()) add(pooled);
    // What peers sent and nobody judged stands in no inbox record of this log, or waits in the mempool too.
    for (const block of blocks.heldBlocks()) if (block.verified) add(block.pooled());
    return pins;
  }
}
