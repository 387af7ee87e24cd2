// A signed submission as the client makes it, read back by the code of the node.
import test from 'ava';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { prepareEnvelope } from '../protocol/submission.js';
import { ClientKeyError, parseClientKey, signSubmission } from './sign.js';

/** RFC 8032 section 7.1, test 1. */
const KEY = {
  issuer: 'dev',
  public_key: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
};
const DRAFT = { kind: 'note', id: 'order-17', issuedAtMs: Date.parse('2026-11-20T12:00:00Z'), payload: { text: 'hi' } };

test('what the client sends is what the node reads: bytes, digest and signature agree', async (t) => {
  const ed25519 = await loadEd25519();
  const signed = signSubmission(ed25519, parseClientKey(KEY), DRAFT);
  const prepared = prepareEnvelope(signed.body);
  t.is(prepared.digest.toString('hex'), signed.digest);
  t.true(ed25519.verify(prepared.signature, prepared.signedBytes, Buffer.from(KEY.public_key, 'hex')));
  t.deepEqual(
    {
      kind: prepared.kind,
      id: prepared.id,
      issuer: prepared.issuer,
      at: prepared.issuedAtMs,
      payload: prepared.payload,
    },
    { kind: 'note', id: 'order-17', issuer: 'dev', at: DRAFT.issuedAtMs, payload: { text: 'hi' } },
  );
  t.deepEqual(signSubmission(ed25519, parseClientKey(KEY), DRAFT), signed, 'signing again gives the same bytes');
});

test('a draft that is no envelope is refused before it is signed', async (t) => {
  const ed25519 = await loadEd25519();
  const key = parseClientKey(KEY);
  for (const wrong of [{ kind: 'Note' }, { id: '' }, { id: 'a b' }, { id: 'x'.repeat(129) }]) {
    t.throws(
      () => signSubmission(ed25519, key, { ...DRAFT, ...wrong }),
      { instanceOf: ShapeError },
      JSON.stringify(wrong),
    );
  }
  t.throws(() => signSubmission(ed25519, { ...key, issuer: 'a"b' }, DRAFT), { instanceOf: ShapeError });
});

test('a key file that is not one is refused without showing its seed', async (t) => {
  const wrong = [null, [], {}, { ...KEY, issuer: 1 }, { ...KEY, seed: KEY.seed.slice(1) }, { ...KEY, public_key: 'x' }];
  for (const value of wrong) {
    const error = t.throws(() => parseClientKey(value), { instanceOf: ClientKeyError });
    t.false(error.message.includes(KEY.seed.slice(2, 20)));
  }
  const other = parseClientKey({ ...KEY, public_key: 'ab'.repeat(32) });
  const ed25519 = await loadEd25519();
  t.throws(() => signSubmission(ed25519, other, DRAFT), { instanceOf: ClientKeyError, message: /does not belong/ });
});
