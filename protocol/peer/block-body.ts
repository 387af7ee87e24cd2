// A block on its way between nodes: header and entries with their bodies, without outcomes or certificate. It goes behind a
// proposal, and answers a peer that asks for a block by its hash. Called by the consensus host.
// Must never parse a body: a peer's bytes are read no further than needed to find the header and its hash.
//
//   u8 version 1 | u32 length, canonical text of the header | u16 n, n × entry
//   entry = u8 route, name issuer, name key id, u8 algorithm [32 public key], u8 attested [name node, u64 time, 64 signature],
//           u32 length, body
import { Buffer } from 'node:buffer';
import type { Attestation } from '../attestation.js';
import type { JsonValue } from '../json.js';
import { ShapeError } from '../kinds/kind.js';
import type { Entry, EntryKey } from '../ledger/apply.js';
import { blockHash, type Header, headerText, parseHeader } from '../ledger/header.js';
import { type Prepared, prepareEnvelope, prepareObservation, preparePcs } from '../submission.js';
import { InboxRoute } from '../wal-record.js';
import { FrameError, FrameReader, FrameWriter } from './bytes.js';

/** An entry as it travels: nothing of it has been checked. */
export interface BodyEntry {
  /** A value of InboxRoute. */
  readonly route: number;
  readonly raw: Uint8Array;
  readonly issuer: string;
  readonly key: EntryKey;
  readonly attestation: Attestation | null;
}

export interface BlockBody {
  readonly header: Header;
  readonly headerText: string;
  /** 64 hex, computed from the header. */
  readonly hash: string;
  readonly entries: readonly BodyEntry[];
}

const VERSION = 1;
const ED25519 = 1;
const HMAC = 2;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

export function encodeBlockBody(text: string, entries: readonly BodyEntry[]): Buffer {
  let sizeBytes = 16 + text.length;
  for (const { raw } of entries) sizeBytes += raw.length + 256;
  const writer = new FrameWriter(sizeBytes);
  writer.u8(VERSION).sized(Buffer.from(text, 'utf8')).u16(entries.length);
  for (const { route, raw, issuer, key, attestation } of entries) {
    writer.u8(route).name(issuer).name(key.keyId);
    if (key.publicKey === null) writer.u8(HMAC);
    else writer.u8(ED25519).bytes(key.publicKey);
    writeAttested(writer, attestation);
    writer.sized(raw);
  }
  return writer.finish();
}

/** The raw bodies are views of `bytes`. Throws FrameError for anything that encodeBlockBody does not write. */
export function decodeBlockBody(bytes: Uint8Array): BlockBody {
  const reader = new FrameReader(bytes);
  const version = reader.u8();
  if (version !== VERSION)
    throw new FrameError('version', `block body of version ${version}, this node reads ${VERSION}`);
  const text = reader.sized().toString('utf8');
  const header = readHeader(text);
  const count = reader.u16();
  if (count !== header.entry_count) {
    throw new FrameError('malformed', `${count} entries, and a header of ${header.entry_count}`);
  }
  const entries: BodyEntry[] = [];
  for (let index = 0; index < count; index += 1) entries.push(readEntry(reader));
  reader.end();
  return { header, headerText: text, hash: blockHash(text).toString('hex'), entries };
}

/** One text, one block: a spelling of the header that is not the canonical one would be another hash. */
function readHeader(text: string): Header {
  try {
    const header = parseHeader(JSON.parse(text) as JsonValue);
    if (headerText(header) === text) return header;
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof ShapeError)) throw error;
  }
  throw new FrameError('malformed', 'the header of the block is not the canonical text of one');
}

function readEntry(reader: FrameReader): BodyEntry {
  const route = reader.u8();
  checkRoute(route);
  const issuer = reader.name();
  const keyId = reader.name();
  const key = readKey(reader, keyId);
  const attestation = readAttested(reader, issuer, keyId);
  return { route, raw: reader.sized(), issuer, key, attestation };
}

const ROUTES: ReadonlySet<number> = new Set(Object.values(InboxRoute));

export function checkRoute(route: number): void {
  if (!ROUTES.has(route)) throw new FrameError('malformed', `route ${route}, expected 1 to ${ROUTES.size}`);
}

function readKey(reader: FrameReader, keyId: string): EntryKey {
  const algorithm = reader.u8();
  if (algorithm === HMAC) return { keyId, alg: 'hmac-sha256', publicKey: null };
  if (algorithm === ED25519) return { keyId, alg: 'ed25519', publicKey: reader.bytes(KEY_BYTES) };
  throw new FrameError('malformed', `algorithm ${algorithm} of a key, expected 1 or 2`);
}

/** u8 0 or 1, then node, time and signature. Issuer and key stand beside it. */
export function writeAttested(writer: FrameWriter, attestation: Attestation | null): void {
  if (attestation === null) {
    writer.u8(0);
    return;
  }
  writer.u8(1).name(attestation.nodeId).count(attestation.timeMs).bytes(attestation.signature);
}

export function readAttested(reader: FrameReader, issuer: string, keyId: string): Attestation | null {
  const flag = reader.u8();
  if (flag === 0) return null;
  if (flag !== 1) throw new FrameError('malformed', `flag ${flag} of an attestation, expected 0 or 1`);
  return { issuer, keyId, nodeId: reader.name(), timeMs: reader.count(), signature: reader.bytes(SIGNATURE_BYTES) };
}

/**
 * The body of an entry, parsed. Throws what prepareEnvelope, preparePcs and prepareObservation throw.
 */
export function prepareEntry({ route, raw }: Pick<BodyEntry, 'route' | 'raw'>): Prepared {
  if (route === InboxRoute.observation) return prepareObservation(raw);
  return route === InboxRoute.pcs ? preparePcs(raw) : prepareEnvelope(raw);
}

/** The entry as executeBlock takes it. Its signature is for the caller to check. */
export function entryOf(body: BodyEntry, prepared: Prepared): Entry {
  const { raw, issuer, key, attestation } = body;
  return { prepared, raw, issuer, key, attestation };
}
