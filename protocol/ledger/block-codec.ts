// The bytes of a stored block, version 1: compact, written once a block and read for every look into the ledger.
// Called by the store and by whoever sends blocks between threads or peers.
// Must never change without a new version byte: old ledgers are read for ever.
//
//   u8 version | 32 hash | text header | text certificate | u16 n, n × text of the chain
//   | u32 n, n × text of the table | u32 n, n × entry | 8 bytes checksum
//   text  = u32 length, UTF-8
//   entry = u32 origin, u32 outcome (both places in the table), u8 flags (1: attestation),
//           u8 length and ASCII of id, 32 digest, 32 body, u32 length and bytes of raw,
//           [u32 node (place in the table), f64 time, 64 signature]
//
// Integers are big-endian. An origin is the JSON list [route, kind, issuer, key id, alg, public key hex or null]. Outcomes and origins
// repeat within a block, so each stands once. The checksum is the first 8 bytes of SHA-256 over all before it: LMDB has none itself.
import { Buffer } from 'node:buffer';
import type { Attestation } from '../attestation.js';
import { sha256 } from '../crypto/hash.js';
import type { JsonValue } from '../json.js';
import { certificateText, parseCertificate } from '../receipt.js';
import type { EntryKey } from './apply.js';
import type { Route, StoredBlock, StoredEntry } from './block.js';
import { type Header, headerText, parseHeader } from './header.js';

const VERSION = 1;
const CHECKSUM_BYTES = 8;
const HASH_BYTES = 32;
const SIGNATURE_BYTES = 64;
const HAS_ATTESTATION = 1;
/** origin, outcome, flags, id length, digest, body, raw length. */
const ENTRY_BYTES = 4 + 4 + 1 + 1 + HASH_BYTES + HASH_BYTES + 4;
const ATTESTATION_BYTES = 4 + 8 + SIGNATURE_BYTES;

/** The bytes are no block of a known version, or not the ones written: damaged on the way or on disk. */
export class BlockCodecError extends Error {
  override readonly name = 'BlockCodecError';
}

export function encodeBlock(block: StoredBlock): Buffer {
  const table = new TextTable();
  const places = block.entries.map((entry) => ({
    origin: table.place(originText(entry)),
    outcome: table.place(entry.outcome),
    node: entry.attestation === null ? 0 : table.place(entry.attestation.nodeId),
  }));
  const texts = [headerText(block.header), certificateText(block.certificate)];
  const chain = block.chain.map(headerText);
  const writer = new Writer(sizeOf(block, [...texts, ...chain, ...table.texts]));
  writer.u8(VERSION);
  writer.hex(block.hash);
  for (const text of texts) writer.text(text);
  writer.u16(chain.length);
  for (const text of chain) writer.text(text);
  writer.u32(table.texts.length);
  for (const text of table.texts) writer.text(text);
  writer.u32(block.entries.length);
  block.entries.forEach((entry, i) => {
    const { origin, outcome, node } = places[i] as (typeof places)[number];
    writer.u32(origin);
    writer.u32(outcome);
    writer.u8(entry.attestation === null ? 0 : HAS_ATTESTATION);
    writer.ascii(entry.id);
    writer.hex(entry.digest);
    writer.hex(entry.body);
    writer.bytesWithLength(entry.raw);
    if (entry.attestation !== null) {
      writer.u32(node);
      writer.f64(entry.attestation.timeMs);
      writer.bytes(entry.attestation.signature);
    }
  });
  return writer.finish();
}

function sizeOf(block: StoredBlock, texts: readonly string[]): number {
  let size = 1 + HASH_BYTES + 2 + 4 + 4 + CHECKSUM_BYTES;
  for (const text of texts) size += 4 + Buffer.byteLength(text);
  for (const { id, raw, attestation } of block.entries) {
    size += ENTRY_BYTES + id.length + raw.length + (attestation === null ? 0 : ATTESTATION_BYTES);
  }
  return size;
}

/**
 * Throws BlockCodecError for anything encodeBlock did not write, a single changed bit included. The `raw` of the entries are views of
 * `bytes`: whoever reuses that memory must copy first. From a peer the result is well-formed, but what it says is for blockFault and
 * the certificate's check to judge.
 */
export function decodeBlock(bytes: Uint8Array): StoredBlock {
  const reader = new Reader(checkedContent(bytes));
  try {
    const block = readBlock(reader);
    reader.finish();
    return block;
  } catch (error) {
    if (error instanceof BlockCodecError) throw error;
    throw new BlockCodecError('the checksum holds, but the content is no block', { cause: error });
  }
}

function readBlock(reader: Reader): StoredBlock {
  const hash = reader.hex();
  const header = parseHeader(reader.json());
  const certificate = parseCertificate(reader.json());
  const chain: Header[] = [];
  for (let count = reader.u16(); count > 0; count -= 1) chain.push(parseHeader(reader.json()));
  const table: string[] = [];
  for (let count = reader.u32(); count > 0; count -= 1) table.push(reader.text());
  const origins = new Map<number, Origin>();
  const entries: StoredEntry[] = [];
  for (let count = reader.u32(); count > 0; count -= 1) entries.push(readEntry(reader, table, origins));
  return { header, hash, certificate, chain, entries };
}

