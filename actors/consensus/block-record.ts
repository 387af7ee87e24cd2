// A block as this node's log keeps it (record type `block`): the header, and for each entry which key verified it and where
// its body stands: in an inbox record of this log, or in the record itself when a peer brought it (R7 writes only what is
// not in the log yet). Written by the host, read by replay. Local: it never leaves this node.
import { attestationJson, readAttestation } from '../../protocol/attestation.js';
import type { JsonValue } from '../../protocol/json.js';
import type { Entry } from '../../protocol/ledger/apply.js';
import { type Header, parseHeader } from '../../protocol/ledger/header.js';
import { prepareEntry } from '../../protocol/peer/block-body.js';
import { Mistakes } from '../../protocol/shape.js';
import type { Prepared } from '../../protocol/submission.js';
import type { Pooled } from './mempool.js';

/** Tuples, not objects: one is written for every submission that ever becomes final. */
type EntryRecord = readonly [
  /** 0: the body stands in this record. */
  lsn: number,
  route: number,
  issuer: string,
  keyId: string,
  publicKey: string,
  attestation: JsonValue,
  /** Bytes of a body that stands in this record. */
  sizeBytes?: number,
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

/** First byte of a record with bodies: version(1) ‖ length of the JSON text (u32 LE) ‖ text ‖ bodies in order of the entries. */
const WITH_BODIES = 2;
const HEAD_BYTES = 5;

/** JSON text alone where every body stands in the log already, as at n = 1; else the text with the bodies behind it. */
export function encodeBlockRecord(headerText: string, pooled: readonly Pooled[]): Buffer {
  const bodies: Uint8Array[] = [];
  const entries = pooled.map(({ lsn, route, entry }): EntryRecord => {
    const { keyId, publicKey } = entry.key;
    const attestation = entry.attestation === null ? null : attestationJson(entry.attestation);
    const key = publicKey === null ? '' : hex(publicKey);
    if (lsn > 0) return [lsn, route, entry.issuer, keyId, key, attestation];
    bodies.push(entry.raw);
    return [0, route, entry.issuer, keyId, key, attestation, entry.raw.length];
  });
  const text = Buffer.from(`{"version":1,"header":${headerText},"entries":${JSON.stringify(entries)}}`);
  if (bodies.length === 0) return text;
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = WITH_BODIES;
  head.writeUInt32LE(text.length, 1);
  return Buffer.concat([head, text, ...bodies]);
}

/** The inbox body at an LSN. */
export type BodyAt = (lsn: number) => Uint8Array | undefined;

interface Opened {
  readonly record: BlockRecord;
  /** What stands behind the text. */
  readonly bodies: Buffer;
}

function open(data: Uint8Array): Opened {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  if (bytes[0] !== WITH_BODIES) return { record: JSON.parse(bytes.toString('utf8')) as BlockRecord, bodies: EMPTY };
  const end = HEAD_BYTES + bytes.readUInt32LE(1);
  return {
    record: JSON.parse(bytes.toString('utf8', HEAD_BYTES, end)) as BlockRecord,
    bodies: bytes.subarray(end),
  };
}

const EMPTY = Buffer.alloc(0);

/** What a reader of the log must know of a block without building it again. */
export interface BlockPeek {
  readonly header: { readonly height: number; readonly epoch: number; readonly parent_hash: string };
  /** LSNs of the inbox records that it stands on. */
  readonly lsns: readonly number[];
}

export function peekBlockRecord(data: Uint8Array): BlockPeek {
  const { record } = open(data);
  const lsns = record.entries.map(([lsn]) => lsn).filter((lsn) => lsn > 0);
  return { header: record.header as unknown as BlockPeek['header'], lsns };
}

/** `bodyAt` gives the inbox body at an LSN. Throws when one is missing: the log holds a block without its bodies. */
export function decodeBlockRecord(data: Uint8Array, bodyAt: BodyAt): ReplayedBlock {
  const { record, bodies } = open(data);
  if (record.version !== 1) throw new Error(`block record of version ${String(record.version)}, this one reads 1`);
  let next = 0;
  const within = (sizeBytes: number): Uint8Array => {
    next += sizeBytes;
    // A copy: one body must not keep the whole page of the log in memory.
    return new Uint8Array(bodies.subarray(next - sizeBytes, next));
  };
  const pooled = record.entries.map(([lsn, route, issuer, keyId, publicKey, attestation, sizeBytes]): Pooled => {
    const raw = lsn > 0 ? bodyAt(lsn) : within(sizeBytes!);
    if (raw === undefined) throw new Error(`the log holds a block whose body at LSN ${lsn} is missing`);
    const prepared = prepareEntry({ route, raw });
    const mistakes = new Mistakes();
    const key = { keyId, alg: publicKey === '' ? 'hmac-sha256' : 'ed25519', publicKey: fromHex(publicKey) } as const;
    const entry: Entry = {
      prepared,
      raw,
      issuer,
      key,
      attestation: attestation === null ? null : readAttestation(attestation, '', mistakes),
    };
    return { entry, lsn, route, content: contentOf(prepared), origin: '' };
  });
  return { header: parseHeader(record.header), pooled };
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
