// Observations in the ledger: who may make them, that each is an entry whose effect is its round and nothing else, that the
// state digest covers rounds, and that time alone lets one fail, also in a block without entries.
import test from 'ava';
import { type Accusation, accusationPayload } from '../kinds/accusation.js';
import { ROUND_TIMEOUT_MS, type RoundsState } from '../rounds/round.js';
import { restoreRounds, roundsChange } from '../rounds/text.js';
import { apply, type Entry, type LedgerView } from './apply.js';
import { restoreEntry } from './block.js';
import { decodeBlock, encodeBlock } from './block-codec.js';
import { executeBlock } from './execute.js';
import {
  after,
  devClient,
  devEntry,
  entryOf,
  makeBlock,
  makeTestkit,
  NOON_MS,
  observationEntry,
  type Signer,
  signedEnvelope,
  store,
} from './testkit.js';

const kit = await makeTestkit(3, {});
const [first, second, third] = kit.validators as [
  (typeof kit.validators)[number],
  (typeof kit.validators)[number],
  (typeof kit.validators)[number],
];

function outcomeOf(entry: Entry, view: LedgerView = kit.view): string {
  const result = apply(view, entry, NOON_MS);
  return result.ok ? result.outcome : `${result.status} ${result.code}`;
}

const COUNTED = '{"accepted":true,"counted":true,"round_id":"r","status":200}';
const CONFLICT = '{"accepted":false,"counted":false,"reason":"ConflictingObservations","round_id":"r","status":200}';

test('CO-3: validators observe with their own keys, clients with the role observe, and nobody else', async (t) => {
  t.is(outcomeOf(observationEntry(kit, first)), COUNTED);
  t.is(outcomeOf(observationEntry(kit, kit.dev, {}, 'k1')), '401 unknown-key', 'a client that only submits');
  t.is(outcomeOf(observationEntry(kit, { ...first, publicKey: second.publicKey })), '401 unknown-key');
  const observing = await makeTestkit(3, { clients: [{ ...devClient(kit.dev), roles: ['observe'] }] });
  t.is(outcomeOf(observationEntry(observing, observing.dev, {}, 'k1'), observing.view), COUNTED);
  t.is(outcomeOf(devEntry(observing, { id: 'a' }), observing.view), '403 forbidden', 'observing is not submitting');
});

test('CO-4: an observation whose score is not its own components is no entry', (t) => {
  const components = { prediction_accuracy: 0.85, ethical_alignment: 0.8, coherence_stability: 0.9 };
  t.is(outcomeOf(observationEntry(kit, first, { tis_components: components, tis_overall: 0.845 })), COUNTED);
  t.is(outcomeOf(observationEntry(kit, first, { tis_components: components, tis_overall: 0.9 })), '422 payload');
});

test('the horizon is judged by the time that is signed', (t) => {
  const old = { timestamp: '2026-11-01T12:00:00Z' };
  t.is(outcomeOf(observationEntry(kit, first, old)), '422 horizon');
});

test('CO-3, CO-11: a quorum within one block completes the round, and nothing but rounds changes', (t) => {
  const entries = [first, second].map((signer, index) => observationEntry(kit, signer, { tis: 0.86 + index / 100 }));
  const { result, changes } = makeBlock(kit, kit.view, entries);
  t.deepEqual(
    result.accepted.map(({ outcome }) => outcome),
    [COUNTED, COUNTED],
  );
  t.is(result.registry, null);
  t.deepEqual(
    [...result.index.keys()],
    entries.map(({ issuer, prepared }) => `${issuer}\0${prepared.id}`),
  );
  t.like(result.rounds!.rounds, [{ status: 'Complete', tisMicrosTwice: 1_730_000, requiredQuorum: 2 }]);
  t.is(changes.rounds, result.rounds);
  t.is(makeBlock(kit, kit.view, [devEntry(kit, { id: 'a' })]).result.rounds, null);
});

test('CO-5: a second word in a round is an entry of the ledger, as evidence, and no repetition', (t) => {
  const said = observationEntry(kit, first);
  const again = observationEntry(kit, first, { audit_id: 'another' });
  const changed = observationEntry(kit, first, { tis: 0.1 });
  for (const contradiction of [again, changed]) {
    const { result } = makeBlock(kit, kit.view, [said, contradiction, observationEntry(kit, second)]);
    t.deepEqual(
      result.accepted.map(({ outcome }) => outcome),
      [COUNTED, CONFLICT, COUNTED],
    );
    t.like(result.rounds!.excluded, [{ nodeId: first.name, reason: 'ConflictingObservations' }]);
    const digests = [said, contradiction].map(({ prepared }) => prepared.digest.toString('hex'));
    t.deepEqual(result.rounds!.excluded[0]!.evidence, digests);
    t.is(result.rounds!.rounds[0]!.status, 'Pending', 'one of two counts');
  }
  const view = after(kit.view, makeBlock(kit, kit.view, [said]));
  t.like(apply(view, said, NOON_MS), { ok: false, code: 'duplicate' });
});

