import { Buffer } from 'node:buffer';
import test from 'ava';
import { attestationHolds, readAttestation } from '../../protocol/attestation.js';
import type { JsonObject } from '../../protocol/json.js';
import {
  devClient,
  devEntry,
  HMAC_SECRET,
  hmacClient,
  hmacEntry,
  makeTestkit,
  NOON_MS,
  pcsEntry,
  type Testkit,
} from '../../protocol/ledger/testkit.js';
import { registryText } from '../../protocol/registry.js';
import { Mistakes } from '../../protocol/shape.js';
import type { Prepared } from '../../protocol/submission.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { CHECK_ED25519, CHECK_HMAC, CHECK_HMAC_DIGEST } from '../verify/checks.js';
import { Keyring, type KeyringOptions } from './keyring.js';
import { emptySubmission, type Submission, type VerifiedBy } from './submission.js';

const AFTERNOON = '2026-11-20T15:00:00Z';
const EVENING = '2026-11-20T18:00:00Z';

/** A keyring over a genesis with these clients. */
async function keyringOf(
  clients: (kit: Testkit) => readonly JsonObject[] = (kit) => [devClient(kit.dev), hmacClient(kit.validators[0]!)],
  options: Partial<KeyringOptions> = {},
) {
  const plain = await makeTestkit();
  const kit = await makeTestkit(1, { clients: clients(plain) });
  const keyring = new Keyring({
    genesis: kit.genesis.registry,
    registry: kit.genesis.registry,
    chainId: kit.genesis.chainIdHex,
    nodeId: 'node_0',
    secrets: [{ issuer: 'hmac', keyId: 'h1', secret: HMAC_SECRET }],
    ...options,
  });
  return { kit, keyring };
}

function verified(prepared: Prepared, raw: Uint8Array, verifiedBy: VerifiedBy): Submission {
  return { ...emptySubmission(InboxRoute.envelope, raw, 'r', null), prepared, verifiedBy };
}

function slugs(keyring: Keyring, prepared: Prepared, nowMs = NOON_MS): string {
  return keyring.candidates(prepared, nowMs).length > 0 ? 'candidates' : keyring.whyNone(prepared, nowMs).slug;
}

test('an envelope is checked with the open keys of its issuer and algorithm, over the signed bytes', async (t) => {
  const { kit, keyring } = await keyringOf();
  const { prepared } = devEntry(kit, { id: 'a' });
  const [candidate, ...others] = keyring.candidates(prepared, NOON_MS);
  t.deepEqual(others, []);
  t.is(candidate!.check.operation, CHECK_ED25519);
  t.deepEqual(candidate!.check.message, prepared.signedBytes);
  t.deepEqual(candidate!.verifiedBy, { issuer: 'dev', keyId: 'k1', publicKey: kit.dev.publicKey.toString('hex') });
});

test('an HMAC envelope is checked with the secret, whose bytes stay out of what is proposed', async (t) => {
  const { kit, keyring } = await keyringOf();
  const { prepared } = hmacEntry(kit, 'h');
  const [candidate] = keyring.candidates(prepared, NOON_MS);
  t.is(candidate!.check.operation, CHECK_HMAC);
  t.deepEqual(Buffer.from(candidate!.check.key), HMAC_SECRET);
  t.deepEqual(candidate!.verifiedBy, { issuer: 'hmac', keyId: 'h1', publicKey: '' });
});

for (const form of ['direct', 'digest'] as const) {
  test(`IN-4: a PCS under an HMAC key of ${form} form`, async (t) => {
    const { kit, keyring } = await keyringOf((plain) => {
      const client = hmacClient(plain.validators[0]!) as { keys: JsonObject[] } & JsonObject;
      return [{ ...client, keys: [{ ...client.keys[0]!, form }] }];
    });
    const [candidate] = keyring.candidates(pcsEntry(kit).prepared, NOON_MS);
    t.is(candidate!.check.operation, form === 'direct' ? CHECK_HMAC : CHECK_HMAC_DIGEST);
  });
}

