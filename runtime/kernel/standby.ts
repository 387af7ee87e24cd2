// Threads made ahead: one for each reserved actor, its module loaded, waiting for its boot data. Loading is most of the
// time that a restart takes. Called by host-thread.ts. A standby is no incarnation: it has no state, no ports, no links.
import { type TransferListItem, Worker } from 'node:worker_threads';
import type { Clock, Timer } from './contract.js';
import type { Reservation } from './host.js';
import type { StandbyBoot, ThreadBoot, ThreadHostOptions } from './host-thread.js';
import { createVitals, VitalsView } from './vitals.js';

const ENTRY = new URL('./entry.js', import.meta.url);
/**
 * Standbys load one after the other, this long after an actor has come up again: those that are still to come go first.
 */
const DELAY_MS = 1_000;
/** And this long after the first start, which has the cores to itself: a process that ends soon makes none at all. */
const FIRST_DELAY_MS = 5_000;
/** A module that takes longer to load is not waited for when the process ends. */
const LOAD_LIMIT_MS = 5_000;

type Environment = Readonly<Record<string, string>>;

interface Standby {
  readonly worker: Worker;
  readonly reservation: Reservation;
  readonly gate: VitalsView;
  readonly exited: Promise<void>;
  loaded: boolean;
}

/** What a standby says once its modules are there, and what the definition makes ahead. */
export const LOADED = 'loaded';

/** Neither flags nor environment are inherited: --inspect-brk, preloads and secrets stay on the main thread. */
export function newThread(
  { id, memoryMb, youngGenerationMb }: Reservation,
  workerData: ThreadBoot | StandbyBoot,
  transferList: TransferListItem[],
  env: Environment = {},
): Worker {
  return new Worker(ENTRY, {
    workerData,
    transferList,
    execArgv: [],
    env: { ...env },
    name: id,
    resourceLimits: { maxOldGenerationSizeMb: memoryMb, maxYoungGenerationSizeMb: youngGenerationMb },
  });
}

export class Standbys {
  readonly #clock: Clock;
  readonly #env: Environment;
  readonly #firstDelayMs: number;
  readonly #known = new Set<string>();
  readonly #ready = new Map<string, Standby>();
  readonly #wanted = new Map<string, Reservation>();
  #timer: Timer | null = null;
  #closed = false;

  constructor({ clock, env = {}, firstStandbyMs = FIRST_DELAY_MS }: ThreadHostOptions) {
    this.#clock = clock;
    this.#env = env;
    this.#firstDelayMs = firstStandbyMs;
  }

  /** One that is there already is kept when it still fits. */
  reserve(next: Reservation): void {
    const found = this.#ready.get(next.id);
    if (found !== undefined && fits(found.reservation, next)) return;
    this.#wanted.set(next.id, next);
    const isFirst = !this.#known.has(next.id);
    this.#known.add(next.id);
    if (this.#timer !== null && isFirst) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(isFirst ? this.#firstDelayMs : DELAY_MS, () => this.#makeOne());
  }

  /** The next incarnation of this actor has its thread. */
  has(id: string): boolean {
    return this.#ready.get(id)?.loaded === true;
  }

  /** The thread that was made ahead for this actor, or null: it is the caller's from here on. */
  take(boot: Reservation): Worker | null {
    const standby = this.#ready.get(boot.id);
    // While it loads it may not be terminated, which its new owner could not know.
    if (standby === undefined || !standby.loaded) return null;
    this.#ready.delete(boot.id);
    if (!fits(standby.reservation, boot)) {
      void end(standby, this.#clock);
      return null;
    }
    for (const event of ['message', 'error', 'exit']) standby.worker.removeAllListeners(event);
    standby.worker.ref();
    return standby.worker;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#wanted.clear();
    const all = [...this.#ready.values()];
    this.#ready.clear();
    await Promise.all(all.map((standby) => end(standby, this.#clock)));
  }

  #makeOne(): void {
    this.#timer = null;
    const [next] = this.#wanted.values();
    if (next === undefined || this.#closed) return;
    this.#wanted.delete(next.id);
    const gate = createVitals();
    const { factory } = next.log;
    const modules = factory === undefined ? [next.module] : [factory.module, next.module];
    let worker: Worker;
    try {
      worker = newThread(next, { standby: { modules, gate, config: next.config } }, [], this.#env);
    } catch {
      // The system gives no thread: this runs in a timer, and a standby is not worth the process.
      return;
    }
    // It must not keep a process alive that has nothing else to do.
    worker.unref();
    // Whatever is wrong with it is found again, and told, when a thread is made the ordinary way.
    worker.on('error', () => {});
    const exited = new Promise<void>((resolve) => {
      worker.on('exit', () => {
        if (this.#ready.get(next.id)?.worker === worker) this.#ready.delete(next.id);
        resolve();
      });
    });
    const previous = this.#ready.get(next.id);
    if (previous !== undefined) void end(previous, this.#clock);
    const standby: Standby = { worker, reservation: next, gate: new VitalsView(gate), exited, loaded: false };
    worker.on('message', (message) => {
      standby.loaded = message === LOADED;
    });
    this.#ready.set(next.id, standby);
    this.#timer = this.#wanted.size > 0 ? this.#clock.setTimer(DELAY_MS / 4, () => this.#makeOne()) : null;
  }
}

function fits(one: Reservation, other: Reservation): boolean {
  return (
    one.module === other.module && one.memoryMb === other.memoryMb && one.youngGenerationMb === other.youngGenerationMb
  );
}

/** Not while it loads: a native library that is being loaded takes the process down with its thread. */
async function end({ worker, gate, exited }: Standby, clock: Clock): Promise<void> {
  await Promise.race([gate.closeGate(clock, LOAD_LIMIT_MS), exited]);
  void worker.terminate();
  await exited;
}
