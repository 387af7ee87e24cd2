import test from 'ava';
import { SignatureFormatError } from '../../protocol/envelope.js';
import { JsonError, parseStrict } from '../../protocol/json.js';
import { ShapeError } from '../../protocol/kinds/kind.js';
import { REFUSAL_STATUS, type RefusalCode } from '../../protocol/ledger/apply.js';
import { Answers, refusalOfError } from './answers.js';

/** Every code of apply() and what a client is told. A duplicate is answered with its outcome; a full block waits. */
const TOLD: { readonly [Code in RefusalCode]: number | null } = {
  duplicate: null,
  conflict: 409,
  'unknown-key': 401,
  'key-window': 401,
  // The home node is not trusted with this key: nothing that the client's credentials could change.
  attestation: 403,
  forbidden: 403,
  horizon: 422,
  'unknown-kind': 422,
  payload: 422,
  'too-large': 413,
  'block-full': null,
  'rounds-waiting': 503,
};

for (const code of Object.keys(TOLD) as RefusalCode[]) {
  const told = TOLD[code];
  if (told === null) continue;
  test(`IN-11: refused by consensus as ${code} → ${told}`, (t) => {
    const answers = new Answers(() => 0);
    const answer = answers.problem(answers.refusalOfCode(code, 'the detail'), 'r1');
    t.is(answer.status, told);
    if (code !== 'attestation') t.is(answer.status, REFUSAL_STATUS[code]);
    t.like(JSON.parse(answer.body), { status: told, detail: 'the detail', request_id: 'r1' });
  });
}

test('a code that nobody knows is a defect, not a silent success', (t) => {
  const answers = new Answers(() => 0);
  t.is(answers.problem(answers.refusalOfCode('novel', 'x'), 'r').status, 500);
});

test('IN-13: Retry-After is spread over whole seconds', (t) => {
  const after = (random: number) =>
    new Answers(() => random).problem({ slug: 'overloaded' }, 'r').headers['retry-after'];
  t.deepEqual([after(0), after(0.49), after(0.5), after(0.999)], ['1', '1', '2', '2']);
});

test('errors of reading a body become what the client did wrong; others are defects', (t) => {
  const json = t.throws(() => parseStrict(Buffer.from('{')), { instanceOf: JsonError });
  t.is(refusalOfError(json).slug, 'malformed-json');
  t.truthy(refusalOfError(json).detail);
  const shape = new ShapeError([{ pointer: '/id', found: '1', allowed: 'a string' }]);
  t.deepEqual(refusalOfError(shape), { slug: 'malformed-envelope', errors: shape.errors });
  t.is(refusalOfError(new SignatureFormatError('3 bytes', '64 bytes')).slug, 'bad-signature');
  t.like(refusalOfError(new TypeError('oops')), { slug: 'internal-error', detail: 'oops' });
  t.like(refusalOfError('text'), { slug: 'internal-error', detail: 'text' });
});

test('members and field errors reach the document', (t) => {
  const answers = new Answers(() => 0);
  const errors = [{ pointer: '/a', found: '1', allowed: '2' }];
  const { body } = answers.problem({ slug: 'body-too-large', members: { limit_bytes: 5 }, errors }, 'r');
  t.like(JSON.parse(body), { limit_bytes: 5, errors });
});
