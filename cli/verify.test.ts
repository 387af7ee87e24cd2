// `quorate verify` on real receipts of a chain in memory, from files, without any node.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BlockReceipts } from '../protocol/ledger/block.js';
import { devEntry, makeBlock, makeTestkit, signedEnvelope, store } from '../protocol/ledger/testkit.js';
import { validatorSetJson } from '../protocol/validators.js';
import { emptyDirectory, removeDirectory, run } from './testkit.js';

const kit = await makeTestkit();
const entries = ['a', 'b', 'c'].map((id) => devEntry(kit, { id }));
const receipt = new BlockReceipts(store(kit, makeBlock(kit, kit.view, entries))).text(1);
const validators = JSON.stringify(validatorSetJson(kit.set));
const envelope = signedEnvelope(kit, kit.dev, { id: 'b' });
const clientKey = kit.dev.publicKey.toString('hex');

test('CO-7: a receipt holds with the validator set alone: exit 0, every check named', async (t) => {
  const file = filesOf(t);
  const { code, out, err } = await run(['verify', file('r.json', receipt), '--validators', file('v.json', validators)]);
  t.is(code, 0, err);
  t.regex(out, /^( {2}ok {2}\S.*\n){8}valid\n$/);
  const json = await run(['verify', '-', '--validators', file('v.json', validators), '--json'], { stdin: receipt });
  t.is(json.code, 0);
  t.like(JSON.parse(json.out), { valid: true });
});

test('CO-7: exit 1 after a change of any field, naming the failed check', async (t) => {
  const file = filesOf(t);
  const v = file('v.json', validators);
  const value = JSON.parse(receipt);
  const flip = (hex: string) => (hex.startsWith('0') ? '1' : '0') + hex.slice(1);
  const signature = Buffer.from(value.certificate.signatures[0], 'base64');
  signature[0]! ^= 1;
  const stories: [string, object][] = [
    ['digest', { digest: flip(value.digest) }],
    ['body', { body: flip(value.body) }],
    ['outcome', { outcome: { ...value.outcome, accepted: false } }],
    ['path', { inclusion: { ...value.inclusion, path: value.inclusion.path.map(flip) } }],
    ['tree size', { inclusion: { ...value.inclusion, tree_size: 4 } }],
    ['index', { index: 2 }],
    ['height', { height: 2 }],
    ['chain id', { chain_id: flip(value.chain_id) }],
    ['version', { version: 2 }],
    ['signature', { certificate: { ...value.certificate, signatures: [signature.toString('base64')] } }],
    ['signer', { certificate: { ...value.certificate, signers: ['node_9'] } }],
    ['view', { certificate: { ...value.certificate, view: value.certificate.view + 1 } }],
    ...Object.keys(value.block).map((name): [string, object] => {
      const old = value.block[name];
      return [`header ${name}`, { block: { ...value.block, [name]: typeof old === 'number' ? old + 1 : flip(old) } }];
    }),
  ];
  for (const [name, change] of stories) {
    const changed = file('r.json', JSON.stringify({ ...value, ...change }));
    const { code, out } = await run(['verify', changed, '--validators', v]);
    t.is(code, 1, name);
    t.regex(out, / {2}FAILED {2}\S/, name);
    t.true(out.endsWith('NOT VALID\n'), name);
  }
});

test('another spelling of the same value, and JSON that is no receipt, are not valid', async (t) => {
  const file = filesOf(t);
  const v = file('v.json', validators);
  for (const text of [receipt.replace('"height":1', '"height":1e0'), '{}', '[]', 'null', '"receipt"']) {
    const { code, out } = await run(['verify', file('r.json', text), '--validators', v, '--json']);
    t.is(code, 1, text);
    t.like(JSON.parse(out), { valid: false });
  }
});

test('what cannot be read is exit 2, whichever file it is', async (t) => {
  const file = filesOf(t);
  const r = file('r.json', receipt);
  const v = file('v.json', validators);
  const stories: [string[], RegExp][] = [
    [['/no/such', '--validators', v], /\/no\/such: cannot be read/],
    [[r, '--validators', '/no/such'], /\/no\/such: cannot be read/],
    [[r, '--validators', v, '--envelope', '/no/such'], /\/no\/such: cannot be read/],
    [[file('half.json', receipt.slice(0, -1)), '--validators', v], /half\.json: not JSON/],
    [[r, '--validators', file('half-v.json', '{')], /half-v\.json: not JSON/],
    [[r, '--validators', file('odd.json', '{}')], /odd\.json: no validator set/],
    [[file('empty.json', ''), '--validators', v], /empty\.json: not JSON/],
  ];
  for (const [argv, expected] of stories) {
    const { code, err, out } = await run(['verify', ...argv]);
    t.is(code, 2, argv.join(' '));
    t.regex(err, expected);
    t.is(out, '');
  }
});

test('--envelope binds the submitted bytes, --client-key their signature', async (t) => {
  const file = filesOf(t);
  const base = ['verify', file('r.json', receipt), '--validators', file('v.json', validators)];
  const bytes = file('e.json', envelope.toString());
  t.is((await run([...base, '--envelope', bytes])).code, 0);
  const signed = await run([...base, '--envelope', bytes, '--client-key', clientKey]);
  t.is(signed.code, 0);
  t.regex(signed.out, / {2}ok {2}client signature/);
  t.is((await run([...base, '--envelope', bytes, '--client-key', 'ab'.repeat(32)])).code, 1);
  const other = file('o.json', signedEnvelope(kit, kit.dev, { id: 'a' }).toString());
  t.is((await run([...base, '--envelope', other])).code, 1);
  t.is((await run([...base, '--envelope', file('x.json', 'not an envelope')])).code, 1);
  t.is((await run([...base, '--client-key', clientKey])).code, 64);
  t.is((await run([...base, '--envelope', bytes, '--client-key', 'zz'])).code, 64);
});

test('the whole answer of a submission is taken for its receipt', async (t) => {
  const file = filesOf(t);
  const answer = file('a.json', `{"state":"final","outcome":{"accepted":true,"status":200},"receipt":${receipt}}`);
  t.is((await run(['verify', answer, '--validators', file('v.json', validators)])).code, 0);
});

/** Writes files into a directory of this test. */
function filesOf(t: ExecutionContext): (name: string, text: string) => string {
  const directory = emptyDirectory();
  t.teardown(() => removeDirectory(directory));
  return (name, text) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
}

test('CO-5: evidence holds or not, and none at all proves nothing; an envelope has no place beside it', async (t) => {
  const file = filesOf(t);
  const v = file('v.json', validators);
  const none = await run(['verify', file('e.json', '{"evidence":[]}'), '--validators', v]);
  t.is(none.code, 1);
  t.regex(none.out, /FAILED {2}evidence {2}there is none in it\nNOT VALID\n$/);
  const document = {
    version: 1,
    chain_id: kit.set.chainId,
    epoch: 0,
    rule: 'E1',
    signer: 'node_0',
    view: 1,
    votes: [],
  };
  const one = file('e.json', JSON.stringify(document));
  const malformed = await run(['verify', one, '--validators', v, '--json']);
  t.is(malformed.code, 1);
  t.like(JSON.parse(malformed.out), { valid: false, checks: { 0: { name: 'evidence', ok: false } } });
  const beside = await run(['verify', one, '--validators', v, '--envelope', file('s.json', '{}')]);
  t.is(beside.code, 64);
  t.regex(beside.err, /--envelope is for receipts/);
});
