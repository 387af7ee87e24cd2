// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), local to this node and best effort: it finds a key
// used with another body (422) and one still running (409). That a submission counts once is decided by the ledger.
import type { LRUCache } from 'lru-cache';
import { answerCache, type CacheLimits, resized } from './answer-cache.js';

export type KeyUse = 'new' | 'same' | 'running' | 'other-body';

export class IdempotencyKeys {
  /** Finished uses: `subject \0 key` → body hash. */
  #finished: LRUCache<string, string>;
  /** Running uses are never evicted; admission bounds their number. */
  readonly #running = new Map<string, string>();
  readonly #monotonic: () => number;

  constructor(limits: CacheLimits, monotonic: () => number) {
    this.#monotonic = monotonic;
    this.#finished = answerCache(limits, monotonic);
  }

  /** New limits: what was kept stays until its own time is over, as far as there is room. */
  resize(limits: CacheLimits): void {
    this.#finished = resized(this.#finished, limits, this.#monotonic);
  }

  begin(subject: string, key: string, body: string): KeyUse {
    const name = `${subject}\0${key}`;
    const running = this.#running.get(name);
    if (running !== undefined) return running === body ? 'running' : 'other-body';
    const finished = this.#finished.get(name);
    if (finished !== undefined && finished !== body) return 'other-body';
    this.#running.set(name, body);
    return finished === undefined ? 'new' : 'same';
  }

  end(subject: string, key: string): void {
    const name = `${subject}\0${key}`;
    const body = this.#running.get(name);
    if (body === undefined) return;
    this.#running.delete(name);
    this.#finished.set(name, body);
  }

  get size(): number {
    return this.#running.size + this.#finished.size;
  }
}

/** A Structured-Field String: double quotes around printable ASCII, with \" and \\. Null when it is not one. */
export function parseIdempotencyKey(header: string): string | null {
  const match = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"$/.exec(header.trim());
  return match === null ? null : match[1]!.replace(/\\(["\\])/g, '$1');
}
