// The ledger database: its tables and how keys and values are spelled. Used by the store, which writes, and by readers.
// Nothing else may know a table's layout. All values are bytes; a number is big-endian.
import type { Database, RootDatabase } from 'lmdb';

/** Bumped when a table's spelling changes: a newer binary migrates, an older one refuses to open (exit 78). */
export const LAYOUT_VERSION = 1;

export const META_LAYOUT = 'layout';
/** The chain this database belongs to, 64 hex. */
export const META_CHAIN = 'chain';
/** Head after the last applied block, JSON (protocol/ledger/header Tip). */
export const META_HEAD = 'head';
/** Registry in force at the head, canonical JSON. */
export const META_REGISTRY = 'registry';

export interface Tables {
  readonly root: RootDatabase;
  /** Facts about the database, by the names above. */
  readonly meta: Database<string, string>;
  /** Height → StoredBlock bytes. */
  readonly blocks: Database<Buffer, number>;
  /** `issuer \0 id` (never hashed: sorted runs cost a tenth) → digest 32, body 32, height u48, index u16. */
  readonly index: Database<Buffer, Buffer>;
  /** Digest, 32 bytes → height u48, index u16. */
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
  readonly body: Buffer;
}

export const INDEX_VALUE_BYTES = 72;
export const POSITION_BYTES = 8;

export function openTables(root: RootDatabase): Tables {
  const bytes = { encoding: 'binary', keyEncoding: 'binary' } as const;
  return {
    root,
    meta: root.openDB<string, string>({ name: 'meta', encoding: 'string' }),
    blocks: root.openDB<Buffer, number>({ name: 'blocks', encoding: 'binary' }),
    index: root.openDB<Buffer, Buffer>({ name: 'index', ...bytes }),
    digests: root.openDB<Buffer, Buffer>({ name: 'digests', ...bytes }),
    rejected: root.openDB<Buffer, Buffer>({ name: 'rejected', ...bytes }),
  };
}

/** Raw bytes of `issuer \0 id`; both are ASCII (INTERFACE.md, FORMATS C2). */
export function indexKey(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

export function writeIndexValue(
  into: Buffer,
  at: number,
  digest: Uint8Array,
  body: Uint8Array,
  position: Position,
): void {
  into.set(digest, at);
  into.set(body, at + 32);
  writePosition(into, at + 64, position);
}

export function readIndexValue(value: Buffer): IndexValue {
  return { digest: value.subarray(0, 32), body: value.subarray(32, 64), ...readPosition(value.subarray(64)) };
}

export function writePosition(into: Buffer, at: number, { height, index }: Position): void {
  into.writeUIntBE(height, at, 6);
  into.writeUInt16BE(index, at + 6);
}

export function readPosition(value: Buffer): Position {
  return { height: value.readUIntBE(0, 6), index: value.readUInt16BE(6) };
}
