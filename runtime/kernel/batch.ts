// Batches: what arrived in this turn of the loop, sent once; and many byte strings in one buffer that moves instead of
// being copied. Called by actors. It must never hold items past the turn, nor hand out a pooled buffer.

export interface BatchOptions<T> {
  /** A full batch goes at once, before the turn ends. */
  readonly maxCount: number;
  /** With `sizeOf`: a batch of this many bytes goes at once. */
  readonly maxBytes?: number;
  readonly sizeOf?: (item: T) => number;
  readonly flush: (items: T[]) => void;
  /** When the turn ends; default setImmediate, which runs after all input that is already there was read. */
  readonly endOfTurn?: (run: () => void) => void;
}

/** Collects the items of one turn and hands them over once. */
export class Batch<T> {
  readonly #options: BatchOptions<T>;
  readonly #endOfTurn: (run: () => void) => void;
  #items: T[] = [];
  #sizeBytes = 0;
  #scheduled = false;

  constructor(options: BatchOptions<T>) {
    this.#options = options;
    this.#endOfTurn = options.endOfTurn ?? ((run) => void setImmediate(run));
  }

  get count(): number {
    return this.#items.length;
  }

  add(item: T): void {
    const { maxCount, maxBytes, sizeOf } = this.#options;
    this.#items.push(item);
    if (sizeOf !== undefined) this.#sizeBytes += sizeOf(item);
    if (this.#items.length >= maxCount || (maxBytes !== undefined && this.#sizeBytes >= maxBytes)) {
      this.flush();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      this.#endOfTurn(() => {
        this.#scheduled = false;
        this.flush();
      });
    }
  }

  /** Hands over what is there; nothing happens when that is nothing. */
  flush(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.#sizeBytes = 0;
    this.#options.flush(items);
  }
}

/**
 * `items.map(of)` for a message. V8 takes what map() makes for an array with holes, and those cross to another thread as
 * pairs of index and value, each looked up.
 */
export function column<T, R>(items: readonly T[], of: (item: T) => R): R[] {
  const values: R[] = [];
  for (const item of items) values.push(of(item));
  return values;
}

const WORD_BYTES = 4;

/**
 * Many byte strings as one buffer of its own, fit for a transfer list: u32 count, u32 end offset of each part counted
 * from the first part's start, then the parts. Numbers are in the machine's order: the buffer never leaves the process.
 */
export function packBytes(parts: readonly Uint8Array[]): ArrayBuffer {
  const headBytes = (1 + parts.length) * WORD_BYTES;
  let bodyBytes = 0;
  for (const part of parts) bodyBytes += part.length;
  const packed = new ArrayBuffer(headBytes + bodyBytes);
  const head = new Uint32Array(packed, 0, 1 + parts.length);
  const body = new Uint8Array(packed, headBytes);
  head[0] = parts.length;
  let end = 0;
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index]!;
    body.set(part, end);
    end += part.length;
    head[index + 1] = end;
  }
  return packed;
}

/**
 * The parts as views into the buffer, without copying. Throws on a buffer that packBytes did not make, and on a
 * detached one: transferring a buffer twice delivers an empty one without any error.
 */
export function unpackBytes(packed: ArrayBuffer): Buffer[] {
  if (packed.byteLength < WORD_BYTES)
    throw new RangeError('not a packed buffer: it is empty; was it transferred twice?');
  const count = new Uint32Array(packed, 0, 1)[0]!;
  const headBytes = (1 + count) * WORD_BYTES;
  if (headBytes > packed.byteLength) throw new RangeError(`not a packed buffer: it claims ${count} parts`);
  const ends = new Uint32Array(packed, WORD_BYTES, count);
  const parts = new Array<Buffer>(count);
  let start = 0;
  for (let index = 0; index < count; index++) {
    const end = ends[index]!;
    if (end < start || headBytes + end > packed.byteLength) {
      throw new RangeError(`not a packed buffer: part ${index} ends at ${end}`);
    }
    parts[index] = Buffer.from(packed, headBytes + start, end - start);
    start = end;
  }
  if (headBytes + start !== packed.byteLength) throw new RangeError('not a packed buffer: bytes after the last part');
  return parts;
}
