// One validator around the core, without thread, disk or network: a log that is durable only when flushed, bodies, a ledger.
// Used by the cluster simulation, the stories and the crash tests, each of which decides when things happen.
// Must never release an effect before the records of its step are durable: that is what is under test.
import { Buffer } from 'node:buffer';
import { mayVote, type OwnVotes } from '../ballot.js';
import type { Certificate } from '../certificate.js';
import type { Context } from '../context.js';
import type { Effect, Output, Want } from '../effect.js';
import type { Input, SyncedBlock } from '../input.js';
import { decodeJournal, encodeJournal, type JournalRecord } from '../journal.js';
import type { BlockRef, Message, Vote } from '../message.js';
import { replay } from '../restart.js';
import { certificatesHeld, createState, type State } from '../state.js';
import { step } from '../step.js';
import { FINALIZE, NOTARIZE } from '../vote.js';
import { GENESIS_HASH, mockDigest } from './random.js';

/** A block with what the core never sees. */
export interface Body {
  readonly block: BlockRef;
  readonly entries: readonly string[];
}

/** A record as bytes, or a body, as the log of a node would hold it. */
export type Stored = Buffer | Body;

export const GENESIS = { view: 0, height: 0, hash: GENESIS_HASH };
const BLOCK_ENTRIES_MAX = 10;

export class Host {
  readonly context: Context;
  state: State;
  /** Durable, in order. */
  readonly disk: Stored[] = [];
  /** Steps whose records are not durable yet. */
  private queue: Output[] = [];
  private bodies = new Map<string, Body>();
  /** Executed blocks, oldest first: survives crashes, but may be cut back to model a store that flushes late. */
  ledger: Body[] = [];
  /** By height − 1: the Finalization of the block itself, or null. */
  certificates: (Certificate | null)[] = [];
  /** What earlier disks of this node held, which it has lost: its votes bind it all the same. */
  readonly lost: Stored[] = [];
  /** Views whose certificate, or Notarization, is on the disk. */
  private readonly certifiedViews = new Set<number>();
  private readonly notarizedViews = new Set<number>();
  readonly finalEntries = new Set<string>();
  /** Submissions this node knows; durable (the inbox). */
  readonly known = new Set<string>();

  constructor(context: Context) {
    this.context = context;
    this.state = createState(context, { finalized: GENESIS });
  }

  input(input: Input): Output {
    const output = step(this.context, this.state, input);
    this.queue.push(output);
    return output;
  }

  /** Makes everything queued durable (one group commit) and returns the effects that may now be carried out. */
  flush(): Effect[] {
    const queue = this.queue;
    this.queue = [];
    for (const { records } of queue) for (const record of records) this.store(record);
    const effects = queue.flatMap((output) => output.effects);
    for (const effect of effects) this.checkDurable(effect);
    return effects;
  }

  /** Whether any step waits for a flush. */
  get unflushed(): boolean {
    return this.queue.length > 0;
  }

  get unflushedRecords(): number {
    return this.queue.reduce((sum, { records }) => sum + records.length, 0);
  }

  /** Loses memory, and all unflushed records but the first `kept`. */
  crash(kept: number): void {
    const records = this.queue.flatMap((output) => output.records);
    for (const record of records.slice(0, kept)) this.store(record);
    this.queue = [];
    this.bodies = new Map();
  }

  /** Replays the log onto a ledger cut back by `lag` blocks. The effects are to be carried out at once; `start` follows. */
  restart(lag: number): Effect[] {
    this.ledger = this.ledger.slice(0, Math.max(0, this.ledger.length - lag));
    this.certificates.length = this.ledger.length;
    this.finalEntries.clear();
    for (const { entries } of this.ledger) for (const entry of entries) this.finalEntries.add(entry);
    const tip = this.ledger[this.ledger.length - 1]?.block;
    this.state = createState(this.context, { finalized: tip ?? GENESIS });
    for (const body of this.ledger) this.bodies.set(body.block.hash, body);
    const effects: Effect[] = [];
    for (const stored of this.disk) {
      if (!Buffer.isBuffer(stored)) this.bodies.set(stored.block.hash, stored);
      const record: JournalRecord = Buffer.isBuffer(stored)
        ? decodeJournal(stored)
        : { type: 'block', block: stored.block };
      effects.push(...replay(this.context, this.state, record));
    }
    return effects;
  }

  /** The directory is gone, bodies, log and ledger; a log is begun anew with the doubt in it. Inbox entries come back by gossip. */
  wipe(): void {
    this.lost.push(...this.disk);
    this.certifiedViews.clear();
    this.notarizedViews.clear();
    this.disk.length = 0;
    this.ledger = [];
    this.disk.push(encodeJournal({ type: 'quarantine', epoch: this.context.epoch, reason: 'the log was lost' }));
  }

  build(effect: Extract<Effect, { type: 'build' }>, now: number): Input {
    const { view, height, parentView, parentHash, contents } = effect;
    const taken = this.entriesUpTo(parentHash);
    const open = [...this.known].filter((entry) => !this.finalEntries.has(entry) && !taken.has(entry)).sort();
    const entries = contents === 'none' ? [] : open.slice(0, BLOCK_ENTRIES_MAX);
    if (contents === 'some' && entries.length === 0) return { type: 'built', now, view, block: null };
    const text = `${view} ${height} ${parentView} ${parentHash} ${this.context.self} ${entries.join()}`;
    const hash = mockDigest(Buffer.from(text), 32).toString('hex');
    const block = { hash, height, view, parentView, parentHash, timestamp: now, entryCount: entries.length };
    this.bodies.set(hash, { block, entries });
    return { type: 'built', now, view, block };
  }

