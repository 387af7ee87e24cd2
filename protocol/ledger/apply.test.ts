// What the ledger takes and refuses, entry by entry, and that a block is one sequence of such judgements.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { sha256 } from '../crypto/hash.js';
import type { JsonObject } from '../json.js';
import { buildTree } from '../merkle.js';
import { apply, type Entry, entryLeaf, indexKey, type RefusalCode } from './apply.js';
import { executeBlock } from './execute.js';
import { Overlay } from './overlay.js';
import {
  after,
  devClient,
  devEntry,
  entryOf,
  hmacEntry,
  makeBlock,
  makeTestkit,
  NOON_MS,
  pcsEntry,
  registryEntry,
  type Signer,
  signedEnvelope,
  type Testkit,
} from './testkit.js';

const DAY_MS = 86_400_000;
const kit = await makeTestkit();
const outcomeOf = (entry: Entry, view = kit.view, timeMs = NOON_MS): string => {
  const result = apply(view, entry, timeMs);
  return result.ok ? result.outcome : `${result.status} ${result.code}`;
};
const refused = (code: RefusalCode, status: number): string => `${status} ${code}`;

test('a note is recorded with the outcome every note has', (t) => {
  t.is(outcomeOf(devEntry(kit, { id: 'a' })), '{"accepted":true,"status":200}');
});

test('IN-6: the same submission again is a duplicate with its position, another one under its id a conflict', (t) => {
  const block = makeBlock(kit, kit.view, [devEntry(kit, { id: 'x' }), devEntry(kit, { id: 'a' })]);
  const view = after(kit.view, block);
  const again = apply(view, devEntry(kit, { id: 'a' }), NOON_MS);
  t.like(again, { ok: false, code: 'duplicate', status: 200, position: { height: 1, index: 1 } });
  const other = apply(view, devEntry(kit, { id: 'a', payload: { text: 'other' } }), NOON_MS);
  t.like(other, { ok: false, code: 'conflict', status: 409, position: { height: 1, index: 1 } });
});

test('IN-6: a duplicate is one whatever its spelling, and long after the horizon', (t) => {
  const view = after(kit.view, makeBlock(kit, kit.view, [devEntry(kit, { id: 'a' })]));
  const spaced = Buffer.from(JSON.stringify(JSON.parse(signedEnvelope(kit, kit.dev, { id: 'a' }).toString()), null, 2));
  t.is(outcomeOf(entryOf(kit.dev, 'k1', spaced), view, NOON_MS + 100 * DAY_MS), refused('duplicate', 200));
});

test('within one block the second of two entries with one id is refused', (t) => {
  const first = devEntry(kit, { id: 'a' });
  const result = executeBlock(kit.view, [first, first, devEntry(kit, { id: 'a', payload: { text: '' } })], NOON_MS);
  t.deepEqual(
    result.refused.map(({ refusal }) => refusal.code),
    ['duplicate', 'conflict'],
  );
  t.is(result.entryCount, 1);
});

test('the horizon is judged at block time, both ends included', (t) => {
  const at = (issuedAtMs: number): string => outcomeOf(devEntry(kit, { id: 'a', issuedAtMs }));
  const taken = '{"accepted":true,"status":200}';
  t.is(at(NOON_MS - 14 * DAY_MS), taken);
  t.is(at(NOON_MS - 14 * DAY_MS - 1), refused('horizon', 422));
  t.is(at(NOON_MS + 60_000), taken);
  t.is(at(NOON_MS + 60_001), refused('horizon', 422));
});

test('CO-12: a key counts from not_before until just before not_after, at block time', async (t) => {
  const [from, until] = ['2026-11-20T12:00:10Z', '2026-11-20T12:00:20.000Z'];
  const clients = [devClient(kit.dev, { not_before: from, not_after: until })];
  const windowed = await makeTestkit(1, { clients });
  const at = (offsetMs: number): string =>
    outcomeOf(devEntry(windowed, { id: 'a' }), windowed.view, NOON_MS + offsetMs);
  t.is(at(9_999), refused('key-window', 401));
  t.is(at(10_000), '{"accepted":true,"status":200}');
  t.is(at(19_999), '{"accepted":true,"status":200}');
  t.is(at(20_000), refused('key-window', 401));
});

