// A cluster of hosts on a simulated network: seeded delays, loss, duplication, slow disks, crashes, twins.
// Used by the simulation tests; every run is a function of its seed.
// Must never help the core: what a real network or disk may do to it, this one does.
import { Buffer } from 'node:buffer';
import type { Effect, Want } from '../effect.js';
import type { Input, SyncedBlock } from '../input.js';
import type { BlockRef, Message } from '../message.js';
import { decodeMessage, decodeProposal, encodeMessage, encodeProposal } from '../wire.js';
import { checkVotes, Host } from './host.js';
import { mockContext, Random } from './random.js';

export interface Faults {
  /** Until this moment messages are lost and doubled and nodes crash; afterwards nothing is. */
  readonly endMs: number;
  readonly loss: number;
  readonly duplicate: number;
  /** Chance that a node crashes at a flush, after a random part of what it was writing. */
  readonly crash: number;
  /** One crash more, of this node, when exactly so many records are on its disk. */
  readonly crashAt?: { readonly node: number; readonly records: number };
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** One running instance. Twins are two instances of one identity. */
interface Instance {
  readonly host: Host;
  readonly twin: boolean;
  up: boolean;
  /** Counts restarts: what was scheduled for an earlier life is dropped. */
  life: number;
  flushing: boolean;
  tickAt: number | null;
  readonly fetching: Set<string>;
}

const FETCH_EVERY_MS = 300;
const SYNC_DEADLINE_MS = 1_000;

export class Cluster {
  readonly random: Random;
  readonly instances: Instance[];
  readonly faults: Faults;
  readonly n: number;
  now = 0;
  crashes = 0;
  crashedAsPlanned = false;
  steps = 0;
  /** Block hash by height, as the first node to commit it saw it. */
  readonly chain: string[] = [];
  readonly accused = new Set<number>();
  readonly halts: string[] = [];
  submissions = 0;
  catchups = 0;
  rejoins = 0;
  /** Links that carry nothing at present, as `from to`. */
  readonly cut = new Set<string>();
  /** What a peer gives for a catch-up; a test may let it lie. Null is silence. */
  private readonly answers: (peer: number, found: readonly SyncedBlock[]) => readonly SyncedBlock[] | null;
  /** Every message is written as a frame and read back. */
  wired = false;
  private nonces = 0;
  private readonly events: Event[] = [];
  private order = 0;

  constructor(options: {
    n: number;
    seed: number;
    faults: Faults;
    twins?: readonly number[];
    answers?: Cluster['answers'];
  }) {
    this.n = options.n;
    this.random = new Random(options.seed);
    this.faults = options.faults;
    const identities = [...Array(options.n).keys(), ...(options.twins ?? [])];
    this.instances = identities.map((self) => ({
      host: new Host(mockContext(options.n, self)),
      twin: options.twins?.includes(self) ?? false,
      up: true,
      life: 0,
      flushing: false,
      tickAt: null,
      fetching: new Set(),
    }));
    this.answers = options.answers ?? ((_peer, found) => found);
    for (const instance of this.instances) this.feed(instance, { type: 'start', now: 0 });
  }

  get honest(): Instance[] {
    return this.instances.filter(({ twin }) => !twin);
  }

  /** A client's submission at one instance; its inbox is durable, and gossip brings it to the others in the end. */
  submit(at: number): void {
    const entry = `s${this.submissions++}`;
    this.schedule(at, () => {
      const first = this.random.pick(this.instances);
      for (const instance of this.instances) {
        const delay = instance === first ? 0 : this.random.between(1, 400);
        this.schedule(this.now + delay, () => {
          instance.host.known.add(entry);
          if (instance.up) this.feed(instance, { type: 'pending', now: this.now, count: instance.host.pendingCount });
        });
      }
    });
  }

