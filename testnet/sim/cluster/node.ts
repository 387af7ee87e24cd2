// One simulated node: the production core, its journal on a simulated disk, and a host that does what the real one does:
// build, validate, fetch, commit, gossip submissions, restart. Owned by the cluster. It must never help the core: what it
// knows after a restart is what its disk gave back.
import { Buffer } from 'node:buffer';
import type { Context } from '../../../protocol/consensus/context.js';
import type { Effect } from '../../../protocol/consensus/effect.js';
import type { Input } from '../../../protocol/consensus/input.js';
import { decodeJournal, type JournalRecord } from '../../../protocol/consensus/journal.js';
import type { Message } from '../../../protocol/consensus/message.js';
import { checkpoint, replay } from '../../../protocol/consensus/restart.js';
import { createState, type State, voteOf } from '../../../protocol/consensus/state.js';
import { step } from '../../../protocol/consensus/step.js';
import { NOTARIZE, type VoteKind } from '../../../protocol/consensus/vote.js';
import { RecordType } from '../../../protocol/wal-record.js';
import { type Body, decodeBody, isSound, type Ledger, short } from './body.js';
import { shownInput, shownOutput, shownVote } from './describe.js';
import type { Misdeed } from './misdeeds.js';
import { NodeChain } from './node-chain.js';
import { NodeClock } from './node-clock.js';
import { type Ending, NodeDisk } from './node-disk.js';
import { inboxEntry, type JournalOwner, NodeJournal } from './node-journal.js';
import { Supply } from './supply.js';
import type { Packet, Surroundings } from './surroundings.js';

type Of<T extends Effect['type']> = Extract<Effect, { type: T }>;

const RECOVER_EVERY_MS = 1_500;
const GOSSIP_EVERY_MS = 1_000;
const GOSSIP_ENTRIES_MAX = 64;

export class SimNode implements JournalOwner {
  readonly index: number;
  /** Its number among all that run: twins are two of one index. */
  readonly instance: number;
  readonly context: Context;
  readonly misdeed: Misdeed | null;
  readonly journal: NodeJournal;
  readonly chain: NodeChain;
  /** Its log was lost once. */
  wasLost = false;
  /** Why it may not sign: its log was lost, and it was told so. */
  forgot: string | null = null;
  state: State;
  up = false;
  /** Counts ends: what was scheduled in an earlier life is dropped. */
  life = 0;
  readonly clock: NodeClock;
  readonly #world: Surroundings;
  readonly #supply: Supply;
  #writing = false;
  #isAmnesiac = false;
  readonly #unlinked = new Set<number>();

  constructor(world: Surroundings, context: Context, instance: number, misdeed: Misdeed | null) {
    this.#world = world;
    this.context = context;
    this.index = context.self!;
    this.instance = instance;
    this.misdeed = misdeed;
    this.clock = new NodeClock(() => world.schedule.nowMs);
    this.chain = new NodeChain(this.index, (entry) => world.checkers.submissions[entry] !== undefined);
    this.journal = new NodeJournal(this, new NodeDisk(world.chance, context.validators[this.index]!.publicKey));
    this.#supply = new Supply(this, world);
    this.state = createState(context, { finalized: this.ledger.tip });
  }

  /** Nothing that this node does is held against the protocol. */
  get isFaulty(): boolean {
    return this.misdeed !== null || this.#isAmnesiac;
  }

  get ledger(): Ledger {
    return this.chain.ledger;
  }

  get disk(): NodeDisk {
    return this.journal.disk;
  }

  get durableHeight(): number {
    return this.ledger.durableHeight;
  }

  now(): number {
    return this.clock.now();
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
    this.clock.restart();
    const verdict = this.disk.open();
    if (verdict.state !== 'clean' && verdict.state !== 'torn') {
      this.#world.checkers.found('log', `node ${this.index}: ${verdict.state}: ${verdict.damage?.reason}`);
    }
    if (verdict.state === 'torn') this.#world.checkers.came('torn logs');
    const { height } = this.ledger;
    this.#replay();
    if (this.ledger.height > height) this.#world.checkers.came('replayed commits');
    this.note(() => `starts at height ${this.ledger.height}, view ${this.state.finalized.view}, log ${verdict.state}`);
    const { life } = this;
    this.feed({ type: 'start', now: this.now() });
    if (this.life !== life) return;
    this.#pendingChanged();
    if (this.life !== life) return;
    this.#gossip();
    this.#checkpointLater();
    this.#recoverLater();
  }

