// What the core writes down before it acts, and the bytes of it.
// Records are made by step(), appended by the host (WAL type 3; a block as WAL type 4), and read back into replay().
// Must never change the meaning of bytes that a released version has written: a new form takes a new version byte.
import { Buffer } from 'node:buffer';
import type { Certificate } from './certificate.js';
import {
  certificateBytes,
  EVIDENCE_BYTES,
  putCertificate,
  putCount,
  putEvidence,
  putVote,
  Reader,
  VOTE_BYTES,
} from './codec.js';
import type { Evidence } from './evidence.js';
import type { BlockRef, Vote } from './message.js';
import { FINALIZE } from './vote.js';

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
  /** The quarantine recorded before is over (1.8): enough others said where they are, and nothing is signed at or below this view. */
  | { readonly type: 'rejoin'; readonly epoch: number; readonly view: number }
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
const TAG = {
  vote: 1,
  certificate: 2,
  finalization: 3,
  floor: 4,
  evidence: 5,
  halt: 6,
  quarantine: 7,
  rejoin: 8,
} as const;
const HEAD_BYTES = 10;
const REASON_BYTES_MAX = 1024;

/**
 * version u8 ‖ tag u8 ‖ epoch u64 ‖ fields; integers big-endian.
 * vote: kind u8, view u64, hash 32 (zeros for nullify), signer u16, signature 64.
 * certificate: kind, view, hash, count u16, then signer u16 and signature 64 each, ascending. finalization: height u64, certificate.
 * floor, rejoin: view u64. evidence: rule u8 (1–4), vote, vote. halt, quarantine: UTF-8 to the end, at most 1 024 bytes.
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
    case 'rejoin':
    case 'floor': {
      const bytes = start(entry, 8);
      putCount(bytes, HEAD_BYTES, entry.view);
      return bytes;
    }
    case 'evidence': {
      const bytes = start(entry, EVIDENCE_BYTES);
      putEvidence(bytes, HEAD_BYTES, entry.evidence);
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
  const reader = new Reader(data, 'journal entry', JournalError);
  const version = reader.byte();
  if (version !== VERSION) reader.fail(`journal entry of version ${version}, this node reads ${VERSION}`);
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
      if (certificate.kind !== FINALIZE) reader.fail(`finalization holds a certificate of kind ${certificate.kind}`);
      return { type: 'finalization', epoch, height, certificate };
    }
    case TAG.floor:
      return { type: 'floor', epoch, view: reader.count() };
    case TAG.evidence:
      return { type: 'evidence', epoch, evidence: reader.evidence() };
    case TAG.halt:
      return { type: 'halt', epoch, reason: reader.text(REASON_BYTES_MAX) };
    case TAG.quarantine:
      return { type: 'quarantine', epoch, reason: reader.text(REASON_BYTES_MAX) };
    case TAG.rejoin:
      return { type: 'rejoin', epoch, view: reader.count() };
    default:
      return reader.fail(`journal entry with tag ${tag}, expected 1 to 8`);
  }
}

function start(entry: JournalEntry, fieldBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + fieldBytes);
  bytes[0] = VERSION;
  bytes[1] = TAG[entry.type];
  putCount(bytes, 2, entry.epoch);
  return bytes;
}
