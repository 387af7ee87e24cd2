// The built-in kind `note`: a text, recorded as it is.
// Called through the table of built-in kinds.
// Must never read meaning into the text.
import type { JsonObject } from '../json.js';
import { describe, type FieldError, type Kind, token, type Verdict } from './kind.js';

/** The outcome of every kind that only records. */
export const RECORDED: JsonObject = Object.freeze({ accepted: true, status: 200 });

export const note: Kind = {
  name: 'note',
  check(payload: JsonObject): Verdict {
    const names = Object.keys(payload);
    if (names.length === 1 && names[0] === 'text' && typeof payload.text === 'string') {
      return { ok: true, outcome: RECORDED };
    }
    const errors: FieldError[] = [];
    const text = payload.text;
    if (typeof text !== 'string') errors.push({ pointer: '/text', found: describe(text), allowed: 'a string' });
    for (const name of names) {
      if (name !== 'text') errors.push({ pointer: token(name), found: 'an unknown member', allowed: 'only text' });
    }
    return { ok: false, errors };
  },
};
