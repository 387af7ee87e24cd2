// What ingress knows of the room in the mempool, which is another thread's. Kept by the door, from the answers of consensus. It
// must never keep the door closed on old news: a final block makes room, and after a while consensus is asked again.
import type { Refusal } from './answers.js';

/** No block became final for so long: consensus is asked again whether there is room. */
const BELIEVED_MS = 1_000;
/** So many of what waits are the question: each of them crosses to the other thread. */
const PROBES = 16;

export class Room {
  #full = false;
  #askAtMs = 0;
  /** Those that have as much in the mempool as an issuer may. */
  readonly #issuers = new Set<string>();

  /** `issuers` found no room though others of this node would. */
  heard(full: boolean, issuers: Iterable<string>, nowMs: number): void {
    this.#full = full;
    this.#askAtMs = nowMs + BELIEVED_MS;
    for (const issuer of issuers) this.#issuers.add(issuer);
  }

  /** A block became final, or consensus is another one: what was known is old. */
  changed(): void {
    this.#askAtMs = Number.NEGATIVE_INFINITY;
    this.#issuers.clear();
  }

  /** Of `parked` submissions that wait for room, how many may ask for it now. */
  mayAsk(parked: number, nowMs: number): number {
    if (nowMs >= this.#askAtMs) {
      this.#issuers.clear();
      if (parked === 0) this.#full = false;
    }
    if (!this.#full && this.#issuers.size === 0) return parked;
    if (nowMs < this.#askAtMs) return 0;
    this.#askAtMs = nowMs + BELIEVED_MS;
    return PROBES;
  }

  /** Why nothing is taken in, before anything is known of it. */
  refusal(): Refusal | null {
    if (!this.#full) return null;
    return { slug: 'mempool-full', detail: 'so many submissions wait for a block that this one would find no room' };
  }

  refusalOf(issuer: string): Refusal | null {
    if (!this.#issuers.has(issuer)) return this.refusal();
    return { slug: 'mempool-full', detail: `as many submissions of ${issuer} wait for a block as one issuer may have` };
  }
}
