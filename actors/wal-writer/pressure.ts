// How much room the data disk has, as one of four states. Called by the disk watch. Pure: figures in, verdict out.
// The wordings are an interface: readiness shows them, and alerts may look for them.

/** ok; warn: look at it; error: not ready any more; stopped: nothing is admitted, votes and the ledger have the rest. */
export type Pressure = 'ok' | 'warn' | 'error' | 'stopped';

/** As the metric shows them. */
export const PRESSURE_VALUES = { ok: 0, warn: 1, error: 2, stopped: 3 } as const satisfies Record<Pressure, number>;

export const PRESSURE_WORDING = {
  ok: '',
  warn: 'free disk space is below disk.warn_free_bytes',
  error: 'free disk space is below disk.error_free_bytes',
  stopped: 'free disk space is below disk.stop_free_bytes: nothing is admitted until there is more',
} as const satisfies Record<Pressure, string>;

/** The log could not get its next segment, whatever the figures say. */
export const NO_ROOM_WORDING = 'the log has no room for its next segment: nothing is admitted until there is more';
export const OVER_CAP_WORDING = 'the log is larger than wal.max_bytes allows';

export interface DiskLimits {
  readonly warnBytes: number;
  readonly errorBytes: number;
  readonly stopBytes: number;
  readonly ballastBytes: number;
}

/** Once stopped it takes a ballast more to go on than to stop, and the ballast itself: else it would go to and fro. */
export function pressureOf(freeBytes: number, limits: DiskLimits, before: Pressure, hasBallast: boolean): Pressure {
  const { warnBytes, errorBytes, stopBytes, ballastBytes } = limits;
  if (freeBytes < stopBytes) return 'stopped';
  if (before === 'stopped' && (freeBytes < stopBytes + ballastBytes || !hasBallast)) return 'stopped';
  if (freeBytes < errorBytes) return 'error';
  return freeBytes < warnBytes ? 'warn' : 'ok';
}

/** What to do about the ballast: its space is given away before the disk is full, and taken again when there is plenty. */
export function ballastMove(freeBytes: number, limits: DiskLimits, hasBallast: boolean): 'release' | 'make' | null {
  const { stopBytes, ballastBytes } = limits;
  if (hasBallast) return freeBytes < Math.min(ballastBytes, stopBytes) ? 'release' : null;
  return freeBytes >= stopBytes + 2 * ballastBytes ? 'make' : null;
}
