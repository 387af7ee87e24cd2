// What counts as a certificate, and its JSON form.
// Run by ava, over mock signatures.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import { type Certificate, certificateFault, certificateToJson, signedBytes } from './certificate.js';
import { mockContext } from './testing/random.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

const HASH = 'ab'.repeat(32);
const context = mockContext(4, 0);

function certificate(signers: readonly number[], kind: VoteKind = NOTARIZE, view = 5): Certificate {
  const hash = kind === NULLIFY ? null : HASH;
  const signatures = signers.map((signer) => mockContext(4, signer % 4).sign(signedBytes(context, kind, view, hash)));
  return { kind, view, hash, signers, signatures };
}

const good = certificate([0, 2, 3]);

test('q distinct signers in order make a certificate of every kind; more are welcome', (t) => {
  const kinds: readonly VoteKind[] = [NOTARIZE, NULLIFY, FINALIZE];
  for (const kind of kinds) t.is(certificateFault(context, certificate([0, 2, 3], kind)), null);
  t.is(certificateFault(context, certificate([0, 1, 2, 3])), null);
});

const FAULTS: readonly (readonly [string, Certificate, string])[] = [
  ['too few', certificate([0, 2]), '2 signers, expected at least 3'],
  ['one twice', certificate([0, 2, 2]), 'the signers are not distinct and ascending'],
  ['out of order', certificate([2, 0, 3]), 'the signers are not distinct and ascending'],
  ['a stranger', certificate([0, 2, 4]), 'signer 4 is no validator of this epoch'],
  ['a fraction', { ...good, signers: [0, 1.5, 3] }, 'the signers are not distinct and ascending'],
  ['a signature missing', { ...good, signatures: good.signatures.slice(1) }, '2 signatures for 3 signers'],
  [
    'short signature',
    { ...good, signatures: good.signatures.map((s) => s.subarray(1)) },
    'signature of validator 0 has 63 bytes',
  ],
  ['another view', { ...good, view: 6 }, 'signature of validator 0 is wrong'],
  ['another kind', { ...good, kind: FINALIZE }, 'signature of validator 0 is wrong'],
  ['another block', { ...good, hash: 'ac'.repeat(32) }, 'signature of validator 0 is wrong'],
  ['view 0', { ...good, view: 0 }, 'view 0, expected an integer from 1'],
  ['unknown kind', { ...good, kind: 4 as VoteKind }, 'kind 4, expected 1, 2 or 3'],
  ['hash in capitals', { ...good, hash: 'AB'.repeat(32) }, 'the block hash is not 64 lowercase hex digits'],
  ['no hash', { ...good, hash: null }, 'the block hash is not 64 lowercase hex digits'],
  ['nullification of a block', { ...good, kind: NULLIFY }, 'a nullify vote names a block'],
];

for (const [title, bad, fault] of FAULTS) {
  test(`refused: ${title}`, (t) => t.is(certificateFault(context, bad), fault));
}

test('another chain and another epoch refuse it', (t) => {
  t.not(certificateFault({ ...context, epoch: 1 }, good), null);
  t.not(certificateFault({ ...context, chainId: Buffer.alloc(32, 1) }, good), null);
});

test('any changed bit of any signature is found, also when other signatures are known already', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 511 }), (index, bit) => {
      const signatures = good.signatures.map((signature) => Uint8Array.from(signature));
      signatures[index]![bit >> 3]! ^= 1 << (bit & 7);
      const known = (signer: number): Uint8Array | undefined => good.signatures[good.signers.indexOf(signer)];
      return (
        certificateFault(context, { ...good, signatures }) !== null &&
        certificateFault(context, { ...good, signatures }, known) !== null
      );
    }),
  );
  t.pass();
});

test('known signatures are not verified again', (t) => {
  const blind = { ...context, verify: () => t.fail('verified') as never };
  t.is(
    certificateFault(blind, good, (signer) => good.signatures[good.signers.indexOf(signer)]),
    null,
  );
});

test('CO-7: JSON form: node ids and base64 in validator order', (t) => {
  t.deepEqual(certificateToJson(context, good), {
    epoch: 0,
    view: 5,
    signers: ['node_0', 'node_2', 'node_3'],
    signatures: good.signatures.map((signature) => Buffer.from(signature).toString('base64')),
  });
});
