// docs/AUDIT.md and the catalogue of the code are one.
import { readFileSync } from 'node:fs';
import test from 'ava';
import { RESERVED_MEMBERS } from '../protocol/audit-record.js';
import { AUDIT_EVENTS } from './audit-events.js';
import { auditReference, misplacedEvents } from './audit-reference.js';

test('ST-8: docs/AUDIT.md says what the catalogue says: "npm run docs" writes it anew', (t) => {
  t.is(readFileSync(new URL('../../docs/AUDIT.md', import.meta.url), 'utf8'), auditReference());
  t.deepEqual(misplacedEvents(), []);
});

test('ST-8: no field of an event hides a member that every record has', (t) => {
  const names = Object.values(AUDIT_EVENTS).flatMap(({ fields }) => Object.keys(fields));
  t.deepEqual(
    names.filter((name) => RESERVED_MEMBERS.includes(name)),
    [],
  );
});
