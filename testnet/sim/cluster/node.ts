// One simulated node: the production core, its journal on a simulated disk, and a host that does what the real one does:
// build, validate, fetch, commit, gossip submissions, restart. Owned by the cluster. It must never help the core: what it
// knows after a restart is what its disk gave back.
import type { Context } from '../../../protocol/consensus/context.js';
import type { Effect, Want } from '../../../protocol/consensus/effect.js';
import type { Input } from '../../../protocol/consensus/input.js';
import { decodeJournal, type JournalRecord } from '../../../protocol/consensus/journal.js';
import type { Message } from '../../../protocol/consensus/message.js';
import { checkpoint, replay } from '../../../protocol/consensus/restart.js';
import { certificatesHeld, createState, type State, voteOf } from '../../../protocol/consensus/state.js';
import { step } from '../../../protocol/consensus/step.js';
import { wantKey } from '../../../protocol/consensus/turn.js';
import type { VoteKind } from '../../../protocol/consensus/vote.js';
import { RecordType } from '../../../protocol/wal-record.js';
import { BLOCK_ENTRIES_MAX, type Body, decodeBody, isSound, Ledger, makeBody, short } from './body.js';
import type { Checkers } from './checkers.js';
import { shownInput, shownOutput, shownVote } from './describe.js';
import type { Misdeed } from './misdeeds.js';
import { type Ending, NodeDisk } from './node-disk.js';
import { inboxEntry, type JournalOwner, NodeJournal } from './node-journal.js';
import type { Chance, Schedule } from './schedule.js';
import type { Trace } from './trace.js';

export type Packet =
  | { readonly type: 'consensus'; readonly message: Message; readonly body: Body | null }
  | { readonly type: 'wanted'; readonly want: Want }
  | { readonly type: 'body'; readonly body: Body }
  | { readonly type: 'submissions'; readonly entries: readonly number[] };

/** What a node has around it. */
export interface Surroundings {
  readonly schedule: Schedule;
  readonly chance: Chance;
  readonly trace: Trace;
  readonly checkers: Checkers;
  readonly n: number;
  send(from: SimNode, to: number, packet: Packet): void;
  /** How long the next sync of this node's disk takes. */
  syncMs(node: SimNode): number;
  /** Before and after a batch became durable: true when the node was ended by that. */
  beforeSync(node: SimNode): boolean;
  afterSync(node: SimNode, records: readonly JournalRecord[]): boolean;
  /** The process ended itself. */
  ended(node: SimNode): void;
  isFaulty(index: number): boolean;
}

type Of<T extends Effect['type']> = Extract<Effect, { type: T }>;

const FETCH_EVERY_MS = 300;
const GOSSIP_EVERY_MS = 1_000;
const GOSSIP_ENTRIES_MAX = 64;
/** Submissions that a node keeps for others. */
const MEMPOOL_MAX = 512;

export class SimNode implements JournalOwner {
  readonly index: number;
  /** Its number among all that run: twins are two of one index. */
  readonly instance: number;
  readonly context: Context;
  readonly misdeed: Misdeed | null;
  readonly journal: NodeJournal;
  readonly ledger = new Ledger();
  /** Why it may not sign: its log was lost, and it was told so. */
  forgot: string | null = null;
  state: State;
  up = false;
  /** Counts ends: what was scheduled in an earlier life is dropped. */
  life = 0;
  /** The node's clock against the simulation's. */
  offsetMs = 0;
  /** Bodies above the ledger that the core knows. */
  readonly bodies = new Map<string, Body>();
  /** Submissions known and not final; those of own clients are on the disk. */
  readonly open = new Set<number>();
  readonly own = new Set<number>();
  readonly #world: Surroundings;
  readonly #fetching = new Set<string>();
  #lastNowMs = 0;
  #armedFor: number | null = null;
  #armedBy = 0;
  #writing = false;
  #isAmnesiac = false;

  constructor(world: Surroundings, context: Context, instance: number, misdeed: Misdeed | null) {
    this.#world = world;
    this.context = context;
    this.index = context.self!;
    this.instance = instance;
    this.misdeed = misdeed;
    this.journal = new NodeJournal(this, new NodeDisk(world.chance, context.validators[this.index]!.publicKey));
    this.state = createState(context, { finalized: this.ledger.tip });
  }

