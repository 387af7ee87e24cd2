// Rebuilds consensus from the log: votes and certificates into the core, final blocks that the database does not have
// to the store, and the epochs that repairs of the log have begun. Called once by the actor's init, before anything may
// be signed. It must never build on a log and a database that contradict each other.
import type { Logger } from 'pino';
import type { Context } from '../../protocol/consensus/context.js';
import type { Effect } from '../../protocol/consensus/effect.js';
import { decodeJournal, type JournalEntry } from '../../protocol/consensus/journal.js';
import { replay } from '../../protocol/consensus/restart.js';
import { type State as CoreState, createState } from '../../protocol/consensus/state.js';
import { blockHash, enterEpoch, headerText } from '../../protocol/ledger/header.js';
import {
  type Epoch,
  type ValidatorSet,
  validatorSetJson,
  validatorsHash,
  withEpoch,
} from '../../protocol/validators.js';
import { decodeEpoch, decodeInbox, decodeSettled, type EpochRecord, RecordType } from '../../protocol/wal-record.js';
import { unpackBytes } from '../../runtime/kernel/batch.js';
import type { Links } from '../../runtime/kernel/contract.js';
import type { FinalizedForStore } from '../store/contract.js';
import { type BodyAt, decodeBlockRecord, peekBlockRecord } from './block-record.js';
import { type Blocks, refOf } from './blocks.js';
import { type Finalization, type LogProof, type Unconfirmed, unconfirmed } from './checkpoint.js';
import type { Committed } from './committed.js';
import { finalize, messageForStore } from './finality.js';
import type { ConsensusLinks } from './host.js';
import { applyBlocks } from './ledger-writer.js';
import type { LogPages } from './log-pages.js';

export interface ReplayParts {
  readonly links: Links<Pick<ConsensusLinks, 'wal-writer' | 'store'>>;
  readonly committed: Committed;
  readonly blocks: Blocks;
  readonly log: Logger;
  /** With the epochs that the database knows. */
  readonly validators: ValidatorSet;
  /** Why nothing may be signed, or null. */
  readonly quarantine: string | null;
  /** From the first position on that is needed. */
  readonly pages: LogPages;
  contextOf(epoch: Epoch): Context;
}

export interface Replayed {
  /** Of the epoch that the chain is in. */
  readonly context: Context;
  /** Quarantined where the log is not to be trusted. */
  readonly core: CoreState;
  readonly proof: LogProof;
  /** Final blocks that are still to be written to the database, oldest first. */
  readonly unwritten: readonly FinalizedForStore[];
}

/** Log and ledger are not of one node at one time. No restart mends it, and nothing of either may be built upon. */
export class LogLedgerMismatch extends Error {
  override readonly name = 'LogLedgerMismatch';

  constructor(found: string) {
    super(`${found}: it is not the ledger of this log. Restore a backup of the whole data directory`);
  }
}

/** Blocks, and their bytes, that wait for a transaction of the store: with more a replay stops and has them written. */
const UNWRITTEN_MAX = 256;
const UNWRITTEN_MAX_BYTES = 32 * 1024 * 1024;
const STORE_DEADLINE_MS = 120_000;

/** Throws LogLedgerMismatch when the log and the database contradict each other. */
export function replayLog(parts: ReplayParts): Promise<Replayed> {
  return new Replay(parts).run();
}

class Replay {
  readonly #parts: ReplayParts;
  readonly #databaseHeight: number;
  /** Bodies that nothing has settled yet, by LSN. */
  readonly #inbox = new Map<number, Uint8Array>();
  #validators: ValidatorSet;
  #context: Context;
  #core: CoreState;
  /** The height that the log itself proves final. */
  #provenHeight = 0;
  #finalization: Finalization | null = null;
  #epoch: Uint8Array | null = null;
  readonly #evidence: JournalEntry[] = [];
  readonly #recordedAt = new Map<string, number>();
  /** An epoch that does not follow from what is held; a later one may answer for it. */
  #gap: Error | null = null;
  /** Final blocks that the database does not have. */
  readonly #unwritten: FinalizedForStore[] = [];
  #unwrittenBytes = 0;
  readonly #unconfirmed: Unconfirmed[] = [];

