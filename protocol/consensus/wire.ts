// The frames of consensus between peers: every message as bytes and back. Frame types 1 to 31 are consensus'.
// Called by the host that sends and receives them; the body of a proposal is the host's, and only carried here.
// Must never read what it does not write, nor change the meaning of bytes of a released version.
import { Buffer } from 'node:buffer';
import type { Certificate } from './certificate.js';
import {
  certificateBytes,
  EVIDENCE_BYTES,
  putCertificate,
  putCount,
  putEvidence,
  putHash,
  putVote,
  Reader,
  VOTE_BYTES,
} from './codec.js';
import {
  JUSTIFICATION_MAX,
  type Message,
  OPEN_VIEWS_MAX,
  type OpenView,
  type ProposalMessage,
  type Status,
} from './message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

/** First byte of a frame. */
export const FRAME = {
  proposal: 1,
  vote: 2,
  certificate: 3,
  status: 4,
  request: 5,
  recover: 6,
  recovered: 7,
  evidence: 8,
} as const;

/** 1 MiB: a block of 512 KiB beside its justification (280 KiB at n = 100). */
export const FRAME_BYTES_MAX = 1_048_576;

/** Bytes that are no consensus frame of this version. `message` says what was found and what is allowed. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** A proposal as it arrives: the host takes the block's reference from the body and puts the message together. */
export interface ProposalFrame {
  readonly epoch: number;
  /** The leader's Notarize signature over the hash of the body's block. */
  readonly signature: Uint8Array;
  readonly justification: readonly Certificate[];
  /** What the sender's host gave encodeProposal; not copied. */
  readonly body: Uint8Array;
}

const VERSION = 1;
const HEAD_BYTES = 10;
const HASH_HEX = /^[0-9a-f]{64}$/;
const SIGNATURE_BYTES = 64;
/** Signers as bits: 32 bytes reach 256 validators. */
const BITMAP_BYTES_MAX = 32;
const KINDS: readonly VoteKind[] = [NOTARIZE, NULLIFY, FINALIZE];

/**
 * type u8 ‖ version u8 ‖ epoch u64 ‖ fields; integers big-endian, votes and certificates as in the journal.
 * status: finalized view u64, hash 32, height u64, view u64, count u8, then for each open view: view u64, certificates u8
 * (bit kind − 1), and for each kind a bitmap of signers (length u8, bytes, the last one not zero; signer 0 is the lowest bit).
 * request: view u64, kinds u8. recover: nonce 32. recovered: nonce 32, then nothing or a certificate. evidence: rule u8, vote, vote.
 * Throws RangeError for a message of the own core that no peer would read.
 */
export function encodeMessage(message: Exclude<Message, ProposalMessage>): Buffer {
  switch (message.type) {
    case 'vote': {
      const bytes = start(message, VOTE_BYTES);
      putVote(bytes, HEAD_BYTES, message.vote);
      return bytes;
    }
    case 'certificate': {
      const bytes = start(message, certificateBytes(message.certificate));
      putCertificate(bytes, HEAD_BYTES, message.certificate);
      return bytes;
    }
    case 'status':
      return encodeStatus(message);
    case 'request': {
      const bytes = start(message, 9);
      putCount(bytes, HEAD_BYTES, message.view);
      bytes[HEAD_BYTES + 8] = mask(message.kinds);
      return bytes;
    }
    case 'recover': {
      const bytes = start(message, 32);
      putHash(bytes, HEAD_BYTES, message.nonce);
      return bytes;
    }
    case 'recovered': {
      const { certificate } = message;
      const bytes = start(message, 32 + (certificate === null ? 0 : certificateBytes(certificate)));
      putHash(bytes, HEAD_BYTES, message.nonce);
      if (certificate !== null) putCertificate(bytes, HEAD_BYTES + 32, certificate);
      return bytes;
    }
    case 'evidence': {
      const bytes = start(message, EVIDENCE_BYTES);
      putEvidence(bytes, HEAD_BYTES, message.evidence);
      return bytes;
    }
  }
}

/** signature 64 ‖ count u8 ‖ certificates ‖ body to the end. Throws RangeError when the frame would exceed FRAME_BYTES_MAX. */
export function encodeProposal(message: ProposalMessage, body: Uint8Array): Buffer {
  const { signature, justification } = message.proposal;
  let size = SIGNATURE_BYTES + 1 + body.length;
  for (const certificate of justification) size += certificateBytes(certificate);
  const bytes = start(message, size);
  bytes.set(signature, HEAD_BYTES);
  bytes[HEAD_BYTES + SIGNATURE_BYTES] = justification.length;
  let at = HEAD_BYTES + SIGNATURE_BYTES + 1;
  for (const certificate of justification) at = putCertificate(bytes, at, certificate);
  bytes.set(body, at);
  return bytes;
}

/** The message in a frame, which is not a proposal. Throws WireError for anything that encodeMessage does not write. */
export function decodeMessage(frame: Uint8Array): Exclude<Message, ProposalMessage> {
  const { reader, type, epoch } = head(frame);
  const message = fields(reader, type, epoch);
  reader.end();
  return message;
}

/** Throws WireError for anything that encodeProposal does not write; the body may be any bytes, and at least one. */
export function decodeProposal(frame: Uint8Array): ProposalFrame {
  const { reader, type, epoch } = head(frame);
  if (type !== FRAME.proposal) reader.fail(`frame of type ${type}, expected a proposal (${FRAME.proposal})`);
  const signature = reader.signature();
  const count = reader.byte();
  if (count > JUSTIFICATION_MAX) reader.fail(`${count} certificates in a proposal, at most ${JUSTIFICATION_MAX}`);
  const justification: Certificate[] = [];
  for (let i = 0; i < count; i++) justification.push(reader.certificate());
  if (reader.left === 0) reader.fail('a proposal without a body');
  return { epoch, signature, justification, body: reader.rest() };
}

