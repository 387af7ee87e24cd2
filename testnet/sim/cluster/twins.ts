// Twins: one validator of four runs as two unmodified instances with one key, which makes it Byzantine in every way that
// honest code can be. Every partition of the five instances into two groups and every leader, for each of R rounds; then all
// are connected, and must agree and go on. Called by the command, its workers and the tests. What a scenario does depends on
// its number alone; scenarios share their common rounds by a copy of the state.
import type { Certificate } from '../../../protocol/consensus/certificate.js';
import type { Context } from '../../../protocol/consensus/context.js';
import { type Effect, requestOf, SYNC_BLOCKS_MAX } from '../../../protocol/consensus/effect.js';
import type { Input } from '../../../protocol/consensus/input.js';
import type { Message } from '../../../protocol/consensus/message.js';
import { createState, type State } from '../../../protocol/consensus/state.js';
import { step } from '../../../protocol/consensus/step.js';
import { sha256Hex } from '../../../protocol/crypto/hash.js';
import { type Body, GENESIS, makeBody } from './body.js';
import { contextOf, mockKeys } from './keys.js';

export const VALIDATORS = 4;
const INSTANCES = 5;
/** The validator that runs twice, as the first and the last instance. */
const TWIN = 0;
/** Ways to put five instances into at most two groups: bit i says whether instance i is apart from the last one. */
export const PARTITIONS = 16;
export const CHOICES = PARTITIONS * VALIDATORS;
const TOGETHER = 0;
const TIMING = { delta0Ms: 100, deltaMaxMs: 1_600 };
/** A round lasts until every instance has left its view, or a little longer than t_a. */
const ROUND_MS = 450;
/** From the healing on, everything must be final everywhere within this. */
const HEAL_WITHIN_MS = 30_000;
const RETRY_MS = 300;
/** A leader that is not chosen yet. */
const NOBODY = -1;

interface Committed {
  readonly body: Body;
  readonly certificate: Certificate | null;
}

interface Instance {
  readonly index: number;
  readonly context: Context;
  state: State;
  readonly ledger: Committed[];
  readonly held: Set<string>;
  /** Own votes that were sent: view · 4 + kind → hash. */
  readonly sent: Map<number, string | null>;
}

interface Letter {
  readonly to: number;
  readonly input: (nowMs: number) => Input;
  readonly body: Body | null;
}

/** Chosen leaders by view − 1; what is asked beyond them is round robin once `open`, and nobody before. */
interface Leaders {
  readonly chosen: number[];
  open: boolean;
}

/** One way through some rounds, which may branch. */
export class TwinsWorld {
  readonly #leaders: Leaders;
  readonly #instances: Instance[];
  readonly #agreed: string[];
  readonly #bodies: Map<string, Body>;
  #nowMs = 0;
  #round = 0;
  #group = TOGETHER;
  #queue: Letter[] = [];
  /** What does not hold; the first is enough. */
  violation: string | null = null;
  steps = 0;

