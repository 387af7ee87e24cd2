// `npm run docs`: writes the documents that are made from tables of the code. The tests of those tables say when a file
// is out of date; this is what they ask for. It must never write a document that is kept by hand.
import { writeFileSync } from 'node:fs';
import { auditReference } from '../config/audit-reference.js';
import { configurationReference } from '../config/reference.js';
import { runtimeApiReference } from './runtime-api.js';

const GENERATED: Readonly<Record<string, () => string>> = {
  'docs/AUDIT.md': auditReference,
  'docs/CONFIGURATION.md': configurationReference,
  'docs/RUNTIME-API.md': runtimeApiReference,
};

for (const [path, text] of Object.entries(GENERATED)) {
  writeFileSync(new URL(`../../${path}`, import.meta.url), text());
  process.stdout.write(`${path}\n`);
}
