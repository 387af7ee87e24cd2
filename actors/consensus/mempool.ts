// Submissions that are in no final block: those that wait for one, and those that stand in a block that is not final yet.
// Filled by the actor, emptied by the block builder. Bounded as a whole, for each node that brought them and for each
// issuer, and taken round-robin by node and then by issuer, so that one flood costs the others nothing but its share.
import type { Entry } from '../../protocol/ledger/apply.js';
import { indexKey } from '../../protocol/ledger/apply.js';
import { ReleasingMap } from '../../runtime/kernel/releasing-map.js';

/** DECISIONS 25. */
export const MEMPOOL_ENTRIES_MAX = 50_000;
export const MEMPOOL_BYTES_MAX = 64 * 1024 * 1024;
const ISSUER_SHARE = 0.1;
/** What a submission may have by default (limits.body_bytes): before its size is known it counts as this. */
const LARGE_BODY_BYTES = 64 * 1024;

export interface Pooled {
  readonly entry: Entry;
  /** Inbox record that holds the body; 0 where only a peer has told of it. */
  readonly lsn: number;
  readonly route: number;
  /** Identity of the content (ingress' bytesKey): one content waits once. */
  readonly content: string;
  /** Node that admitted it; '' where that is not known. */
  readonly origin: string;
}

interface Slot {
  pooled: Pooled;
  /** In a block that is not final. */
  held: boolean;
  /** Stands in its queue. */
  queued: boolean;
  readonly addedAtMs: number;
}

interface Share {
  count: number;
  sizeBytes: number;
  /** By issuer. Slots that were taken or held meanwhile may still stand there. */
  readonly queues: ReleasingMap<string, Slot[]>;
}

export class Mempool {
  readonly #slots = new ReleasingMap<string, Slot>();
  readonly #shares = new ReleasingMap<string, Share>();
  readonly #issuers = new Map<string, number>();
  /** Bodies and ledger names → content; kept where others may be the first to make something of them final. */
  readonly #byBody: Map<string, string> | null;
  readonly #byName: Map<string, string> | null;
  readonly #originShare: number;
  #sizeBytes = 0;
  #waiting = 0;

  /** @param nodes validators of the chain: each may fill no more than its share. */
  constructor(nodes = 1) {
    this.#originShare = 1 / nodes;
    this.#byBody = nodes > 1 ? new Map() : null;
    this.#byName = nodes > 1 ? new Map() : null;
  }

  /** Everything in no final block. */
  get size(): number {
    return this.#slots.size;
  }

