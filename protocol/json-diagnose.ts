// The second, slow reading of JSON text that was refused: a recursive descent of its own that names the first fault.
// Called by json.ts only, after the fast path failed; tests compare its verdict with the fast path's.
// Must never call JSON.parse on more than one string literal: its worth is that it is independent.
import type { JsonErrorCode, JsonErrorDetail } from './json.js';

/** The first fault in document order, or null when the text is strict JSON. `wide` allows integers of any size. */
export function diagnose(text: string, maxDepth: number, wide: boolean): JsonErrorDetail | null {
  try {
    new Diagnosis(text, maxDepth, wide).run();
    return null;
  } catch (error) {
    if (error instanceof Fault) return error.detail;
    throw error;
  }
}

/** Leaves the descent from any depth; never seen outside this file. */
class Fault extends Error {
  readonly detail: JsonErrorDetail;

  constructor(detail: JsonErrorDetail) {
    super(detail.found);
    this.detail = detail;
  }
}

/** Both from 1, the column in UTF-16 code units. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) {
    line += 1;
    start = at + 1;
  }
  return { line, column: offset - start + 1 };
}

/** Judges one number token of valid syntax. */
export function numberFault(token: string, wide: boolean): 'integer-range' | 'number-range' | null {
  const value = Number(token);
  if (!Number.isFinite(value)) return 'number-range';
  if (!wide && !Number.isSafeInteger(value) && /^-?\d+$/.test(token)) return 'integer-range';
  return null;
}

const BACKSLASH = 0x5c;

class Diagnosis {
  private readonly text: string;
  private readonly maxDepth: number;
  private readonly wide: boolean;
  private readonly path: string[] = [];
  private at = 0;
  private depth = 0;

  constructor(text: string, maxDepth: number, wide: boolean) {
    this.text = text;
    this.maxDepth = maxDepth;
    this.wide = wide;
  }

  run(): void {
    this.skipSpace();
    this.readValue();
    this.skipSpace();
    if (this.at < this.text.length) this.fail('syntax', this.here(), 'the end of the text after one value');
  }

  private readValue(): void {
    const char = this.text[this.at];
    if (char === '{') this.readObject();
    else if (char === '[') this.readArray();
    else if (char === '"') this.readString('string');
    else if (char !== undefined && /[-0-9]/.test(char)) this.readNumber();
    else {
      const word = /true|false|null/y;
      word.lastIndex = this.at;
      const match = word.exec(this.text);
      if (match === null) this.fail('syntax', this.here(), 'an object, array, string, number, true, false or null');
      this.at += match[0].length;
    }
  }

  private readObject(): void {
    this.open();
    const names = new Set<string>();
    let first = true;
    while (this.text[this.at] !== '}' || !first) {
      if (this.text[this.at] !== '"') this.fail('syntax', this.here(), first ? 'a member name or }' : 'a member name');
      const start = this.at;
      const name = this.readString('member name');
      this.path.push(name);
      if (names.has(name))
        this.fail('duplicate-name', `a second member ${clip(name)}`, 'every name once in an object', start);
      names.add(name);
      this.skipSpace();
      if (this.text[this.at] !== ':') this.fail('syntax', this.here(), 'a colon');
      this.at += 1;
      this.skipSpace();
      this.readValue();
      this.path.pop();
      this.skipSpace();
      first = false;
      if (this.text[this.at] === '}') break;
      if (this.text[this.at] !== ',') this.fail('syntax', this.here(), 'a comma or }');
      this.at += 1;
      this.skipSpace();
    }
    this.close();
  }

  private readArray(): void {
    this.open();
    for (let index = 0; this.text[this.at] !== ']' || index > 0; index += 1) {
      this.path.push(String(index));
      this.readValue();
      this.path.pop();
      this.skipSpace();
      if (this.text[this.at] === ']') break;
      if (this.text[this.at] !== ',') this.fail('syntax', this.here(), 'a comma or ]');
      this.at += 1;
      this.skipSpace();
    }
    this.close();
  }

  private open(): void {
    this.depth += 1;
    if (this.depth > this.maxDepth)
      this.fail('depth', `nesting deeper than ${this.maxDepth}`, `at most ${this.maxDepth} levels`);
    this.at += 1;
    this.skipSpace();
  }

  private close(): void {
    this.depth -= 1;
    this.at += 1;
  }

  private readString(what: string): string {
    const start = this.at;
    for (this.at += 1; this.text[this.at] !== '"'; this.at += 1) {
      const code = this.text.charCodeAt(this.at);
      if (Number.isNaN(code)) this.fail('syntax', `a ${what} without its closing quote`, 'a closing quote', start);
      if (code < 0x20) this.fail('syntax', this.here(), 'control characters only as escapes');
      if (code === BACKSLASH) {
        const form = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
        form.lastIndex = this.at;
        const match = form.exec(this.text);
        if (match === null)
          this.fail('syntax', 'an unknown escape', '\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u and four hex digits');
        this.at += match[0].length - 1;
      }
    }
    this.at += 1;
    const value: string = JSON.parse(this.text.slice(start, this.at));
    if (/\p{Surrogate}/u.test(value))
      this.fail('surrogate', `a ${what} with a lone surrogate`, 'whole Unicode characters', start);
    return value;
  }

  private readNumber(): void {
    const form = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
    form.lastIndex = this.at;
    const match = form.exec(this.text);
    if (match === null) this.fail('syntax', this.here(), 'a JSON number');
    const token = match[0];
    const fault = numberFault(token, this.wide);
    if (fault === 'integer-range') {
      this.fail(
        fault,
        `the integer ${clip(token)}`,
        'integers from -9007199254740991 to 9007199254740991; write larger ones as strings',
      );
    }
    if (fault !== null) this.fail(fault, `the number ${clip(token)}`, 'numbers that a 64-bit float can hold');
    this.at += token.length;
  }

  private skipSpace(): void {
    while (' \t\n\r'.includes(this.text[this.at] ?? 'x')) this.at += 1;
  }

  private here(): string {
    const code = this.text.codePointAt(this.at);
    if (code === undefined) return 'the end of the text';
    if (code === 0xfeff) return 'a byte order mark';
    return code < 0x21 || code > 0x7e
      ? `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
      : String.fromCodePoint(code);
  }

  private fail(code: JsonErrorCode, found: string, allowed: string, offset: number = this.at): never {
    const pointer = this.path.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
    throw new Fault({ code, ...lineAndColumn(this.text, offset), pointer, found, allowed });
  }
}

/** Foreign text in a message: quoted, and cut so that a message stays one line. */
function clip(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
