import test from 'ava';
import type { RegistryWish } from '../../config/node.js';
import { canonicalize } from '../../protocol/canonical.js';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import type { JsonObject } from '../../protocol/json.js';
import { ShapeError } from '../../protocol/kinds/kind.js';
import { devClient, entryOf, makeBlock, makeTestkit, NOON_MS, type Testkit } from '../../protocol/ledger/testkit.js';
import { prepareEnvelope } from '../../protocol/submission.js';
import { isGranted, type WishSigner, wishEnvelope } from './registry-wish.js';

const ORDER: JsonObject = { type: 'object', properties: { amount: { type: 'integer' } }, required: ['amount'] };

function signerOf(kit: Testkit): WishSigner {
  const { name, secretKey } = kit.validators[0]!;
  return { nodeId: name, ed25519: kit.ed25519, secretKey };
}

function wishOf(kit: Testkit): RegistryWish {
  return {
    clients: [devClient(kit.dev)],
    kinds: [{ kind: 'order', schema: ORDER, schema_sha256: sha256Hex(canonicalize(ORDER)) }],
  };
}

test('ID-3: a wish that is not in force becomes an envelope; its block puts it in force', async (t) => {
  const kit = await makeTestkit();
  const { registry } = kit.genesis;
  const wish = wishOf(kit);
  t.false(isGranted(registry, wish));
  const raw = wishEnvelope(registry, wish, signerOf(kit), NOON_MS);
  const prepared = prepareEnvelope(raw);
  const node = kit.validators[0]!;
  t.like(prepared, { kind: 'registry', issuer: 'node_0', alg: 'ed25519', issuedAtMs: NOON_MS });
  t.true(kit.ed25519.verify(prepared.signature, prepared.signedBytes, node.publicKey));
  const { result } = makeBlock(kit, kit.view, [entryOf(node, node.name, raw)]);
  t.deepEqual(result.refused, []);
  t.true(isGranted(result.registry!, wish));
  t.true(result.registry!.checks.has('order'));
});

test('what is in force is granted in any order of members and with defaults written out or left out', async (t) => {
  const kit = await makeTestkit();
  const { clients } = { clients: kit.genesis.json.clients as JsonObject[] };
  t.true(isGranted(kit.genesis.registry, { clients, kinds: [] }));
  const reversed = clients.map((client) => Object.fromEntries(Object.entries(client).reverse()) as JsonObject);
  t.true(isGranted(kit.genesis.registry, { clients: reversed, kinds: [] }));
  t.false(isGranted(kit.genesis.registry, { clients: [], kinds: [] }));
});

test('a wish that could never be granted is refused with what is wrong', async (t) => {
  const kit = await makeTestkit();
  const error = t.throws(() => isGranted(kit.genesis.registry, { clients: [{ issuer: 'x' }], kinds: [] }), {
    instanceOf: ShapeError,
  });
  t.true(error!.errors.some(({ pointer }) => pointer.startsWith('/clients/0')));
});

test('each version and moment has an id of its own: what was refused once can be asked for again', async (t) => {
  const kit = await makeTestkit();
  const idAt = (nowMs: number) =>
    prepareEnvelope(wishEnvelope(kit.genesis.registry, wishOf(kit), signerOf(kit), nowMs)).id;
  t.regex(idAt(NOON_MS), /^registry-1-[0-9a-f]{16}-\d+$/);
  t.not(idAt(NOON_MS), idAt(NOON_MS + 1));
  t.is(idAt(NOON_MS), idAt(NOON_MS));
});
