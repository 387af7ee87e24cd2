// Shared-memory cells of one incarnation: heartbeat, declared native section, kill gate, the last messages. The actor's
// thread writes through ThreadVitals, the supervisor reads through VitalsView. Nothing here may block either side.
import type { Clock, NativeKind, Vitals } from './contract.js';
import { ActorError } from './wire-error.js';

// One block per incarnation, never reused: a dead thread may still hold the old one.
//   bytes  0- 3  beat: raised by the heartbeat timer and by each dispatched message; a watcher looks for change
//   bytes  4- 7  native kind: 0, or 1 + index in NATIVE_KINDS
//   bytes  8-11  gate: 0 open, 1 a gated section runs or the module is being loaded, 2 closed for good
//   bytes 12-15  messages dispatched, counted on for ever; the newest lies at (this − 1) modulo RING in the ring
//   bytes 16-23  native since: monotonic microseconds of the process, the same in every thread
//   bytes 24-    ring of the last messages, two words each: what (tell: 1 + index, ask: −1 − index), when (milliseconds)
const RING = 32;
const RING_OFFSET_BYTES = 24;
const BLOCK_BYTES = RING_OFFSET_BYTES + RING * 8;
const BEAT = 0;
const NATIVE = 1;
const GATE = 2;
const DISPATCHED = 3;
const SINCE_OFFSET_BYTES = 16;

const NATIVE_KINDS: readonly NativeKind[] = ['fdatasync', 'store-commit', 'password-hash'];

const GATE_OPEN = 0;
const GATE_BUSY = 1;
const GATE_CLOSED = 2;

/** How often a waiting supervisor looks at a busy gate. */
const GATE_POLL_MS = 1;

/** Milliseconds, comparable between threads (timeOrigin differs), in 32 bits: differences are right up to 24 days. */
function nowMs32(): number {
  return Math.trunc((performance.timeOrigin + performance.now()) % 2 ** 32) | 0;
}

export function createVitals(): SharedArrayBuffer {
  return new SharedArrayBuffer(BLOCK_BYTES);
}

/** The thread's side. */
export class ThreadVitals implements Vitals {
  readonly #cells: Int32Array;
  readonly #since: BigInt64Array;
  readonly #ring: Int32Array;
  #dispatched = 0;

  constructor(block: SharedArrayBuffer) {
    this.#cells = new Int32Array(block, 0, 4);
    this.#since = new BigInt64Array(block, SINCE_OFFSET_BYTES, 1);
    this.#ring = new Int32Array(block, RING_OFFSET_BYTES, 2 * RING);
  }

  beat(): void {
    Atomics.add(this.#cells, BEAT, 1);
  }

  /** A message is about to be dealt with. `what` is 1 + its index for a tell, −1 − its index for an ask. */
  dispatched(what: number): void {
    const at = 2 * (this.#dispatched % RING);
    this.#ring[at] = what;
    this.#ring[at + 1] = nowMs32();
    this.#dispatched += 1;
    Atomics.store(this.#cells, DISPATCHED, this.#dispatched | 0);
    this.beat();
  }

  native<T>(kind: NativeKind, section: () => T): T {
    const outerKind = Atomics.load(this.#cells, NATIVE);
    const outerSince = Atomics.load(this.#since, 0);
    Atomics.store(this.#since, 0, process.hrtime.bigint() / 1000n);
    Atomics.store(this.#cells, NATIVE, NATIVE_KINDS.indexOf(kind) + 1);
    try {
      return section();
    } finally {
      Atomics.store(this.#cells, NATIVE, outerKind);
      Atomics.store(this.#since, 0, outerSince);
      this.beat();
    }
  }

  gated<T>(section: () => T): T {
    const found = Atomics.compareExchange(this.#cells, GATE, GATE_OPEN, GATE_BUSY);
    if (found === GATE_CLOSED)
      throw new ActorError('gate_closed', 'this incarnation is being ended: nothing was written');
    if (found === GATE_BUSY) throw new Error('a gated section may not contain another one');
    try {
      const result = section();
      if (result instanceof Promise) {
        throw new TypeError('a gated section must be synchronous: the gate would open before a promise settles');
      }
      return result;
    } finally {
      Atomics.compareExchange(this.#cells, GATE, GATE_BUSY, GATE_OPEN);
    }
  }
}

/**
 * Loads a module behind the gate. A library in native code that is being loaded takes the whole process down when its
 * thread is terminated meanwhile (lmdb: "Unknown failure" of napi). Null when the gate is closed already: nothing may be
 * loaded any more. It opens again also when the module throws.
 */
export async function loadGated<T>(block: SharedArrayBuffer, load: () => Promise<T>): Promise<T | null> {
  const cells = new Int32Array(block, 0, 4);
  if (Atomics.compareExchange(cells, GATE, GATE_OPEN, GATE_BUSY) !== GATE_OPEN) return null;
  try {
    return await load();
  } finally {
    Atomics.compareExchange(cells, GATE, GATE_BUSY, GATE_OPEN);
  }
}

export interface NativeSection {
  readonly kind: NativeKind;
  readonly forMs: number;
}

/** One of the last messages that a thread dealt with. */
export interface Dispatched {
  /** 1 + index of a tell, −1 − index of an ask. */
  readonly what: number;
  readonly agoMs: number;
}

/** The supervisor's side. */
export class VitalsView {
  readonly #cells: Int32Array;
  readonly #since: BigInt64Array;
  readonly #ring: Int32Array;

  constructor(block: SharedArrayBuffer) {
    this.#cells = new Int32Array(block, 0, 4);
    this.#since = new BigInt64Array(block, SINCE_OFFSET_BYTES, 1);
    this.#ring = new Int32Array(block, RING_OFFSET_BYTES, 2 * RING);
  }

  /**
   * The last messages, newest first; at most 32. Read while the thread may still write: an entry that is being replaced
   * can be told with the wrong time, which a post-mortem can live with.
   */
  lastDispatched(): Dispatched[] {
    const count = Atomics.load(this.#cells, DISPATCHED) >>> 0;
    const last: Dispatched[] = [];
    for (let back = 1; back <= Math.min(RING, count); back++) {
      const at = 2 * ((count - back) % RING);
      last.push({ what: this.#ring[at]!, agoMs: (nowMs32() - this.#ring[at + 1]!) | 0 });
    }
    return last;
  }

  /** A counter without meaning but for its change. */
  beats(): number {
    return Atomics.load(this.#cells, BEAT);
  }

  /** The native section the thread declares to be in, with the time spent there, or null. */
  native(): NativeSection | null {
    const kind = NATIVE_KINDS[Atomics.load(this.#cells, NATIVE) - 1];
    if (kind === undefined) return null;
    const forUs = process.hrtime.bigint() / 1000n - Atomics.load(this.#since, 0);
    return { kind, forMs: Number(forUs) / 1000 };
  }

  /**
   * Closes the gate for good, waiting for a running section to end. False when it is still busy after `limitMs`:
   * then the thread must not be terminated, for that would leave the store's write lock held for ever.
   */
  closeGate(clock: Clock, limitMs: number): Promise<boolean> {
    const untilMs = clock.monotonic() + limitMs;
    return new Promise((resolve) => {
      const attempt = (): void => {
        const found = Atomics.compareExchange(this.#cells, GATE, GATE_OPEN, GATE_CLOSED);
        if (found !== GATE_BUSY) resolve(true);
        else if (clock.monotonic() >= untilMs) resolve(false);
        else clock.setTimer(GATE_POLL_MS, attempt);
      };
      attempt();
    });
  }
}
