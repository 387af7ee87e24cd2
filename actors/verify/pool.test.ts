import { Buffer } from 'node:buffer';
import test, { type ExecutionContext } from 'ava';
import { Registry } from '../../observability/prom-client.js';
import { type Ed25519Backend, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256 } from '../../protocol/crypto/hash.js';
import { hmacSha256 } from '../../protocol/crypto/hmac.js';
import { metricValue } from '../testing/context.js';
import { CHECK_ED25519, CHECK_HMAC, CHECK_HMAC_DIGEST, type SignatureCheck } from './checks.js';
import { batchSize, VerifyPool, VerifyThreads } from './pool.js';

const SEED = Buffer.alloc(32, 9);

async function openPool(t: ExecutionContext, backend: Ed25519Backend | null = null) {
  const registry = new Registry();
  const threads = new VerifyThreads({ threads: 2, backend, seed: SEED });
  const pool = new VerifyPool(threads, registry);
  t.teardown(() => pool.close());
  return { pool, registry, backend: await threads.start() };
}

async function samples(): Promise<readonly (readonly [string, boolean, SignatureCheck])[]> {
  const ed25519 = await loadEd25519();
  const { publicKey, secretKey } = ed25519.keyPair(SEED);
  const message = Buffer.from('a message');
  const signature = ed25519.sign(message, secretKey);
  const secret = Buffer.from('a secret');
  const longSecret = Buffer.alloc(3_000, 's');
  const direct = hmacSha256(secret, message);
  const ed = { operation: CHECK_ED25519, key: publicKey, signature, message } as const;
  const mac = { operation: CHECK_HMAC, key: secret, signature: direct, message } as const;
  const changed = Uint8Array.from(signature);
  changed[10]! ^= 1;
  return [
    ['ed25519', true, ed],
    ['ed25519, other message', false, { ...ed, message: Buffer.from('another') }],
    ['ed25519, changed signature', false, { ...ed, signature: changed }],
    ['ed25519, other key', false, { ...ed, key: ed25519.keyPair(Buffer.alloc(32, 1)).publicKey }],
    ['ed25519, short signature', false, { ...ed, signature: signature.subarray(0, 32) }],
    ['HMAC', true, mac],
    ['HMAC, other secret', false, { ...mac, key: Buffer.from('b secret') }],
    ['HMAC, cut', false, { ...mac, signature: direct.subarray(0, 31) }],
    ['HMAC, empty', false, { ...mac, signature: new Uint8Array() }],
    ['HMAC taken for the digest form', false, { ...mac, operation: CHECK_HMAC_DIGEST }],
    [
      'HMAC in digest form',
      true,
      { ...mac, operation: CHECK_HMAC_DIGEST, signature: hmacSha256(secret, sha256(message)) },
    ],
    ['HMAC with a long secret', true, { ...mac, key: longSecret, signature: hmacSha256(longSecret, message) }],
  ];
}

for (const backend of ['sodium-native', 'libsodium-wrappers'] as const) {
  test(`RT-12, ID-7: ${backend}: one batch of good and bad signatures, one verdict each`, async (t) => {
    const { pool, backend: loaded, registry } = await openPool(t, backend);
    t.is(loaded, backend);
    const list = await samples();
    const verdicts = await pool.verify(list.map(([, , check]) => check));
    list.forEach(([name, valid], index) => {
      t.is(verdicts[index], valid ? 1 : 0, name);
    });
    t.is(verdicts.length, list.length);
    t.is(await metricValue(registry, 'quorate_verify_batch_size', { le: '16' }), 1);
  });
}

test('many batches at once: each gets its own verdicts', async (t) => {
  const { pool } = await openPool(t);
  const list = await samples();
  const rotations = list.map((_, by) => [...list.slice(by), ...list.slice(0, by)]);
  const found = await Promise.all(rotations.map((each) => pool.verify(each.map(([, , check]) => check))));
  rotations.forEach((each, index) => {
    t.deepEqual(
      [...found[index]!],
      each.map(([, valid]) => (valid ? 1 : 0)),
    );
  });
});

test('an empty batch has no verdicts', async (t) => {
  const { pool } = await openPool(t);
  t.is((await pool.verify([])).length, 0);
});

test('attestations are signed with the node’s key, each over its own message', async (t) => {
  const { pool } = await openPool(t);
  const ed25519 = await loadEd25519();
  const { publicKey } = ed25519.keyPair(SEED);
  const messages = [Buffer.from('one'), Buffer.alloc(0), Buffer.from('three')];
  const signatures = await pool.attest(messages);
  t.is(signatures.length, 3);
  messages.forEach((message, index) => {
    t.true(ed25519.verify(signatures[index]!, message, publicKey));
    t.false(ed25519.verify(signatures[index]!, Buffer.from('else'), publicKey));
  });
});

test('what waits is shared among the threads where each part is worth a message, and handed over whole where not', (t) => {
  const limits = { threads: 2, batch_max: 32 };
  const sizes = [1, 8, 31, 32, 41, 64, 1_000].map((waiting) => batchSize(waiting, limits));
  t.deepEqual(sizes, [1, 8, 31, 16, 21, 32, 32]);
  t.is(batchSize(40, { threads: 4, batch_max: 32 }), 20);
  t.is(batchSize(64, { threads: 4, batch_max: 32 }), 16);
  t.is(batchSize(100, { threads: 4, batch_max: 4 }), 4);
});
