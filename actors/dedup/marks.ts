// The memory of dedup: which (issuer, id) is in flight, with what content, and a cache of ids that were found final in the
// ledger. Called by the actor. Pure but for the injected look-up. In-flight marks are never evicted: admission bounds them.
import { LRUCache } from 'lru-cache';
import type { AdmitVerdict } from './contract.js';

/** What the ledger has under an id. `content` is its digest, of a PCS its body hash. */
export interface FinalMark {
  readonly content: string;
  readonly height: number;
  readonly index: number;
}

export interface Admission {
  readonly verdict: AdmitVerdict;
  readonly height: number;
  readonly index: number;
}

export class Marks {
  #final: LRUCache<string, FinalMark>;
  readonly #inFlight = new Map<string, string>();
  readonly #lookUp: (key: string) => FinalMark | undefined;

  constructor(max: number, lookUp: (key: string) => FinalMark | undefined) {
    this.#final = new LRUCache({ max });
    this.#lookUp = lookUp;
  }

  get size(): number {
    return this.#inFlight.size + this.#final.size;
  }

  /** Another bound; the newest marks stay. */
  resize(max: number): void {
    const next = new LRUCache<string, FinalMark>({ max });
    next.load(this.#final.dump());
    this.#final = next;
  }

  /** Looks `key` up and, when it is new, marks it in flight. */
  admit(key: string, content: string): Admission {
    const running = this.#inFlight.get(key);
    if (running !== undefined) return running === content ? IN_FLIGHT : CONFLICT;
    const mark = this.#final.get(key) ?? this.#fromLedger(key);
    if (mark === undefined) {
      this.#inFlight.set(key, content);
      return NEW;
    }
    if (mark.content !== content) return CONFLICT;
    return { verdict: 'final', height: mark.height, index: mark.index };
  }

  release(key: string): void {
    this.#inFlight.delete(key);
  }

  #fromLedger(key: string): FinalMark | undefined {
    const mark = this.#lookUp(key);
    if (mark !== undefined) this.#final.set(key, mark);
    return mark;
  }
}

const NEW: Admission = { verdict: 'new', height: 0, index: 0 };
const IN_FLIGHT: Admission = { verdict: 'in-flight', height: 0, index: 0 };
const CONFLICT: Admission = { verdict: 'conflict', height: 0, index: 0 };