  constructor(parts: ReplayParts) {
    this.#parts = parts;
    this.#databaseHeight = parts.committed.tip.height;
    this.#validators = parts.validators;
    this.#context = this.#contextOf(parts.committed.tip.epoch);
    this.#core = this.#newCore();
  }

  async run(): Promise<Replayed> {
    const { committed, log, pages } = this.#parts;
    for (let page = await pages.next(); page !== null; page = await pages.next()) {
      for (const { lsn, type, data } of page) await this.#take(lsn, type, data);
    }
    if (this.#gap !== null) throw this.#gap;
    if (committed.tip.height > this.#databaseHeight) {
      log.info(
        { from: this.#databaseHeight + 1, to: committed.tip.height },
        'blocks of the log that the database does not have',
      );
    }
    this.#doubtShortLog();
    const proof = {
      finalization: this.#finalization,
      epoch: this.#epoch,
      evidence: this.#evidence,
      blocks: this.#recordedAt,
      unconfirmed: this.#unconfirmed,
    };
    return { context: this.#context, core: this.#core, proof, unwritten: this.#unwritten };
  }

  /** The log is always written before the database: when it is behind, it is not the log that this node had. */
  #doubtShortLog(): void {
    if (this.#provenHeight >= this.#databaseHeight) return;
    const found = `the ledger is at height ${this.#databaseHeight}, and the log proves no more than ${this.#provenHeight}`;
    this.#core.quarantined ??= `${found}: votes that were in it are lost`;
  }

  async #take(lsn: number, type: number, data: Uint8Array): Promise<void> {
    switch (type) {
      case RecordType.inbox:
        this.#inbox.set(lsn, decodeInbox(data).body);
        return;
      case RecordType.settled:
        for (const settled of decodeSettled(data).lsns) this.#inbox.delete(settled);
        return;
      case RecordType.block:
        return this.#takeBlock(lsn, data);
      case RecordType.journal:
        return this.#takeJournal(decodeJournal(data));
      case RecordType.epoch:
        this.#epoch = data;
        return this.#takeEpoch(decodeEpoch(data));
    }
  }

  async #takeJournal(entry: JournalEntry): Promise<void> {
    if (entry.type === 'evidence') this.#evidence.push(entry);
    await this.#carryOut(replay(this.#context, this.#core, entry));
    if (entry.type !== 'finalization') return;
    this.#provenHeight = Math.max(this.#provenHeight, entry.height);
    this.#finalization = entry;
    const { height } = this.#core.finalized;
    if (height >= entry.height || entry.epoch !== this.#context.epoch) return;
    // The log was pruned up to here, on the word of a ledger that had the blocks.
    this.#gap ??= new LogLedgerMismatch(
      `the ledger is at height ${height}, and the log proves ${entry.height} without the blocks between`,
    );
  }

  async #takeBlock(lsn: number, data: Uint8Array): Promise<void> {
    const { blocks } = this.#parts;
    // A block that the database has needs no bodies; some of them may be gone from the log.
    const { header: peeked, lsns } = peekBlockRecord(data);
    if (peeked.height <= this.#databaseHeight || this.#gap !== null) return;
    const parent = blocks.viewOf(peeked.parent_hash);
    // With peers a block may have been voted for before the body of its parent was recorded, and stand on any of several.
    const alone = this.#context.validators.length === 1;
    if (alone && parent === undefined) {
      const { height } = this.#parts.committed.tip;
      this.#gap = new LogLedgerMismatch(`the ledger is at height ${height}, and the log goes on from ${peeked.height}`);
      return;
    }
    const { header, pooled } = decodeBlockRecord(data, await this.#bodies(lsns));
    const text = headerText(header);
    const hash = blockHash(text).toString('hex');
    this.#recordedAt.set(hash, lsn);
    // A checkpoint writes blocks that are not final once more.
    const ref = refOf(header, hash);
    if (alone && blocks.get(hash) === undefined) blocks.judge(parent!, header, pooled);
    if (!alone) {
      blocks.hold({ ref, header, headerText: text, verified: true, pooled: () => pooled, unverified: () => [] });
    }
    replay(this.#context, this.#core, { type: 'block', block: ref });
  }

  /**
   * A body may have been settled before its block was recorded: a copy of it that came in meanwhile made it superfluous,
   * while consensus already had it. The log still holds it.
   */
  async #bodies(of: readonly number[]): Promise<BodyAt> {
    const settled = new Map<number, Uint8Array>();
    const lsns = of.filter((lsn) => !this.#inbox.has(lsn));
    if (lsns.length > 0) {
      const page = await this.#parts.links['wal-writer'].ask('fetch', { lsns }, { deadlineMs: STORE_DEADLINE_MS });
      for (const [index, record] of unpackBytes(page.records).entries()) {
        settled.set(page.lsns[index]!, decodeInbox(record).body);
      }
    }
    return (lsn) => this.#inbox.get(lsn) ?? settled.get(lsn);
  }

  /** A repair gave up what came after the records so far, and what they do not prove is void (DECISIONS 27). */
  async #takeEpoch({ epoch, lastTrustedHeight, reason }: EpochRecord): Promise<void> {
    const { committed, blocks, links, log } = this.#parts;
    this.#provenHeight = Math.max(this.#provenHeight, lastTrustedHeight);
    if (epoch <= this.#context.epoch) return;
    const { height } = committed.tip;
    if (height !== lastTrustedHeight) {
      const found = `epoch ${epoch} begins above height ${lastTrustedHeight}, and the ledger is at ${height}`;
      this.#gap = new LogLedgerMismatch(found);
      return;
    }
    this.#gap = null;
    await this.#write();
    if (!this.#validators.epochs.some((known) => known.epoch === epoch)) {
      this.#validators = withEpoch(this.#validators, epoch, { reason, lastTrustedHeight });
    }
    const { validators } = this.#validators;
    committed.tip = enterEpoch(committed.tip, epoch, validatorsHash(validators), validators.length);
    blocks.clear();
    const head = JSON.stringify(committed.tip);
    const set = JSON.stringify(validatorSetJson(this.#validators));
    await links.store.ask('beginEpoch', { head, validators: set }, { deadlineMs: STORE_DEADLINE_MS });
    this.#context = this.#contextOf(epoch);
    this.#core = this.#newCore();
    log.warn({ epoch, last_trusted_height: lastTrustedHeight, reason }, 'a new epoch begins; receipts above are void');
  }

  #contextOf(epoch: number): Context {
    const found = this.#validators.epochs.find((known) => known.epoch === epoch);
    if (found === undefined) throw new Error(`the ledger is in epoch ${epoch}, whose validators it does not name`);
    return this.#parts.contextOf(found);
  }

  #newCore(): CoreState {
    const { committed, quarantine } = this.#parts;
    const { view, height, hash } = committed.tip;
    const finalized = { view, height, hash };
    return createState(this.#context, { finalized, ...(quarantine === null ? {} : { quarantined: quarantine }) });
  }

  async #carryOut(effects: readonly Effect[]): Promise<void> {
    for (const effect of effects) {
      if (effect.type !== 'commit') continue;
      for (const final of finalize(this.#parts.blocks, this.#context, effect)) {
        const stored = messageForStore(final);
        this.#unwritten.push(stored);
        this.#unconfirmed.push(unconfirmed(final.block, this.#recordedAt.get(final.block.ref.hash)));
        this.#unwrittenBytes += stored.block.length;
      }
    }
    if (this.#unwritten.length >= UNWRITTEN_MAX || this.#unwrittenBytes >= UNWRITTEN_MAX_BYTES) await this.#write();
  }

  /** One transaction of the store, and one sync, for all of them. */
  async #write(): Promise<void> {
    const { links, committed } = this.#parts;
    this.#unwrittenBytes = 0;
    committed.written(await applyBlocks(links.store, this.#unwritten.splice(0)));
    this.#unconfirmed.length = 0;
  }
}
