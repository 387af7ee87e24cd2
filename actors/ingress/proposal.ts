// From bytes to what consensus takes: parse by route, the identity of the content, the packed columns of a proposal.
// Called by the door. Pure.

import { type Prepared, prepareEnvelope, prepareObservation, preparePcs } from '../../protocol/submission.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { column, packBytes } from '../../runtime/kernel/batch.js';
import type { TransferListItem } from '../../runtime/kernel/contract.js';
import type { ProposeBatch, ProposedForm } from '../consensus/contract.js';
import { bytesKey, keyBytes, type Submission } from './submission.js';

/** Throws JsonError, ShapeError (400) or SignatureFormatError (401). */
export function prepare(route: number, raw: Uint8Array): Prepared {
  if (route === InboxRoute.observation) return prepareObservation(raw);
  return route === InboxRoute.pcs ? preparePcs(raw) : prepareEnvelope(raw);
}

/** A PCS has unsigned fields that decide its verdict, so its identity is the whole body (DECISIONS 17). */
export function contentOf(prepared: Prepared): string {
  return bytesKey(prepared.alg === null ? prepared.body : prepared.digest);
}

/** 32 bytes each, in memory of their own: to be transferred. */
export function packContents(list: readonly Submission[]): Uint8Array<ArrayBuffer> {
  const contents = new Uint8Array(new ArrayBuffer(32 * list.length));
  for (const [index, { content }] of list.entries()) contents.set(keyBytes(content), 32 * index);
  return contents;
}

export function packProposal(list: readonly Submission[]): { batch: ProposeBatch; transfer: TransferListItem[] } {
  const raws = packBytes(list.map(({ raw }) => raw));
  const digests = new Uint8Array(new ArrayBuffer(32 * list.length));
  const bodies = new Uint8Array(new ArrayBuffer(32 * list.length));
  list.forEach(({ prepared }, index) => {
    digests.set(prepared!.digest, 32 * index);
    bodies.set(prepared!.body, 32 * index);
  });
  const { forms, formOf } = formsOf(list);
  const batch: ProposeBatch = {
    raws,
    digests,
    bodies,
    forms,
    formOf,
    lsns: column(list, ({ lsn }) => Math.max(0, lsn)),
    ids: column(list, ({ prepared }) => prepared!.id),
    issuedAtMs: column(list, ({ prepared }) => prepared!.issuedAtMs ?? Number.NaN),
    attestations: list.some(({ attestation }) => attestation !== '')
      ? column(list, ({ attestation }) => attestation)
      : null,
  };
  return { batch, transfer: [raws, digests.buffer, bodies.buffer] };
}

/** A form is looked for among so many of the last ones: most batches have few, and to search hundreds costs more than it saves. */
const FORMS_SEARCHED = 8;

/** Every string that crosses to another thread is made there anew, so those that most entries share cross once. */
function formsOf(list: readonly Submission[]): Pick<ProposeBatch, 'forms' | 'formOf'> {
  const forms: ProposedForm[] = [];
  const formOf = column(list, (submission) => {
    for (let at = forms.length - 1; at >= Math.max(0, forms.length - FORMS_SEARCHED); at -= 1) {
      if (hasForm(submission, forms[at]!)) return at;
    }
    const { origin, route } = submission;
    const { kind, alg } = submission.prepared!;
    const { issuer, keyId, publicKey } = submission.verifiedBy!;
    return forms.push({ origin, route, kind, alg: alg ?? '', issuer, keyId, publicKey }) - 1;
  });
  return { forms, formOf };
}

function hasForm({ origin, route, prepared, verifiedBy }: Submission, form: ProposedForm): boolean {
  return (
    form.publicKey === verifiedBy!.publicKey &&
    form.keyId === verifiedBy!.keyId &&
    form.issuer === verifiedBy!.issuer &&
    form.kind === prepared!.kind &&
    form.alg === (prepared!.alg ?? '') &&
    form.route === route &&
    form.origin === origin
  );
}
