// Genesis, the registry within it, and the validator file: what they mean and how they complain.
import { Buffer } from 'node:buffer';
import test from 'ava';
import { canonicalize } from './canonical.js';
import { sha256Hex } from './crypto/hash.js';
import { createGenesis, parseGenesis } from './genesis.js';
import type { JsonObject, JsonValue } from './json.js';
import { ShapeError } from './kinds/kind.js';
import { wishJson } from './kinds/registry-kind.js';
import { devClient, hmacClient, makeTestkit, NOON_MS } from './ledger/testkit.js';
import {
  isOpen,
  keyOf,
  keysForKind,
  keysOf,
  mayAttest,
  maySign,
  nextRegistry,
  registryText,
  restoreRegistry,
} from './registry.js';
import { epochOf, parseValidatorSet, validatorSetJson, validatorsHash } from './validators.js';

const kit = await makeTestkit();
const four = await makeTestkit(4);
const json = kit.genesis.json;

/** Pointers of everything wrong. */
function faults(parse: (value: JsonValue) => unknown, value: JsonValue): string[] {
  try {
    parse(value);
    return [];
  } catch (error) {
    if (error instanceof ShapeError) return error.errors.map(({ pointer }) => pointer);
    throw error;
  }
}

const genesisFaults = (change: JsonObject): string[] => faults(parseGenesis, { ...json, ...change });
const schema: JsonObject = { type: 'object', properties: { celsius: { type: 'number' } }, required: ['celsius'] };
const weather: JsonObject = { kind: 'weather', schema, schema_sha256: sha256Hex(canonicalize(schema)) };

test('conformance: the chain id is the hash of the canonical genesis', (t) => {
  t.is(kit.genesis.chainIdHex, sha256Hex(canonicalize(json)));
  t.is(kit.genesis.chainIdHex, '790b4698ea189edae4e0d4a667be684d2abb8505627d8cc81ab07d6d239d2ffe');
  t.is(kit.genesis.validatorsHash, '8af412f5373305110527c0bedfab29b2138e6c17f1891367195c404dbaf4545f');
});

test('a genesis is read back from its own JSON, in any order of members', (t) => {
  const turned = Object.fromEntries(Object.entries(json).reverse());
  t.deepEqual(parseGenesis(turned).chainId, kit.genesis.chainId);
  t.is(four.genesis.quorum, 3);
});

test('any other value is another chain', (t) => {
  const chainIds = new Set([
    kit.genesis.chainIdHex,
    four.genesis.chainIdHex,
    createGenesis({ createdAtMs: NOON_MS, validators: kit.genesis.validators }).chainIdHex,
    createGenesis({ createdAtMs: NOON_MS + 1, validators: kit.genesis.validators }).chainIdHex,
    createGenesis({ createdAtMs: NOON_MS, validators: kit.genesis.validators, chain: { futureMs: 1 } }).chainIdHex,
  ]);
  t.is(chainIds.size, 5);
});

test('everything wrong with a genesis is named at once', (t) => {
  t.deepEqual(faults(parseGenesis, null), ['']);
  t.deepEqual(genesisFaults({ version: 2, created_at: 'today', more: 1 }), ['/more', '/version', '/created_at']);
  t.deepEqual(genesisFaults({ chain: { ...(json.chain as JsonObject), horizon_ms: 0, quorum_rule: 'majority' } }), [
    '/chain/horizon_ms',
    '/chain/quorum_rule',
  ]);
  t.deepEqual(genesisFaults({ validators: [] }), ['/validators', '/clients/1/keys/0/homes']);
  const [validator] = json.validators as JsonObject[];
  t.deepEqual(genesisFaults({ validators: [validator!, validator!] }), [
    '/validators/1/node_id',
    '/validators/1/public_key',
  ]);
  t.deepEqual(genesisFaults({ validators: [{ ...validator!, public_key: `01${'00'.repeat(31)}` }] }), [
    '/validators/0/public_key',
  ]);
  t.deepEqual(genesisFaults({ operators: [{ key_id: 'node_0', public_key: validator!.public_key! }] }), [
    '/operators/0/key_id',
  ]);
});

