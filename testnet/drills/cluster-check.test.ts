// What holding ledgers against each other must find: any byte of any table, and any certificate that is none.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { closeLedger, openLedger } from '../../actors/ledger/environment.js';
import {
  digestKey,
  indexKey,
  indexValue,
  META_HEAD,
  META_REGISTRY,
  positionValue,
  type Tables,
} from '../../actors/ledger/tables.js';
import { canonicalize } from '../../protocol/canonical.js';
import type { StoredBlock } from '../../protocol/ledger/block.js';
import { decodeBlock, encodeBlock } from '../../protocol/ledger/block-codec.js';
import {
  after,
  certify,
  devEntry,
  hmacEntry,
  type MadeBlock,
  makeBlock,
  makeTestkit,
  registryEntry,
  store,
  type Testkit,
} from '../../protocol/ledger/testkit.js';
import { registryText } from '../../protocol/registry.js';
import { type ClusterFindings, checkClusterLedgers } from './cluster-check.js';

interface Made {
  readonly kit: Testkit;
  readonly blocks: readonly MadeBlock[];
  readonly dataDirs: readonly [string, string];
}

/** Two nodes with one ledger of two blocks, as the store writes it. */
async function makeNodes(t: ExecutionContext): Promise<Made> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-cluster-check-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const kit = await makeTestkit(4);
  const dataDirs = [join(directory, 'one'), join(directory, 'other')] as const;
  mkdirSync(dataDirs[0]);
  writeFileSync(join(dataDirs[0], 'genesis.json'), canonicalize(kit.genesis.json));
  const wish = { clients: [...(kit.genesis.json.clients as [])], kinds: [] };
  const contents = [[devEntry(kit, { id: 'a' }), registryEntry(kit, 'r', wish)], [hmacEntry(kit, 'h')]];
  const tables = openLedger(join(dataDirs[0], 'ledger'));
  const blocks: MadeBlock[] = [];
  let view = kit.view;
  for (const entries of contents) {
    const made = makeBlock(kit, view, entries);
    put(tables, store(kit, made));
    tables.meta.putSync(META_HEAD, JSON.stringify(made.changes.tip));
    if (made.changes.registry !== null) tables.meta.putSync(META_REGISTRY, registryText(made.changes.registry));
    view = after(view, made);
    blocks.push(made);
  }
  await closeLedger(tables);
  cpSync(dataDirs[0], dataDirs[1], { recursive: true });
  return { kit, blocks, dataDirs };
}

function put(tables: Tables, block: StoredBlock): void {
  const { height } = block.header;
  tables.blocks.putSync(height, encodeBlock(block));
  for (const [index, { issuer, id, digest }] of block.entries.entries()) {
    const bytes = Buffer.from(digest, 'hex');
    tables.index.putSync(indexKey(`${issuer}\0${id}`), indexValue(bytes, bytes, { height, index }));
    tables.digests.putSync(digestKey(bytes), positionValue({ height, index }));
  }
}

type Harm = (tables: Tables, made: Made) => void;

async function harmed(made: Made, harm: Harm): Promise<ClusterFindings> {
  const tables = openLedger(join(made.dataDirs[1], 'ledger'));
  harm(tables, made);
  await closeLedger(tables);
  return checkClusterLedgers(made.dataDirs, new Map(), made.kit.set);
}

/** Rewrites block 1 of the other node. */
function rewrite(change: (block: StoredBlock, made: Made) => StoredBlock): Harm {
  return ({ blocks }, made) => blocks.putSync(1, encodeBlock(change(decodeBlock(blocks.get(1)!), made)));
}

/** The signatures of the last three of four validators, or by their keys over something else. */
function otherCertificate({ kit, blocks }: Made, hash = blocks[0]!.hash): StoredBlock['certificate'] {
  const [first, ...last] = kit.validators;
  return certify({ ...kit, validators: [...last, first!] }, { ...blocks[0]!, hash });
}

