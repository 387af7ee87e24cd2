// Evidence as a document: what a node exports holds with the validator file alone, and any change of it is found.
// Run by ava, over real signatures.
import { Buffer } from 'node:buffer';
import test from 'ava';
import { signedBytes } from './consensus/certificate.js';
import type { Context } from './consensus/context.js';
import { type Evidence, evidenceOf } from './consensus/evidence.js';
import type { Vote } from './consensus/message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './consensus/vote.js';
import { loadEd25519 } from './crypto/ed25519.js';
import { evidenceToJson, verifyEvidence } from './evidence-verify.js';
import type { JsonObject, JsonValue } from './json.js';
import { firstEpoch, validatorSetJson } from './validators.js';

const ed25519 = await loadEd25519();
const keys = [1, 2, 3, 4].map((fill) => ed25519.keyPair(Buffer.alloc(32, fill)));
const chainId = 'c1'.repeat(32);
const validators = keys.map(({ publicKey }, i) => ({ nodeId: `node_${i}`, publicKey: Buffer.from(publicKey) }));
const context: Context = {
  chainId: Buffer.from(chainId, 'hex'),
  epoch: 0,
  self: null,
  validators,
  delta0Ms: 100,
  deltaMaxMs: 1_600,
  sign: () => {
    throw new Error('nobody signs here');
  },
  verify: ed25519.verify,
};
const file = validatorSetJson(firstEpoch(chainId, validators));
const A = 'aa'.repeat(32);
const B = 'bb'.repeat(32);

function vote(kind: VoteKind, hash: string | null, signer = 2): Vote {
  const signature = ed25519.sign(signedBytes(context, kind, 9, hash), keys[signer]!.secretKey);
  return { kind, view: 9, hash, signer, signature };
}

const PROOFS: readonly (readonly [Evidence, string])[] = [
  [evidenceOf(vote(NOTARIZE, A), vote(NOTARIZE, B))!, 'node_2 notarized two blocks in view 9 of epoch 0'],
  [evidenceOf(vote(FINALIZE, A), vote(FINALIZE, B))!, 'node_2 finalized two blocks in view 9 of epoch 0'],
  [
    evidenceOf(vote(NULLIFY, null), vote(FINALIZE, A))!,
    'node_2 nullified the view and finalized a block in view 9 of epoch 0',
  ],
  [
    evidenceOf(vote(NOTARIZE, A), vote(FINALIZE, B))!,
    'node_2 notarized one block and finalized another in view 9 of epoch 0',
  ],
];

for (const [evidence, detail] of PROOFS) {
  test(`CO-5: ${evidence.rule} is exported, and holds with the validator file alone`, (t) => {
    const json = JSON.parse(JSON.stringify(evidenceToJson(context, evidence))) as JsonValue;
    t.deepEqual(verifyEvidence(json, file, ed25519), { valid: true, detail });
  });
}

const good = evidenceToJson(context, PROOFS[0]![0]);
const votes = good.votes as JsonObject[];
const CHANGES: readonly (readonly [string, JsonObject, RegExp])[] = [
  ['another chain', { chain_id: 'c2'.repeat(32) }, /^chain c2/],
  ['another epoch', { epoch: 1 }, /^epoch 1 is not in the validator file$/],
  ['another validator', { signer: 'node_3' }, /^a signature of validator 3 is wrong$/],
  ['a stranger', { signer: 'node_9' }, /^node_9 is no validator/],
  ['another view', { view: 10 }, /^a signature of validator 2 is wrong$/],
  ['another rule', { rule: 'E2' }, /^the votes prove E1, not E2$/],
  ['one vote twice', { votes: [votes[0]!, votes[0]!] }, /^the two votes go together$/],
  ['one vote alone', { votes: [votes[0]!] }, /votes/],
  [
    'another block',
    { votes: [votes[0]!, { ...votes[1]!, hash: 'cc'.repeat(32) }] },
    /^a signature of validator 2 is wrong$/,
  ],
  ['another version', { version: 2 }, /version/],
  ['a member more', { more: 1 }, /more/],
];

for (const [title, change, detail] of CHANGES) {
  test(`CO-5: refused: ${title}`, (t) => {
    const verdict = verifyEvidence({ ...good, ...change }, file, ed25519);
    t.false(verdict.valid);
    t.regex(verdict.detail, detail);
  });
}

test('CO-5: what is no document at all is refused, and a validator file of another shape is an error', (t) => {
  t.false(verifyEvidence(null, file, ed25519).valid);
  t.false(verifyEvidence([], file, ed25519).valid);
  t.throws(() => verifyEvidence(good, {}, ed25519), { name: 'ShapeError' });
});
