// A block as this node's log keeps it (record type `block`): the header, and for each entry where its body stands in
// the log and which key verified it. Written by the host, read by replay. Local: it never leaves this node.
import { attestationJson, readAttestation } from '../../protocol/attestation.js';
import type { JsonValue } from '../../protocol/json.js';
import type { Entry } from '../../protocol/ledger/apply.js';
import { type Header, parseHeader } from '../../protocol/ledger/header.js';
import { Mistakes } from '../../protocol/shape.js';
import { type Prepared, prepareEnvelope, prepareObservation, preparePcs } from '../../protocol/submission.js';
import { InboxRoute } from '../../protocol/wal-record.js';
import type { Pooled } from './mempool.js';

/** Tuples, not objects: one is written for every submission that ever becomes final. */
type EntryRecord = readonly [
  lsn: number,
  route: number,
  issuer: string,
  keyId: string,
  publicKey: string,
  attestation: JsonValue,
];

interface BlockRecord {
  readonly version: 1;
  readonly header: JsonValue;
  readonly entries: readonly EntryRecord[];
}

/** What a block record is rebuilt into: everything that executing it again needs. */
export interface ReplayedBlock {
  readonly header: Header;
  readonly pooled: readonly Pooled[];
}

export function encodeBlockRecord(headerText: string, pooled: readonly Pooled[]): Buffer {
  const entries = pooled.map(({ lsn, route, entry }): EntryRecord => {
    const { keyId, publicKey } = entry.key;
    const attestation = entry.attestation === null ? null : attestationJson(entry.attestation);
    return [lsn, route, entry.issuer, keyId, publicKey === null ? '' : hex(publicKey), attestation];
  });
  return Buffer.from(`{"version":1,"header":${headerText},"entries":${JSON.stringify(entries)}}`);
}

/** The inbox body at an LSN. */
export type BodyAt = (lsn: number) => Uint8Array | undefined;

/** LSNs of the bodies that a block record stands on. */
export function bodiesOf(data: Uint8Array): number[] {
  return (JSON.parse(Buffer.from(data).toString('utf8')) as BlockRecord).entries.map(([lsn]) => lsn);
}

/** `bodyAt` gives the inbox body at an LSN. Throws when one is missing: the log holds a block without its bodies. */
export function decodeBlockRecord(data: Uint8Array, bodyAt: BodyAt): ReplayedBlock {
  const record = JSON.parse(Buffer.from(data).toString('utf8')) as BlockRecord;
  if (record.version !== 1) throw new Error(`block record of version ${String(record.version)}, this one reads 1`);
  const pooled = record.entries.map(([lsn, route, issuer, keyId, publicKey, attestation]): Pooled => {
    const raw = bodyAt(lsn);
    if (raw === undefined) throw new Error(`the log holds a block whose body at LSN ${lsn} is missing`);
    const prepared = prepareBody(route, raw);
    const mistakes = new Mistakes();
    const key = { keyId, alg: publicKey === '' ? 'hmac-sha256' : 'ed25519', publicKey: fromHex(publicKey) } as const;
    const entry: Entry = {
      prepared,
      raw,
      issuer,
      key,
      attestation: attestation === null ? null : readAttestation(attestation, '', mistakes),
    };
    return { entry, lsn, route, content: contentOf(prepared) };
  });
  return { header: parseHeader(record.header), pooled };
}

function prepareBody(route: number, raw: Uint8Array): Prepared {
  if (route === InboxRoute.observation) return prepareObservation(raw);
  return route === InboxRoute.pcs ? preparePcs(raw) : prepareEnvelope(raw);
}

export function contentOf(prepared: Prepared): string {
  return (prepared.alg === null ? prepared.body : prepared.digest).toString('latin1');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

function fromHex(text: string): Buffer | null {
  return text === '' ? null : Buffer.from(text, 'hex');
}
