// The canonical text of a JSON value, RFC 8785 (JCS): the only form in which values are signed or hashed.
// Called by every signer, verifier and hasher of JSON in protocol/.
// Must never write two texts for one value, nor one text for two values: what RFC 8785 cannot express throws.
import type { JsonObject, JsonValue } from './json.js';

/** Throws TypeError for NaN, infinities, lone surrogates and anything that is not JSON (a programming error). */
export function canonicalize(value: JsonValue): string {
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`canonical JSON has no number ${value}`);
      // ECMAScript's own number form is the one RFC 8785 section 3.2.2.3 prescribes; −0 prints as 0.
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? canonicalArray(value) : canonicalObject(value);
    default:
      throw new TypeError(`canonical JSON has no ${typeof value}`);
  }
}

function canonicalArray(items: JsonValue[]): string {
  let text = '[';
  for (let i = 0; i < items.length; i += 1) {
    if (i > 0) text += ',';
    text += canonicalize(items[i] as JsonValue);
  }
  return `${text}]`;
}

function canonicalObject(object: JsonObject): string {
  // The default sort compares UTF-16 code units, as section 3.2.3 asks.
  const names = Object.keys(object).sort();
  let text = '{';
  for (let i = 0; i < names.length; i += 1) {
    const name = names[i] as string;
    if (i > 0) text += ',';
    text += `${quote(name)}:${canonicalize(object[name] as JsonValue)}`;
  }
  return `${text}}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be escaped
const PLAIN = /^[^\u0000-\u001f"\\\ud800-\udfff]*$/;

function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  if (/\p{Surrogate}/u.test(text)) throw new TypeError('canonical JSON has no lone surrogate');
  // JSON.stringify escapes exactly as section 3.2.2.2: the two-letter escapes, else lowercase \u00xx.
  return JSON.stringify(text);
}