  validate(block: BlockRef, now: number): Input {
    const taken = this.entriesUpTo(block.parentHash);
    const body = this.bodies.get(block.hash)!;
    const valid = body.entries.every((entry) => !taken.has(entry) && !this.finalEntries.has(entry));
    return { type: 'validated', now, hash: block.hash, valid };
  }

  private entriesUpTo(hash: string): Set<string> {
    const taken = new Set<string>();
    for (let body = this.bodies.get(hash); body !== undefined; body = this.bodies.get(body.block.parentHash)) {
      for (const entry of body.entries) taken.add(entry);
    }
    return taken;
  }

  hold(body: Body): void {
    this.bodies.set(body.block.hash, body);
  }

  body(hash: string): Body {
    return this.bodies.get(hash)!;
  }

  /** What this node gives a peer that fetches: bodies only from its disk. */
  serve(want: Want): Body | Message | null {
    if (want.type === 'block') {
      const held = this.disk.find((stored) => !Buffer.isBuffer(stored) && stored.block.hash === want.hash);
      return held === undefined || Buffer.isBuffer(held) ? null : held;
    }
    const certificate = certificatesHeld(this.state, want.view).find(({ kind }) => want.kinds.includes(kind));
    return certificate === undefined ? null : { type: 'certificate', epoch: this.context.epoch, certificate };
  }

  /** What this node gives a peer that catches up: some blocks, and on until one with a certificate of its own. */
  serveRange(fromHeight: number, count: number): { readonly bodies: Body[]; readonly synced: SyncedBlock[] } {
    const bodies: Body[] = [];
    const synced: SyncedBlock[] = [];
    for (let at = fromHeight - 1; at < this.ledger.length; at++) {
      bodies.push(this.ledger[at]!);
      synced.push({ block: this.ledger[at]!.block, certificate: this.certificates[at]! });
      if (synced.length >= count && this.certificates[at] !== null) break;
    }
    return { bodies, synced };
  }

  execute(effect: Extract<Effect, { type: 'commit' }>): void {
    for (const [i, block] of effect.blocks.entries()) {
      const tip = this.ledger[this.ledger.length - 1]?.block ?? GENESIS;
      if (block.parentHash !== tip.hash || block.height !== tip.height + 1) throw new Error('commit out of order');
      const body = this.body(block.hash);
      this.ledger.push(body);
      this.certificates.push(effect.certificates[i]!);
      for (const entry of body.entries) {
        if (this.finalEntries.has(entry)) throw new Error(`${entry} is final twice`);
        this.finalEntries.add(entry);
      }
    }
  }

  /** Submissions known and not final. */
  get pendingCount(): number {
    let count = 0;
    for (const entry of this.known) if (!this.finalEntries.has(entry)) count += 1;
    return count;
  }

  private store(record: JournalRecord): void {
    if (record.type === 'block') this.disk.push(this.body(record.block.hash));
    else this.disk.push(encodeJournal(record));
    if (record.type !== 'certificate' && record.type !== 'finalization') return;
    this.certifiedViews.add(record.certificate.view);
    if (record.certificate.kind === NOTARIZE) this.notarizedViews.add(record.certificate.view);
  }

  /** CONSENSUS.md 1.7: no own signature leaves without its record, and its body, on disk. */
  private checkDurable(effect: Effect): void {
    if (effect.type !== 'broadcast' && effect.type !== 'send') return;
    const { message } = effect;
    const votes: Vote[] = [];
    if (message.type === 'vote') votes.push(message.vote);
    if (message.type === 'proposal') {
      const { block, signature } = message.proposal;
      votes.push({ kind: NOTARIZE, view: block.view, hash: block.hash, signer: this.context.self!, signature });
    }
    for (const vote of votes) {
      if (vote.signer !== this.context.self) throw new Error('a vote of somebody else is sent');
      const bytes = encodeJournal({ type: 'vote', epoch: this.context.epoch, vote });
      if (!this.disk.some((stored) => Buffer.isBuffer(stored) && stored.equals(bytes))) {
        throw new Error(`vote ${vote.kind} of view ${vote.view} is sent before it is durable`);
      }
      const body = this.disk.some((stored) => !Buffer.isBuffer(stored) && stored.block.hash === vote.hash);
      if (vote.kind === NOTARIZE && !body)
        throw new Error(`notarize vote of view ${vote.view} without the body on disk`);
      const entered =
        vote.kind === FINALIZE ? this.notarizedViews.has(vote.view) : this.certifiedViews.has(vote.view - 1);
      if (!entered && (vote.kind === FINALIZE || vote.view > 1))
        throw new Error(`vote ${vote.kind} of view ${vote.view} without the certificate before it on disk`);
    }
  }
}

/** The own votes on a disk, in order. Throws when they do not follow the automaton of CONSENSUS.md 1.5. */
export function checkVotes(disk: readonly Stored[]): Vote[] {
  const votes: Vote[] = [];
  const state = new Map<number, OwnVotes>();
  for (const stored of disk) {
    if (!Buffer.isBuffer(stored)) continue;
    const entry = decodeJournal(stored);
    if (entry.type !== 'vote') continue;
    const { vote } = entry;
    const own = state.get(vote.view) ?? { notarized: null, nullified: false, finalized: null };
    if (!mayVote(own, vote.kind, vote.hash))
      throw new Error(`vote ${vote.kind} of view ${vote.view} breaks the automaton`);
    state.set(vote.view, {
      notarized: vote.kind === NOTARIZE ? vote.hash : own.notarized,
      nullified: own.nullified || vote.hash === null,
      finalized: vote.kind !== NOTARIZE && vote.hash !== null ? vote.hash : own.finalized,
    });
    votes.push(vote);
  }
  return votes;
}