  schedule(at: number, run: () => void): void {
    const event = { at, order: this.order++, run };
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.events[middle]!.at > at) low = middle + 1;
      else high = middle;
    }
    // Latest first, so that the next event is at the end; equal times keep the order of scheduling.
    this.events.splice(low, 0, event);
  }

  runUntil(endMs: number): void {
    for (let next = this.events.pop(); next !== undefined; next = this.events.pop()) {
      if (next.at > endMs) {
        this.events.push(next);
        break;
      }
      this.now = next.at;
      next.run();
    }
    this.now = endMs;
  }

  private get faulty(): boolean {
    return this.now < this.faults.endMs;
  }

  private feed(instance: Instance, input: Input): void {
    const { host } = instance;
    this.steps += 1;
    host.input(input);
    if (instance.twin) host.state.quarantined = null;
    const { wakeAtMs } = host.state;
    if (wakeAtMs !== null && wakeAtMs <= this.now) throw new Error(`woken for nothing after ${input.type}`);
    if (wakeAtMs !== null && wakeAtMs !== instance.tickAt) {
      instance.tickAt = wakeAtMs;
      this.later(instance, wakeAtMs - this.now, () => {
        if (instance.tickAt !== this.now) return;
        instance.tickAt = null;
        this.feed(instance, { type: 'tick', now: this.now });
      });
    }
    this.flushSoon(instance);
  }

  /** One group commit at a time; what comes meanwhile waits for the next (DECISIONS 11). */
  private flushSoon(instance: Instance): void {
    if (instance.flushing) return;
    instance.flushing = true;
    this.later(instance, this.random.between(0, this.random.chance(0.05) ? 60 : 4), () => {
      if (this.faulty && this.random.chance(this.faults.crash)) {
        this.crash(instance);
        return;
      }
      const { crashAt } = this.faults;
      const kept = crashAt === undefined ? 0 : crashAt.records - instance.host.disk.length;
      if (
        !this.crashedAsPlanned &&
        crashAt?.node === instance.host.context.self &&
        kept >= 0 &&
        instance.host.unflushedRecords > kept
      ) {
        this.crashedAsPlanned = true;
        this.crash(instance, kept);
        return;
      }
      instance.flushing = false;
      for (const effect of instance.host.flush()) this.carryOut(instance, effect);
      if (instance.host.unflushed) this.flushSoon(instance);
    });
  }

  /** The data directory is lost while the node is down; it comes back empty and asks the others where they are. */
  wipe(instance: Instance, downMs: number): void {
    this.crash(instance, 0, downMs, () => instance.host.wipe());
  }

  /** Cuts every link of these nodes, or mends it: both ends are told, as a broken connection tells. */
  isolate(nodes: readonly number[], isCut: boolean): void {
    for (const node of nodes) {
      for (let peer = 0; peer < this.n; peer++) {
        if (nodes.includes(peer)) continue;
        for (const link of [`${node} ${peer}`, `${peer} ${node}`]) {
          if (isCut) this.cut.add(link);
          else this.cut.delete(link);
        }
        this.tellLink(node, peer, !isCut);
      }
    }
  }

  private tellLink(a: number, b: number, connected: boolean): void {
    if (a === b) return;
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      for (const instance of this.instances) {
        if (instance.host.context.self !== self) continue;
        this.later(instance, this.random.between(1, 20), () => {
          this.feed(instance, { type: 'peer', now: this.now, peer, connected });
        });
      }
    }
  }

  crash(instance: Instance, kept?: number, downMs?: number, whileDown?: () => void): void {
    this.crashes += 1;
    const { host } = instance;
    host.crash(kept ?? this.random.between(0, host.unflushedRecords));
    instance.up = false;
    instance.life += 1;
    instance.flushing = false;
    instance.tickAt = null;
    instance.fetching.clear();
    if (!instance.twin) checkVotes([...host.lost, ...host.disk]);
    whileDown?.();
    const self = host.context.self!;
    for (let peer = 0; peer < this.n; peer++) this.tellLink(self, peer, false);
    this.schedule(this.now + (downMs ?? this.random.between(1, 1_500)), () => {
      instance.up = true;
      for (const effect of host.restart(this.random.between(0, 3))) this.carryOut(instance, effect);
      this.feed(instance, { type: 'start', now: this.now });
      this.feed(instance, { type: 'pending', now: this.now, count: host.pendingCount });
      if (host.state.quarantined !== null && !instance.twin) {
        this.nonces += 1;
        this.feed(instance, { type: 'recover', now: this.now, nonce: this.nonces.toString(16).padStart(64, '0') });
      }
      for (let peer = 0; peer < this.n; peer++) this.tellLink(self, peer, true);
    });
  }

  private later(instance: Instance, delayMs: number, run: () => void): void {
    const { life } = instance;
    this.schedule(this.now + delayMs, () => {
      if (instance.up && instance.life === life) run();
    });
  }

  private carryOut(instance: Instance, effect: Effect): void {
    const { host } = instance;
    switch (effect.type) {
      case 'build':
        this.later(instance, this.random.between(0, 5), () => this.feed(instance, host.build(effect, this.now)));
        return;
      case 'validate':
        this.later(instance, this.random.between(0, 5), () => {
          this.feed(instance, host.validate(effect.block, this.now));
        });
        return;
      case 'broadcast':
        for (const peer of this.instances) this.transmit(instance, peer, effect.message);
        return;
      case 'send':
        for (const peer of this.instances) {
          if (peer.host.context.self === effect.to) this.transmit(instance, peer, effect.message);
        }
        return;
      case 'fetch':
        this.fetch(instance, effect.want, effect.holder);
        return;
      case 'commit':
        host.execute(effect);
        if (!instance.twin) this.checkAgreement(host);
        if (host.state.started) this.feed(instance, { type: 'pending', now: this.now, count: host.pendingCount });
        return;
      case 'evidence':
        this.accused.add(effect.evidence.first.signer);
        return;
      case 'catchup':
        this.catchUp(instance, effect);
        return;
      case 'rejoined':
        this.rejoins += 1;
        return;
      case 'quarantine':
        // A wiped node says so at its start, and leaves it.
        if (!instance.twin && host.lost.length === 0) this.halts.push(`${host.context.self}: ${effect.reason}`);
        return;
      default:
        if (!instance.twin) this.halts.push(`${host.context.self}: ${effect.reason}`);
    }
  }

  private transmit(from: Instance, to: Instance, message: Message): void {
    if (from === to || this.isCut(from, to)) return;
    const body = message.type === 'proposal' ? from.host.body(message.proposal.block.hash) : null;
    const carried = this.wired ? overWire(message) : message;
    const copies = this.faulty && this.random.chance(this.faults.duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.faulty && this.random.chance(this.faults.loss)) continue;
      const delay = this.random.between(1, this.faulty && this.random.chance(0.1) ? 600 : 30);
      this.schedule(this.now + delay, () => {
        if (!to.up) return;
        if (body !== null) to.host.hold(body);
        this.feed(to, { type: 'message', now: this.now, from: from.host.context.self, message: carried });
      });
    }
  }

  /** Asks one peer after the other until the want is met or passed. */
  private fetch(instance: Instance, want: Want, holder: number | null): void {
    const { host } = instance;
    const key = JSON.stringify(want);
    if (instance.fetching.has(key)) return;
    instance.fetching.add(key);
    const attempt = (first: number | null): void => {
      if (![...host.state.wanted.values()].some((open) => JSON.stringify(open) === key)) {
        instance.fetching.delete(key);
        return;
      }
      const peers = this.instances.filter((peer) => peer !== instance);
      const peer = peers.find(({ host: other }) => other.context.self === first) ?? this.random.pick(peers);
      this.later(instance, this.random.between(2, 60), () => this.answer(peer, instance, want));
      this.later(instance, FETCH_EVERY_MS, () => attempt(null));
    };
    attempt(holder);
  }

  private isCut(from: Instance, to: Instance): boolean {
    return this.cut.has(`${from.host.context.self} ${to.host.context.self}`);
  }

  /** Gives the core exactly one answer: what the peer serves, or nothing when it is silent. */
  private catchUp(instance: Instance, { peer, fromHeight }: Extract<Effect, { type: 'catchup' }>): void {
    this.catchups += 1;
    const server = this.instances.find(({ host }) => host.context.self === peer)!;
    const found = server.host.serveRange(fromHeight, this.random.between(1, 20));
    const isLost = !server.up || this.isCut(instance, server) || (this.faulty && this.random.chance(this.faults.loss));
    const given = isLost ? null : this.answers(peer, found.synced);
    this.later(instance, given === null ? SYNC_DEADLINE_MS : this.random.between(2, 60), () => {
      if (given !== null) for (const body of found.bodies) instance.host.hold(body);
      this.feed(instance, { type: 'synced', now: this.now, peer, fromHeight, blocks: given ?? [] });
    });
  }

  private answer(peer: Instance, instance: Instance, want: Want): void {
    if (!peer.up || this.isCut(peer, instance) || (this.faulty && this.random.chance(this.faults.loss))) return;
    const found = peer.host.serve(want);
    if (found === null) return;
    if ('entries' in found) {
      instance.host.hold(found);
      this.feed(instance, { type: 'block', now: this.now, block: found.block });
    } else {
      this.feed(instance, { type: 'message', now: this.now, from: peer.host.context.self, message: found });
    }
  }

  private checkAgreement(host: Host): void {
    for (const { block } of host.ledger) {
      const agreed = this.chain[block.height];
      if (agreed === undefined) this.chain[block.height] = block.hash;
      else if (agreed !== block.hash) throw new Error(`fork at height ${block.height}`);
    }
  }
}

/** As a peer's host gets it; the body is the block's reference here, which a real one takes from the header. */
function overWire(message: Message): Message {
  if (message.type !== 'proposal') return decodeMessage(encodeMessage(message));
  const body = Buffer.from(JSON.stringify(message.proposal.block));
  const { epoch, signature, justification, body: read } = decodeProposal(encodeProposal(message, body));
  const block = JSON.parse(Buffer.from(read).toString()) as BlockRef;
  return { type: 'proposal', epoch, proposal: { block, signature, justification } };
}