test('CO-3: the round of a chain fails in a block of its own when its time is over, entries or not', (t) => {
  const opened = makeBlock(kit, kit.view, [observationEntry(kit, first)]);
  // Block time is a median: the first block after a pause still has the old time, and changes nothing.
  let view = after(kit.view, opened);
  const made: RoundsState[] = [];
  for (let count = 0; count < 3; count += 1) {
    const block = makeBlock(kit, view, [], NOON_MS + ROUND_TIMEOUT_MS);
    const plain = executeBlock({ ...kit.view, tip: view.tip }, [], view.tip.blockTimeMs);
    t.is(block.result.stateDigest === plain.stateDigest, block.result.rounds === null, 'the digest covers it');
    view = after(view, block);
    made.push(view.rounds);
  }
  t.deepEqual(
    made.map(({ rounds }) => rounds[0]!.status),
    ['Pending', 'Failed', 'Failed'],
  );
  const late = apply(view, observationEntry(kit, second), NOON_MS + ROUND_TIMEOUT_MS);
  t.like(late, { ok: true, outcome: '{"accepted":true,"counted":false,"round_id":"r","status":200}' });
});

test('CO-3: the state digest tells rounds apart that entries alone would not', (t) => {
  const state = (view: LedgerView) => makeBlock(kit, view, [observationEntry(kit, third)]).result.stateDigest;
  const known = after(kit.view, makeBlock(kit, kit.view, [observationEntry(kit, first)]));
  const forgotten: LedgerView = {
    chain: known.chain,
    tip: known.tip,
    registry: known.registry,
    rounds: kit.view.rounds,
    find: (key) => known.find(key),
  };
  t.not(state(known), state(forgotten));
});

test('CO-3: a stored block replays to the same rounds, on a state that was stored as well', (t) => {
  const one = makeBlock(kit, kit.view, [observationEntry(kit, first), observationEntry(kit, second)]);
  const view = after(kit.view, one);
  const two = makeBlock(kit, view, [observationEntry(kit, third), observationEntry(kit, third, { audit_id: 'x' })]);
  const { summary, changed } = roundsChange(kit.view.rounds, view.rounds);
  const rounds = restoreRounds(summary, (number) => new Map(changed).get(number));
  const entries = decodeBlock(encodeBlock(store(kit, two))).entries;
  t.deepEqual(
    entries.map(({ route, kind, issuer }) => ({ route, kind, issuer })),
    Array.from({ length: 2 }, () => ({ route: 'observation', kind: 'observation', issuer: third.name })),
  );
  const again: LedgerView = { ...kit.view, tip: view.tip, rounds };
  const result = executeBlock(again, entries.map(restoreEntry), NOON_MS);
  t.is(result.stateDigest, two.header.state_digest);
  t.deepEqual(result.rounds, two.changes.rounds);
});

function accusing(
  accuser: Signer,
  nodeId: string,
  keyId = accuser.name,
  reason: Accusation['reason'] = 'InvalidSignature',
): Entry {
  const payload = accusationPayload({ nodeId, reason, body: 'ab'.repeat(32) });
  const parts = { kind: 'accusation', id: `accusation-${nodeId}`, payload };
  return entryOf(accuser, keyId, signedEnvelope(kit, accuser, parts));
}

test('CO-5: validators accuse a node of a bad signature; one of them is not enough, and nobody else may', (t) => {
  t.is(outcomeOf(accusing(second, first.name)), '{"accepted":true,"status":200}');
  t.is(outcomeOf(accusing(kit.dev, first.name, 'k1')), '401 unknown-key');
  t.is(outcomeOf(accusing(second, second.name)), '422 payload');
  t.is(outcomeOf(accusing(second, 'nobody')), '422 payload');
  const one = makeBlock(kit, kit.view, [observationEntry(kit, first), accusing(second, first.name)]);
  t.deepEqual(one.result.rounds!.excluded, []);
  const view = after(kit.view, one);
  const two = makeBlock(kit, view, [accusing(third, first.name)]);
  t.like(two.result.rounds!.excluded, [{ nodeId: first.name, reason: 'InvalidSignature' }]);
  t.is(two.result.rounds!.excluded[0]!.evidence.length, 2);
  const again = executeBlock(view, decodeBlock(encodeBlock(store(kit, two))).entries.map(restoreEntry), NOON_MS);
  t.is(again.stateDigest, two.header.state_digest);
});

test('CO-5: validators that hold evidence against the votes of one exclude it; the last of them says why', (t) => {
  const evident = (accuser: Signer) => accusing(accuser, first.name, accuser.name, 'ProtocolEquivocation');
  const entries = [observationEntry(kit, first), accusing(second, first.name), evident(third)];
  const { result } = makeBlock(kit, kit.view, entries);
  t.is(result.entryCount, 3);
  t.like(result.rounds!.excluded, [{ nodeId: first.name, reason: 'ProtocolEquivocation', roundId: null }]);
  const payload = { node_id: first.name, reason: 'Dislike', body: 'ab'.repeat(32) };
  const parts = { kind: 'accusation', id: 'x', payload };
  t.is(outcomeOf(entryOf(second, second.name, signedEnvelope(kit, second, parts))), '422 payload');
});

test('CO-5: an observer that has too many rounds waiting is told to wait, and uses up no id', (t) => {
  const many = Array.from({ length: 17 }, (_, index) => observationEntry(kit, first, { round_id: `r${index}` }));
  const { result } = makeBlock(kit, kit.view, many);
  t.is(result.entryCount, 16);
  t.like(result.refused, [{ refusal: { code: 'rounds-waiting', status: 503 } }]);
});
