// A Map for entries that come and go all the time. Used by links and actors for what is in flight: calls, submissions,
// clients. It must never hold a value longer than its entry.
//
// V8's Map does. It outgrows its hash table every few dozen insertions, deleted entries included, and each outgrown table
// keeps, for iterators, a reference to the next one and whatever was in flight at that moment. Once one table has lived
// long enough to be out of the young generation, a chain of dead tables keeps alive all that ever was in flight, until a
// full collection: at a few thousand entries a second most of what a thread allocates was promoted, and a third of the
// process's time went into collections. Here those tables hold cells, and the cell of a deleted entry is empty.

interface Cell<Value> {
  value: Value | undefined;
}

export class ReleasingMap<Key extends string | number, Value extends object> {
  readonly #cells = new Map<Key, Cell<Value>>();

  get size(): number {
    return this.#cells.size;
  }

  has(key: Key): boolean {
    return this.#cells.has(key);
  }

  get(key: Key): Value | undefined {
    return this.#cells.get(key)?.value;
  }

  set(key: Key, value: Value): void {
    const cell = this.#cells.get(key);
    if (cell === undefined) this.#cells.set(key, { value });
    else cell.value = value;
  }

  /** Removes the entry and gives back its value, undefined when there is none. */
  take(key: Key): Value | undefined {
    const cell = this.#cells.get(key);
    if (cell === undefined) return undefined;
    const { value } = cell;
    cell.value = undefined;
    this.#cells.delete(key);
    return value;
  }

  /** In the order of insertion. Entries may be taken out meanwhile. */
  *values(): Generator<Value> {
    for (const { value } of this.#cells.values()) if (value !== undefined) yield value;
  }

  /** In the order of insertion. Entries may be taken out meanwhile. */
  *entries(): Generator<[Key, Value]> {
    for (const [key, { value }] of this.#cells) if (value !== undefined) yield [key, value];
  }

  clear(): void {
    for (const cell of this.#cells.values()) cell.value = undefined;
    this.#cells.clear();
  }
}
