// Frames that peers sent, on their way to consensus and ingress: one message a turn, peer and receiver. Owned by the actor.
// It must never hold more than a bound a peer, nor take more a second: the sockets of those with too much to say are not read.

import { packBytes } from '../../runtime/kernel/batch.js';
import type { Clock, Link, Timer } from '../../runtime/kernel/contract.js';
import type { ConsensusContract } from '../consensus/contract.js';
import type { IngressContract } from '../ingress/contract.js';

export type Receiver = 'consensus' | 'ingress';

/** What can be stopped from sending more. */
export interface Source {
  pause(): void;
  resume(): void;
}

export interface InboundParts {
  readonly links: { readonly consensus: Link<ConsensusContract>; readonly ingress: Link<IngressContract> };
  readonly clock: Clock;
  /** Frames that went to nobody, since the receiver is not there. */
  readonly onDrop: (from: string, frames: number) => void;
  /** What one peer may send, bytes a second. */
  readonly rate: () => number;
  /** A peer that sent more: it is not read for a while. */
  readonly onExceeded: (from: string) => void;
  /** When the turn ends; default setImmediate. */
  readonly endOfTurn?: (run: () => void) => void;
}

/** Two frames of the largest size wait at most, beside what one read of the socket brings. */
const PAUSE_BYTES = 1024 * 1024;
const RESUME_BYTES = 128 * 1024;
/** Each frame is an object of its own: a megabyte of single bytes would be a hundred in memory. */
const PAUSE_FRAMES = 4096;
const RESUME_FRAMES = 512;
/** A message to another actor carries this much, and at least one frame. */
const MESSAGE_BYTES = 1024 * 1024;
const AGAIN_MS = 5;
/** What a frame counts at least: its handling costs more than its bytes. */
const FRAME_COST_BYTES = 512;
/** A peer that has sent too much is left alone for this much longer, so that its socket is not stopped for each frame. */
const HOLD_MS = 50;

interface Waiting {
  readonly frames: Uint8Array[];
  bytes: number;
}

interface Box {
  readonly waiting: Readonly<Record<Receiver, Waiting>>;
  readonly paused: Set<Source>;
  /** Bytes that it may send at once; at most those of a second. Below zero it is held. */
  allowance: number;
  /** When that was so, monotonic milliseconds. */
  atMs: number;
  /** Until then it is not read. */
  hold: Timer | null;
}

const RECEIVERS: readonly Receiver[] = ['consensus', 'ingress'];

export class Inbound {
  readonly #parts: InboundParts;
  readonly #boxes = new Map<string, Box>();
  #scheduled = false;
  #again: Timer | null = null;
  /** Whose turn it is first: a peer with much to say must not come before the others each time. */
  #turn = 0;

  constructor(parts: InboundParts) {
    this.#parts = parts;
  }

