import { readFileSync } from 'node:fs';
import test from 'ava';
import { runtimeApiReference } from './runtime-api.js';

test('RT-13: the API reference is what the sources say, and every function and class has a comment', (t) => {
  const made = runtimeApiReference();
  t.is(readFileSync(new URL('../../docs/RUNTIME-API.md', import.meta.url), 'utf8'), made, 'run: npm run docs');
  const values = made.slice(0, made.indexOf('## Types'));
  t.deepEqual(
    [...values.matchAll(/^### (\w+)\n\n```/gm)].map(([, name]) => name),
    [],
  );
  for (const name of ['defineActor', 'defineSpec', 'supervise']) t.true(values.includes(`### ${name}\n`), name);
});
