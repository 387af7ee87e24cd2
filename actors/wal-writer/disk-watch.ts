// Looks at the data disk once a second, says how much room it has, and holds the ballast. Owned by the wal-writer actor.
// It never waits on the disk in the actor's thread, and a look that fails changes nothing.
import { stat, statfs } from 'node:fs/promises';
import type { Logger } from 'pino';
import { event } from '../../observability/events.js';
import type { Clock, ReportValue, Timer } from '../../runtime/kernel/contract.js';
import { Ballast } from './ballast.js';
import {
  ballastMove,
  type DiskLimits,
  NO_ROOM_WORDING,
  PRESSURE_WORDING,
  type Pressure,
  pressureOf,
} from './pressure.js';

const LOOK_MS = 1_000;
/** When nothing is admitted clients wait for the end of it. */
const LOOK_STOPPED_MS = 250;

export interface DiskWatchParts {
  /** Of the log; the ballast lies in it. */
  readonly directory: string;
  /** Of the ledger and everything else: it may be another disk. */
  readonly dataDirectory: string;
  readonly limits: DiskLimits;
  readonly clock: Clock;
  readonly log: Logger;
  report(value: ReportValue): void;
  /** After every look. */
  looked(): void;
}

export class DiskWatch {
  readonly #parts: DiskWatchParts;
  #limits: DiskLimits;
  #ballast: Ballast;
  #pressure: Pressure = 'ok';
  #freeBytes: number | null = null;
  #noRoom = false;
  #reported = '';
  #timer: Timer | null = null;
  #stopped = false;

  constructor(parts: DiskWatchParts) {
    this.#parts = parts;
    this.#limits = parts.limits;
    this.#ballast = new Ballast(parts.directory, parts.limits.ballastBytes);
  }

  get pressure(): Pressure {
    return this.#pressure;
  }

  /** Null before the first look. */
  get freeBytes(): number | null {
    return this.#freeBytes;
  }

  get ballastBytes(): number {
    return this.#ballast.present ? this.#ballast.sizeBytes : 0;
  }

  /** Why nothing is admitted, or null. */
  get refusal(): string | null {
    if (this.#noRoom) return NO_ROOM_WORDING;
    return this.#pressure === 'stopped' ? PRESSURE_WORDING.stopped : null;
  }

  /** A write found no room, and by now the disk has some: whoever writes should try. */
  get mayHaveRoom(): boolean {
    return this.#noRoom && this.#pressure !== 'stopped';
  }

  /** The first look decides, and no ballast is made at once: a start has other work for the disk. */
  start(): void {
    void this.#look(false);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  limit(limits: DiskLimits): void {
    if (limits.ballastBytes !== this.#limits.ballastBytes) {
      this.#ballast.release();
      this.#ballast = new Ballast(this.#parts.directory, limits.ballastBytes);
    }
    this.#limits = limits;
  }

  /** A write found no room. True when the ballast gave some: the same write may be tried at once. */
  full(): boolean {
    if (this.#ballast.release()) {
      this.#parts.log.warn('the disk ballast was deleted: the log needs its space');
      return true;
    }
    this.#noRoom = true;
    this.#tell();
    return false;
  }

  /** A write found room again. */
  roomAgain(): void {
    if (!this.#noRoom) return;
    this.#noRoom = false;
    this.#tell();
  }

  async #look(mayMake: boolean): Promise<void> {
    try {
      const freeBytes = await this.#free();
      if (this.#stopped) return;
      this.#freeBytes = freeBytes;
      const move = ballastMove(freeBytes, this.#limits, this.#hasBallast);
      if (move === 'release') this.#ballast.release();
      else if (move === 'make' && mayMake) await this.#ballast.make();
      this.#pressure = pressureOf(freeBytes, this.#limits, this.#pressure, this.#hasBallast);
      this.#tell();
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'the free space of the data disk could not be read');
    }
    if (this.#stopped) return;
    this.#parts.looked();
    const delayMs = this.refusal === null ? LOOK_MS : LOOK_STOPPED_MS;
    this.#timer = this.#parts.clock.setTimer(delayMs, () => void this.#look(true));
  }

  get #hasBallast(): boolean {
    return this.#ballast.present || this.#ballast.sizeBytes === 0;
  }

  /** Of the fuller disk, where log and ledger lie on two. */
  async #free(): Promise<number> {
    const { directory, dataDirectory } = this.#parts;
    const [log, data] = await Promise.all([stat(directory), stat(dataDirectory)]);
    const places = log.dev === data.dev ? [directory] : [directory, dataDirectory];
    const free = await Promise.all(places.map(async (path) => statfs(path)));
    return Math.min(...free.map(({ bavail, bsize }) => bavail * bsize));
  }

  #tell(): void {
    const state = this.#noRoom ? 'no-room' : this.#pressure;
    if (state === this.#reported) return;
    const before = this.#reported;
    this.#reported = state;
    const { log, report } = this.#parts;
    const free_bytes = this.#freeBytes ?? 0;
    if (state === 'warn') event(log, 'disk.low', { free_bytes });
    else if (state === 'error') event(log, 'disk.critical', { free_bytes });
    else if (state !== 'ok') event(log, 'disk.stopped', { free_bytes });
    if (before === 'stopped' || before === 'no-room') {
      if (this.refusal === null) event(log, 'disk.recovered', { free_bytes });
    }
    report({
      ok: state === 'ok' || state === 'warn',
      detail: this.refusal ?? PRESSURE_WORDING[this.#pressure],
      data: { pressure: this.#pressure, free_bytes },
    });
  }
}