test('a PCS names no issuer: every key whose signature could have this length is tried, at most eight', async (t) => {
  const plain = await makeTestkit();
  const keyOfSeed = (seed: number) => Buffer.from(plain.ed25519.keyPair(Buffer.alloc(32, 100 + seed)).publicKey);
  const clients = Array.from({ length: 12 }, (_, i) => ({
    ...devClient({ ...plain.dev, publicKey: keyOfSeed(i) }),
    issuer: `client-${i}`,
  }));
  const { kit, keyring } = await keyringOf(() => [...clients, hmacClient(plain.validators[0]!)]);
  const hmac = keyring.candidates(pcsEntry(kit).prepared, NOON_MS);
  t.deepEqual(
    hmac.map(({ verifiedBy }) => verifiedBy.issuer),
    ['hmac'],
    'a signature of 32 bytes is no Ed25519 one',
  );
  const sig = Buffer.alloc(64, 1).toString('base64');
  const { prepared } = pcsEntry(kit, { sig });
  const ed25519 = keyring.candidates(prepared, NOON_MS);
  t.is(ed25519.length, 8);
  t.deepEqual(ed25519[0]!.check.message, prepared.digest, 'Ed25519 signs the digest of a PCS');
});

test('ID-3: windows: closed before, open from its first millisecond, closed from its last', async (t) => {
  const { kit, keyring } = await keyringOf((plain) => [
    devClient(plain.dev, { not_before: AFTERNOON, not_after: EVENING }),
  ]);
  const { prepared } = devEntry(kit, { id: 'a' });
  const at = (text: string, plusMs = 0) => slugs(keyring, prepared, Date.parse(text) + plusMs);
  t.is(at(AFTERNOON, -1), 'key-not-valid-now');
  t.is(at(AFTERNOON), 'candidates');
  t.is(at(EVENING, -1), 'candidates');
  t.is(at(EVENING), 'key-not-valid-now');
});

test('ID-3: in the overlap of two windows both keys are tried', async (t) => {
  const { kit, keyring } = await keyringOf((plain) => {
    const second = Buffer.from(plain.ed25519.keyPair(Buffer.alloc(32, 50)).publicKey).toString('hex');
    return [
      {
        issuer: 'dev',
        roles: ['submit'],
        keys: [
          { key_id: 'old', alg: 'ed25519', public_key: plain.dev.publicKey.toString('hex'), not_after: EVENING },
          { key_id: 'new', alg: 'ed25519', public_key: second, not_before: AFTERNOON },
        ],
      },
    ];
  });
  const { prepared } = devEntry(kit, { id: 'a' });
  const ids = (text: string) =>
    keyring.candidates(prepared, Date.parse(text)).map(({ verifiedBy }) => verifiedBy.keyId);
  t.deepEqual(ids('2026-11-20T12:00:00Z'), ['old']);
  t.deepEqual(ids('2026-11-20T16:00:00Z'), ['old', 'new']);
  t.deepEqual(ids('2026-11-20T19:00:00Z'), ['new']);
});

test('why nobody can have signed: unknown issuer, other algorithm, kind, secret elsewhere', async (t) => {
  const { kit, keyring } = await keyringOf((plain) => [
    devClient(plain.dev, { kinds: ['pcs'] }),
    hmacClient(plain.validators[0]!),
  ]);
  const { prepared } = devEntry(kit, { id: 'a' });
  t.is(slugs(keyring, prepared), 'forbidden');
  t.is(slugs(keyring, { ...prepared, issuer: 'nobody' }), 'unknown-key');
  t.is(slugs(keyring, { ...prepared, alg: 'hmac-sha256' }), 'unknown-key');
  t.is(slugs(keyring, { ...prepared, kind: 'pcs' }), 'candidates');
  const mac = hmacEntry(kit, 'h').prepared;
  t.is(slugs(keyring, mac), 'candidates');
  keyring.replaceSecrets([]);
  t.is(slugs(keyring, mac), 'unknown-key');
  t.regex(keyring.whyNone(mac, NOON_MS).detail!, /secret of hmac is not kept/);
});

test('a PCS that no key may sign says so', async (t) => {
  const { kit, keyring } = await keyringOf((plain) => [devClient(plain.dev, { kinds: ['note'] })]);
  const { prepared } = pcsEntry(kit);
  t.is(slugs(keyring, prepared), 'unknown-key');
  t.regex(keyring.whyNone(prepared, NOON_MS).detail!, /no registered key may sign kind pcs/);
});

