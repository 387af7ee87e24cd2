// From bytes to what consensus takes: parse by route, the identity of the content, the packed columns of a proposal.
// Called by the door. Pure.

import { type Prepared, prepareEnvelope, prepareObservation, preparePcs } from '../../protocol/submission.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import { packBytes } from '../../runtime/kernel/batch.js';
import type { TransferListItem } from '../../runtime/kernel/contract.js';
import type { ProposeBatch } from '../consensus/contract.js';
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
  const batch: ProposeBatch = {
    raws,
    digests,
    bodies,
    lsns: list.map(({ lsn }) => Math.max(0, lsn)),
    origins: list.map(({ origin }) => origin),
    routes: list.map(({ route }) => route),
    kinds: list.map(({ prepared }) => prepared!.kind),
    ids: list.map(({ prepared }) => prepared!.id),
    algs: list.map(({ prepared }) => prepared!.alg ?? ''),
    issuedAtMs: list.map(({ prepared }) => prepared!.issuedAtMs ?? Number.NaN),
    issuers: list.map(({ verifiedBy }) => verifiedBy!.issuer),
    keyIds: list.map(({ verifiedBy }) => verifiedBy!.keyId),
    publicKeys: list.map(({ verifiedBy }) => verifiedBy!.publicKey),
    attestations: list.map(({ attestation }) => attestation),
  };
  return { batch, transfer: [raws, digests.buffer, bodies.buffer] };
}