/** The bytes between version and checksum. */
function checkedContent(bytes: Uint8Array): Buffer {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = buffer.length - CHECKSUM_BYTES;
  if (end < 1) throw new BlockCodecError(`${buffer.length} bytes are too few for a block`);
  if (!sha256(buffer.subarray(0, end)).subarray(0, CHECKSUM_BYTES).equals(buffer.subarray(end))) {
    throw new BlockCodecError('the checksum of the block does not match: its bytes are damaged');
  }
  if (buffer[0] !== VERSION) throw new BlockCodecError(`block format ${buffer[0]}; this program reads ${VERSION}`);
  return buffer.subarray(1, end);
}

interface Origin {
  readonly route: Route;
  readonly kind: string;
  readonly issuer: string;
  readonly key: EntryKey;
}

function originText({ route, kind, issuer, key }: StoredEntry): string {
  // Names match IDENTIFIER or KIND_NAME: nothing in them needs escaping.
  const publicKey = key.publicKey === null ? 'null' : `"${hexOf(key.publicKey)}"`;
  return `["${route}","${kind}","${issuer}","${key.keyId}","${key.alg}",${publicKey}]`;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function parseOrigin(text: string): Origin {
  const [route, kind, issuer, keyId, alg, publicKey] = JSON.parse(text) as JsonValue[];
  return {
    route: route === 'pcs' || route === 'observation' ? route : 'envelope',
    kind: String(kind),
    issuer: String(issuer),
    key: {
      keyId: String(keyId),
      alg: alg === 'hmac-sha256' ? 'hmac-sha256' : 'ed25519',
      publicKey: typeof publicKey === 'string' ? Buffer.from(publicKey, 'hex') : null,
    },
  };
}

function textAt(table: readonly string[], place: number): string {
  const text = table[place];
  if (text === undefined) throw new BlockCodecError(`place ${place} in a table of ${table.length}`);
  return text;
}

function readEntry(reader: Reader, table: readonly string[], origins: Map<number, Origin>): StoredEntry {
  const place = reader.u32();
  let origin = origins.get(place);
  if (origin === undefined) {
    origin = parseOrigin(textAt(table, place));
    origins.set(place, origin);
  }
  const outcome = textAt(table, reader.u32());
  const flags = reader.u8();
  const id = reader.ascii();
  const digest = reader.hex();
  const body = reader.hex();
  const raw = reader.bytes(reader.u32());
  const { route, kind, issuer, key } = origin;
  const attestation = flags === HAS_ATTESTATION ? readAttested(reader, table, origin) : null;
  return { route, kind, issuer, key, id, digest, body, raw, outcome, attestation };
}

function readAttested(reader: Reader, table: readonly string[], { issuer, key }: Origin): Attestation {
  return {
    issuer,
    keyId: key.keyId,
    nodeId: textAt(table, reader.u32()),
    timeMs: reader.f64(),
    signature: reader.bytes(SIGNATURE_BYTES),
  };
}

/** Texts that repeat within a block, each once, by first use. */
class TextTable {
  readonly texts: string[] = [];
  readonly #places = new Map<string, number>();

  place(text: string): number {
    const known = this.#places.get(text);
    if (known !== undefined) return known;
    this.#places.set(text, this.texts.length);
    this.texts.push(text);
    return this.texts.length - 1;
  }
}

class Writer {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafeSlow(size);
  }

  u8(value: number): void {
    this.#at = this.#buffer.writeUInt8(value, this.#at);
  }

  u16(value: number): void {
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
  }

  u32(value: number): void {
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }

  f64(value: number): void {
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
  }

  bytes(value: Uint8Array): void {
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  bytesWithLength(value: Uint8Array): void {
    this.u32(value.length);
    this.bytes(value);
  }

  hex(value: string): void {
    this.#at += this.#buffer.write(value, this.#at, 'hex');
  }

  ascii(value: string): void {
    this.u8(value.length);
    this.#at += this.#buffer.write(value, this.#at, 'latin1');
  }

  text(value: string): void {
    const length = this.#buffer.write(value, this.#at + 4, 'utf8');
    this.u32(length);
    this.#at += length;
  }

  /** The whole buffer with its checksum. The size given at the start must have been exact. */
  finish(): Buffer {
    const checksum = sha256(this.#buffer.subarray(0, this.#at)).subarray(0, CHECKSUM_BYTES);
    this.bytes(checksum);
    if (this.#at !== this.#buffer.length) throw new RangeError(`wrote ${this.#at} of ${this.#buffer.length} bytes`);
    return this.#buffer;
  }
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Moves on by `length` bytes and answers where they begin. */
  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#buffer.length) throw new BlockCodecError('the content ends within a field');
    this.#at = start + length;
    return start;
  }

  finish(): void {
    const rest = this.#buffer.length - this.#at;
    if (rest > 0) throw new BlockCodecError(`${rest} bytes after the last entry`);
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#take(1));
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  f64(): number {
    return this.#buffer.readDoubleBE(this.#take(8));
  }

  bytes(length: number): Buffer {
    const start = this.#take(length);
    return this.#buffer.subarray(start, start + length);
  }

  hex(): string {
    const start = this.#take(HASH_BYTES);
    return this.#buffer.toString('hex', start, start + HASH_BYTES);
  }

  ascii(): string {
    const length = this.u8();
    const start = this.#take(length);
    return this.#buffer.toString('latin1', start, start + length);
  }

  text(): string {
    const length = this.u32();
    const start = this.#take(length);
    return this.#buffer.toString('utf8', start, start + length);
  }

  json(): JsonValue {
    return JSON.parse(this.text()) as JsonValue;
  }
}
