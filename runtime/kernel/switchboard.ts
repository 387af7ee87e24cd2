// Who is connected to whom: makes a channel for each link once both ends are there, and withdraws them when an
// incarnation is fenced. Called by the supervisor alone. It must never connect a caller to an actor that is not ready.
import type { Host } from './host.js';
import type { NoticeToActor, Ready } from './wire.js';
import { DEALT, DEPTH_BYTES, FENCED, type LinkEnd, SENT } from './wire.js';

/** One end as the switchboard knows it: an incarnation, or the main thread as a caller. */
export interface Subscriber {
  /** Null until it can be talked to. */
  readonly ready: Ready | null;
  post(notice: NoticeToActor): void;
}

export class Switchboard {
  readonly #host: Host;
  /** Links that the specs declare: caller → peers. */
  readonly #links: Map<string, readonly string[]>;
  readonly #running = new Map<string, Subscriber>();
  /** Shared counters of each open channel: receiver → caller → cells. */
  readonly #depths = new Map<string, Map<string, Int32Array>>();

  constructor(host: Host, links: ReadonlyMap<string, readonly string[]>) {
    this.#host = host;
    this.#links = new Map(links);
  }

  /** Channels from `caller`, about to be spawned, to those of its peers that are ready. */
  prepare(caller: string): LinkEnd[] {
    return this.#peersOf(caller).flatMap((peer) => this.#open(caller, peer) ?? []);
  }

  /** The incarnation exists: it can take notices from here on. */
  spawned(id: string, incarnation: Subscriber): void {
    this.#running.set(id, incarnation);
  }

  /** The incarnation is ready: everyone who has a link to it gets a channel. */
  ready(id: string): void {
    for (const [caller, incarnation] of this.#running) {
      if (!this.#peersOf(caller).includes(id)) continue;
      const end = this.#open(caller, id);
      if (end !== null) incarnation.post({ kind: 'link', ...end });
    }
  }

  /** Declares one more link of a caller that is already there, and connects it if the peer is ready. */
  add(caller: string, peer: string): void {
    this.#links.set(caller, [...this.#peersOf(caller), peer]);
    const end = this.#open(caller, peer);
    if (end !== null) this.#running.get(caller)?.post({ kind: 'link', ...end });
  }

  /** The incarnation is fenced: all who talk to it or are talked to by it close their ends, in both directions. */
  fenced(id: string, incarnation: Subscriber): void {
    if (this.#running.get(id) !== incarnation) return;
    this.#running.delete(id);
    for (const cells of this.#depths.get(id)?.values() ?? []) Atomics.store(cells, FENCED, 1);
    this.#depths.delete(id);
    for (const callers of this.#depths.values()) {
      const cells = callers.get(id);
      if (cells !== undefined) Atomics.store(cells, FENCED, 1);
      callers.delete(id);
    }
    for (const [other, survivor] of this.#running) {
      if (this.#peersOf(other).includes(id) || this.#peersOf(id).includes(other)) {
        survivor.post({ kind: 'down', peer: id });
      }
    }
  }

  /** Messages sent to an actor and not yet dealt with, over all its callers; seen even when its thread stands still. */
  depth(id: string): number {
    let depth = 0;
    for (const cells of this.#depths.get(id)?.values() ?? []) {
      depth += (Atomics.load(cells, SENT) - Atomics.load(cells, DEALT)) | 0;
    }
    return Math.max(0, depth);
  }

  #open(caller: string, peer: string): LinkEnd | null {
    const receiver = this.#running.get(peer);
    const names = receiver?.ready?.names;
    if (receiver === undefined || names === undefined) return null;
    const { caller: callerPort, receiver: receiverPort } = this.#host.channel();
    const depth = new SharedArrayBuffer(DEPTH_BYTES);
    const callers = this.#depths.get(peer) ?? new Map<string, Int32Array>();
    callers.set(caller, new Int32Array(depth));
    this.#depths.set(peer, callers);
    receiver.post({ kind: 'serve', caller, port: receiverPort, depth });
    return { peer, port: callerPort, names, depth };
  }

  #peersOf(id: string): readonly string[] {
    return this.#links.get(id) ?? [];
  }
}