  get bytes(): number {
    let sum = 0;
    for (const { waiting } of this.#boxes.values()) sum += waiting.consensus.bytes + waiting.ingress.bytes;
    return sum;
  }

  /** @param from proven node id */
  receive(from: string, source: Source, receiver: Receiver, frame: Uint8Array): void {
    let box = this.#boxes.get(from);
    if (box === undefined) {
      box = {
        waiting: { consensus: { frames: [], bytes: 0 }, ingress: { frames: [], bytes: 0 } },
        paused: new Set(),
        allowance: this.#parts.rate(),
        atMs: this.#parts.clock.monotonic(),
        hold: null,
      };
      this.#boxes.set(from, box);
    }
    const waiting = box.waiting[receiver];
    waiting.frames.push(frame);
    waiting.bytes += frame.length;
    if (this.#isOverRate(from, box, frame.length) || bytesOf(box) >= PAUSE_BYTES || framesOf(box) >= PAUSE_FRAMES) {
      box.paused.add(source);
      source.pause();
    }
    this.#schedule();
  }

  /** A connection that ended: there is nobody to resume. What it sent still counts. */
  ended(from: string, source: Source): void {
    this.#boxes.get(from)?.paused.delete(source);
  }

  /** What peers still have waiting when they are no longer configured goes with them. */
  forget(from: string): void {
    this.#boxes.get(from)?.hold?.cancel();
    this.#boxes.delete(from);
  }

  stop(): void {
    this.#again?.cancel();
    for (const { hold } of this.#boxes.values()) hold?.cancel();
    this.#boxes.clear();
  }

  /** Counts what came. A token bucket of one second: who sends more waits until it has paid back. */
  #isOverRate(from: string, box: Box, frameBytes: number): boolean {
    const { clock, rate, onExceeded } = this.#parts;
    const bytesPerSecond = rate();
    const nowMs = clock.monotonic();
    const earned = ((nowMs - box.atMs) * bytesPerSecond) / 1_000;
    box.atMs = nowMs;
    box.allowance = Math.min(bytesPerSecond, box.allowance + earned) - Math.max(FRAME_COST_BYTES, frameBytes);
    if (box.allowance >= 0) return false;
    if (box.hold !== null) return true;
    onExceeded(from);
    this.#holdBack(box, bytesPerSecond);
    return true;
  }

  #holdBack(box: Box, bytesPerSecond: number): void {
    box.hold = this.#parts.clock.setTimer(HOLD_MS - (1_000 * box.allowance) / bytesPerSecond, () => {
      box.hold = null;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#again !== null) return;
    this.#scheduled = true;
    const endOfTurn = this.#parts.endOfTurn ?? ((run) => void setImmediate(run));
    endOfTurn(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    let isBusy = false;
    for (const receiver of RECEIVERS) if (!this.#flushTo(receiver)) isBusy = true;
    for (const box of this.#boxes.values()) {
      if (box.paused.size === 0 || box.hold !== null) continue;
      if (bytesOf(box) > RESUME_BYTES || framesOf(box) > RESUME_FRAMES) continue;
      for (const source of box.paused) source.resume();
      box.paused.clear();
    }
    if (!isBusy) return;
    this.#again = this.#parts.clock.setTimer(AGAIN_MS, () => {
      this.#again = null;
      this.#flush();
    });
  }

  /** One message a peer and round, until nothing waits. False when the receiver has no room. */
  #flushTo(receiver: Receiver): boolean {
    const names = [...this.#boxes.keys()];
    this.#turn += 1;
    for (;;) {
      let sent = 0;
      for (let index = 0; index < names.length; index++) {
        const from = names[(this.#turn + index) % names.length]!;
        const waiting = this.#boxes.get(from)!.waiting[receiver];
        if (waiting.frames.length === 0) continue;
        const count = countWithin(waiting.frames, MESSAGE_BYTES);
        const taken = waiting.frames.slice(0, count);
        const result = this.#tell(receiver, from, packBytes(taken));
        if (result === 'overloaded') return false;
        if (result === 'down') this.#parts.onDrop(from, count);
        waiting.frames.splice(0, count);
        waiting.bytes -= taken.reduce((sum, frame) => sum + frame.length, 0);
        sent += 1;
      }
      if (sent === 0) return true;
    }
  }

  #tell(receiver: Receiver, from: string, frames: ArrayBuffer) {
    const { consensus, ingress } = this.#parts.links;
    return receiver === 'consensus'
      ? consensus.tell('peerFrames', { from, frames }, [frames])
      : ingress.tell('gossiped', { from, frames }, [frames]);
  }
}

function bytesOf({ waiting }: Box): number {
  return waiting.consensus.bytes + waiting.ingress.bytes;
}

function framesOf({ waiting }: Box): number {
  return waiting.consensus.frames.length + waiting.ingress.frames.length;
}

/** How many from the front make at most `maxBytes`, at least one. */
function countWithin(frames: readonly Uint8Array[], maxBytes: number): number {
  let bytes = 0;
  for (let index = 0; index < frames.length; index++) {
    bytes += frames[index]!.length;
    if (bytes > maxBytes) return Math.max(1, index);
  }
  return frames.length;
}