test('ID: everything wrong with client keys is named', (t) => {
  const dev = devClient(kit.dev);
  const home = kit.validators[0]!;
  const hmacKey = (key: JsonObject): JsonObject => ({
    ...hmacClient(home),
    keys: [{ key_id: 'h1', alg: 'hmac-sha256', homes: [home.name], ...key }],
  });
  const clients = (...list: JsonObject[]): string[] => genesisFaults({ clients: list });
  t.deepEqual(clients({ ...dev, issuer: 'node_0' }), ['/clients/0/issuer']);
  t.deepEqual(clients({ ...dev, issuer: 'operator' }), ['/clients/0/issuer']);
  t.deepEqual(clients({ ...dev, issuer: 'with space' }), ['/clients/0/issuer']);
  t.deepEqual(clients(dev, { ...dev, issuer: 'other' }), ['/clients/1/keys/0/public_key']);
  t.deepEqual(clients({ ...dev, keys: [] }, { ...hmacClient(home), roles: [] }), [
    '/clients/0/keys',
    '/clients/1/roles',
  ]);
  t.deepEqual(clients(devClient(kit.dev, { kinds: ['registry'] })), ['/clients/0/keys/0/kinds']);
  t.deepEqual(clients(devClient(kit.dev, { form: 'digest' })), ['/clients/0/keys/0/form']);
  t.deepEqual(clients(devClient(kit.dev, { alg: 'rsa' })), ['/clients/0/keys/0/alg']);
  t.deepEqual(clients(devClient(kit.dev, { not_before: '2026-01-02T00:00:00Z', not_after: '2026-01-02T00:00:00Z' })), [
    '/clients/0/keys/0/not_after',
  ]);
  t.deepEqual(clients(hmacKey({ homes: ['node_7'] })), ['/clients/0/keys/0/homes']);
  t.deepEqual(clients(hmacKey({ homes: [] })), ['/clients/0/keys/0/homes']);
  t.deepEqual(clients(hmacKey({ public_key: '00'.repeat(32) })), ['/clients/0/keys/0/public_key']);
  t.deepEqual(clients(hmacKey({ form: 'digest' })), []);
});

test('kinds: a schema stands with its hash, under a free name, in the allowed subset', (t) => {
  const kinds = (...list: JsonObject[]): string[] => genesisFaults({ kinds: list });
  t.deepEqual(kinds(weather), []);
  t.deepEqual(kinds(weather, weather), ['/kinds/1/kind']);
  t.deepEqual(kinds({ ...weather, schema_sha256: '00'.repeat(32) }), ['/kinds/0/schema_sha256']);
  t.true(kinds({ ...weather, kind: 'note' }).length > 0);
  const pattern: JsonObject = { type: 'string', pattern: '^a' };
  const hashed = { kind: 'p', schema: pattern, schema_sha256: sha256Hex(canonicalize(pattern)) };
  t.deepEqual(kinds(hashed), ['/kinds/0/schema/pattern']);
});

test('the registry answers by issuer, key, kind and time', async (t) => {
  const windowed = devClient(kit.dev, { not_before: '2026-01-01T00:00:00Z', not_after: '2026-01-02T00:00:00Z' });
  const clients = [windowed, hmacClient(kit.validators[0]!)];
  const { registry } = (await makeTestkit(4, { clients, kinds: [weather] })).genesis;
  t.is(keysOf(registry, 'dev').length, 1);
  t.deepEqual(keysOf(registry, 'nobody'), []);
  const key = keyOf(registry, 'dev', 'k1')!;
  t.is(keyOf(registry, 'dev', 'k2'), undefined);
  const start = Date.UTC(2026, 0, 1);
  const open = [start - 1, start, start + 86_399_999, start + 86_400_000].map((timeMs) => isOpen(key, timeMs));
  t.deepEqual(open, [false, true, true, false]);
  t.true(maySign(key, 'weather'));
  t.false(maySign(key, 'registry'));
  const names = (timeMs: number): string[] => keysForKind(registry, 'pcs', timeMs).map(({ client }) => client.issuer);
  t.deepEqual(names(start), ['dev', 'hmac']);
  t.deepEqual(names(start - 1), ['hmac']);
  t.deepEqual(
    keysForKind(registry, 'registry', start).map(({ client }) => client.issuer),
    ['operator'],
  );
  t.deepEqual([...registry.checks.keys()], ['note', 'pcs', 'observation', 'accusation', 'registry', 'weather']);
  t.true(mayAttest(registry, key, 'node_3'));
  t.false(mayAttest(registry, key, 'node_4'));
  const home = keyOf(registry, 'hmac', 'h1')!;
  t.deepEqual([mayAttest(registry, home, 'node_0'), mayAttest(registry, home, 'node_1')], [true, false]);
});