test('CO-1: ledgers are equal in every row but for certificates, and each of these is of a quorum', async (t) => {
  const made = await makeNodes(t);
  const equal = await checkClusterLedgers(made.dataDirs, new Map(), made.kit.set);
  t.deepEqual(equal.faults, []);
  t.like(equal, { blocks: 2, entries: 3, certificates: 4, certifiedApart: 0 });
  const rows = equal.compared.map(({ table, rows }) => `${table} ${rows}`);
  t.deepEqual(rows, ['blocks 2', 'index 3', 'digests 3', 'meta 2']);

  const apart = await harmed(
    made,
    rewrite((block) => ({ ...block, certificate: otherCertificate(made) })),
  );
  t.deepEqual(apart.faults, [], 'another quorum is as good');
  t.like(apart, { certificates: 4, certifiedApart: 1 });
  t.deepEqual(apart.compared, equal.compared);

  const own = await harmed(made, ({ rejected }) => void rejected.putSync(Buffer.alloc(16), Buffer.from('{}')));
  t.deepEqual(own.faults, [], 'what one node alone refused is no part of the ledger');
});

const harms: readonly (readonly [what: string, fault: RegExp, harm: Harm])[] = [
  [
    'a certificate without a quorum',
    /^block 1 of node 2: signatures: /,
    rewrite((block, made) => ({ ...block, certificate: otherCertificate(made, '00'.repeat(32)) })),
  ],
  [
    'another time in an attestation, which no header covers',
    /^table blocks of node 2 is not that of node 1: row 2 differs$/,
    ({ blocks }) => {
      const block = decodeBlock(blocks.get(2)!);
      const [entry] = block.entries;
      const attestation = { ...entry!.attestation!, timeMs: 1 };
      blocks.putSync(2, encodeBlock({ ...block, entries: [{ ...entry!, attestation }] }));
    },
  ],
  [
    'a block that cannot be read',
    /^table blocks of node 2 is not that of node 1: row 1 differs$/,
    ({ blocks }) => blocks.putSync(1, Buffer.from('damaged')),
  ],
  ['a block less', /^table blocks of node 2 .* it has no row 2$/, ({ blocks }) => void blocks.removeSync(2)],
  [
    'another place in the index',
    /^table index of node 2 .* row dev a differs$/,
    ({ index }) => {
      const value = Buffer.from(index.get(indexKey('dev\0a'))!);
      value[value.length - 1]! ^= 1;
      index.putSync(indexKey('dev\0a'), value);
    },
  ],
  [
    'a digest more',
    /^table digests of node 2 .* it has a row 0{32} more$/,
    ({ digests }) => digests.putSync(Buffer.alloc(16), positionValue({ height: 1, index: 0 })),
  ],
  [
    'another spelling of the head',
    /^table meta of node 2 .* row head differs$/,
    ({ meta }) => meta.putSync(META_HEAD, `${meta.get(META_HEAD)} `),
  ],
];
for (const [what, fault, harm] of harms) {
  test(`CO-1: a ledger beside another is not equal with ${what}`, async (t) => {
    const { faults } = await harmed(await makeNodes(t), harm);
    t.is(faults.length, 1, faults.join('; '));
    t.regex(faults[0]!, fault);
  });
}

test('a ledger that all nodes hold wrongly is found by executing it', async (t) => {
  const made = await makeNodes(t);
  for (const directory of made.dataDirs) {
    const tables = openLedger(join(directory, 'ledger'));
    tables.index.removeSync(indexKey('dev\0a'));
    await closeLedger(tables);
  }
  const { faults } = await checkClusterLedgers(made.dataDirs, new Map([['lost', '{}']]), made.kit.set);
  t.regex(faults[0]!, /^the ledger of node 1 does not hold together: block 1: entry 0 is not in the index/);
  t.is(faults[1], 'lost was acknowledged and is not in the ledger');
});
