// What the core writes down before it acts, and the bytes of it.
// Records are made by step(), appended by the host (WAL type 3; a block as WAL type 4), and read back into replay().
// Must never change the meaning of bytes that a released version has written: a new form takes a new version byte.
import { Buffer } from 'node:buffer';
import type { Certificate } from './certificate.js';
import type { Evidence, EvidenceRule } from './evidence.js';
import type { BlockRef, Vote } from './message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

/** The records whose bytes are defined here. */
export type JournalEntry =
  /** An own vote, signed but not sent before this record is durable. */
  | { readonly type: 'vote'; readonly epoch: number; readonly vote: Vote }
  | { readonly type: 'certificate'; readonly epoch: number; readonly certificate: Certificate }
  /** The chain up to this block is final; the bodies of all its blocks stand before this record. */
  | {
      readonly type: 'finalization';
      readonly epoch: number;
      readonly height: number;
      readonly certificate: Certificate;
    }
  /** Nothing is signed at or below this view, ever again. */
  | { readonly type: 'floor'; readonly epoch: number; readonly view: number }
  | { readonly type: 'evidence'; readonly epoch: number; readonly evidence: Evidence }
  | { readonly type: 'quarantine'; readonly epoch: number; readonly reason: string }
  | { readonly type: 'halt'; readonly epoch: number; readonly reason: string };

/**
 * `block` stands for the body the host holds under this hash; the host writes it at this place, and on replay gives the
 * reference taken from the header it reads back.
 */
export type JournalRecord = JournalEntry | { readonly type: 'block'; readonly block: BlockRef };

/** Bytes that are no journal entry of this version. `message` says what was found and what is allowed. */
export class JournalError extends Error {
  override readonly name = 'JournalError';
}

const VERSION = 1;
const TAG = { vote: 1, certificate: 2, finalization: 3, floor: 4, evidence: 5, halt: 6, quarantine: 7 } as const;
const RULES: readonly EvidenceRule[] = ['E1', 'E2', 'E3', 'E4'];
const HEAD_BYTES = 10;
const BALLOT_BYTES = 41;
const VOTE_BYTES = BALLOT_BYTES + 2 + 64;
const REASON_BYTES_MAX = 1024;

/**
 * version u8 ‖ tag u8 ‖ epoch u64 ‖ fields; integers big-endian.
 * vote: kind u8, view u64, hash 32 (zeros for nullify), signer u16, signature 64.
 * certificate: kind, view, hash, count u16, then signer u16 and signature 64 each, ascending. finalization: height u64, certificate.
 * floor: view u64. evidence: rule u8 (1–4), vote, vote. halt, quarantine: UTF-8 to the end, at most 1 024 bytes.
 */
export function encodeJournal(entry: JournalEntry): Buffer {
  switch (entry.type) {
    case 'vote': {
      const bytes = start(entry, VOTE_BYTES);
      putVote(bytes, HEAD_BYTES, entry.vote);
      return bytes;
    }
    case 'certificate': {
      const bytes = start(entry, certificateBytes(entry.certificate));
      putCertificate(bytes, HEAD_BYTES, entry.certificate);
      return bytes;
    }
    case 'finalization': {
      const bytes = start(entry, 8 + certificateBytes(entry.certificate));
      putCount(bytes, HEAD_BYTES, entry.height);
      putCertificate(bytes, HEAD_BYTES + 8, entry.certificate);
      return bytes;
    }
    case 'floor': {
      const bytes = start(entry, 8);
      putCount(bytes, HEAD_BYTES, entry.view);
      return bytes;
    }
    case 'evidence': {
      const bytes = start(entry, 1 + 2 * VOTE_BYTES);
      bytes[HEAD_BYTES] = RULES.indexOf(entry.evidence.rule) + 1;
      putVote(bytes, HEAD_BYTES + 1, entry.evidence.first);
      putVote(bytes, HEAD_BYTES + 1 + VOTE_BYTES, entry.evidence.second);
      return bytes;
    }
    case 'quarantine':
    case 'halt': {
      const text = Buffer.from(entry.reason, 'utf8').subarray(0, REASON_BYTES_MAX);
      const bytes = start(entry, text.length);
      text.copy(bytes, HEAD_BYTES);
      return bytes;
    }
  }
}

/** The entry in these bytes. Throws JournalError for anything that encodeJournal does not write. */
export function decodeJournal(data: Uint8Array): JournalEntry {
  const reader = new Reader(Buffer.from(data.buffer, data.byteOffset, data.length));
  const version = reader.byte();
  if (version !== VERSION) throw new JournalError(`journal entry of version ${version}, this node reads ${VERSION}`);
  const tag = reader.byte();
  const epoch = reader.count();
  const entry = fields(reader, tag, epoch);
  reader.end();
  return entry;
}

