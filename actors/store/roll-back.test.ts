// Blocks that are taken off the end of a ledger leave nothing behind, and the rest is as if they had never been.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { encodeBlock } from '../../protocol/ledger/block-codec.js';
import { after, devEntry, makeBlock, makeTestkit, registryEntry, store } from '../../protocol/ledger/testkit.js';
import { registryText } from '../../protocol/registry.js';
import { NO_ROUNDS } from '../../protocol/rounds/round.js';
import { auditLedger } from '../ledger/audit.js';
import { closeLedger, openLedger } from '../ledger/environment.js';
import { LedgerReader } from '../ledger/reader.js';
import { digestKey, indexKey, indexValue, META_HEAD, META_REGISTRY, positionValue } from '../ledger/tables.js';
import { rollBackLedger, syncLedger } from './roll-back.js';

test('DECISIONS 27: a ledger that is rolled back is whole at the height that stays, down to none', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-roll-back-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'ledger');
  const kit = await makeTestkit(1);
  const wish = { clients: [...(kit.genesis.json.clients as [])], kinds: [] };
  const contents = [
    [devEntry(kit, { id: 'a' })],
    [registryEntry(kit, 'r', wish), devEntry(kit, { id: 'b' })],
    [devEntry(kit, { id: 'c' })],
  ];
  const tables = openLedger(path);
  let view = kit.view;
  for (const entries of contents) {
    const made = makeBlock(kit, view, entries);
    const block = store(kit, made);
    const { height } = made.header;
    tables.blocks.putSync(height, Buffer.from(encodeBlock(block)));
    for (const [index, { issuer, id, digest }] of block.entries.entries()) {
      const bytes = Buffer.from(digest, 'hex');
      tables.index.putSync(indexKey(`${issuer}\0${id}`), indexValue(bytes, bytes, { height, index }));
      tables.digests.putSync(digestKey(bytes), positionValue({ height, index }));
    }
    tables.meta.putSync(META_HEAD, JSON.stringify(made.changes.tip));
    if (made.changes.registry !== null) tables.meta.putSync(META_REGISTRY, registryText(made.changes.registry));
    view = after(view, made);
  }
  // A block that cannot be read does not say which entries were its own.
  tables.blocks.putSync(3, Buffer.from('damaged'));
  await closeLedger(tables);

  const audit = async () => {
    const ledger = LedgerReader.open(path);
    const found = auditLedger({ genesis: kit.genesis, ledger, validators: kit.set, ed25519: kit.ed25519 });
    const names = ['dev\0a', 'dev\0b', 'dev\0c'].filter((name) => ledger.find(name) !== undefined);
    const head = ledger.head;
    await ledger.close();
    return { ...found, names, head };
  };
  const damaged = await audit();
  t.regex(damaged.fault ?? 'none', /^block 3: cannot be read/);
  t.is(damaged.tip.height, 2);

  await rollBackLedger(path, damaged);
  syncLedger(path);
  const cut = await audit();
  t.is(cut.fault, null);
  t.like(cut.tip, { height: 2 });
  t.deepEqual(cut.names, ['dev\0a', 'dev\0b']);
  t.is(cut.registry.version, 1);

  await rollBackLedger(path, { tip: kit.view.tip, registry: kit.genesis.registry, rounds: NO_ROUNDS });
  const none = await audit();
  t.is(none.fault, null);
  t.deepEqual([none.tip.height, none.names, none.head], [0, [], undefined]);
});