  constructor(from?: TwinsWorld) {
    this.#leaders = { chosen: from === undefined ? [] : [...from.#leaders.chosen], open: false };
    this.#agreed = from === undefined ? [] : [...from.#agreed];
    this.#bodies = new Map(from === undefined ? [] : from.#bodies);
    if (from !== undefined) {
      this.#nowMs = from.#nowMs;
      this.#round = from.#round;
      this.violation = from.violation;
      this.#instances = from.#instances.map((instance) => this.#copyOf(instance));
      return;
    }
    const ring = mockKeys(VALIDATORS);
    this.#instances = Array.from({ length: INSTANCES }, (_, at) => {
      const index = at === INSTANCES - 1 ? TWIN : at;
      const context = { ...contextOf(ring, index, TIMING), leaderAt: leaderAt(this.#leaders) };
      const state = createState(context, { finalized: GENESIS });
      return { index, context, state, ledger: [], held: new Set(), sent: new Map() };
    });
    for (const at of this.#instances.keys()) this.#feed(at, { type: 'start', now: 0 });
  }

  branch(): TwinsWorld {
    return new TwinsWorld(this);
  }

  #copyOf({ index, context, state, ledger, held, sent }: Instance): Instance {
    return {
      index,
      context: { ...context, leaderAt: leaderAt(this.#leaders) },
      state: copy(state),
      ledger: [...ledger],
      held: new Set(held),
      sent: new Map(sent),
    };
  }

  /** A hash of all that the five instances know. */
  digest(): string {
    const plain = (_: string, value: unknown) =>
      value instanceof Map || value instanceof Set ? [...value] : value instanceof Uint8Array ? [...value] : value;
    const known = this.#instances.map(({ state, ledger }) => [state, ledger.length]);
    return sha256Hex(JSON.stringify([this.#nowMs, known], plain));
  }

  /** `choice` = partition · 4 + leader. Messages cross no group; a submission comes to everybody at the beginning. */
  round(choice: number): void {
    this.#round += 1;
    this.#leaders.chosen.push(choice % VALIDATORS);
    this.#group = Math.floor(choice / VALIDATORS);
    const endMs = this.#nowMs + ROUND_MS;
    this.#submit();
    this.#retryWants();
    for (;;) {
      this.#deliver();
      if (this.violation !== null) return;
      const wakeMs = this.#nextWake((state) => state.view <= this.#round);
      if (wakeMs === null || wakeMs > endMs) return;
      this.#wake(wakeMs, (state) => state.view <= this.#round);
    }
  }

  /** All are connected: what was submitted becomes final, on every honest instance alike. */
  heal(): void {
    this.#leaders.open = true;
    this.#group = TOGETHER;
    this.#round += 1;
    const endMs = this.#nowMs + HEAL_WITHIN_MS;
    this.#submit();
    this.#retryWants();
    let retryMs = this.#nowMs + RETRY_MS;
    for (;;) {
      this.#deliver();
      if (this.violation !== null || this.#isWhole()) return;
      const wakeMs = this.#nextWake(() => true) ?? retryMs;
      if (wakeMs > endMs) break;
      this.#wake(Math.min(wakeMs, retryMs), () => true);
      if (this.#nowMs < retryMs) continue;
      this.#retryWants();
      retryMs = this.#nowMs + RETRY_MS;
    }
    const where = this.#honest.map(({ index, ledger, state }) => `${index} at ${ledger.length}, view ${state.view}`);
    this.violation = `liveness: not all is final ${HEAL_WITHIN_MS} ms after the healing: ${where.join('; ')}`;
  }

  get #honest(): Instance[] {
    return this.#instances.filter(({ index }) => index !== TWIN);
  }

  #isWhole(): boolean {
    const [first, ...others] = this.#honest;
    const tip = first!.ledger[first!.ledger.length - 1]?.body.block.hash;
    if (others.some(({ ledger }) => ledger[ledger.length - 1]?.body.block.hash !== tip)) return false;
    return first!.ledger.reduce((sum, { body }) => sum + body.entries.length, 0) === this.#round;
  }

  #submit(): void {
    for (const [at, { ledger }] of this.#instances.entries()) {
      const final = ledger.reduce((sum, { body }) => sum + body.entries.length, 0);
      this.#feed(at, { type: 'pending', now: this.#nowMs, count: this.#round - final });
      this.#feed(at, { type: 'tick', now: this.#nowMs });
    }
  }

  #nextWake(counts: (state: State) => boolean): number | null {
    let wakeMs: number | null = null;
    for (const { state } of this.#instances) {
      if (state.wakeAtMs === null || !counts(state)) continue;
      if (wakeMs === null || state.wakeAtMs < wakeMs) wakeMs = state.wakeAtMs;
    }
    return wakeMs;
  }

  #wake(atMs: number, counts: (state: State) => boolean): void {
    this.#nowMs = Math.max(this.#nowMs, atMs);
    for (const [at, { state }] of this.#instances.entries()) {
      if (state.wakeAtMs === null || state.wakeAtMs > this.#nowMs || !counts(state)) continue;
      this.#feed(at, { type: 'tick', now: this.#nowMs });
    }
  }

  /** Wave by wave, a millisecond each, until nothing is under way. */
  #deliver(): void {
    while (this.#queue.length > 0 && this.violation === null) {
      const wave = this.#queue;
      this.#queue = [];
      this.#nowMs += 1;
      for (const { to, input, body } of wave) {
        if (body !== null) this.#instances[to]!.held.add(body.block.hash);
        this.#feed(to, input(this.#nowMs));
      }
    }
  }

  #linked(one: number, other: number): boolean {
    // The last instance has no bit of its own: the others are with it or apart from it.
    return ((this.#group >>> one) & 1) === ((this.#group >>> other) & 1);
  }

  #feed(at: number, input: Input): void {
    const instance = this.#instances[at]!;
    this.steps += 1;
    const { effects } = step(instance.context, instance.state, input);
    if (instance.index === TWIN) {
      instance.state.quarantined = null;
      instance.state.halted = null;
    }
    for (const effect of effects) this.#carryOut(at, instance, effect);
  }

  #carryOut(at: number, instance: Instance, effect: Effect): void {
    switch (effect.type) {
      case 'build':
        this.#build(at, instance, effect);
        return;
      case 'validate': {
        const { hash } = effect.block;
        this.#later(at, (now) => ({ type: 'validated', now, hash, valid: this.#isValid(hash) }));
        return;
      }
      case 'broadcast':
        for (let to = 0; to < INSTANCES; to++) this.#send(at, to, effect.message);
        return;
      case 'send':
        for (let to = 0; to < INSTANCES; to++) {
          if (this.#instances[to]!.index === effect.to) this.#send(at, to, effect.message);
        }
        return;
      case 'fetch':
        this.#fetch(at, effect.want);
        return;
      case 'catchup':
        this.#catchUp(at, effect);
        return;
      case 'commit':
        this.#commit(at, instance, effect);
        return;
      case 'evidence':
        if (effect.evidence.first.signer !== TWIN && instance.index !== TWIN) {
          this.#found(
            `evidence: ${instance.index} accuses honest ${effect.evidence.first.signer} of ${effect.evidence.rule}`,
          );
        }
        return;
      case 'halt':
      case 'quarantine':
        if (instance.index !== TWIN) this.#found(`${effect.type}: ${instance.index}: ${effect.reason}`);
        return;
    }
  }

  #found(what: string): void {
    this.violation ??= what;
  }