test('only an authority’s key may sign kind registry, and nothing else', async (t) => {
  const { kit, keyring } = await keyringOf();
  const { prepared } = devEntry(kit, { id: 'a' });
  t.is(slugs(keyring, { ...prepared, kind: 'registry' }), 'forbidden');
  t.is(slugs(keyring, { ...prepared, kind: 'registry', issuer: 'operator' }), 'candidates');
  t.is(slugs(keyring, { ...prepared, issuer: 'operator' }), 'forbidden');
  t.is(slugs(keyring, { ...prepared, kind: 'registry', issuer: 'node_0' }), 'candidates', 'a lone validator is one');
});

test('attestations are asked for where only this node can vouch, in one call, each for its own body', async (t) => {
  const { kit, keyring } = await keyringOf();
  const home = kit.validators[0]!;
  const entries = [hmacEntry(kit, 'h'), pcsEntry(kit)];
  const list = entries.map(({ prepared, raw }) =>
    verified(prepared, raw, { issuer: 'hmac', keyId: 'h1', publicKey: '' }),
  );
  const plain = devEntry(kit, { id: 'a' });
  const dev = verified(plain.prepared, plain.raw, { issuer: 'dev', keyId: 'k1', publicKey: 'aa' });
  t.deepEqual(
    [...list, dev].map((each) => keyring.needsAttestation(each)),
    [true, true, false],
  );
  const calls: number[] = [];
  const pool = {
    verify: async () => new Uint8Array(),
    attest: async (messages: readonly Uint8Array[]) => {
      calls.push(messages.length);
      return messages.map((message) => kit.ed25519.sign(message, home.secretKey));
    },
  };
  await keyring.attest(list, pool, NOON_MS);
  t.deepEqual(calls, [2]);
  for (const { attestation, prepared } of list) {
    const read = readAttestation(JSON.parse(attestation) as JsonObject, '', new Mistakes());
    t.like(read, { issuer: 'hmac', keyId: 'h1', nodeId: 'node_0', timeMs: NOON_MS });
    t.true(attestationHolds(kit.ed25519, home.publicKey, kit.genesis.chainIdHex, prepared!.body, read));
  }
});

test('judgement: kind, key, role, home, payload', async (t) => {
  const { kit, keyring } = await keyringOf();
  const plain = devEntry(kit, { id: 'a' });
  const dev = (changes: Partial<Prepared>, keyId = 'k1') =>
    keyring.judge(verified({ ...plain.prepared, ...changes }, plain.raw, { issuer: 'dev', keyId, publicKey: 'aa' }));
  t.is(dev({}), null);
  t.like(dev({ kind: 'poem' }), { slug: 'unknown-kind', detail: 'found poem, registered are note, pcs, registry' });
  t.is(dev({}, 'k9')!.slug, 'unknown-key');
  const unfit = dev({ payload: { text: 1 } })!;
  t.is(unfit.slug, 'invalid-payload');
  t.is(unfit.errors![0]!.pointer, '/text');

  const mac = hmacEntry(kit, 'h');
  const byHmac = verified(mac.prepared, mac.raw, { issuer: 'hmac', keyId: 'h1', publicKey: '' });
  t.is(keyring.judge(byHmac), null);
  const away = new Keyring({
    genesis: kit.genesis.registry,
    registry: kit.genesis.registry,
    chainId: kit.genesis.chainIdHex,
    nodeId: 'node_1',
    secrets: [],
  });
  t.like(away.judge(byHmac), { slug: 'forbidden' });
});

test('a client without the role submit is refused before consensus', async (t) => {
  const { kit, keyring } = await keyringOf((plain) => [{ ...devClient(plain.dev), roles: ['read'] }]);
  const { prepared, raw } = devEntry(kit, { id: 'a' });
  const refusal = keyring.judge(verified(prepared, raw, { issuer: 'dev', keyId: 'k1', publicKey: 'aa' }));
  t.like(refusal, { slug: 'forbidden', detail: 'dev has not the role submit' });
});

test('a new version of the registry is in force at once', async (t) => {
  const { kit, keyring } = await keyringOf();
  const { prepared } = devEntry(kit, { id: 'a' });
  const text = registryText({ ...kit.genesis.registry, clients: [], version: 3 });
  keyring.update(text);
  t.is(keyring.registry.version, 3);
  t.is(slugs(keyring, prepared), 'unknown-key');
});