function fields(reader: Reader, tag: number, epoch: number): JournalEntry {
  switch (tag) {
    case TAG.vote:
      return { type: 'vote', epoch, vote: reader.vote() };
    case TAG.certificate:
      return { type: 'certificate', epoch, certificate: reader.certificate() };
    case TAG.finalization: {
      const height = reader.count();
      const certificate = reader.certificate();
      if (certificate.kind !== FINALIZE)
        throw new JournalError(`finalization holds a certificate of kind ${certificate.kind}`);
      return { type: 'finalization', epoch, height, certificate };
    }
    case TAG.floor:
      return { type: 'floor', epoch, view: reader.count() };
    case TAG.evidence: {
      const code = reader.byte();
      const rule = RULES[code - 1];
      if (rule === undefined) throw new JournalError(`evidence rule ${code}, expected 1 to 4`);
      return { type: 'evidence', epoch, evidence: { rule, first: reader.vote(), second: reader.vote() } };
    }
    case TAG.halt:
      return { type: 'halt', epoch, reason: reader.text() };
    case TAG.quarantine:
      return { type: 'quarantine', epoch, reason: reader.text() };
    default:
      throw new JournalError(`journal entry with tag ${tag}, expected 1 to 7`);
  }
}

function start(entry: JournalEntry, fieldBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + fieldBytes);
  bytes[0] = VERSION;
  bytes[1] = TAG[entry.type];
  putCount(bytes, 2, entry.epoch);
  return bytes;
}

function certificateBytes(certificate: Certificate): number {
  return BALLOT_BYTES + 2 + certificate.signers.length * 66;
}

function putBallot(bytes: Buffer, at: number, kind: VoteKind, view: number, hash: string | null): void {
  bytes[at] = kind;
  putCount(bytes, at + 1, view);
  if (hash === null) bytes.fill(0, at + 9, at + BALLOT_BYTES);
  else bytes.write(hash, at + 9, 32, 'hex');
}

function putVote(bytes: Buffer, at: number, vote: Vote): void {
  putBallot(bytes, at, vote.kind, vote.view, vote.hash);
  bytes.writeUInt16BE(vote.signer, at + BALLOT_BYTES);
  bytes.set(vote.signature, at + BALLOT_BYTES + 2);
}

function putCertificate(bytes: Buffer, at: number, certificate: Certificate): void {
  putBallot(bytes, at, certificate.kind, certificate.view, certificate.hash);
  bytes.writeUInt16BE(certificate.signers.length, at + BALLOT_BYTES);
  let next = at + BALLOT_BYTES + 2;
  for (let i = 0; i < certificate.signers.length; i++) {
    bytes.writeUInt16BE(certificate.signers[i]!, next);
    bytes.set(certificate.signatures[i]!, next + 2);
    next += 66;
  }
}

/** u64 in two halves: a BigInt costs ten times as much. */
function putCount(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  bytes.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

/** Reads forward; every method throws JournalError where the bytes end early or hold what is never written. */
class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  byte(): number {
    return this.bytes[this.take(1)]!;
  }

  count(): number {
    const at = this.take(8);
    const value = this.bytes.readUInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) throw new JournalError(`count at byte ${at} is above 2^53`);
    return value;
  }

  vote(): Vote {
    const { kind, view, hash } = this.ballot();
    const signer = this.bytes.readUInt16BE(this.take(2));
    return { kind, view, hash, signer, signature: this.signature() };
  }

  certificate(): Certificate {
    const { kind, view, hash } = this.ballot();
    const size = this.bytes.readUInt16BE(this.take(2));
    const signers: number[] = [];
    const signatures: Uint8Array[] = [];
    for (let i = 0; i < size; i++) {
      signers.push(this.bytes.readUInt16BE(this.take(2)));
      signatures.push(this.signature());
      if (i > 0 && signers[i]! <= signers[i - 1]!) throw new JournalError('signers of a certificate do not ascend');
    }
    return { kind, view, hash, signers, signatures };
  }

  text(): string {
    const rest = this.bytes.length - this.at;
    if (rest > REASON_BYTES_MAX) throw new JournalError(`text of ${rest} bytes, at most ${REASON_BYTES_MAX}`);
    const at = this.take(rest);
    return this.bytes.toString('utf8', at, at + rest);
  }

  end(): void {
    const rest = this.bytes.length - this.at;
    if (rest !== 0) throw new JournalError(`${rest} bytes after the end of a journal entry`);
  }

  private ballot(): { kind: VoteKind; view: number; hash: string | null } {
    const kind = this.byte();
    if (kind !== NOTARIZE && kind !== NULLIFY && kind !== FINALIZE) {
      throw new JournalError(`vote kind ${kind}, expected 1, 2 or 3`);
    }
    const view = this.count();
    const at = this.take(32);
    const digest = this.bytes.toString('hex', at, at + 32);
    if (kind !== NULLIFY) return { kind, view, hash: digest };
    if (!/^0+$/.test(digest)) throw new JournalError('a nullify vote names a block');
    return { kind, view, hash: null };
  }

  /** A copy: the bytes read from may be a buffer that is used again. */
  private signature(): Uint8Array {
    const at = this.take(64);
    return new Uint8Array(this.bytes.subarray(at, at + 64));
  }

  private take(size: number): number {
    const at = this.at;
    if (at + size > this.bytes.length) {
      throw new JournalError(
        `journal entry ends at byte ${this.bytes.length}, ${at + size - this.bytes.length} too early`,
      );
    }
    this.at = at + size;
    return at;
  }
}