  /** Nothing that this node does is held against the protocol. */
  get isFaulty(): boolean {
    return this.misdeed !== null || this.#isAmnesiac;
  }

  get disk(): NodeDisk {
    return this.journal.disk;
  }

  get durableHeight(): number {
    return this.ledger.durableHeight;
  }

  now(): number {
    this.#lastNowMs = Math.max(this.#lastNowMs, this.#world.schedule.nowMs + this.offsetMs);
    return this.#lastNowMs;
  }

  after(delayMs: number, run: () => void): void {
    const { life } = this;
    this.#world.schedule.after(delayMs, () => {
      if (this.life === life && this.up) run();
    });
  }

  note(text: () => string): void {
    const { trace, schedule } = this.#world;
    if (trace.lines !== null) trace.line(schedule.nowMs, `node ${this.instance}: ${text()}`);
  }

  // --- life and death

  start(): void {
    this.up = true;
    this.#lastNowMs = 0;
    const verdict = this.disk.open();
    if (verdict.state !== 'clean' && verdict.state !== 'torn') {
      this.#world.checkers.found('log', `node ${this.index}: ${verdict.state}: ${verdict.damage?.reason}`);
    }
    this.#replay();
    this.note(() => `starts at height ${this.ledger.height}, view ${this.state.finalized.view}, log ${verdict.state}`);
    const { life } = this;
    this.#feed({ type: 'start', now: this.now() });
    if (this.life !== life) return;
    this.#pendingChanged();
    if (this.life !== life) return;
    this.#gossip();
    this.#checkpointLater();
  }

  /** Loses memory, and of the disk what was not synced. */
  end(ending: Ending): void {
    if (!this.up) return;
    this.note(() => `ends by ${ending}`);
    this.#world.trace.mix(0xe0d + this.instance);
    this.up = false;
    this.life += 1;
    this.journal.end(ending);
    this.ledger.cutTo(this.ledger.durableHeight);
    for (const memory of [this.bodies, this.open, this.own, this.#fetching]) memory.clear();
    this.#armedFor = null;
    this.#writing = false;
  }

  /** The log is gone: nothing that was acknowledged is expected of it, and nothing may be signed. */
  forget(reason: string): void {
    this.forgot = reason;
    this.journal.forget();
  }

  /** An old log came back in the place of the newer one, and nobody told the node: it counts as Byzantine. */
  becomeAmnesiac(): void {
    this.#isAmnesiac = true;
    this.journal.forget();
  }

  #replay(): void {
    const { ledger, context, journal, own } = this;
    for (const { body } of ledger.executed) journal.stored.set(body.block.hash, body);
    this.state = this.#newState();
    const acknowledged = new Map(journal.votes);
    journal.votes.clear();
    let provenHeight = 0;
    for (const { type, data, lsn } of this.disk.records()) {
      if (type === RecordType.inbox) {
        const entry = inboxEntry(data);
        if (!ledger.positions.has(entry)) own.add(entry);
        continue;
      }
      const record = type === RecordType.block ? this.#takeBody(decodeBody(data)) : decodeJournal(data);
      journal.durable(record, lsn);
      if (record.type === 'finalization') provenHeight = Math.max(provenHeight, record.height);
      if (record.type === 'block' && record.block.height <= ledger.height) continue;
      this.carryOutAll(replay(context, this.state, record));
    }
    for (const entry of own) this.open.add(entry);
    if (provenHeight < ledger.durableHeight) {
      this.state.quarantined ??= `the ledger is at height ${ledger.durableHeight}, and the log proves ${provenHeight}`;
    }
    if (this.misdeed !== null) this.state.quarantined = null;
    if (!this.isFaulty) this.#checkReplay(acknowledged);
  }

  #takeBody(body: Body): JournalRecord {
    const { block } = body;
    if (block.height > this.ledger.height) this.bodies.set(block.hash, body);
    return { type: 'block', block };
  }

  #newState(): State {
    const { tip, executed } = this.ledger;
    const { view, height, hash } = tip;
    const certificate = executed[executed.length - 1]?.certificate;
    return createState(this.context, {
      finalized: { view, height, hash, ...(certificate ? { certificate } : {}) },
      ...(this.forgot === null ? {} : { quarantined: this.forgot }),
    });
  }

  /** What was acknowledged as durable is in the state that replay made. */
  #checkReplay(acknowledged: ReadonlyMap<number, string | null>): void {
    const { state, index, ledger, journal } = this;
    const { checkers } = this.#world;
    if (ledger.height < journal.finalHeight) {
      checkers.found(
        'restart',
        `node ${index} is back at height ${ledger.height}, and ${journal.finalHeight} was on disk`,
      );
    }
    for (const [key, hash] of acknowledged) {
      const view = Math.floor(key / 4);
      const kind = (key % 4) as VoteKind;
      if (view <= state.finalized.view || voteOf(state.views.get(view), kind, index)?.hash === hash) continue;
      checkers.found('durable in memory', `node ${index} is back without its vote ${shownVote(kind, view, hash)}`);
    }
    if (state.quarantined !== null && this.forgot === null) checkers.stopped(this, 'quarantine', state.quarantined);
  }

  // --- inputs

  #feed(input: Input): void {
    const { trace, checkers, schedule } = this.#world;
    const output = step(this.context, this.state, input);
    const { state } = this;
    if (this.misdeed !== null) {
      state.quarantined = null;
      state.halted = null;
    }
    trace.mix(schedule.nowMs * 16 + this.instance);
    trace.mix(state.view * 64 + output.records.length * 8 + output.effects.length);
    if (trace.lines !== null) this.note(() => `${shownInput(input)};${shownOutput(output)}`);
    const { life } = this;
    this.journal.take(output);
    if (this.life !== life) return;
    this.#arm();
    const { wakeAtMs } = state;
    if (wakeAtMs !== null && wakeAtMs <= this.#lastNowMs && !this.isFaulty) {
      checkers.found(
        'wake-up',
        `node ${this.index} asks to be woken at ${wakeAtMs}, which is over, after ${input.type}`,
      );
    }
  }

  #arm(): void {
    const { wakeAtMs } = this.state;
    if (wakeAtMs === this.#armedFor) return;
    this.#armedFor = wakeAtMs;
    this.#armedBy += 1;
    if (wakeAtMs === null) return;
    const token = this.#armedBy;
    this.after(Math.max(1, wakeAtMs - this.now()), () => {
      if (token !== this.#armedBy) return;
      this.#armedFor = null;
      this.#feed({ type: 'tick', now: this.now() });
    });
  }

  /** `from` is who stands at the other end of the link. */
  receive(from: number, packet: Packet): void {
    switch (packet.type) {
      case 'consensus':
        this.#receiveMessage(from, packet.message, packet.body);
        return;
      case 'wanted':
        this.#serve(from, packet.want);
        return;
      case 'body': {
        const { block } = packet.body;
        if (!isSound(packet.body) || !this.state.wanted.has(`block ${block.hash}`)) return;
        this.bodies.set(block.hash, packet.body);
        this.#feed({ type: 'block', now: this.now(), block });
        this.#dropUnknown(block.hash);
        return;
      }
      case 'submissions':
        for (const entry of packet.entries) {
          if (!this.ledger.positions.has(entry) && this.open.size < MEMPOOL_MAX) this.open.add(entry);
        }
        this.#pendingChanged();
        return;
    }
  }

  #receiveMessage(from: number, message: Message, body: Body | null): void {
    let given = message;
    if (message.type === 'proposal') {
      // The reference is the host's own work, from the header that came with the proposal.
      if (body === null || !isSound(body)) return;
      const { block } = body;
      if (message.proposal.block !== block) given = { ...message, proposal: { ...message.proposal, block } };
      if (block.height > this.ledger.height) this.bodies.set(block.hash, body);
    }
    this.#feed({ type: 'message', now: this.now(), from, message: given });
    if (body !== null) this.#dropUnknown(body.block.hash);
  }

  /** What the core does not count on is not kept. */
  #dropUnknown(hash: string): void {
    if (!this.state.blocks.has(hash)) this.bodies.delete(hash);
  }

  /** A client's submission: on disk first. */
  submit(entry: number): void {
    this.journal.submit(entry);
  }

  recorded(entries: readonly number[]): void {
    for (const entry of entries) {
      this.#world.checkers.kept(entry);
      if (this.ledger.positions.has(entry)) continue;
      this.own.add(entry);
      this.open.add(entry);
    }
    this.#sendSubmissions(entries);
    this.#pendingChanged();
  }

  #pendingChanged(): void {
    if (this.open.size !== this.state.pendingCount && this.state.started) {
      this.#feed({ type: 'pending', now: this.now(), count: this.open.size });
    }
  }

  #gossip(): void {
    this.#sendSubmissions([...this.own].slice(0, GOSSIP_ENTRIES_MAX));
    this.after(GOSSIP_EVERY_MS, () => this.#gossip());
  }

  #sendSubmissions(entries: readonly number[]): void {
    if (entries.length === 0) return;
    this.#sendAll({ type: 'submissions', entries });
  }

  #sendAll(packet: Packet): void {
    for (let to = 0; to < this.#world.n; to++) if (to !== this.index) this.#world.send(this, to, packet);
  }

  // --- the journal's wishes

  bodyOf(hash: string): Body | undefined {
    return this.bodies.get(hash) ?? this.journal.stored.get(hash);
  }

  syncMs(): number {
    return this.#world.syncMs(this);
  }

  beforeSync(): boolean {
    return this.#world.beforeSync(this);
  }

  afterSync(records: readonly JournalRecord[]): boolean {
    return this.#world.afterSync(this, records);
  }

  cannotWrite(error: Error): void {
    this.note(() => `cannot write: ${error.message}`);
    this.#world.ended(this);
  }

  #checkpointLater(): void {
    this.after(this.#world.chance.between(4_000, 12_000), () => {
      this.#checkpointLater();
      this.journal.checkpoint(() => checkpoint(this.context, this.state), this.own);
    });
  }

  // --- effects

  carryOutAll(effects: readonly Effect[]): void {
    const { life } = this;
    for (const effect of effects) {
      this.#carryOut(effect);
      if (this.life !== life) return;
    }
  }

  #carryOut(effect: Effect): void {
    const { chance, checkers } = this.#world;
    switch (effect.type) {
      case 'build':
        this.after(chance.between(0, 4), () => this.#build(effect));
        return;
      case 'validate':
        this.after(chance.between(0, 4), () => this.#validate(effect.block.hash));
        return;
      case 'broadcast':
        this.#say(null, effect.message);
        return;
      case 'send':
        this.#say(effect.to, effect.message);
        return;
      case 'fetch':
        this.#fetch(effect.want, effect.holder);
        return;
      case 'commit':
        this.#commit(effect);
        return;
      case 'evidence':
        checkers.evidence(this, effect.evidence, (index) => this.#world.isFaulty(index));
        return;
      case 'quarantine':
        if (this.forgot === null) checkers.stopped(this, 'quarantine', effect.reason);
        return;
      case 'halt':
        checkers.stopped(this, 'halt', effect.reason);
        return;
      default:
        checkers.found('host', `the core asks for ${(effect as Effect).type}, which this model does not know`);
    }
  }

  #say(to: number | null, message: Message): void {
    this.#world.checkers.sent(this, message, ({ kind, view, hash }) => {
      if (view <= this.state.finalized.view || this.forgot !== null) return true;
      return this.journal.votes.get(view * 4 + kind) === hash;
    });
    const hash = message.type === 'proposal' ? message.proposal.block.hash : null;
    const body = hash === null ? null : (this.bodyOf(hash) ?? null);
    // A proposal that became final while its record was written needs no body any more.
    if (hash !== null && body === null) return;
    if (this.misdeed !== null) {
      for (const letter of this.misdeed.outgoing(this, to, message, body)) {
        this.#world.send(this, letter.to, { type: 'consensus', message: letter.message, body: letter.body });
      }
      return;
    }
    const packet: Packet = { type: 'consensus', message, body };
    if (to === null) this.#sendAll(packet);
    else this.#world.send(this, to, packet);
  }

  #build({ view, height, parentView, parentHash, contents }: Of<'build'>): void {
    const taken = this.#entriesUpTo(parentHash);
    const entries: number[] = [];
    if (contents !== 'none') {
      for (const entry of this.open) {
        if (entries.length === BLOCK_ENTRIES_MAX) break;
        if (!taken.has(entry)) entries.push(entry);
      }
    }
    let body: Body | null = null;
    if (contents !== 'some' || entries.length > 0) {
      body = makeBody({ height, view, parentView, parentHash, timestamp: this.now() }, this.index, entries);
      this.bodies.set(body.block.hash, body);
    }
    this.#feed({ type: 'built', now: this.now(), view, block: body?.block ?? null });
    if (body !== null) this.#dropUnknown(body.block.hash);
    this.#pendingChanged();
  }

  #validate(hash: string): void {
    this.#feed({ type: 'validated', now: this.now(), hash, valid: this.#isValid(hash) });
  }

  /** By deterministic rules alone. */
  #isValid(hash: string): boolean {
    const body = this.bodies.get(hash);
    if (body === undefined) return false;
    const { entries, block } = body;
    if (entries.length > BLOCK_ENTRIES_MAX || new Set(entries).size !== entries.length) return false;
    const taken = this.#entriesUpTo(block.parentHash);
    const { positions } = this.ledger;
    const { submissions } = this.#world.checkers;
    return entries.every((entry) => submissions[entry] !== undefined && !taken.has(entry) && !positions.has(entry));
  }

  /** Entries of the unfinalized chain that ends here. */
  #entriesUpTo(hash: string): Set<number> {
    const taken = new Set<number>();
    for (let body = this.bodies.get(hash); body !== undefined; body = this.bodies.get(body.block.parentHash)) {
      for (const entry of body.entries) taken.add(entry);
    }
    return taken;
  }

  /** Asks one peer after the other until the want is met or passed. */
  #fetch(want: Want, holder: number | null): void {
    const { n, chance } = this.#world;
    const key = wantKey(want);
    if (this.#fetching.has(key) || n === 1) return;
    this.#fetching.add(key);
    let peer = holder ?? chance.between(0, n - 1);
    const attempt = (): void => {
      if (!this.state.wanted.has(key)) {
        this.#fetching.delete(key);
        return;
      }
      if (peer === this.index) peer = (peer + 1) % n;
      this.#world.send(this, peer, { type: 'wanted', want });
      peer = (peer + 1) % n;
      this.after(FETCH_EVERY_MS, attempt);
    };
    attempt();
  }

  /** Only what its own disk would give again. */
  #serve(to: number, want: Want): void {
    if (this.misdeed?.serves === false) return;
    if (want.type === 'block') {
      const body = this.journal.stored.get(want.hash);
      if (body !== undefined) this.#world.send(this, to, { type: 'body', body });
      return;
    }
    const certificate = certificatesHeld(this.state, want.view).find(({ kind }) => want.kinds.includes(kind));
    if (certificate !== undefined) this.#say(to, { type: 'certificate', epoch: this.context.epoch, certificate });
  }

  #commit({ blocks, finalization, certificates }: Of<'commit'>): void {
    const { checkers } = this.#world;
    const { ledger, journal } = this;
    for (const [index, { hash, height }] of blocks.entries()) {
      const body = this.bodyOf(hash);
      if (body === undefined) {
        checkers.found('host', `node ${this.index} commits ${short(hash)} of height ${height} without its body`);
        return;
      }
      const fault = ledger.execute(body, index === blocks.length - 1 ? finalization : (certificates[index] ?? null));
      if (fault !== null) checkers.found('one chain', `node ${this.index}: ${fault}`);
      checkers.committed(this, body, finalization.view, finalization.hash!);
      journal.stored.set(hash, body);
      for (const entry of body.entries) {
        this.open.delete(entry);
        if (!this.own.delete(entry) || this.isFaulty || !this.state.started) continue;
        checkers.answered(this, entry, ledger.positions.get(entry)!);
      }
    }
    for (const [hash, { block }] of this.bodies) if (block.height <= ledger.height) this.bodies.delete(hash);
    const floor = (finalization.view + 1) * 4;
    for (const key of journal.votes.keys()) if (key < floor) journal.votes.delete(key);
    this.#writeSoon();
    this.#pendingChanged();
  }

  /** The store is written behind the answer. */
  #writeSoon(): void {
    if (this.#writing) return;
    this.#writing = true;
    this.after(this.#world.chance.pick([25, 25, 25, 200, 1_000]), () => {
      this.#writing = false;
      this.ledger.durableHeight = this.ledger.height;
    });
  }
}
