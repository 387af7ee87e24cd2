// The records of the log: their types, and the bytes of those that the node itself reads back at start.
// Called by the wal-writer, ingress and consensus actors, and by the CLI's `wal` commands. It knows nothing of segments,
// batches or files, never does I/O, and never changes the meaning of a type or version once a release has written it.
//
// Every payload begins with a version byte. Integers are little-endian; times are unix milliseconds.
import { Buffer } from 'node:buffer';

/** One record as the log stores it. `data` is at most 4 GiB in the format, far less by the limits of the callers. */
export interface LogRecord {
  readonly type: number;
  readonly data: Uint8Array;
}

/** A record with its place: positions are consecutive from 1 over batches and segments. */
export interface PlacedRecord extends LogRecord {
  readonly lsn: number;
}

export const RecordType = {
  /** The key holder's signature that this log is the log of this key on this chain; the first record. */
  init: 0,
  /** A submission as it arrived, written before anything is parsed. */
  inbox: 1,
  /** Inbox records that need no further work. */
  settled: 2,
  /** A record of the consensus core (vote, certificate, finalization, floor): opaque here. */
  journal: 3,
  /** A block in its journal form: opaque here. */
  block: 4,
  /** A repair gave up part of the log: positions and receipts above the named height are void. */
  epoch: 5,
  /** An inbox record that nothing has settled, written again under its old position: its segment is about to go. */
  carried: 6,
} as const;

export type RecordTypeName = keyof typeof RecordType;

/** The name of a type for people; unknown ones are shown by number. */
export function recordTypeName(type: number): string {
  for (const [name, code] of Object.entries(RecordType)) if (code === type) return name;
  return `type ${type}`;
}

export const InboxRoute = { envelope: 1, pcs: 2, observation: 3 } as const;

/** Why an inbox record is done with. `joined`: the same body was in flight already under another position. */
export const SettledReason = { final: 1, refused: 2, horizon: 3, rejected: 4, joined: 5 } as const;

export interface InitRecord {
  /** 32 bytes. */
  readonly chainId: Uint8Array;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
  /** 64 bytes over initSignBytes(chainId, publicKey). */
  readonly signature: Uint8Array;
}

export interface InboxRecord {
  readonly receivedAtMs: number;
  /** A value of InboxRoute. */
  readonly route: number;
  /** At most 64 characters of [A-Za-z0-9-_.]. */
  readonly requestId: string;
  readonly body: Uint8Array;
}

export interface SettledRecord {
  /** A value of SettledReason. */
  readonly reason: number;
  readonly lsns: readonly number[];
}

export interface CarriedRecord {
  /** The position that the inbox record keeps: blocks and settlements name it by this one. */
  readonly lsn: number;
  /** The inbox record, as it was. */
  readonly inbox: Uint8Array;
}

export interface EpochRecord {
  readonly epoch: number;
  /** Receipts above this height are void. */
  readonly lastTrustedHeight: number;
  readonly reason: string;
}

/** The bytes are not those of the record asked for. The message says what was found and what is allowed. */
export class WalRecordError extends Error {
  override readonly name = 'WalRecordError';
}

const VERSION = 1;
const INBOX_HEAD = 12;
const CARRIED_HEAD = 16;
const INIT_BYTES = 1 + 32 + 32 + 64;
const TWO_32 = 0x1_0000_0000;
const INIT_DOMAIN = 'quorate/wal-init/1\0';

/** What the validator key signs when its log is made: "quorate/wal-init/1\0" ‖ chainId(32) ‖ publicKey(32). */
export function initSignBytes(chainId: Uint8Array, publicKey: Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from(INIT_DOMAIN, 'latin1'),
    sized(chainId, 32, 'chainId'),
    sized(publicKey, 32, 'key'),
  ]);
}

/** version(1) ‖ chainId(32) ‖ publicKey(32) ‖ signature(64). */
export function encodeInit(record: InitRecord): Buffer {
  return Buffer.concat([
    Buffer.of(VERSION),
    sized(record.chainId, 32, 'chainId'),
    sized(record.publicKey, 32, 'publicKey'),
    sized(record.signature, 64, 'signature'),
  ]);
}

export function decodeInit(data: Uint8Array): InitRecord {
  const bytes = opened(data, 'init', INIT_BYTES);
  if (bytes.length !== INIT_BYTES) throw wrongLength('init', bytes.length, `exactly ${INIT_BYTES}`);
  return { chainId: bytes.subarray(1, 33), publicKey: bytes.subarray(33, 65), signature: bytes.subarray(65, 129) };
}

/** version(1) ‖ route(1) ‖ requestId length(1) ‖ 0 ‖ receivedAtMs(8) ‖ requestId ‖ body. Hot: once a submission. */
export function encodeInbox(record: InboxRecord): Buffer {
  const { body, requestId } = record;
  const idBytes = requestId.length;
  if (idBytes > 255)
    throw new WalRecordError(`inbox record: request id of ${idBytes} characters; allowed: at most 255`);
  const bytes = Buffer.allocUnsafe(INBOX_HEAD + idBytes + body.length);
  bytes[0] = VERSION;
  bytes[1] = record.route;
  bytes[2] = idBytes;
  bytes[3] = 0;
  writeUint64(bytes, record.receivedAtMs, 4);
  bytes.write(requestId, INBOX_HEAD, idBytes, 'latin1');
  bytes.set(body, INBOX_HEAD + idBytes);
  return bytes;
}