function head(frame: Uint8Array): { readonly reader: Reader; readonly type: number; readonly epoch: number } {
  const reader: Reader = new Reader(frame, 'consensus frame', WireError);
  if (frame.length > FRAME_BYTES_MAX) reader.fail(`frame of ${frame.length} bytes, at most ${FRAME_BYTES_MAX}`);
  const type = reader.byte();
  const version = reader.byte();
  if (version !== VERSION) reader.fail(`consensus frame of version ${version}, this node reads ${VERSION}`);
  return { reader, type, epoch: reader.count() };
}

function fields(reader: Reader, type: number, epoch: number): Exclude<Message, ProposalMessage> {
  switch (type) {
    case FRAME.vote:
      return { type: 'vote', epoch, vote: reader.vote() };
    case FRAME.certificate:
      return { type: 'certificate', epoch, certificate: reader.certificate() };
    case FRAME.status:
      return { type: 'status', epoch, status: readStatus(reader) };
    case FRAME.request: {
      const view = reader.count();
      const kinds = readKinds(reader);
      if (kinds.length === 0) reader.fail('a request for certificates of no kind');
      return { type: 'request', epoch, view, kinds };
    }
    case FRAME.recover:
      return { type: 'recover', epoch, nonce: reader.hash() };
    case FRAME.recovered: {
      const nonce = reader.hash();
      return { type: 'recovered', epoch, nonce, certificate: reader.left === 0 ? null : reader.certificate() };
    }
    case FRAME.evidence:
      return { type: 'evidence', epoch, evidence: reader.evidence() };
    default:
      return reader.fail(`consensus frame of type ${type}, expected 2 to 8`);
  }
}

function encodeStatus(message: Extract<Message, { type: 'status' }>): Buffer {
  const { finalizedView, finalizedHash, height, view, open } = message.status;
  const maps = open.map(({ votes }) => KINDS.map((kind) => bitmap(votes[kind - 1]!)));
  let size = 8 + 32 + 8 + 8 + 1;
  for (const kinds of maps) size += 9 + kinds.reduce((sum, bits) => sum + 1 + bits.length, 0);
  const bytes = start(message, size);
  let at = HEAD_BYTES;
  putCount(bytes, at, finalizedView);
  putHash(bytes, at + 8, finalizedHash);
  putCount(bytes, at + 40, height);
  putCount(bytes, at + 48, view);
  bytes[at + 56] = open.length;
  at += 57;
  for (const [i, entry] of open.entries()) {
    putCount(bytes, at, entry.view);
    bytes[at + 8] = mask(entry.certificates);
    at += 9;
    for (const bits of maps[i]!) {
      bytes[at] = bits.length;
      bytes.set(bits, at + 1);
      at += 1 + bits.length;
    }
  }
  return bytes;
}

function readStatus(reader: Reader): Status {
  const finalizedView = reader.count();
  const finalizedHash = reader.hash();
  const height = reader.count();
  const view = reader.count();
  const count = reader.byte();
  if (count > OPEN_VIEWS_MAX) reader.fail(`${count} open views in a status, at most ${OPEN_VIEWS_MAX}`);
  const open: OpenView[] = [];
  for (let i = 0; i < count; i++) {
    const entry = { view: reader.count(), certificates: readKinds(reader), votes: KINDS.map(() => readBitmap(reader)) };
    if (i > 0 && entry.view <= open[i - 1]!.view) reader.fail('the open views of a status do not ascend');
    open.push(entry);
  }
  return { finalizedView, finalizedHash, height, view, open };
}

function mask(kinds: readonly VoteKind[]): number {
  let bits = 0;
  for (const kind of kinds) bits |= 1 << (kind - 1);
  return bits;
}

function readKinds(reader: Reader): VoteKind[] {
  const bits = reader.byte();
  if (bits > 7) reader.fail(`kinds ${bits}, expected bits 0 to 2`);
  return KINDS.filter((kind) => (bits & (1 << (kind - 1))) !== 0);
}

function bitmap(signers: readonly number[]): Buffer {
  const last = signers.at(-1);
  const bytes = Buffer.alloc(last === undefined ? 0 : (last >> 3) + 1);
  for (const signer of signers) bytes[signer >> 3]! |= 1 << (signer & 7);
  return bytes;
}

function readBitmap(reader: Reader): number[] {
  const size = reader.byte();
  if (size > BITMAP_BYTES_MAX) reader.fail(`bitmap of ${size} bytes, at most ${BITMAP_BYTES_MAX}`);
  const signers: number[] = [];
  let bits = 0;
  for (let i = 0; i < size; i++) {
    bits = reader.byte();
    for (let bit = 0; bit < 8; bit++) if ((bits & (1 << bit)) !== 0) signers.push(8 * i + bit);
  }
  if (size > 0 && bits === 0) reader.fail('a bitmap ends with an empty byte');
  return signers;
}

function start(message: Message, fieldBytes: number): Buffer {
  const size = HEAD_BYTES + fieldBytes;
  if (size > FRAME_BYTES_MAX) throw new RangeError(`${message.type} of ${size} bytes, at most ${FRAME_BYTES_MAX}`);
  if ('nonce' in message && !HASH_HEX.test(message.nonce)) throw new RangeError('a nonce is 64 lowercase hex digits');
  const bytes = Buffer.allocUnsafe(size);
  bytes[0] = FRAME[message.type];
  bytes[1] = VERSION;
  putCount(bytes, 2, message.epoch);
  return bytes;
}