  /** A quarantined node asks the others where they are, with a number that nobody used before (1.8). */
  #recoverLater(): void {
    if (this.state.quarantined === null || this.#world.n === 1) return;
    this.after(RECOVER_EVERY_MS, () => {
      if (this.state.quarantined === null) return;
      const nonce = Buffer.from(this.#world.chance.bytes(32)).toString('hex');
      this.feed({ type: 'recover', now: this.now(), nonce });
      this.#recoverLater();
    });
  }

  /** Loses memory, and of the disk what was not synced. */
  end(ending: Ending): void {
    if (!this.up) return;
    this.note(() => `ends by ${ending}`);
    this.#world.trace.mix(0xe0d + this.instance);
    this.up = false;
    this.life += 1;
    this.journal.end(ending);
    this.chain.end();
    this.#supply.end();
    this.#unlinked.clear();
    this.#writing = false;
  }

  /** The log is gone: nothing that was acknowledged is expected of it, and nothing may be signed. */
  forget(reason: string): void {
    this.forgot = reason;
    this.wasLost = true;
    this.journal.forget();
  }

  /** An old log came back in the place of the newer one, and nobody told the node: it counts as Byzantine. */
  becomeAmnesiac(): void {
    this.#isAmnesiac = true;
    this.journal.forget();
  }

  #replay(): void {
    const { ledger, context, journal } = this;
    const { own, open } = this.chain;
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
    for (const entry of own) open.add(entry);
    if (provenHeight < ledger.durableHeight) {
      this.state.quarantined ??= `the ledger is at height ${ledger.durableHeight}, and the log proves ${provenHeight}`;
    }
    if (this.misdeed !== null) this.state.quarantined = null;
    if (!this.isFaulty) this.#checkReplay(acknowledged);
  }

