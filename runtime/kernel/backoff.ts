// Exponential backoff as a pure function. Called by restart.ts for actors, and by whoever tries a peer again. It must
// never draw a random number: it is given.

export interface BackoffSettings {
  readonly floorMs: number;
  readonly factor: number;
  readonly ceilingMs: number;
  /** Fraction of the delay by which it varies to both sides, before clamping to floor and ceiling. */
  readonly jitter: number;
}

export const BACKOFF_DEFAULTS: BackoffSettings = { floorMs: 100, factor: 2, ceilingMs: 30_000, jitter: 0.25 };

/** Delay before the next attempt after the `failures`-th failure in a row (1 = first). `random` in [0, 1). */
export function backoffDelayMs(settings: BackoffSettings, failures: number, random: number): number {
  const exact = Math.min(settings.ceilingMs, settings.floorMs * settings.factor ** Math.max(0, failures - 1));
  const varied = exact * (1 + settings.jitter * (2 * random - 1));
  return Math.min(settings.ceilingMs, Math.max(settings.floorMs, varied));
}
