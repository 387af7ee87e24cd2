// The links between simulated nodes: delay, loss, duplication, reordering, cuts in one direction or both, slow peers, and
// what was said long ago coming again. Owned by the cluster. It must never deliver what was not sent over that link.
import type { Message } from '../../../protocol/consensus/message.js';
import type { SimNode } from './node.js';
import type { Chance, Schedule } from './schedule.js';
import type { Packet } from './surroundings.js';

export interface Weather {
  lossRate: number;
  duplicateRate: number;
  /** How often a packet is overtaken by much, and by how much at most. */
  stragglerRate: number;
  stragglerMs: number;
  delayMs: number;
}

/** What one direction of one link has to suffer besides. */
interface Link {
  /** Number of reasons for which nothing passes. */
  cuts: number;
  extraMs: number;
  /** Milliseconds that each packet takes on the wire, one after the other. */
  gapMs: number;
  freeAtMs: number;
  queued: number;
}

interface Heard {
  readonly from: number;
  readonly packet: Packet;
}

/** Packets on one link; as with a real peer's queue, more are dropped. */
const QUEUE_MAX = 512;
const MEMORY_MAX = 400;

export const CALM: Weather = { lossRate: 0, duplicateRate: 0, stragglerRate: 0, stragglerMs: 0, delayMs: 20 };

export class Network {
  weather: Weather = { ...CALM };
  sent = 0;
  lost = 0;
  readonly #schedule: Schedule;
  readonly #chance: Chance;
  readonly #nodes: readonly SimNode[];
  readonly #byIndex: SimNode[][];
  /** By the instances at its two ends. */
  readonly #links: Link[][];
  readonly #memory: Heard[] = [];

  constructor(schedule: Schedule, chance: Chance, nodes: readonly SimNode[], n: number) {
    this.#schedule = schedule;
    this.#chance = chance;
    this.#nodes = nodes;
    this.#byIndex = Array.from({ length: n }, (_, index) => nodes.filter((node) => node.index === index));
    this.#links = nodes.map(() => nodes.map(() => ({ cuts: 0, extraMs: 0, gapMs: 0, freeAtMs: 0, queued: 0 })));
  }

  /** Whether anything passes from one to the other. */
  passes(from: SimNode, to: SimNode): boolean {
    return this.link(from, to).cuts === 0;
  }

  link(from: SimNode, to: SimNode): Link {
    return this.#links[from.instance]![to.instance]!;
  }

  *linksOf(node: SimNode): Generator<Link> {
    for (const peer of this.#nodes) {
      if (peer === node) continue;
      yield this.link(node, peer);
      yield this.link(peer, node);
    }
  }

  /** To every instance of that identity. */
  send(from: SimNode, to: number, packet: Packet): void {
    for (const peer of this.#byIndex[to] ?? []) this.#transmit(from, peer, packet);
  }

  #transmit(from: SimNode, to: SimNode, packet: Packet): void {
    const { weather } = this;
    const chance = this.#chance;
    this.sent += 1;
    if (packet.type === 'consensus' && (this.sent & 31) === 0) this.#remember(from.index, packet);
    const link = this.link(from, to);
    const copies = chance.happens(weather.duplicateRate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (link.cuts > 0 || link.queued >= QUEUE_MAX || chance.happens(weather.lossRate)) {
        this.lost += 1;
        continue;
      }
      let delayMs = chance.between(1, weather.delayMs) + link.extraMs;
      if (chance.happens(weather.stragglerRate)) delayMs += chance.between(1, weather.stragglerMs);
      let atMs = this.#schedule.nowMs + delayMs;
      if (link.gapMs > 0) {
        link.freeAtMs = Math.max(link.freeAtMs, this.#schedule.nowMs) + link.gapMs;
        atMs = Math.max(atMs, link.freeAtMs);
      }
      link.queued += 1;
      this.#schedule.at(atMs, () => {
        link.queued -= 1;
        if (to.up) to.receive(from.index, packet);
      });
    }
  }

  #remember(from: number, packet: Packet): void {
    if (this.#memory.length < MEMORY_MAX) this.#memory.push({ from, packet });
    else this.#memory[this.#chance.between(0, MEMORY_MAX - 1)] = { from, packet };
  }

  /** Something said at any time before, once more, to anybody; perhaps under another epoch's name. */
  replay(): void {
    if (this.#memory.length === 0) return;
    const { from, packet } = this.#chance.pick(this.#memory);
    const to = this.#chance.pick(this.#nodes);
    if (to.index === from || !to.up || packet.type !== 'consensus') return;
    const message: Message = this.#chance.happens(0.2)
      ? { ...packet.message, epoch: packet.message.epoch + this.#chance.pick([-1, 1]) }
      : packet.message;
    to.receive(from, { ...packet, message });
  }
}
