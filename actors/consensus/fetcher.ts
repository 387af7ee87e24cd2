// Asks peers for what the core wants, one after the other, until it is there or no longer wanted. Driven by the host.
// One request of each want is under way at a time: without that one missing parent makes a storm of answers (R10).
import type { Want } from '../../protocol/consensus/effect.js';
import { wantKey } from '../../protocol/consensus/turn.js';
import type { Clock, Timer } from '../../runtime/kernel/contract.js';

export interface FetcherParts {
  readonly clock: Clock;
  /** Node ids that can be asked now. */
  peers(): readonly string[];
  /** Sends the request. */
  request(nodeId: string, want: Want): void;
  /** Whether the core still misses it. */
  isWanted(key: string): boolean;
}

interface Fetch {
  readonly key: string;
  readonly want: Want;
  /** Whom to ask first: who is said to hold it. */
  holder: string | null;
  /** Whom the last request went to; null before the first. */
  asked: string | null;
  timer: Timer | null;
}

/** About two round trips of a wide network, and of a loaded machine; a peer that has it answers sooner. */
const ANSWER_MS = 400;
/** Bodies are large: a node that has come back wants many, and needs the oldest first. */
const IN_FLIGHT_MAX = 16;

export class Fetcher {
  readonly #parts: FetcherParts;
  /** In the order in which they came to be wanted. */
  readonly #fetches = new Map<string, Fetch>();
  #turn = 0;

  constructor(parts: FetcherParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#fetches.size;
  }

  add(want: Want, holder: string | null): void {
    const key = wantKey(want);
    if (this.#fetches.has(key)) return;
    this.#fetches.set(key, { key, want, holder, asked: null, timer: null });
    this.#pump();
  }

  /** A peer says that it has not got this. */
  absent(from: string, want: { readonly hash: string }): void {
    const fetch = this.#fetches.get(`block ${want.hash}`);
    // Everybody is asked once at once; after that in turn, with a pause.
    if (fetch?.asked !== from || this.#turn >= this.#parts.peers().length) return;
    this.#turn += 1;
    fetch.timer?.cancel();
    this.#ask(fetch);
  }

  /** Somebody came who may have what is missing. */
  peerUp(): void {
    for (const fetch of this.#fetches.values()) if (fetch.timer === null) this.#ask(fetch);
  }

  /** After the core has taken something in: what it has now is asked for no more. */
  sweep(): void {
    if (this.#fetches.size === 0) return;
    for (const [key, fetch] of this.#fetches) {
      if (this.#parts.isWanted(key)) continue;
      fetch.timer?.cancel();
      this.#fetches.delete(key);
    }
    this.#pump();
  }

  stop(): void {
    for (const { timer } of this.#fetches.values()) timer?.cancel();
    this.#fetches.clear();
  }

  #pump(): void {
    let inFlight = 0;
    for (const fetch of this.#fetches.values()) {
      if (inFlight >= IN_FLIGHT_MAX) return;
      inFlight += 1;
      if (fetch.timer === null) this.#ask(fetch);
    }
  }

  #ask(fetch: Fetch): void {
    const nodeId = this.#next(fetch);
    fetch.holder = null;
    if (nodeId !== null) {
      fetch.asked = nodeId;
      this.#parts.request(nodeId, fetch.want);
    }
    fetch.timer = this.#parts.clock.setTimer(ANSWER_MS, () => {
      fetch.timer = null;
      this.#turn = 0;
      if (!this.#parts.isWanted(fetch.key)) this.#fetches.delete(fetch.key);
      this.#pump();
    });
  }

  #next({ holder, asked }: Fetch): string | null {
    const peers = this.#parts.peers();
    if (holder !== null && peers.includes(holder)) return holder;
    if (peers.length === 0) return null;
    return peers[(asked === null ? 0 : peers.indexOf(asked) + 1) % peers.length]!;
  }
}