test('a key must be the one that the registry names for this client', (t) => {
  const entry = devEntry(kit, { id: 'a' });
  t.is(outcomeOf({ ...entry, issuer: 'nobody' }), refused('unknown-key', 401));
  t.is(outcomeOf({ ...entry, key: { ...entry.key, keyId: 'k2' } }), refused('unknown-key', 401));
  t.is(outcomeOf({ ...entry, key: { ...entry.key, publicKey: kit.operator.publicKey } }), refused('unknown-key', 401));
  t.is(outcomeOf({ ...entry, key: { ...entry.key, publicKey: null } }), refused('unknown-key', 401));
  t.is(outcomeOf({ ...entry, key: { ...entry.key, alg: 'hmac-sha256' } }), refused('unknown-key', 401));
  const hmac = hmacEntry(kit, 'a');
  t.is(outcomeOf({ ...entry, issuer: 'hmac', key: hmac.key }), refused('unknown-key', 401));
});

test('role and kinds of a key are kept', async (t) => {
  const reader = await makeTestkit(1, { clients: [{ ...devClient(kit.dev), roles: ['read'] }] });
  t.is(outcomeOf(devEntry(reader, { id: 'a' }), reader.view), refused('forbidden', 403));
  const pcsOnly = await makeTestkit(1, { clients: [devClient(kit.dev, { kinds: ['pcs'] })] });
  t.is(outcomeOf(devEntry(pcsOnly, { id: 'a' }), pcsOnly.view), refused('forbidden', 403));
});

test('unknown kinds and payloads that do not fit are 422, with what is wrong', (t) => {
  t.is(outcomeOf(devEntry(kit, { id: 'a', kind: 'weather' })), refused('unknown-kind', 422));
  const result = apply(kit.view, devEntry(kit, { id: 'a', payload: { text: 1, more: true } }), NOON_MS);
  t.like(result, { ok: false, code: 'payload', status: 422 });
  t.is(result.ok ? 0 : result.errors?.length, 2);
});

test('HMAC: the home node attests, and the outcome says so', (t) => {
  t.is(
    outcomeOf(hmacEntry(kit, 'a')),
    '{"accepted":true,"authenticated_by":{"issuer":"hmac","key_id":"h1","node_id":"node_0"},"status":200}',
  );
});

test('HMAC: without an attestation, by another node, or for another key it is refused', async (t) => {
  const entry = hmacEntry(kit, 'a');
  const attestation = entry.attestation!;
  t.is(outcomeOf({ ...entry, attestation: null }), refused('attestation', 401));
  t.is(outcomeOf({ ...entry, attestation: { ...attestation, nodeId: 'node_1' } }), refused('attestation', 401));
  t.is(outcomeOf({ ...entry, attestation: { ...attestation, keyId: 'h2' } }), refused('attestation', 401));
  t.is(outcomeOf({ ...entry, attestation: { ...attestation, issuer: 'dev' } }), refused('attestation', 401));
  t.is(outcomeOf({ ...devEntry(kit, { id: 'a' }), attestation }), refused('attestation', 401));
  const four = await makeTestkit(4);
  t.is(
    outcomeOf({ ...hmacEntry(four, 'a'), attestation: { ...attestation, nodeId: 'node_1' } }, four.view),
    refused('attestation', 401),
  );
});

test('PCS: the time is the attestation’s, the issuer the key’s, and the verdict is recorded', (t) => {
  const outcome = JSON.parse(outcomeOf(pcsEntry(kit))) as JsonObject;
  t.like(outcome, { accepted: true, escalated: false, status: 200 });
  t.deepEqual(outcome.authenticated_by, { issuer: 'hmac', key_id: 'h1', node_id: 'node_0' });
  t.is(outcomeOf(pcsEntry(kit), kit.view, NOON_MS + 15 * DAY_MS), refused('horizon', 422));
});

test('PCS: another body under one pcs_id is a conflict, although the signed bytes are the same', (t) => {
  const first = pcsEntry(kit);
  const view = after(kit.view, makeBlock(kit, kit.view, [first]));
  const changed = pcsEntry(kit, { regime: 'sticky' });
  t.deepEqual(changed.prepared.digest, first.prepared.digest);
  t.is(outcomeOf(first, view), refused('duplicate', 200));
  t.is(outcomeOf(changed, view), refused('conflict', 409));
});

