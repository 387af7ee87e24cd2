// What an audit must notice: everything that can be wrong with a stored ledger, one thing at a time.
import test from 'ava';
import { canonicalize } from '../../protocol/canonical.js';
import type { IndexEntry, LedgerView } from '../../protocol/ledger/apply.js';
import { indexKey } from '../../protocol/ledger/apply.js';
import type { StoredBlock } from '../../protocol/ledger/block.js';
import { blockHash, enterEpoch, headerText, type Tip } from '../../protocol/ledger/header.js';
import {
  after,
  certify,
  devEntry,
  hmacEntry,
  type MadeBlock,
  makeBlock,
  makeTestkit,
  pcsEntry,
  registryEntry,
  store,
  type Testkit,
} from '../../protocol/ledger/testkit.js';
import { registryText } from '../../protocol/registry.js';
import { NO_ROUNDS } from '../../protocol/rounds/round.js';
import { type ValidatorSet, withEpoch } from '../../protocol/validators.js';
import { type AuditedLedger, auditLedger, type LedgerAudit } from './audit.js';

/** A database in memory, open to every change. */
interface Fake {
  tip: Tip | undefined;
  registry: string | undefined;
  readonly blocks: Map<number, StoredBlock>;
  readonly index: Map<string, IndexEntry>;
  readonly hints: Map<string, { height: number; index: number }>;
}

function asLedger(fake: Fake): AuditedLedger {
  return {
    head: fake.tip === undefined ? undefined : JSON.stringify(fake.tip),
    registry: fake.registry,
    find: (key) => fake.index.get(key),
    hint: (digest) => fake.hints.get(digest.toString('hex')),
    block: (height) => fake.blocks.get(height),
    rounds: NO_ROUNDS,
  };
}

function put(kit: Testkit, fake: Fake, made: MadeBlock): void {
  const { height } = made.header;
  const block = store(kit, made);
  fake.blocks.set(height, block);
  fake.tip = made.changes.tip;
  if (made.changes.registry !== null) fake.registry = registryText(made.changes.registry);
  for (const [index, { route, issuer, id, digest, body }] of block.entries.entries()) {
    const content = Buffer.from(route === 'pcs' ? body : '', 'hex');
    fake.index.set(indexKey(issuer, id), { digest: Buffer.from(digest, 'hex'), body: content, height, index });
    if (!fake.hints.has(digest)) fake.hints.set(digest, { height, index });
  }
}

interface Made {
  readonly kit: Testkit;
  readonly fake: Fake;
  readonly views: readonly LedgerView[];
}

/** Three blocks: notes and a PCS, a registry entry, an HMAC note. */
async function makeLedger(): Promise<Made> {
  const kit = await makeTestkit(1);
  const fake: Fake = { tip: undefined, registry: undefined, blocks: new Map(), index: new Map(), hints: new Map() };
  const wish = { clients: [...(kit.genesis.json.clients as [])], kinds: [] };
  const contents = [
    [devEntry(kit, { id: 'a' }), devEntry(kit, { id: 'b' }), pcsEntry(kit)],
    [registryEntry(kit, 'r', wish)],
    [hmacEntry(kit, 'h')],
  ];
  const views = [kit.view];
  for (const entries of contents) {
    const view = views.at(-1)!;
    const made = makeBlock(kit, view, entries);
    put(kit, fake, made);
    views.push(after(view, made));
  }
  return { kit, fake, views };
}

function audit({ kit, fake }: Made, validators: ValidatorSet = kit.set): LedgerAudit {
  return auditLedger({ genesis: kit.genesis, ledger: asLedger(fake), validators, ed25519: kit.ed25519 });
}

test('a ledger that holds together is proven to its head, an empty one too', async (t) => {
  const made = await makeLedger();
  const { tip, registry, entries, fault } = audit(made);
  t.is(fault, null);
  t.deepEqual(tip, made.fake.tip);
  t.is(registryText(registry), made.fake.registry ?? 'none');
  t.is(entries, 5);
  const empty: Fake = { tip: undefined, registry: undefined, blocks: new Map(), index: new Map(), hints: new Map() };
  t.like(audit({ ...made, fake: empty }), { fault: null, entries: 0 });
});

type Harm = (made: Made) => void;

function change(made: Made, height: number, changed: (block: StoredBlock) => StoredBlock): void {
  made.fake.blocks.set(height, changed(made.fake.blocks.get(height)!));
}

/** What the validator itself could do: another header, certified like the right one. */
function forge({ kit, fake }: Made, height: number, header: Partial<StoredBlock['header']>): void {
  const block = fake.blocks.get(height)!;
  const forged = { ...block.header, ...header };
  const hash = blockHash(headerText(forged)).toString('hex');
  const certificate = certify(kit, { header: forged, hash } as MadeBlock);
  fake.blocks.set(height, { ...block, header: forged, hash, certificate });
}