/** `body` is a view of `data`. */
export function decodeInbox(data: Uint8Array): InboxRecord {
  const bytes = opened(data, 'inbox', INBOX_HEAD);
  const bodyAt = INBOX_HEAD + bytes[2]!;
  if (bytes.length < bodyAt) throw wrongLength('inbox', bytes.length, `at least ${bodyAt}`);
  return {
    receivedAtMs: readUint64(bytes, 4, 'inbox'),
    route: bytes[1]!,
    requestId: bytes.toString('latin1', INBOX_HEAD, bodyAt),
    body: bytes.subarray(bodyAt),
  };
}

/** version(1) ‖ reason(1) ‖ 0(2) ‖ count(4) ‖ count × lsn(8). */
export function encodeSettled(record: SettledRecord): Buffer {
  const bytes = Buffer.allocUnsafe(8 + 8 * record.lsns.length);
  bytes[0] = VERSION;
  bytes[1] = record.reason;
  bytes.writeUInt16LE(0, 2);
  bytes.writeUInt32LE(record.lsns.length, 4);
  for (let index = 0; index < record.lsns.length; index += 1) writeUint64(bytes, record.lsns[index]!, 8 + 8 * index);
  return bytes;
}

export function decodeSettled(data: Uint8Array): SettledRecord {
  const bytes = opened(data, 'settled', 8);
  const count = bytes.readUInt32LE(4);
  if (bytes.length !== 8 + 8 * count) throw wrongLength('settled', bytes.length, `${8 + 8 * count} for ${count} lsns`);
  const lsns: number[] = new Array(count);
  for (let index = 0; index < count; index += 1) lsns[index] = readUint64(bytes, 8 + 8 * index, 'settled');
  return { reason: bytes[1]!, lsns };
}

/** version(1) ‖ 0(7) ‖ epoch(8) ‖ lastTrustedHeight(8) ‖ reason as UTF-8. */
export function encodeEpoch(record: EpochRecord): Buffer {
  const head = Buffer.alloc(24);
  head[0] = VERSION;
  writeUint64(head, record.epoch, 8);
  writeUint64(head, record.lastTrustedHeight, 16);
  return Buffer.concat([head, Buffer.from(record.reason, 'utf8')]);
}

export function decodeEpoch(data: Uint8Array): EpochRecord {
  const bytes = opened(data, 'epoch', 24);
  return {
    epoch: readUint64(bytes, 8, 'epoch'),
    lastTrustedHeight: readUint64(bytes, 16, 'epoch'),
    reason: bytes.toString('utf8', 24),
  };
}

/** version(1) ‖ 0(7) ‖ lsn(8) ‖ inbox record. */
export function encodeCarried(record: CarriedRecord): Buffer {
  const head = Buffer.alloc(CARRIED_HEAD);
  head[0] = VERSION;
  writeUint64(head, record.lsn, 8);
  return Buffer.concat([head, record.inbox]);
}

/** `inbox` is a view of `data`. */
export function decodeCarried(data: Uint8Array): CarriedRecord {
  const bytes = opened(data, 'carried', CARRIED_HEAD);
  return { lsn: readUint64(bytes, 8, 'carried'), inbox: bytes.subarray(CARRIED_HEAD) };
}

function opened(data: Uint8Array, name: RecordTypeName, minimum: number): Buffer {
  const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.length);
  if (bytes.length < minimum) throw wrongLength(name, bytes.length, `at least ${minimum}`);
  if (bytes[0] !== VERSION) {
    throw new WalRecordError(
      `${name} record: version ${bytes[0]}; allowed: ${VERSION}. Was the log written by a newer release?`,
    );
  }
  return bytes;
}

function wrongLength(name: RecordTypeName, found: number, allowed: string): WalRecordError {
  return new WalRecordError(`${name} record: ${found} bytes; allowed: ${allowed}`);
}

function sized(bytes: Uint8Array, length: number, what: string): Uint8Array {
  if (bytes.length === length) return bytes;
  throw new WalRecordError(`${what}: ${bytes.length} bytes; allowed: exactly ${length}`);
}

/** Two 32-bit halves: writeBigUInt64LE costs an allocation a call. */
function writeUint64(bytes: Buffer, value: number, offset: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new WalRecordError(`${value} cannot be stored; allowed: integers from 0 to 2^53 - 1`);
  }
  bytes.writeUInt32LE(value % TWO_32, offset);
  bytes.writeUInt32LE(Math.floor(value / TWO_32), offset + 4);
}

function readUint64(bytes: Buffer, offset: number, name: RecordTypeName): number {
  const value = bytes.readUInt32LE(offset + 4) * TWO_32 + bytes.readUInt32LE(offset);
  if (Number.isSafeInteger(value)) return value;
  throw new WalRecordError(`${name} record: the integer at byte ${offset} is past 2^53 - 1`);
}