const NEW_CLIENT: Signer = { name: 'late', ...keysOf(7) };

function keysOf(seed: number): Omit<Signer, 'name'> {
  const { publicKey, secretKey } = kit.ed25519.keyPair(Buffer.alloc(32, seed));
  return { publicKey: Buffer.from(publicKey), secretKey };
}

function wish(...clients: JsonObject[]): JsonObject {
  return { clients, kinds: [] };
}

const lateClient: JsonObject = {
  issuer: 'late',
  roles: ['submit'],
  keys: [{ key_id: 'k', alg: 'ed25519', public_key: NEW_CLIENT.publicKey.toString('hex') }],
};
const lateEntry = (chain: Testkit, id: string): Entry =>
  entryOf(NEW_CLIENT, 'k', signedEnvelope(chain, NEW_CLIENT, { id }));

test('a registry entry counts from the next entry on, in its block and after it', (t) => {
  const entries = [lateEntry(kit, 'early'), registryEntry(kit, 'r1', wish(lateClient)), lateEntry(kit, 'a')];
  const block = makeBlock(kit, kit.view, [...entries, devEntry(kit, { id: 'gone' })]);
  t.deepEqual(
    block.result.refused.map(({ entry, refusal }) => `${entry.prepared.id} ${refusal.code}`),
    ['early unknown-key', 'gone unknown-key'],
  );
  t.is(block.result.accepted[0]?.outcome, '{"accepted":true,"registry_version":1,"status":200}');
  t.is(block.result.registry?.version, 1);
  const view = after(kit.view, block);
  t.true(apply(view, lateEntry(kit, 'b'), NOON_MS).ok);
  t.is(outcomeOf(devEntry(kit, { id: 'b' }), view), refused('unknown-key', 401));
});

test('an envelope counts for the client it names, not for another whose key is put beside it', async (t) => {
  const both = await makeTestkit(1, { clients: [devClient(kit.dev), lateClient] });
  const key = { keyId: 'k', alg: 'ed25519' as const, publicKey: NEW_CLIENT.publicKey };
  t.is(outcomeOf({ ...devEntry(both, { id: 'a' }), issuer: 'late', key }, both.view), refused('unknown-key', 401));
});

test('only an operator, or a validator that is alone, may sign the registry, and they nothing else', async (t) => {
  const payload = wish(lateClient);
  t.is(outcomeOf(devEntry(kit, { id: 'r', kind: 'registry', payload })), refused('forbidden', 403));
  const { operator } = kit;
  t.is(
    outcomeOf(entryOf(operator, operator.name, signedEnvelope(kit, operator, { id: 'n' }))),
    refused('forbidden', 403),
  );
  const byNode = (chain: Testkit): Entry => {
    const node = chain.validators[0]!;
    return entryOf(node, node.name, signedEnvelope(chain, node, { id: 'r', kind: 'registry', payload }));
  };
  t.true(apply(kit.view, byNode(kit), NOON_MS).ok);
  const four = await makeTestkit(4);
  t.is(outcomeOf(byNode(four), four.view), refused('unknown-key', 401));
  t.true(apply(four.view, registryEntry(four, 'r', payload), NOON_MS).ok);
});

test('a registry entry with a mistake changes nothing and says where it is', (t) => {
  const twice = registryEntry(kit, 'r', wish(lateClient, { ...lateClient, roles: ['rule'] }));
  const result = apply(kit.view, twice, NOON_MS);
  t.like(result, { ok: false, code: 'payload', status: 422 });
  t.deepEqual(result.ok ? [] : result.errors?.map(({ pointer }) => pointer), [
    '/clients/1/issuer',
    '/clients/1/roles/0',
    '/clients/1/keys/0/public_key',
  ]);
});

test('a block takes entries up to its limits; what is over waits, what can never fit is refused', async (t) => {
  const small = await makeTestkit(1, { chain: { blockMaxEntries: 2, blockMaxBytes: 1024 } });
  const note = (id: string, size: number): Entry => devEntry(small, { id, payload: { text: 'x'.repeat(size) } });
  const codes = (entries: Entry[]): string[] =>
    executeBlock(small.view, entries, NOON_MS).refused.map(
      ({ entry, refusal }) => `${entry.prepared.id} ${refusal.code}`,
    );
  t.deepEqual(codes([note('a', 1), note('b', 1), note('c', 1)]), ['c block-full']);
  t.deepEqual(codes([note('a', 500), note('b', 500), note('c', 1)]), ['b block-full']);
  t.deepEqual(codes([note('a', 1024), note('b', 1)]), ['a too-large']);
});