const harms: [what: string, good: number, fault: RegExp, harm: Harm][] = [
  ['a block is missing', 1, /^block 2: missing$/, ({ fake }) => void fake.blocks.delete(2)],
  [
    'a body was changed',
    0,
    /^block 1: entry 1: body hashes to/,
    (made) =>
      change(made, 1, (block) => {
        const entries = block.entries.map((entry, index) =>
          index === 1 ? { ...entry, raw: Buffer.concat([entry.raw, Buffer.from(' ')]) } : entry,
        );
        return { ...block, entries };
      }),
  ],
  [
    'an outcome was changed',
    2,
    /^block 3: entries lead to root/,
    (made) =>
      change(made, 3, (block) => ({
        ...block,
        entries: [{ ...block.entries[0]!, outcome: canonicalize({ accepted: false }) }],
      })),
  ],
  [
    'a signature of the certificate was changed',
    1,
    /^block 2: signatures: no valid signature/,
    (made) =>
      change(made, 2, (block) => ({
        ...block,
        certificate: certify(made.kit, { header: block.header, hash: '00'.repeat(32) } as MadeBlock),
      })),
  ],
  [
    'a certificate is of another block',
    1,
    /^block 2: certificate: /,
    (made) => change(made, 2, (block) => ({ ...block, certificate: made.fake.blocks.get(3)!.certificate })),
  ],
  [
    'a certified header claims another state',
    1,
    /^block 2: state_digest is/,
    (made) => forge(made, 2, { state_digest: '11'.repeat(32) }),
  ],
  [
    'a certified header follows another parent',
    1,
    /^block 2: parent_hash is/,
    (made) => forge(made, 2, { parent_hash: '11'.repeat(32) }),
  ],
  [
    'a certified header is of another epoch',
    1,
    /^block 2: epoch: epoch 7 is not in the validator file/,
    (made) => forge(made, 2, { epoch: 7 }),
  ],
  [
    'an index entry is missing',
    0,
    /^block 1: entry 0 is not in the index/,
    ({ fake }) => void fake.index.delete(indexKey('dev', 'a')),
  ],
  [
    'an index entry points elsewhere',
    0,
    /^block 1: entry 1 is not in the index/,
    ({ fake }) => {
      const key = indexKey('dev', 'b');
      fake.index.set(key, { ...fake.index.get(key)!, index: 0 });
    },
  ],
  [
    'the index has another content for a PCS',
    0,
    /^block 1: entry 2 is not in the index/,
    ({ fake }) => {
      const [key, entry] = [...fake.index].find(([, { body }]) => body.length > 0)!;
      fake.index.set(key, { ...entry, body: Buffer.alloc(32) });
    },
  ],
  [
    'a digest is not found',
    2,
    /^block 3: entry 0 is not found by its digest/,
    ({ fake }) => void fake.hints.delete(fake.blocks.get(3)!.entries[0]!.digest),
  ],
  [
    'the head tells another story',
    3,
    /^the head is /,
    ({ fake }) => {
      fake.tip = { ...fake.tip!, nextSeq: 99 };
    },
  ],
  [
    'the registry is not stored',
    3,
    /^the registry of the blocks is not stored$/,
    ({ fake }) => {
      fake.registry = undefined;
    },
  ],
  [
    'the registry is another',
    3,
    /^the stored registry is not/,
    ({ fake }) => {
      fake.registry = fake.registry!.replace('"version":1', '"version":2');
    },
  ],
];
for (const [what, good, fault, harm] of harms) {
  test(`an audit notices: ${what}`, async (t) => {
    const made = await makeLedger();
    harm(made);
    const found = audit(made);
    t.regex(found.fault ?? 'nothing', fault);
    t.is(found.tip.height, good, 'and trusts what comes before');
  });
}

test('an entry that is in the ledger twice is refused by executing it', async (t) => {
  const { kit, fake, views } = await makeLedger();
  // A view that has forgotten everything lets the second one through, as a faulty leader would.
  const forgetful = {
    ...views[3]!,
    tip: views[3]!.tip,
    find: () => undefined,
    registry: views[3]!.registry,
    chain: kit.genesis.chain,
  };
  const twice = makeBlock(kit, forgetful, [devEntry(kit, { id: 'a' })]);
  fake.blocks.set(4, store(kit, twice));
  fake.tip = twice.changes.tip;
  t.regex(audit({ kit, fake, views }).fault ?? 'nothing', /^block 4: holds an entry that is refused: .*/);
});

test('blocks of a later epoch follow those before it, and what it voids is no part of the ledger', async (t) => {
  const made = await makeLedger();
  const { kit, fake, views } = made;
  const set = withEpoch(kit.set, 1, { reason: 'the log was lost', lastTrustedHeight: 3 });
  const view = views[3]!;
  const entered = enterEpoch(view.tip, 1, view.tip.validatorsHash, 1);
  fake.tip = entered;
  t.is(audit(made, set).fault, null, 'the epoch has begun, and has no block yet');
  const base = {
    chain: kit.genesis.chain,
    registry: view.registry,
    rounds: view.rounds,
    tip: entered,
    find: (key: string) => view.find(key),
  };
  put(kit, fake, makeBlock(kit, base, [devEntry(kit, { id: 'c' })]));
  const found = audit(made, set);
  t.is(found.fault, null);
  t.like(found.tip, { epoch: 1, height: 4 });
  t.regex(audit(made).fault ?? 'nothing', /^block 4: epoch: epoch 1 is not in the validator file/);
  const voiding = withEpoch(kit.set, 1, { reason: 'more was lost', lastTrustedHeight: 1 });
  t.regex(audit(made, voiding).fault ?? 'nothing', /^block 2: epoch: height 2 of epoch 0 is void/);
});
