// Reads fixed shapes out of JSON values and collects everything wrong with them, each with its place.
// Called by the parsers of genesis, registry, headers, receipts and validator files.
// Must never stop at the first mistake nor guess a value: after done() returned, every value read was as asked for.
import { Buffer } from 'node:buffer';
import { IDENTIFIER, parseTime } from './envelope.js';
import type { JsonObject, JsonValue } from './json.js';
import { describe, type FieldError, ShapeError, token } from './kinds/kind.js';

/** The mistakes found so far in one document. */
export class Mistakes {
  readonly errors: FieldError[] = [];

  add(pointer: string, found: string, allowed: string): void {
    this.errors.push({ pointer, found, allowed });
  }

  /** Throws ShapeError when anything was wrong. Only values read before a done() that returned may be used. */
  done(): void {
    if (this.errors.length > 0) throw new ShapeError(this.errors);
  }
}

const HEX = /^(?:[0-9a-f]{2})*$/;

/**
 * One object of a document. Every reader returns a value of its type even after a mistake (empty or zero), so that the rest is still
 * looked at; `Mistakes.done()` then keeps such a value from being used.
 */
export class Fields {
  readonly pointer: string;
  readonly mistakes: Mistakes;
  readonly object: JsonObject;
  readonly #isObject: boolean;

  /**
   * `members`: all names that may stand here; any other is a mistake. `reported`: that there is no object was said before, so that
   * nothing within it is said again.
   */
  constructor(
    value: JsonValue | undefined,
    pointer: string,
    members: readonly string[],
    mistakes: Mistakes,
    reported = false,
  ) {
    this.pointer = pointer;
    this.mistakes = mistakes;
    this.#isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    this.object = this.#isObject ? (value as JsonObject) : {};
    if (!this.#isObject && !reported) mistakes.add(pointer, describe(value), `an object with ${members.join(', ')}`);
    for (const name of Object.keys(this.object)) {
      if (!members.includes(name)) {
        mistakes.add(pointer + token(name), 'an unknown member', `only ${members.join(', ')}`);
      }
    }
  }

  /** The object under `name`. */
  fields(name: string, members: readonly string[]): Fields {
    return new Fields(this.value(name), this.at(name), members, this.mistakes, !this.#isObject);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.object, name);
  }

  value(name: string): JsonValue | undefined {
    return this.has(name) ? this.object[name] : undefined;
  }

  at(name: string): string {
    return this.pointer + token(name);
  }

  /** A mistake of this object's member `name`, in words of the caller. */
  wrong(name: string, allowed: string, found: string = describe(this.value(name))): void {
    // Where the object itself is missing, that has been said; its members would only repeat it.
    if (this.#isObject) this.mistakes.add(this.at(name), found, allowed);
  }

  text(name: string, form: RegExp, allowed: string): string {
    const value = this.value(name);
    if (typeof value === 'string' && form.test(value)) return value;
    this.wrong(name, allowed);
    return '';
  }

  identifier(name: string): string {
    return this.text(name, IDENTIFIER, '1 to 128 of A-Z a-z 0-9 . _ : -');
  }

  oneOf<Word extends string>(name: string, words: readonly [Word, ...Word[]]): Word {
    const value = this.value(name);
    for (const word of words) if (value === word) return word;
    this.wrong(name, words.map((word) => JSON.stringify(word)).join(' or '));
    return words[0];
  }

  /** An integer from `min` to `max`. */
  count(name: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.value(name);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    this.wrong(name, max === Number.MAX_SAFE_INTEGER ? `an integer from ${min}` : `an integer from ${min} to ${max}`);
    return min;
  }

  /** Lowercase hex of exactly `bytes` bytes, as it stands. */
  hex(name: string, bytes = 32): string {
    const value = this.value(name);
    if (typeof value === 'string' && value.length === 2 * bytes && HEX.test(value)) return value;
    this.wrong(name, `${2 * bytes} lowercase hex digits`);
    return '00'.repeat(bytes);
  }

  hexBytes(name: string, bytes = 32): Buffer {
    return Buffer.from(this.hex(name, bytes), 'hex');
  }

  /** RFC 3339 UTC, as unix milliseconds. */
  time(name: string): number {
    const value = this.value(name);
    const timeMs = typeof value === 'string' ? parseTime(value) : null;
    if (timeMs !== null) return timeMs;
    this.wrong(name, 'RFC 3339 UTC such as 2026-11-20T12:00:00Z');
    return 0;
  }

  anyObject(name: string): JsonObject {
    const value = this.value(name);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
    this.wrong(name, 'an object');
    return {};
  }

  /** The items of a list of `min` to `max` items. */
  items(name: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): JsonValue[] {
    const value = this.value(name);
    if (Array.isArray(value) && value.length >= min && value.length <= max) return value;
    const bounds = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `${min} to ${max}`;
    this.wrong(name, `a list of ${bounds} items`);
    return [];
  }

  /** A list of objects, each read by `read`. */
  objects<Item>(
    name: string,
    members: readonly string[],
    read: (fields: Fields) => Item,
    min = 0,
    max: number = Number.MAX_SAFE_INTEGER,
  ): Item[] {
    return this.items(name, min, max).map((item, index) =>
      read(new Fields(item, `${this.at(name)}/${index}`, members, this.mistakes)),
    );
  }

  /** A list of different texts of one form. */
  texts(name: string, form: RegExp, allowed: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): string[] {
    const seen = new Set<string>();
    this.items(name, min, max).forEach((item, index) => {
      const pointer = `${this.at(name)}/${index}`;
      if (typeof item !== 'string' || !form.test(item)) this.mistakes.add(pointer, describe(item), allowed);
      else if (seen.has(item)) this.mistakes.add(pointer, `${describe(item)} a second time`, 'every item once');
      else seen.add(item);
    });
    return [...seen];
  }
}
