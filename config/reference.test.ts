import { readFileSync } from 'node:fs';
import test from 'ava';
import { configurationReference, untitledSections } from './reference.js';
import { FIELD_PATHS } from './schema.js';

const FILE = new URL('../../docs/CONFIGURATION.md', import.meta.url);
const CELLS = 5;

test('DO-2: docs/CONFIGURATION.md says what the field table says: "npm run docs" writes it anew', (t) => {
  t.is(readFileSync(FILE, 'utf8'), configurationReference());
});

test('DO-2: the reference has every setting once, in a section with a title', (t) => {
  t.deepEqual(untitledSections(), []);
  const rows = configurationReference()
    .split('\n')
    .map((line) => line.split(' | '))
    .filter((cells) => cells.length === CELLS)
    .map(([first]) => first!.replace(/^\| `|`$/g, ''));
  t.deepEqual(
    rows.filter((name) => name !== '| setting'),
    [...FIELD_PATHS],
  );
});
