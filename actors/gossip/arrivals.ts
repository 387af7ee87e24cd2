// How many connections an address may open in a second, before anything proves whose they are. Used by the peer port. It must never
// keep more than a bound of addresses, whoever comes from wherever.

/** A TLS handshake costs a millisecond or two of the thread: a twelfth of its time at most goes to one address. */
const PER_SECOND = 64;
/** Told apart within a second; all others share one bound. */
const ADDRESSES_MAX = 1_024;

export class Arrivals {
  readonly #nowMs: () => number;
  /** Address → connections within this second. */
  readonly #counts = new Map<string, number>();
  #second = 0;

  /** @param nowMs monotonic */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Counts a connection; false when it is one too many. */
  take(address: string): boolean {
    const second = Math.floor(this.#nowMs() / 1_000);
    if (second !== this.#second) this.#counts.clear();
    this.#second = second;
    const isKnown = this.#counts.has(address) || this.#counts.size < ADDRESSES_MAX;
    const name = isKnown ? address : '';
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return count <= PER_SECOND;
  }
}