  /** Of these, what stands in no block at all. */
  get waiting(): number {
    return this.#waiting;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Whether the next submission of this node would find no room, whoever its issuer is, if it is a large one. */
  isFull(origin: string): boolean {
    return !this.#hasRoom(origin, LARGE_BODY_BYTES);
  }

  /** Inbox records of what is here. */
  *lsns(): Generator<number> {
    for (const { pooled } of this.#slots.values()) if (pooled.lsn > 0) yield pooled.lsn;
  }

  /** What is here with exactly this body, which is SHA-256 as 32 characters: its signature was verified. */
  byBody(body: string): Pooled | undefined {
    const content = this.#byBody?.get(body);
    return content === undefined ? undefined : this.#slots.get(content)?.pooled;
  }

  /**
   * False when there is no room, for anybody, for this node or for this issuer. What is here already is taken as added;
   * when its own client brings it after a peer did, it gets the place in the log that it lacked.
   */
  add(pooled: Pooled, nowMs = 0): boolean {
    const known = this.#slots.get(pooled.content);
    if (known !== undefined) {
      if (
        known.pooled.lsn === 0 &&
        pooled.lsn > 0 &&
        known.pooled.entry.prepared.body.equals(pooled.entry.prepared.body)
      ) {
        known.pooled = { ...known.pooled, lsn: pooled.lsn };
      }
      return true;
    }
    const { issuer, raw } = pooled.entry;
    if (!this.#hasRoom(pooled.origin, raw.length)) return false;
    if ((this.#issuers.get(issuer) ?? 0) >= MEMPOOL_ENTRIES_MAX * ISSUER_SHARE) return false;
    this.#insert(pooled, false, nowMs);
    return true;
  }

  /**
   * These stand in a block that was found valid: nobody takes them out while it may become final. What was not known comes
   * in without regard to room: the block holds it in memory anyway.
   */
  hold(list: readonly Pooled[], nowMs = 0): void {
    for (const pooled of list) {
      const slot = this.#slots.get(pooled.content);
      if (slot === undefined) this.#insert(pooled, true, nowMs);
      else if (!slot.held) {
        slot.held = true;
        this.#waiting -= 1;
      }
    }
  }

  /** A block that they stood in was given up, or had no room: they wait again. */
  release(list: readonly Pooled[]): void {
    for (const { content } of list) {
      const slot = this.#slots.get(content);
      if (slot === undefined || !slot.held) continue;
      slot.held = false;
      this.#waiting += 1;
      this.#enqueue(slot);
    }
  }

  /** They are final, or refused. */
  remove(list: readonly Pooled[]): void {
    for (const { content } of list) {
      const slot = this.#slots.take(content);
      if (slot !== undefined) this.#forget(slot);
    }
  }

  /** What is here under the ledger names of these, whatever its content: after they became final nothing else may be. */
  namesakes(list: readonly Pooled[]): Pooled[] {
    const found: Pooled[] = [];
    for (const { entry, content } of list) {
      const other = this.#byName?.get(indexKey(entry.issuer, entry.prepared.id));
      if (other === undefined || other === content) continue;
      const slot = this.#slots.get(other);
      if (slot !== undefined) found.push(slot.pooled);
    }
    return found;
  }

  /** What has waited since before `beforeMs`, at most `max` of it. */
  waitingSince(beforeMs: number, max: number): Pooled[] {
    const found: Pooled[] = [];
    for (const { pooled, held, addedAtMs } of this.#slots.values()) {
      if (found.length >= max || addedAtMs > beforeMs) break;
      if (!held) found.push(pooled);
    }
    return found;
  }

  /**
   * Takes up to `entries` and `bytes` for a block, one of each node and issuer in turn; they are held from then on.
   * One that is larger than a whole block is taken alone: executing refuses it, and it blocks the way of nobody.
   */
  take(entries: number, bytes: number): Pooled[] {
    const origins: Cursor[][] = [];
    for (const share of this.#shares.values()) {
      const cursors = [...share.queues.entries()].map(([issuer, queue]): Cursor => ({ share, issuer, queue, next: 0 }));
      if (cursors.length > 0) origins.push(cursors);
    }
    const taken = take(interleaved(origins), entries, bytes);
    for (const cursors of origins) for (const cursor of cursors) this.#shorten(cursor);
    this.#waiting -= taken.length;
    return taken.map(({ pooled }) => pooled);
  }

  #hasRoom(origin: string, bytes: number): boolean {
    const share = this.#shares.get(origin);
    return (
      this.#slots.size < MEMPOOL_ENTRIES_MAX &&
      this.#sizeBytes + bytes <= MEMPOOL_BYTES_MAX &&
      (share?.count ?? 0) < MEMPOOL_ENTRIES_MAX * this.#originShare &&
      (share?.sizeBytes ?? 0) + bytes <= MEMPOOL_BYTES_MAX * this.#originShare
    );
  }

  #insert(pooled: Pooled, held: boolean, addedAtMs: number): void {
    const { entry, content, origin } = pooled;
    const slot: Slot = { pooled, held, queued: false, addedAtMs };
    this.#slots.set(content, slot);
    let share = this.#shares.get(origin);
    if (share === undefined) {
      share = { count: 0, sizeBytes: 0, queues: new ReleasingMap() };
      this.#shares.set(origin, share);
    }
    share.count += 1;
    share.sizeBytes += entry.raw.length;
    this.#issuers.set(entry.issuer, (this.#issuers.get(entry.issuer) ?? 0) + 1);
    this.#sizeBytes += entry.raw.length;
    if (this.#byBody !== null) {
      this.#byBody.set(entry.prepared.body.toString('latin1'), content);
      this.#byName!.set(indexKey(entry.issuer, entry.prepared.id), content);
    }
    if (held) return;
    this.#waiting += 1;
    this.#enqueue(slot);
  }

  #enqueue(slot: Slot): void {
    if (slot.queued) return;
    slot.queued = true;
    const { entry, origin } = slot.pooled;
    const { queues } = this.#shares.get(origin)!;
    const queue = queues.get(entry.issuer);
    if (queue === undefined) queues.set(entry.issuer, [slot]);
    else queue.push(slot);
  }

  #forget(slot: Slot): void {
    const { entry, content, origin } = slot.pooled;
    const share = this.#shares.get(origin)!;
    share.count -= 1;
    share.sizeBytes -= entry.raw.length;
    const left = this.#issuers.get(entry.issuer)! - 1;
    if (left === 0) this.#issuers.delete(entry.issuer);
    else this.#issuers.set(entry.issuer, left);
    this.#sizeBytes -= entry.raw.length;
    if (this.#byBody !== null) {
      this.#byBody.delete(entry.prepared.body.toString('latin1'));
      const name = indexKey(entry.issuer, entry.prepared.id);
      if (this.#byName!.get(name) === content) this.#byName!.delete(name);
    }
    if (!slot.held) this.#waiting -= 1;
    // What is forgotten while it stands in a queue is passed over there; a node that never leads must not collect it.
    slot.held = true;
    if (slot.queued) this.#thin(share, entry.issuer);
    if (share.count === 0 && share.queues.size === 0) this.#shares.take(origin);
  }

  #thin(share: Share, issuer: string): void {
    const queue = share.queues.get(issuer);
    if (queue === undefined || queue.length < 64 || queue.length < 2 * (this.#issuers.get(issuer) ?? 0)) return;
    const left = queue.filter(keepWaiting);
    if (left.length === 0) share.queues.take(issuer);
    else share.queues.set(issuer, left);
  }

  #shorten({ share, issuer, queue, next }: Cursor): void {
    if (next === 0) return;
    if (next === queue.length) share.queues.take(issuer);
    else share.queues.set(issuer, queue.slice(next));
  }
}

interface Cursor {
  readonly share: Share;
  readonly issuer: string;
  readonly queue: Slot[];
  next: number;
}

function keepWaiting(slot: Slot): boolean {
  if (!slot.held) return true;
  slot.queued = false;
  return false;
}

/** The slot at the cursor that waits; what does not is dropped from the queue on the way. */
function waitingAt(cursor: Cursor): Slot | undefined {
  for (let slot = cursor.queue[cursor.next]; slot !== undefined; slot = cursor.queue[++cursor.next]) {
    if (keepWaiting(slot)) return slot;
  }
  return undefined;
}

/** Queues in turn: the first issuer of each node, then the second of each, and so on, again and again. */
function interleaved(origins: Cursor[][]): Cursor[] {
  const list: Cursor[] = [];
  const rounds = Math.max(0, ...origins.map((cursors) => cursors.length));
  // A node with fewer issuers comes as often as one with many.
  for (let round = 0; round < rounds; round++) {
    for (const cursors of origins) list.push(cursors[round % cursors.length]!);
  }
  return list;
}

function take(cursors: readonly Cursor[], entries: number, bytes: number): Slot[] {
  const taken: Slot[] = [];
  let sizeBytes = 0;
  for (let open = cursors; open.length > 0 && taken.length < entries; ) {
    const left: Cursor[] = [];
    for (const cursor of open) {
      if (taken.length >= entries) break;
      const slot = waitingAt(cursor);
      if (slot === undefined) continue;
      const { length } = slot.pooled.entry.raw;
      if (taken.length > 0 && sizeBytes + length > bytes) return taken;
      sizeBytes += length;
      cursor.next += 1;
      slot.held = true;
      slot.queued = false;
      taken.push(slot);
      left.push(cursor);
    }
    open = left;
  }
  return taken;
}