  #later(to: number, input: (now: number) => Input, body: Body | null = null): void {
    this.#queue.push({ to, input, body });
  }

  #send(from: number, to: number, message: Message): void {
    const sender = this.#instances[from]!;
    this.#checkSent(sender, message);
    if (from === to || sender.index === this.#instances[to]!.index || !this.#linked(from, to)) return;
    const body = message.type === 'proposal' ? (this.#bodies.get(message.proposal.block.hash) ?? null) : null;
    this.#later(to, (now) => ({ type: 'message', now, from: sender.index, message }), body);
  }

  /** No honest signer under two payloads (CONSENSUS.md 1.5). */
  #checkSent({ index, sent }: Instance, message: Message): void {
    if (index === TWIN || message.type !== 'vote') return;
    const { kind, view, hash } = message.vote;
    const other = sent.get(view * 4 + kind);
    if (other !== undefined && other !== hash)
      this.#found(`one payload: ${index} signs two of kind ${kind} in view ${view}`);
    sent.set(view * 4 + kind, hash);
    if (sent.has(view * 4 + 2) && sent.has(view * 4 + 3))
      this.#found(`one payload: ${index} gives up and finalizes view ${view}`);
  }

  #build(at: number, instance: Instance, request: Extract<Effect, { type: 'build' }>): void {
    const { view, height, parentView, parentHash, contents } = request;
    const taken = this.#entriesUpTo(parentHash);
    const entries: number[] = [];
    if (contents !== 'none')
      for (let entry = 1; entry <= this.#round; entry++) if (!taken.has(entry)) entries.push(entry);
    if (contents === 'some' && entries.length === 0) {
      this.#later(at, (now) => ({ type: 'built', now, view, block: null }));
      return;
    }
    const body = makeBody(
      { height, view, parentView, parentHash, timestamp: this.#nowMs },
      instance.index,
      entries,
      at,
    );
    this.#bodies.set(body.block.hash, body);
    this.#later(at, (now) => ({ type: 'built', now, view, block: body.block }), body);
  }

  #entriesUpTo(hash: string): Set<number> {
    const taken = new Set<number>();
    for (let body = this.#bodies.get(hash); body !== undefined; body = this.#bodies.get(body.block.parentHash)) {
      for (const entry of body.entries) taken.add(entry);
    }
    return taken;
  }

  #isValid(hash: string): boolean {
    const { entries, block } = this.#bodies.get(hash)!;
    const taken = this.#entriesUpTo(block.parentHash);
    return entries.every((entry) => !taken.has(entry));
  }

  #fetch(at: number, want: Parameters<typeof requestOf>[0] | { type: 'block'; hash: string; view: number }): void {
    for (const [peer, { held }] of this.#instances.entries()) {
      if (peer === at || !this.#linked(at, peer)) continue;
      if (want.type === 'certificate') {
        const { epoch, self } = this.#instances[at]!.context;
        this.#later(peer, (now) => ({ type: 'message', now, from: self, message: requestOf(want, epoch) }));
      } else if (held.has(want.hash)) {
        const body = this.#bodies.get(want.hash)!;
        this.#later(at, (now) => ({ type: 'block', now, block: body.block }), body);
        return;
      }
    }
  }

  #retryWants(): void {
    for (const [at, { state }] of this.#instances.entries())
      for (const want of state.wanted.values()) this.#fetch(at, want);
  }

  #catchUp(at: number, { peer, fromHeight }: Extract<Effect, { type: 'catchup' }>): void {
    const served = this.#instances.findIndex(({ index }, other) => index === peer && this.#linked(at, other));
    const given = this.#instances[served]?.ledger.slice(fromHeight - 1, fromHeight - 1 + SYNC_BLOCKS_MAX) ?? [];
    const blocks = given.map(({ body, certificate }) => ({ block: body.block, certificate }));
    for (const { body } of given) this.#instances[at]!.held.add(body.block.hash);
    this.#later(at, (now) => ({ type: 'synced', now, peer, fromHeight, blocks }));
  }

  #commit(
    at: number,
    instance: Instance,
    { blocks, finalization, certificates }: Extract<Effect, { type: 'commit' }>,
  ): void {
    const { ledger, index, held } = instance;
    for (const [place, { hash, height, parentHash }] of blocks.entries()) {
      if (!held.has(hash)) this.#found(`host: ${index} commits height ${height} without the body`);
      const tip = ledger[ledger.length - 1]?.body.block.hash ?? GENESIS.hash;
      if (parentHash !== tip || height !== ledger.length + 1) this.#found(`one chain: ${index} at height ${height}`);
      const certificate = place === blocks.length - 1 ? finalization : (certificates[place] ?? null);
      ledger.push({ body: this.#bodies.get(hash)!, certificate });
      if (index === TWIN) continue;
      const agreed = this.#agreed[height];
      if (agreed === undefined) this.#agreed[height] = hash;
      else if (agreed !== hash) this.#found(`agreement: ${index} commits another block at height ${height}`);
    }
    const final = ledger.reduce((sum, { body }) => sum + body.entries.length, 0);
    if (this.#round - final !== instance.state.pendingCount) {
      this.#later(at, (now) => ({ type: 'pending', now, count: this.#round - final }));
    }
  }
}

function leaderAt(leaders: Leaders): (view: number) => number {
  return (view) => leaders.chosen[view - 1] ?? (leaders.open ? view % VALIDATORS : NOBODY);
}

/** What never changes once it is made: votes and proposals, certificates, references of blocks. */
function isShared(value: object): boolean {
  if (value instanceof Uint8Array || 'signatures' in value || 'parentHash' in value) return true;
  return 'signature' in value && value.signature instanceof Uint8Array;
}

/** A state that shares nothing with this one that step() could change. */
export function copy<T>(value: T): T {
  if (typeof value !== 'object' || value === null || isShared(value)) return value;
  if (Array.isArray(value)) return value.map(copy) as T;
  if (value instanceof Map) return new Map([...value].map(([key, held]) => [key, copy(held)])) as T;
  if (value instanceof Set) return new Set(value) as T;
  const made: Record<string, unknown> = {};
  for (const [key, held] of Object.entries(value)) made[key] = copy(held);
  return made as T;
}

/** The choices of a scenario, first round first. */
export function choicesOf(scenario: number, rounds: number): number[] {
  const choices: number[] = [];
  for (let left = scenario, round = 0; round < rounds; round++) {
    choices.unshift(left % CHOICES);
    left = Math.floor(left / CHOICES);
  }
  return choices;
}

/** One scenario on its own: what does not hold, or null. */
export function runScenario(scenario: number, rounds: number): string | null {
  const world = new TwinsWorld();
  for (const choice of choicesOf(scenario, rounds)) {
    world.round(choice);
    if (world.violation !== null) return world.violation;
  }
  world.heal();
  return world.violation;
}
