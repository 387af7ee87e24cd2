// What the ledger's environment needs to be held open for: LMDB shares one among all threads of a process.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { closeLedger, openLedger } from './environment.js';
import { LedgerReader } from './reader.js';

function place(t: { teardown(run: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-ledger-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return join(directory, 'ledger');
}

test('a reader that opens the database before any writer makes it read-only for the process', async (t) => {
  const path = place(t);
  await closeLedger(openLedger(path));
  const reader = LedgerReader.open(path);
  t.throws(() => openLedger(path), { message: /transaction/ });
  await reader.close();
});

test('while somebody holds it for writing, writers and readers open it in any order', async (t) => {
  const path = place(t);
  const held = openLedger(path);
  await closeLedger(openLedger(path));
  const reader = LedgerReader.open(path);
  const store = openLedger(path);
  store.root.transactionSync(() => store.meta.putSync('head', 'written'));
  reader.refresh();
  t.is(reader.head, 'written');
  for (const tables of [store, held]) await closeLedger(tables);
  await reader.close();
});
