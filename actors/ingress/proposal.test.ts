import test from 'ava';
import type { Prepared } from '../../protocol/submission.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { packProposal } from './proposal.js';
import { emptySubmission, type Submission } from './submission.js';

function verified(id: string, issuer: string, more: Partial<Submission> = {}): Submission {
  const prepared = {
    kind: 'note',
    issuer,
    id,
    issuedAtMs: 1_000,
    alg: 'ed25519',
    digest: Buffer.alloc(32, id),
    body: Buffer.alloc(32, issuer),
    signedBytes: Buffer.alloc(0),
    signature: Buffer.alloc(64),
    payload: {},
  } satisfies Prepared;
  const verifiedBy = { issuer, keyId: 'k1', publicKey: 'ab'.repeat(32) };
  return { ...emptySubmission(InboxRoute.envelope, Buffer.from(id), 'r', null), lsn: 7, prepared, verifiedBy, ...more };
}

const told = (list: readonly Submission[]) => {
  const { batch } = packProposal(list);
  return batch.formOf.map((place, index) => [batch.ids[index], batch.forms[place]!.issuer]);
};

test('what entries have in common crosses once, and each keeps its own', (t) => {
  const list = ['a', 'b', 'a', 'a', 'b'].map((issuer, index) => verified(`id-${index}`, issuer));
  const { batch } = packProposal(list);
  t.deepEqual(batch.formOf, [0, 1, 0, 0, 1]);
  t.deepEqual(batch.forms, [
    { origin: '', route: 1, kind: 'note', alg: 'ed25519', issuer: 'a', keyId: 'k1', publicKey: 'ab'.repeat(32) },
    { origin: '', route: 1, kind: 'note', alg: 'ed25519', issuer: 'b', keyId: 'k1', publicKey: 'ab'.repeat(32) },
  ]);
  t.is(batch.attestations, null);
});

test('entries that differ in one thing alone do not share', (t) => {
  const base = verified('x', 'a');
  const others: Submission[] = [
    { ...base, origin: 'node_2' },
    { ...base, route: InboxRoute.pcs },
    { ...base, prepared: { ...base.prepared!, kind: 'pcs' } },
    { ...base, prepared: { ...base.prepared!, alg: null } },
    { ...base, verifiedBy: { ...base.verifiedBy!, keyId: 'k2' } },
    { ...base, verifiedBy: { ...base.verifiedBy!, publicKey: '' } },
    { ...base, verifiedBy: { ...base.verifiedBy!, issuer: 'c' } },
  ];
  t.deepEqual(packProposal([base, ...others]).batch.formOf, [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('many issuers in turn: each entry has the right one, whether or not its form was found again', (t) => {
  const list = Array.from({ length: 60 }, (_, index) => verified(`id-${index}`, `issuer-${index % 20}`));
  t.deepEqual(
    told(list),
    list.map(({ prepared }) => [prepared!.id, prepared!.issuer]),
  );
});

test('one attestation is enough for a column of them', (t) => {
  const { batch } = packProposal([verified('a', 'a'), verified('b', 'a', { attestation: '{}', lsn: -1 })]);
  t.deepEqual(batch.attestations, ['', '{}']);
  t.deepEqual(batch.lsns, [7, 0]);
});
