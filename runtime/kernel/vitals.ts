// Shared-memory cells of one incarnation: heartbeat, declared native section, kill gate. The actor's thread writes
// through ThreadVitals, the supervisor reads through VitalsView. Nothing here may block either side.
import type { Clock, NativeKind, Vitals } from './contract.js';
import { ActorError } from './wire-error.js';

// One block per incarnation, never reused: a dead thread may still hold the old one.
//   bytes  0- 3  beat: raised by the heartbeat timer and by each dispatched message; a watcher looks for change
//   bytes  4- 7  native kind: 0, or 1 + index in NATIVE_KINDS
//   bytes  8-11  gate: 0 open, 1 a gated section runs or the module is being loaded, 2 closed for good
//   bytes 16-23  native since: monotonic microseconds of the process, the same in every thread
const BLOCK_BYTES = 24;
const BEAT = 0;
const NATIVE = 1;
const GATE = 2;
const SINCE_OFFSET_BYTES = 16;

const NATIVE_KINDS: readonly NativeKind[] = ['fdatasync', 'store-commit', 'password-hash'];

const GATE_OPEN = 0;
const GATE_BUSY = 1;
const GATE_CLOSED = 2;

/** How often a waiting supervisor looks at a busy gate. */
const GATE_POLL_MS = 1;

export function createVitals(): SharedArrayBuffer {
  return new SharedArrayBuffer(BLOCK_BYTES);
}

/** The thread's side. */
export class ThreadVitals implements Vitals {
  readonly #cells: Int32Array;
  readonly #since: BigInt64Array;

  constructor(block: SharedArrayBuffer) {
    this.#cells = new Int32Array(block, 0, 4);
    this.#since = new BigInt64Array(block, SINCE_OFFSET_BYTES, 1);
  }

  beat(): void {
    Atomics.add(this.#cells, BEAT, 1);
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

/** The supervisor's side. */
export class VitalsView {
  readonly #cells: Int32Array;
  readonly #since: BigInt64Array;

  constructor(block: SharedArrayBuffer) {
    this.#cells = new Int32Array(block, 0, 4);
    this.#since = new BigInt64Array(block, SINCE_OFFSET_BYTES, 1);
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