  #takeBody(body: Body): JournalRecord {
    this.chain.hold(body);
    return { type: 'block', block: body.block };
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
      if (
        view <= Math.max(state.finalized.view, state.floorView) ||
        voteOf(state.views.get(view), kind, index)?.hash === hash
      )
        continue;
      checkers.found('durable in memory', `node ${index} is back without its vote ${shownVote(kind, view, hash)}`);
    }
    if (state.quarantined !== null && !this.wasLost) checkers.stopped(this, 'quarantine', state.quarantined);
  }

  // --- inputs

  feed(input: Input): void {
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
    const { wakeAtMs } = state;
    this.clock.arm(
      wakeAtMs,
      (delayMs, run) => this.after(delayMs, run),
      () => this.feed({ type: 'tick', now: this.now() }),
    );
    if (wakeAtMs !== null && wakeAtMs <= this.clock.lastMs && !this.isFaulty) {
      checkers.found(
        'wake-up',
        `node ${this.index} asks to be woken at ${wakeAtMs}, which is over, after ${input.type}`,
      );
    }
  }

  /** `from` is who stands at the other end of the link. */
  receive(from: number, packet: Packet): void {
    switch (packet.type) {
      case 'consensus':
        this.#receiveMessage(from, packet.message, packet.body);
        return;
      case 'wanted':
        this.#supply.serve(from, packet.hash);
        return;
      case 'body': {
        const { block } = packet.body;
        if (!isSound(packet.body) || !this.state.wanted.has(`block ${block.hash}`)) return;
        this.chain.hold(packet.body);
        this.feed({ type: 'block', now: this.now(), block });
        this.dropUnknown(block.hash);
        return;
      }
      case 'submissions':
        for (const entry of packet.entries) this.chain.heard(entry);
        this.#pendingChanged();
        return;
      case 'range':
        this.#supply.serveRange(from, packet.fromHeight, packet.token);
        return;
      case 'blocks':
        this.#supply.receiveBlocks(from, packet.blocks, packet.token);
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
      this.chain.hold(body);
    }
    this.feed({ type: 'message', now: this.now(), from, message: given });
    if (body !== null) this.dropUnknown(body.block.hash);
  }

  /** What the core does not count on is not kept. */
  dropUnknown(hash: string): void {
    this.chain.dropUnknown(hash, this.state);
  }

  /** A client's submission: on disk first. */
  submit(entry: number): void {
    this.journal.submit(entry);
  }

  recorded(entries: readonly number[]): void {
    for (const entry of entries) {
      this.#world.checkers.kept(entry);
      this.chain.keep(entry);
    }
    this.#sendAll({ type: 'submissions', entries });
    this.#pendingChanged();
  }

  #pendingChanged(): void {
    if (this.chain.open.size !== this.state.pendingCount && this.state.started) {
      this.feed({ type: 'pending', now: this.now(), count: this.chain.open.size });
    }
  }

  #gossip(): void {
    const entries = [...this.chain.own].slice(0, GOSSIP_ENTRIES_MAX);
    if (entries.length > 0) this.#sendAll({ type: 'submissions', entries });
    this.after(GOSSIP_EVERY_MS, () => this.#gossip());
  }

  #sendAll(packet: Packet): void {
    for (let to = 0; to < this.#world.n; to++) if (to !== this.index) this.#world.send(this, to, packet);
  }

  /** The link to a validator came up or went down. */
  linked(peer: number, connected: boolean): void {
    if (this.#unlinked.has(peer) !== connected) return;
    if (connected) this.#unlinked.delete(peer);
    else this.#unlinked.add(peer);
    this.feed({ type: 'peer', now: this.now(), peer, connected });
  }

  // --- the journal's wishes

  bodyOf(hash: string): Body | undefined {
    return this.chain.bodies.get(hash) ?? this.journal.stored.get(hash);
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

  pruned(): void {
    this.#world.checkers.came('pruned logs');
  }

  cannotWrite(error: Error): void {
    this.note(() => `cannot write: ${error.message}`);
    this.#world.ended(this);
  }

  #checkpointLater(): void {
    this.after(this.#world.chance.between(500, 6_000), () => {
      this.#checkpointLater();
      const { height } = this.state.finalized;
      this.journal.checkpoint(() => checkpoint(this.context, this.state), this.chain.own, height);
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
        this.after(chance.between(0, 4), () => {
          const { hash } = effect.block;
          this.feed({ type: 'validated', now: this.now(), hash, valid: this.chain.isValid(hash) });
        });
        return;
      case 'broadcast':
        this.#say(null, effect.message);
        return;
      case 'send':
        this.#say(effect.to, effect.message);
        return;
      case 'fetch':
        this.#supply.fetch(effect.want, effect.holder);
        return;
      case 'catchup':
        checkers.came('catch-ups');
        this.#supply.catchUp(effect.peer, effect.fromHeight);
        return;
      case 'commit':
        this.#commit(effect);
        return;
      case 'rejoined':
        this.#world.checkers.rejoined(this, effect.view);
        this.forgot = null;
        return;
      case 'evidence':
        checkers.evidence(this, effect.evidence, (index) => this.#world.isFaulty(index));
        return;
      case 'quarantine':
        if (!this.wasLost) checkers.stopped(this, 'quarantine', effect.reason);
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
      if (view <= this.state.finalized.view || this.wasLost) return true;
      // A Notarization proves that the body is on disks.
      if (kind === NOTARIZE && !this.journal.stored.has(hash!)) return false;
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

  #build(request: Of<'build'>): void {
    const body = this.chain.build(request, this.now());
    this.feed({ type: 'built', now: this.now(), view: request.view, block: body?.block ?? null });
    if (body !== null) this.dropUnknown(body.block.hash);
    this.#pendingChanged();
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
        this.chain.open.delete(entry);
        if (!this.chain.own.delete(entry) || this.isFaulty || !this.state.started) continue;
        checkers.answered(this, entry, ledger.positions.get(entry)!);
      }
    }
    this.chain.prune(this.state);
    const floor = (finalization.view + 1) * 4;
    for (const key of journal.votes.keys()) if (key < floor) journal.votes.delete(key);
    this.#writeSoon();
    this.#pendingChanged();
  }

  /** The store is written behind the answer. */
  #writeSoon(): void {
    if (this.#writing) return;
    this.#writing = true;
    this.after(this.#world.chance.pick([25, 25, 25, 200, 1_000, 5_000]), () => {
      this.#writing = false;
      this.ledger.durableHeight = this.ledger.height;
    });
  }
}
