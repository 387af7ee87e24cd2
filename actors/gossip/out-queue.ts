// What waits for one peer: two lanes under one bound. Owned by the peer. It must never hold more than its bound, and never
// let a bulk frame go, or stay, at the cost of a live one.
import type { Lane } from './contract.js';

/** Some eight full blocks: what a peer may miss while its link stands still, times 16 peers well below the thread's heap. */
export const QUEUE_MAX_BYTES = 8 * 1024 * 1024;
export const QUEUE_MAX_FRAMES = 8192;

/** One frame that found no room, or lost it. */
export type OnDrop = (lane: Lane, frame: Uint8Array) => void;

class FrameList {
  #frames: (Uint8Array | undefined)[] = [];
  #head = 0;
  bytes = 0;

  get count(): number {
    return this.#frames.length - this.#head;
  }

  push(frame: Uint8Array): void {
    this.#frames.push(frame);
    this.bytes += frame.length;
  }

  shift(): Uint8Array | undefined {
    if (this.count === 0) return undefined;
    const frame = this.#frames[this.#head]!;
    this.#frames[this.#head] = undefined;
    this.#head += 1;
    this.bytes -= frame.length;
    if (this.#head > 1024 && this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
    return frame;
  }
}

export class OutQueue {
  readonly #lists: Readonly<Record<Lane, FrameList>> = { live: new FrameList(), bulk: new FrameList() };
  readonly #onDrop: OnDrop;
  readonly #maxBytes: number;
  readonly #maxFrames: number;

  constructor(onDrop: OnDrop, maxBytes = QUEUE_MAX_BYTES, maxFrames = QUEUE_MAX_FRAMES) {
    this.#onDrop = onDrop;
    this.#maxBytes = maxBytes;
    this.#maxFrames = maxFrames;
  }

  frames(lane: Lane): number {
    return this.#lists[lane].count;
  }

  bytes(lane: Lane): number {
    return this.#lists[lane].bytes;
  }

  /** Takes the frame in. Without room a bulk frame goes itself; for a live one the oldest bulk frames go, then live ones. */
  add(lane: Lane, frame: Uint8Array): void {
    const { live, bulk } = this.#lists;
    if (lane === 'bulk' && !this.#hasRoom(frame)) return void this.#onDrop('bulk', frame);
    while (!this.#hasRoom(frame)) {
      const fromLane: Lane = bulk.count > 0 ? 'bulk' : 'live';
      const dropped = this.#lists[fromLane].shift();
      // The frame alone is over the bound.
      if (dropped === undefined) return void this.#onDrop(lane, frame);
      this.#onDrop(fromLane, dropped);
    }
    (lane === 'live' ? live : bulk).push(frame);
  }

  /** The next frame to send, live ones first; null when nothing waits. */
  next(): { lane: Lane; frame: Uint8Array } | null {
    const { live, bulk } = this.#lists;
    const lane: Lane = live.count > 0 ? 'live' : 'bulk';
    const frame = (lane === 'live' ? live : bulk).shift();
    return frame === undefined ? null : { lane, frame };
  }

  /** Everything goes. */
  clear(): void {
    for (let next = this.next(); next !== null; next = this.next()) this.#onDrop(next.lane, next.frame);
  }

  #hasRoom(frame: Uint8Array): boolean {
    const { live, bulk } = this.#lists;
    return live.count + bulk.count < this.#maxFrames && live.bytes + bulk.bytes + frame.length <= this.#maxBytes;
  }
}
