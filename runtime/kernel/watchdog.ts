// Notices from outside that a thread stands still. Called by incarnation.ts for a living actor. It looks at shared memory
// only, decides by counting its own looks, and must never end anything itself.
import type { Clock, Timer } from './contract.js';
import type { NativeSection } from './vitals.js';

/** A thread beats, and is looked at, this often within the silence that makes it count as hung. */
export const BEATS = 4;

export interface WatchdogOptions {
  readonly clock: Clock;
  /** Silence that counts as a hang, milliseconds. */
  readonly heartbeatMs: number;
  readonly vitals: { beats(): number; native(): NativeSection | null };
  /** The thread did nothing for `silentMs`, and declares no native section. Called once per silence. */
  readonly onSilent: (silentMs: number) => void;
}

/**
 * Silence is counted in looks and not read off a clock: after a suspended machine, a stopped process or a busy main
 * thread one look is late and counts as one, while the thread has beaten meanwhile. A hang is noticed between one and
 * one and a half times `heartbeatMs` after the thread's last sign of life.
 */
export class Watchdog {
  readonly #options: WatchdogOptions;
  #timer: Timer | null = null;
  #beats: number;
  #silentLooks = 0;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#beats = options.vitals.beats();
    this.#arm();
  }

  /** Counted silence so far. */
  get silentMs(): number {
    return (this.#silentLooks * this.#options.heartbeatMs) / BEATS;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(): void {
    const { clock, heartbeatMs } = this.#options;
    this.#timer = clock.setTimer(heartbeatMs / BEATS, () => this.#look());
  }

  #look(): void {
    const { vitals, onSilent } = this.#options;
    this.#arm();
    const beats = vitals.beats();
    if (beats !== this.#beats || vitals.native() !== null) {
      this.#beats = beats;
      this.#silentLooks = 0;
      return;
    }
    this.#silentLooks += 1;
    // The first silent look may come right after a beat: it proves nothing yet.
    if (this.#silentLooks === BEATS + 1) onSilent(this.silentMs);
  }
}
