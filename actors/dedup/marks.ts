// The memory of dedup: which (issuer, id) is in flight or final, with what content. Called by the actor. Pure but for
// the injected ledger look-up. In-flight marks are never evicted: admission bounds them; final ones are a cache.
import { LRUCache } from 'lru-cache';
import type { AdmitVerdict } from './contract.js';

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

/** What the ledger has under a key: the two hashes that content may be compared with. */
export interface LedgerMark {
  readonly digest: string;
  readonly body: string;
  readonly height: number;
  readonly index: number;
}

export class Marks {
  #final: LRUCache<string, FinalMark>;
  readonly #inFlight = new Map<string, string>();
  readonly #lookUp: (key: string) => LedgerMark | undefined;

  constructor(max: number, lookUp: (key: string) => LedgerMark | undefined) {
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
    const mark = this.#final.get(key) ?? this.#fromLedger(key, content);
    if (mark === undefined) {
      this.#inFlight.set(key, content);
      return NEW;
    }
    if (mark.content !== content) return CONFLICT;
    return { verdict: 'final', height: mark.height, index: mark.index };
  }

  finalize(key: string, mark: FinalMark): void {
    this.#inFlight.delete(key);
    this.#final.set(key, mark);
  }

  release(key: string): void {
    this.#inFlight.delete(key);
  }

  /** The ledger keeps both hashes; whichever the content equals is the one it goes by. */
  #fromLedger(key: string, content: string): FinalMark | undefined {
    const found = this.#lookUp(key);
    if (found === undefined) return undefined;
    const same = found.digest === content || found.body === content;
    const mark = { content: same ? content : found.digest, height: found.height, index: found.index };
    this.#final.set(key, mark);
    return mark;
  }
}

const NEW: Admission = { verdict: 'new', height: 0, index: 0 };
const IN_FLIGHT: Admission = { verdict: 'in-flight', height: 0, index: 0 };
const CONFLICT: Admission = { verdict: 'conflict', height: 0, index: 0 };