test('a version of the registry is stored as text and comes back as it was', (t) => {
  const full: JsonObject = {
    clients: [
      devClient(kit.dev, { kinds: ['note'], homes: ['node_0'], not_before: '2026-01-01T00:00:00.000Z' }),
      {
        issuer: 'h',
        roles: ['submit', 'observe'],
        keys: [{ key_id: 'k', alg: 'hmac-sha256', homes: ['node_0'], form: 'digest' }],
      },
    ],
    kinds: [weather],
  };
  const next = nextRegistry(kit.genesis.registry, full);
  t.is(next.version, 1);
  t.deepEqual(wishJson(next), full);
  const text = registryText(next);
  const restored = restoreRegistry(kit.genesis.registry, JSON.parse(text) as JsonObject);
  t.is(registryText(restored), text);
  t.deepEqual(keysOf(restored, 'dev'), keysOf(next, 'dev'));
  t.is(kit.genesis.registry.version, 0);
});

test('the payload check of kind registry tells what apply would refuse', (t) => {
  const kind = kit.genesis.registry.checks.get('registry')!;
  t.true(kind.check({ clients: [], kinds: [weather] }).ok);
  const verdict = kind.check({ clients: [{}], kinds: {} });
  t.false(verdict.ok);
  t.deepEqual(verdict.ok ? [] : verdict.errors.map(({ pointer }) => pointer), [
    '/clients/0/issuer',
    '/clients/0/roles',
    '/clients/0/keys',
    '/kinds',
  ]);
});

const setJson = validatorSetJson(four.set);
const setFaults = (change: JsonObject): string[] => faults(parseValidatorSet, { ...setJson, ...change });

test('GET /v1/validators is the file that verify reads', (t) => {
  t.deepEqual(parseValidatorSet(setJson), four.set);
  const { epochs: _, ...short } = setJson;
  t.deepEqual(parseValidatorSet(short), four.set);
  t.is(validatorsHash(four.genesis.validators), four.genesis.validatorsHash);
  t.not(validatorsHash(four.genesis.validators.toReversed()), four.genesis.validatorsHash);
});

test('a validator file that does not add up is refused with its places', (t) => {
  t.deepEqual(setFaults({ quorum: 2 }), ['/quorum']);
  t.deepEqual(setFaults({ chain_id: 'C1' }), ['/chain_id']);
  t.deepEqual(setFaults({ epoch: 1 }), ['/epochs']);
  t.deepEqual(setFaults({ epochs: [] }), ['/epochs']);
  const [epoch] = setJson.epochs as JsonObject[];
  t.deepEqual(setFaults({ epochs: [epoch!, epoch!] }), ['/epochs/1/epoch']);
  t.deepEqual(setFaults({ epochs: [{ ...epoch!, from_height: 0, handover: {} }] }), [
    '/epochs/0/from_height',
    '/epochs/0/handover/reason',
    '/epochs/0/handover/last_trusted_height',
  ]);
  const other = (setJson.validators as JsonObject[]).toReversed();
  t.deepEqual(setFaults({ validators: other }), ['/epochs']);
});

test('a block belongs to its epoch unless a later one begins at or below it', (t) => {
  const handover = { reason: 'vote log lost', lastTrustedHeight: 9 };
  const [first] = four.set.epochs;
  const epochs = [first!, { ...first!, epoch: 1, fromHeight: 10, handover }];
  const set = { ...four.set, epoch: 1, epochs };
  t.is(epochOf(set, 0, 9), epochs[0]!);
  t.is(epochOf(set, 1, 10), epochs[1]!);
  t.regex(String(epochOf(set, 0, 10)), /void: epoch 1 begins at height 10/);
  t.regex(String(epochOf(set, 1, 9)), /epoch 1 begins at height 10/);
  t.regex(String(epochOf(set, 2, 10)), /not in the validator file \(known: 0, 1\)/);
  t.deepEqual(parseValidatorSet(validatorSetJson(set)), set);
});

test('keys in a genesis are bytes again', (t) => {
  t.deepEqual(kit.genesis.operators, [{ keyId: 'operator', publicKey: Buffer.from(kit.operator.publicKey) }]);
});