test('root and state digest are what the definitions say', (t) => {
  const entries = [devEntry(kit, { id: 'a' }), hmacEntry(kit, 'b')];
  const result = executeBlock(kit.view, entries, NOON_MS);
  const leaves = result.accepted.map(({ entry, outcome }) => {
    const { digest, body } = entry.prepared;
    return entryLeaf(digest.toString('hex'), body.toString('hex'), outcome);
  });
  t.is(result.entriesRoot, buildTree(leaves).root.toString('hex'));
  const diffs = result.accepted.map(({ entry }, i) => {
    const key = Buffer.from(indexKey(entry.issuer, entry.prepared.id));
    return Buffer.concat([Buffer.of(1, 0, key.length), key, leaves[i]!]);
  });
  t.deepEqual(
    result.accepted.map(({ diff }) => diff),
    diffs,
  );
  const digest = sha256(Buffer.concat([kit.genesis.chainId, ...diffs]));
  t.is(result.stateDigest, digest.toString('hex'));
});

test('the longest index key has its whole length in the diff', async (t) => {
  const issuer = 'i'.repeat(128);
  const long = await makeTestkit(1, { clients: [{ ...devClient(kit.dev), issuer }] });
  const raw = signedEnvelope(long, { ...long.dev, name: issuer }, { id: 'd'.repeat(128) });
  const result = apply(long.view, entryOf(long.dev, 'k1', raw), NOON_MS);
  t.is(result.ok ? result.diff.subarray(0, 3).toString('hex') : result.detail, '010101');
  t.is(result.ok ? result.diff.length : 0, 3 + 257 + 32);
});

test('a leaf is the hash of the canonical form of digest, body and outcome', (t) => {
  const text = '{"body":"bb","digest":"aa","outcome":{"accepted":true}}';
  t.deepEqual(entryLeaf('aa', 'bb', '{"accepted":true}'), sha256(`\0${text}`));
});

test('dropping what was refused leads to the same block: what the leader proposes, a voter takes', (t) => {
  const pool = Array.from({ length: 12 }, (_, i) =>
    i % 3 === 0
      ? devEntry(kit, { id: `n${i % 4}` })
      : devEntry(kit, { id: `n${i % 4}`, payload: { text: `${i % 2}` } }),
  );
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pool)), fc.nat({ max: 10 }), (entries, cut) => {
      const before = makeBlock(kit, kit.view, entries.slice(0, cut));
      const view = after(kit.view, before);
      const leader = executeBlock(view, entries.slice(cut), NOON_MS);
      const voter = executeBlock(
        view,
        leader.accepted.map(({ entry }) => entry),
        NOON_MS,
      );
      return (
        voter.refused.length === 0 &&
        voter.entriesRoot === leader.entriesRoot &&
        voter.stateDigest === leader.stateDigest &&
        leader.entryCount + leader.refused.length === entries.length - Math.min(cut, entries.length)
      );
    }),
  );
  t.pass();
});

test('an overlay shows all its blocks, leaves out what the base has, and refuses a gap', (t) => {
  const first = makeBlock(kit, kit.view, [devEntry(kit, { id: 'a' })]);
  const second = makeBlock(kit, after(kit.view, first), [devEntry(kit, { id: 'b' })]);
  const stored = after(kit.view, first);
  const both = new Overlay(stored, [first.changes, second.changes]);
  t.is(both.tip.height, 2);
  t.is(both.find(indexKey('dev', 'a'))?.height, 1);
  t.is(both.find(indexKey('dev', 'b'))?.height, 2);
  t.is(both.find(indexKey('dev', 'c')), undefined);
  t.is(stored.find(indexKey('dev', 'b')), undefined);
  t.throws(() => new Overlay(kit.view, [second.changes]), { message: /does not follow/ });
  const fork = makeBlock(kit, kit.view, [devEntry(kit, { id: 'f' })]);
  t.throws(() => new Overlay(kit.view, [fork.changes, second.changes]), { message: /does not follow/ });
});
