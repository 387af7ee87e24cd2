// A receipt is valid as it is written and in no other way.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import type { CertificateJson } from './consensus/vote.js';
import { sha256Hex } from './crypto/hash.js';
import type { JsonObject, JsonValue } from './json.js';
import { ShapeError } from './kinds/kind.js';
import { BlockReceipts } from './ledger/block.js';
import {
  after,
  certify,
  devEntry,
  hmacEntry,
  type MadeBlock,
  makeBlock,
  makeTestkit,
  pcsEntry,
  signedEnvelope,
  store,
  type Testkit,
} from './ledger/testkit.js';
import { readReceiptFile } from './receipt.js';
import { type Check, type Submitted, verifyReceipt, verifyWith } from './receipt-verify.js';
import { firstEpoch, validatorSetJson } from './validators.js';

const kit = await makeTestkit();
const four = await makeTestkit(4);

function blockOf(chain: Testkit): MadeBlock {
  const notes = Array.from({ length: 4 }, (_, i) => devEntry(chain, { id: `n${i}` }));
  return makeBlock(chain, chain.view, [...notes, hmacEntry(chain, 'h'), pcsEntry(chain)]);
}

const alone = blockOf(kit);
const text = new BlockReceipts(store(kit, alone)).text(3);
const ofFour = blockOf(four);
const child = makeBlock(four, after(four.view, ofFour), [devEntry(four, { id: 'later' })]);
const grandchild = makeBlock(four, after(four.view, ofFour, child), []);
const descended = new BlockReceipts(store(four, ofFour, child, grandchild)).text(4);

/** Names of the checks that failed; `['unreadable']` when the text is not even a receipt file. */
function failures(receipt: string, chain: Testkit = kit, submitted?: Submitted): string[] {
  let value: JsonValue;
  try {
    value = readReceiptFile(Buffer.from(receipt));
  } catch {
    return ['unreadable'];
  }
  return failed(value, chain, submitted);
}

function failed(value: JsonValue, chain: Testkit, submitted?: Submitted): Check['name'][] {
  const verdict = verifyWith(value, chain.set, chain.ed25519, submitted);
  const names = verdict.checks.filter(({ ok }) => !ok).map(({ name }) => name);
  if (verdict.valid !== (names.length === 0)) throw new Error('valid must mean that no check failed');
  return names;
}

const parsed = (receipt: string): JsonObject => JSON.parse(receipt) as JsonObject;

test('CO-7: a receipt of every entry is valid with the validator set alone', (t) => {
  t.true(verifyReceipt(parsed(text), validatorSetJson(kit.set), kit.ed25519).valid);
  for (const [chain, stored] of [
    [kit, store(kit, alone)],
    [four, store(four, ofFour)],
    [four, store(four, ofFour, child, grandchild)],
    [kit, store(kit, makeBlock(kit, kit.view, [devEntry(kit, { id: 'only' })]))],
  ] as const) {
    const receipts = new BlockReceipts(stored);
    stored.entries.forEach((_, i) => {
      t.deepEqual(failures(receipts.text(i), chain), [], `entry ${i}`);
    });
  }
});

test('CO-7: any changed byte of a receipt makes it fail', (t) => {
  // The neighbour, another case of a letter, and the one that makes an exponent.
  const others = (code: number): number[] => [code ^ 1, code ^ 0x20, 0x65];
  t.deepEqual(survivors(text, kit, others), []);
  t.deepEqual(
    survivors(descended, four, (code) => [code ^ 1]),
    [],
  );
});

/** The changes of one byte that a receipt survives: replaced by each of `others(byte)`, or left out. */
function survivors(receipt: string, chain: Testkit, others: (code: number) => number[]): string[] {
  const found: string[] = [];
  for (let at = 0; at < receipt.length; at += 1) {
    const code = receipt.charCodeAt(at);
    const replacements = others(code).filter((other) => other !== code);
    for (const replacement of [...replacements.map((other) => String.fromCharCode(other)), '']) {
      const changed = receipt.slice(0, at) + replacement + receipt.slice(at + 1);
      if (failures(changed, chain).length === 0) found.push(`byte ${at}: ${receipt[at]} → ${replacement}`);
    }
  }
  return found;
}

