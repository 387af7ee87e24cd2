// How often somebody may call: a sliding log a caller, held against several windows at once. Used by the peer port. It must never
// count a refused call, nor keep more moments than the widest window allows.

export interface RateWindow {
  /** Names it in headers and metrics. */
  readonly name: string;
  /** Calls within `windowS`, exactly: any stretch of that length holds at most so many. */
  readonly quota: number;
  readonly windowS: number;
}

export interface RateVerdict {
  /** The first window that is full; null when the call was counted. */
  readonly exceeded: RateWindow | null;
  /** Whole seconds until all windows have room; 0 when they have. */
  readonly retryAfterS: number;
  /** RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10). */
  readonly headers: Readonly<Record<string, string>>;
}

export class RateLimit {
  readonly #nowMs: () => number;
  readonly #windows: () => readonly RateWindow[];
  /** Caller → moments of its counted calls, oldest first. */
  readonly #logs = new Map<string, number[]>();

  /** @param nowMs monotonic @param windows the narrowest first; asked at each call, since a reload may change them */
  constructor(nowMs: () => number, windows: () => readonly RateWindow[]) {
    this.#nowMs = nowMs;
    this.#windows = windows;
  }

  /** @param caller one of a bounded set: its log stays until `forget` */
  take(caller: string): RateVerdict {
    const nowMs = this.#nowMs();
    const windows = this.#windows();
    const widestMs = 1_000 * Math.max(...windows.map(({ windowS }) => windowS));
    const log = (this.#logs.get(caller) ?? []).filter((atMs) => atMs > nowMs - widestMs);
    const full = windows.filter((window) => used(log, window, nowMs) >= window.quota);
    if (full.length === 0) log.push(nowMs);
    this.#logs.set(caller, log);
    const waits = full.map(({ quota, windowS }) => log.at(-quota)! + 1_000 * windowS - nowMs);
    return {
      exceeded: full[0] ?? null,
      retryAfterS: Math.ceil(Math.max(0, ...waits) / 1_000),
      headers: {
        'ratelimit-policy': windows.map(({ name, quota, windowS }) => `"${name}";q=${quota};w=${windowS}`).join(', '),
        ratelimit: windows.map((window) => stateText(log, window, nowMs)).join(', '),
      },
    };
  }

  forget(caller: string): void {
    this.#logs.delete(caller);
  }
}

function used(log: readonly number[], { windowS }: RateWindow, nowMs: number): number {
  return log.filter((atMs) => atMs > nowMs - 1_000 * windowS).length;
}

/** r: calls that are left; t: seconds until there is one more. */
function stateText(log: readonly number[], window: RateWindow, nowMs: number): string {
  const count = used(log, window, nowMs);
  const next = log[log.length - Math.min(count, window.quota)];
  const t = count === 0 ? 0 : Math.ceil((next! + 1_000 * window.windowS - nowMs) / 1_000);
  return `"${window.name}";r=${Math.max(0, window.quota - count)};t=${t}`;
}
