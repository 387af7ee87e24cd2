// The ledger database: its tables and how keys and values are spelled. Used by the store, which writes, and by readers.
// Nothing else may know a table's layout. All values are bytes; a number is big-endian.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Database, RootDatabase } from 'lmdb';

const { open } = createRequire(import.meta.url)('lmdb') as typeof import('lmdb');

/** Bumped when a table's spelling changes: a newer binary migrates, an older one refuses to open (exit 78). */
export const LAYOUT_VERSION = 1;

export const META_LAYOUT = 'layout';
/** The chain this database belongs to, 64 hex. */
export const META_CHAIN = 'chain';
/** Head after the last applied block, JSON (protocol/ledger/header Tip). */
export const META_HEAD = 'head';
/** Registry in force at the head, canonical JSON. */
export const META_REGISTRY = 'registry';
/** Observation rounds at the head, canonical JSON (protocol/rounds/text); absent before the first observation. */
export const META_ROUNDS = 'rounds';

/** The validators and their epochs, as GET /v1/validators answers; absent while the chain is in its first epoch. */
export const META_VALIDATORS = 'validators';

/**
 * Two environments. Bodies are written once and seldom read; in the file of the index they would lie between its pages
 * and be mapped into memory with them. A block counts only when the head, in the index, has reached its height, so
 * bodies are committed first and nothing is lost between the two commits: the log writes the block again.
 */
export interface Tables {
  readonly root: RootDatabase;
  readonly bodies: RootDatabase;
  /** Facts about the database, by the names above. */
  readonly meta: Database<string, string>;
  /** Height → StoredBlock bytes. */
  readonly blocks: Database<Buffer, number>;
  /** `issuer \0 id` (never hashed: sorted runs cost a tenth) → digest 32, height u48, index u16, of a PCS also its body hash 32. */
  readonly index: Database<Buffer, Buffer>;
  /** First 16 bytes of the digest → height u48, index u16. The reader compares the rest. */
  readonly digests: Database<Buffer, Buffer>;
  /** Digest of a submission refused after its 202 → verdict JSON. */
  readonly rejected: Database<Buffer, Buffer>;
}

export interface Position {
  readonly height: number;
  readonly index: number;
}

export interface IndexValue extends Position {
  readonly digest: Buffer;
  /** Hash of the body where that, and not the digest, is the identity of the content (PCS); empty otherwise. */
  readonly body: Buffer;
}

export const POSITION_BYTES = 8;
const HASH_BYTES = 32;
/** 128 bits: finding two submissions that share them takes 2⁶⁴ signed tries, and gains a lookup that misses. */
const DIGEST_KEY_BYTES = 16;

/** The two environments, as folders of the ledger's directory. */
export const LEDGER_PARTS = ['index', 'bodies'] as const;

/** Address space, not disk: a file grows as it fills. 1 TiB is beyond what one node's ledger will be asked to hold. */
const MAP_BYTES = 2 ** 40;

/** `path` is the ledger's directory. Read-only it must exist. To write, call openLedger (environment.ts) instead. */
export function openTables(path: string, readOnly: boolean): Tables {
  const bytes = { encoding: 'binary', keyEncoding: 'binary' } as const;
  const options = { maxDbs: 8, readOnly, noSubdir: false, ...(readOnly ? {} : { mapSize: MAP_BYTES }) };
  const root = open({ ...options, path: join(path, LEDGER_PARTS[0]) });
  const bodies = open({ ...options, path: join(path, LEDGER_PARTS[1]) });
  return {
    root,
    bodies,
    meta: root.openDB<string, string>({ name: 'meta', encoding: 'string' }),
    blocks: bodies.openDB<Buffer, number>({ name: 'blocks', encoding: 'binary' }),
    index: root.openDB<Buffer, Buffer>({ name: 'index', ...bytes }),
    digests: root.openDB<Buffer, Buffer>({ name: 'digests', ...bytes }),
    rejected: root.openDB<Buffer, Buffer>({ name: 'rejected', ...bytes }),
  };
}

/** Key of a kept round in `meta`: one each, so that an observation rewrites its own round and no other. */
export function roundKey(number: number): string {
  return `round/${number}`;
}

/** Raw bytes of `issuer \0 id`; both are ASCII (INTERFACE.md, FORMATS C2). */
export function indexKey(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

/** `content` is what dedup compares: the digest again, or the body hash of a PCS. */
export function indexValue(digest: Uint8Array, content: Uint8Array, position: Position): Buffer {
  const isDigest = Buffer.compare(digest, content) === 0;
  const value = Buffer.allocUnsafe(HASH_BYTES + POSITION_BYTES + (isDigest ? 0 : HASH_BYTES));
  value.set(digest);
  writePosition(value, HASH_BYTES, position);
  if (!isDigest) value.set(content, HASH_BYTES + POSITION_BYTES);
  return value;
}

export function readIndexValue(value: Buffer): IndexValue {
  const position = readPosition(value.subarray(HASH_BYTES));
  return { digest: value.subarray(0, HASH_BYTES), body: value.subarray(HASH_BYTES + POSITION_BYTES), ...position };
}

export function digestKey(digest: Uint8Array): Buffer {
  return Buffer.from(digest.buffer, digest.byteOffset, DIGEST_KEY_BYTES);
}

export function positionValue(position: Position): Buffer {
  const value = Buffer.allocUnsafe(POSITION_BYTES);
  writePosition(value, 0, position);
  return value;
}

function writePosition(into: Buffer, at: number, { height, index }: Position): void {
  into.writeUIntBE(height, at, 6);
  into.writeUInt16BE(index, at + 6);
}

export function readPosition(value: Buffer): Position {
  return { height: value.readUIntBE(0, 6), index: value.readUInt16BE(6) };
}
