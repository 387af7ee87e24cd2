// Submissions that wait for a block. Filled by the actor, emptied by the block builder. Bounded as a whole and for each
// issuer, and taken round-robin by issuer, so that one client's flood costs the others nothing but its share.
import type { Entry } from '../../protocol/ledger/apply.js';
import { ReleasingMap } from '../../runtime/kernel/releasing-map.js';

/** DECISIONS 25. */
export const MEMPOOL_ENTRIES_MAX = 50_000;
export const MEMPOOL_BYTES_MAX = 64 * 1024 * 1024;
const ISSUER_SHARE = 0.1;

export interface Pooled {
  readonly entry: Entry;
  /** Inbox record that holds the body. */
  readonly lsn: number;
  readonly route: number;
  /** Identity of the content (ingress' bytesKey): one content waits once. */
  readonly content: string;
}

export class Mempool {
  readonly #queues = new ReleasingMap<string, Pooled[]>();
  readonly #contents = new Set<string>();
  #sizeBytes = 0;

  get size(): number {
    return this.#contents.size;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Inbox records of what waits. */
  *lsns(): Generator<number> {
    for (const [, queue] of this.#queues.entries()) for (const { lsn } of queue) yield lsn;
  }

  /** False when there is no room, for anybody or for this issuer. What waits already is taken as added. */
  add(pooled: Pooled): boolean {
    if (this.#contents.has(pooled.content)) return true;
    const { issuer, raw } = pooled.entry;
    const queue = this.#queues.get(issuer) ?? [];
    const full =
      this.#contents.size >= MEMPOOL_ENTRIES_MAX ||
      this.#sizeBytes + raw.length > MEMPOOL_BYTES_MAX ||
      queue.length >= MEMPOOL_ENTRIES_MAX * ISSUER_SHARE;
    if (full) return false;
    queue.push(pooled);
    this.#queues.set(issuer, queue);
    this.#contents.add(pooled.content);
    this.#sizeBytes += raw.length;
    return true;
  }

  /**
   * Takes out up to `entries` and `bytes`, one of each issuer in turn. What a block had no room for goes back by `add`.
   * One that is larger than a whole block is taken alone: executing refuses it, and it blocks the way of nobody.
   */
  take(entries: number, bytes: number): Pooled[] {
    const taken: Pooled[] = [];
    const cursors = [...this.#queues.entries()].map(([issuer, queue]) => ({ issuer, queue, next: 0 }));
    let sizeBytes = 0;
    for (let open = cursors; open.length > 0 && taken.length < entries; ) {
      for (const cursor of open) {
        const pooled = cursor.queue[cursor.next];
        if (pooled === undefined || taken.length >= entries) continue;
        if (taken.length > 0 && sizeBytes + pooled.entry.raw.length > bytes) return this.#remove(cursors, taken);
        sizeBytes += pooled.entry.raw.length;
        cursor.next += 1;
        taken.push(pooled);
      }
      open = open.filter(({ queue, next }) => next < queue.length);
    }
    return this.#remove(cursors, taken);
  }

  #remove(cursors: readonly { issuer: string; queue: Pooled[]; next: number }[], taken: Pooled[]): Pooled[] {
    for (const { issuer, queue, next } of cursors) {
      if (next === queue.length) this.#queues.take(issuer);
      else if (next > 0) this.#queues.set(issuer, queue.slice(next));
    }
    for (const { content, entry } of taken) {
      this.#contents.delete(content);
      this.#sizeBytes -= entry.raw.length;
    }
    return taken;
  }
}