test('CO-7: any byte replaced by any other makes it fail', (t) => {
  const place = fc.nat({ max: text.length - 1 });
  fc.assert(
    fc.property(place, fc.nat({ max: 255 }), (at, byte) => {
      const bytes = Buffer.from(text);
      if (bytes[at] === byte) return true;
      bytes[at] = byte;
      try {
        return failed(readReceiptFile(bytes), kit).length > 0;
      } catch {
        return true;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

/** Every place inside a value, with a value of the same type that differs. */
function* changes(value: JsonValue, path: readonly (string | number)[] = []): Generator<[string, JsonValue]> {
  if (Array.isArray(value)) {
    yield [`${path.join('.')} longer`, [...value, value[0] ?? 'node_9']];
    if (value.length > 0) yield [`${path.join('.')} shorter`, value.slice(1)];
    for (const [i, item] of value.entries()) {
      for (const [name, changed] of changes(item, [...path, i])) yield [name, value.with(i, changed)];
    }
  } else if (typeof value === 'object' && value !== null) {
    yield [`${path.join('.')} with more`, { ...value, more: 1 }];
    for (const [name, item] of Object.entries(value)) {
      const { [name]: _, ...less } = value;
      yield [`without ${[...path, name].join('.')}`, less];
      for (const [at, changed] of changes(item, [...path, name])) yield [at, { ...value, [name]: changed }];
    }
  } else if (typeof value === 'number') {
    yield [path.join('.'), value + 1];
    if (value > 0) yield [path.join('.'), value - 1];
  } else if (typeof value === 'boolean') {
    yield [path.join('.'), !value];
  } else if (typeof value === 'string') {
    yield [path.join('.'), `${value[0] === '0' ? '1' : '0'}${value.slice(1)}`];
    yield [path.join('.'), ''];
  }
}

test('CO-7: any changed, missing or added member makes it fail', (t) => {
  let count = 0;
  for (const [receipt, chain] of [
    [text, kit],
    [descended, four],
  ] as const) {
    for (const [place, changed] of changes(parsed(receipt))) {
      count += 1;
      t.not(failed(changed, chain).length, 0, place);
    }
  }
  t.true(count > 200);
});

test('each check fails for its own reason', (t) => {
  const receipt = parsed(text);
  const block = receipt.block as JsonObject;
  const certificate = receipt.certificate as unknown as CertificateJson;
  const because = (change: JsonObject): string[] => failed({ ...receipt, ...change }, kit);
  t.deepEqual(because({ version: 2 }), ['shape']);
  t.deepEqual(because({ chain_id: 'ab'.repeat(32) }), ['chain']);
  t.deepEqual(because({ height: 2 }), ['position']);
  t.deepEqual(because({ index: 2 }), ['inclusion']);
  t.deepEqual(because({ outcome: { accepted: false, status: 200 } }), ['inclusion']);
  t.deepEqual(because({ chain: [block] }), ['ancestry']);
  t.deepEqual(because({ block: { ...block, epoch: 1 } }), ['epoch', 'certificate', 'signatures']);
  t.deepEqual(because({ block: { ...block, proposer: 'node_9' } }), ['signatures']);
  t.deepEqual(because({ certificate: { ...certificate, view: 2 } as unknown as JsonObject }), [
    'certificate',
    'signatures',
  ]);
});

test('a tree size that the path would allow is refused by the signed count', (t) => {
  // Entry 0 of a tree of 5 and of 8 has three siblings alike: only entry_count tells them apart.
  const receipt = parsed(new BlockReceipts(store(kit, makeBlock(kit, kit.view, notes(5)))).text(0));
  const inclusion = receipt.inclusion as JsonObject;
  t.deepEqual(failed({ ...receipt, inclusion: { ...inclusion, tree_size: 8 } }, kit), ['position']);
});

function notes(count: number): ReturnType<typeof devEntry>[] {
  return Array.from({ length: count }, (_, i) => devEntry(kit, { id: `n${i}` }));
}

test('a certificate needs a quorum of different validators in their order, all with valid signatures', (t) => {
  const receipt = parsed(new BlockReceipts(store(four, ofFour)).text(0));
  const { epoch, view, signers, signatures } = certify(four, ofFour);
  const because = (names: readonly string[], signed: readonly string[]): string[] =>
    failed({ ...receipt, certificate: { epoch, view, signers: [...names], signatures: [...signed] } }, four);
  t.deepEqual(because(signers, signatures), []);
  t.deepEqual(because(signers.slice(1), signatures.slice(1)), ['certificate']);
  t.deepEqual(because(signers.toReversed(), signatures.toReversed()), ['certificate']);
  t.deepEqual(because(signers.with(2, signers[0]!), signatures.with(2, signatures[0]!)), ['shape']);
  t.deepEqual(because(signers.with(2, 'node_3'), signatures), ['signatures']);
  t.deepEqual(because(signers.with(2, 'node_9'), signatures), ['certificate', 'signatures']);
  t.deepEqual(because(signers, signatures.with(1, signatures[0]!)), ['signatures']);
  t.deepEqual(because(signers, signatures.slice(1)), ['shape']);
});

test('another spelling of the same signature bytes is refused', (t) => {
  const receipt = parsed(text);
  const certificate = receipt.certificate as JsonObject;
  const [signature] = certificate.signatures as string[];
  // The last character before the padding carries four bits that decode to nothing.
  const last = signature!.at(-3)!;
  const other = String.fromCharCode(last.charCodeAt(0) + 1);
  const respelled = `${signature!.slice(0, -3)}${other}==`;
  t.deepEqual(Buffer.from(respelled, 'base64'), Buffer.from(signature!, 'base64'));
  t.deepEqual(failed({ ...receipt, certificate: { ...certificate, signatures: [respelled] } }, kit), ['shape']);
});

test('a receipt file may be indented and reordered, but numbers and strings keep their spelling', (t) => {
  const receipt = parsed(text);
  t.deepEqual(failures(JSON.stringify(receipt, null, 2)), []);
  t.deepEqual(failures(JSON.stringify(Object.fromEntries(Object.entries(receipt).reverse()))), []);
  const respell = (from: string, to: string): Buffer => Buffer.from(text.replace(from, to));
  t.throws(() => readReceiptFile(respell('"height":1', '"height":1.0')), { message: /spelling 1$/ });
  t.throws(() => readReceiptFile(respell('"height":1', '"height":1e0')), { instanceOf: ShapeError });
  t.throws(() => readReceiptFile(respell('"version"', '"\\u0076ersion"')), { message: /spelling "version"$/ });
});

test('receipts of an epoch that the operator gave up are void from its height on', (t) => {
  const file = validatorSetJson(kit.set);
  const handover = { reason: 'vote log lost', last_trusted_height: 0 };
  const epochs = [
    ...(file.epochs as JsonObject[]),
    { epoch: 1, set: file.validators as JsonObject[], from_height: 1, handover },
  ];
  const names = (validators: JsonObject): string[] =>
    verifyReceipt(parsed(text), validators, kit.ed25519)
      .checks.filter(({ ok }) => !ok)
      .map(({ name, detail }) => `${name}: ${detail}`);
  t.deepEqual(names({ ...file, epoch: 1, epochs }).slice(0, 1), [
    'epoch: height 1 of epoch 0 is void: epoch 1 begins at height 1',
  ]);
  epochs[1]!.from_height = 2;
  t.deepEqual(names({ ...file, epoch: 1, epochs }), []);
});

test('a validator file of another set fails, even where all who signed are in it', (t) => {
  const receipt = parsed(new BlockReceipts(store(four, ofFour)).text(0));
  const validators = four.genesis.validators.with(3, { nodeId: 'node_3', publicKey: kit.operator.publicKey });
  const other = { ...four, set: firstEpoch(four.genesis.chainIdHex, validators) };
  t.deepEqual(failed(receipt, other), ['epoch']);
});

test('a validator file that does not add up is an error, not a verdict', (t) => {
  t.throws(() => verifyReceipt(parsed(text), {}, kit.ed25519), { instanceOf: ShapeError });
});

test('verify --envelope: body, digest and with a key the signature', (t) => {
  const bytes = signedEnvelope(kit, kit.dev, { id: 'n3' });
  const { publicKey } = kit.dev;
  t.deepEqual(failures(text, kit, { bytes, publicKey }), []);
  t.deepEqual(failures(text, kit, { bytes: Buffer.concat([bytes, Buffer.from(' ')]) }), ['body']);
  t.deepEqual(failures(text, kit, { bytes: signedEnvelope(kit, kit.dev, { id: 'n2' }), publicKey }), [
    'body',
    'digest',
  ]);
  t.deepEqual(failures(text, kit, { bytes, publicKey: kit.operator.publicKey }), ['client signature']);
  t.deepEqual(failures(text, kit, { bytes: Buffer.from('no json') }), ['body', 'digest']);
  const pcs = new BlockReceipts(store(kit, alone)).text(5);
  t.deepEqual(failures(pcs, kit, { bytes: pcsEntry(kit).raw }), []);
  t.deepEqual(failures(pcs, kit, { bytes: pcsEntry(kit, { regime: 'sticky' }).raw }), ['body']);
});

test('conformance: the text of a receipt', (t) => {
  t.is(sha256Hex(text), '7410b1e225f82c312e5c9814bdcc5c28f5af5d3bab47a0e6ecf0c572f78fc4c1');
  t.is(sha256Hex(descended), '2a36c1f73441c6089036ba4c6c908b61c90efe19b6f403c57607eefb03fd8899');
  t.deepEqual(Object.keys(parsed(text)), [
    'version',
    'chain_id',
    'digest',
    'outcome',
    'height',
    'index',
    'body',
    'inclusion',
    'block',
    'chain',
    'certificate',
  ]);
});
