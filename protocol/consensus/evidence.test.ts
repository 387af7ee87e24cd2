// Which pairs of votes prove a broken rule, and what evidence from elsewhere must show.
// Run by ava, over mock signatures.
import test from 'ava';
import { signedBytes } from './certificate.js';
import { type Evidence, evidenceFault, evidenceOf } from './evidence.js';
import type { Vote } from './message.js';
import { mockContext } from './testing/random.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

const A = 'aa'.repeat(32);
const B = 'bb'.repeat(32);
const context = mockContext(4, 0);

function vote(kind: VoteKind, hash: string | null, signer = 2, view = 9): Vote {
  return { kind, view, hash, signer, signature: mockContext(4, signer).sign(signedBytes(context, kind, view, hash)) };
}

const RULES: readonly (readonly [string | null, Vote, Vote])[] = [
  ['E1', vote(NOTARIZE, A), vote(NOTARIZE, B)],
  ['E2', vote(FINALIZE, A), vote(FINALIZE, B)],
  ['E3', vote(NULLIFY, null), vote(FINALIZE, A)],
  ['E4', vote(NOTARIZE, A), vote(FINALIZE, B)],
  [null, vote(NOTARIZE, A), vote(NOTARIZE, A)],
  [null, vote(NOTARIZE, A), vote(FINALIZE, A)],
  [null, vote(NOTARIZE, A), vote(NULLIFY, null)],
  [null, vote(NULLIFY, null), vote(NULLIFY, null)],
  [null, vote(NOTARIZE, A), vote(NOTARIZE, B, 3)],
  [null, vote(NOTARIZE, A), vote(NOTARIZE, B, 2, 10)],
];

for (const [i, [rule, first, second]] of RULES.entries()) {
  test(`CO-5: row ${i}: ${rule ?? 'nothing'} from kinds ${first.kind} and ${second.kind}`, (t) => {
    for (const evidence of [evidenceOf(first, second), evidenceOf(second, first)]) {
      if (rule === null) {
        t.is(evidence, null);
        continue;
      }
      t.is(evidence?.rule, rule as Evidence['rule']);
      t.true(evidence!.first.kind <= evidence!.second.kind);
      t.is(evidenceFault(context, evidence!), null);
    }
  });
}

test('CO-5: evidence that proves nothing is refused', (t) => {
  const proof = evidenceOf(vote(NOTARIZE, A), vote(NOTARIZE, B))!;
  t.is(evidenceFault(context, { ...proof, rule: 'E2' }), 'the votes prove E1, not E2');
  t.is(evidenceFault(context, { ...proof, second: proof.first }), 'the two votes go together');
  const forged = { ...proof.second, signature: proof.first.signature };
  t.is(evidenceFault(context, { ...proof, second: forged }), 'a signature of validator 2 is wrong');
  t.is(
    evidenceFault(context, { ...proof, second: { ...proof.second, hash: 'x' } }),
    'the block hash is not 64 lowercase hex digits',
  );
  t.is(evidenceFault({ ...context, epoch: 1 }, proof), 'a signature of validator 2 is wrong');
});
