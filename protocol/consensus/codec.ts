// The bytes of votes, certificates and evidence, shared by the journal on disk and the frames between peers.
// Called by journal.ts and wire.ts, each of which puts a head of its own before them.
// Must never read what the writer does not write, nor allocate by a length that was not checked against the bytes present.
import { Buffer } from 'node:buffer';
import type { Certificate } from './certificate.js';
import type { Evidence, EvidenceRule } from './evidence.js';
import type { Vote } from './message.js';
import { FINALIZE, NOTARIZE, NULLIFY, type VoteKind } from './vote.js';

/** Integers are big-endian. Ballot: kind u8, view u64, hash 32 (zeros for nullify). */
const BALLOT_BYTES = 41;
const SIGNATURE_BYTES = 64;
/** Ballot, signer u16, signature. */
export const VOTE_BYTES = BALLOT_BYTES + 2 + SIGNATURE_BYTES;
/** Rule u8 (1–4), vote, vote. */
export const EVIDENCE_BYTES = 1 + 2 * VOTE_BYTES;
const SIGNER_BYTES = 2 + SIGNATURE_BYTES;
const RULES: readonly EvidenceRule[] = ['E1', 'E2', 'E3', 'E4'];

/** Ballot, count u16, then signer u16 and signature each, ascending. */
export function certificateBytes(certificate: Certificate): number {
  return BALLOT_BYTES + 2 + certificate.signers.length * SIGNER_BYTES;
}

export function putVote(bytes: Buffer, at: number, vote: Vote): void {
  putBallot(bytes, at, vote.kind, vote.view, vote.hash);
  bytes.writeUInt16BE(vote.signer, at + BALLOT_BYTES);
  bytes.set(vote.signature, at + BALLOT_BYTES + 2);
}

/** Returns where it ends. */
export function putCertificate(bytes: Buffer, at: number, certificate: Certificate): number {
  putBallot(bytes, at, certificate.kind, certificate.view, certificate.hash);
  bytes.writeUInt16BE(certificate.signers.length, at + BALLOT_BYTES);
  let next = at + BALLOT_BYTES + 2;
  for (let i = 0; i < certificate.signers.length; i++) {
    bytes.writeUInt16BE(certificate.signers[i]!, next);
    bytes.set(certificate.signatures[i]!, next + 2);
    next += SIGNER_BYTES;
  }
  return next;
}

export function putEvidence(bytes: Buffer, at: number, evidence: Evidence): void {
  bytes[at] = RULES.indexOf(evidence.rule) + 1;
  putVote(bytes, at + 1, evidence.first);
  putVote(bytes, at + 1 + VOTE_BYTES, evidence.second);
}

function putBallot(bytes: Buffer, at: number, kind: VoteKind, view: number, hash: string | null): void {
  bytes[at] = kind;
  putCount(bytes, at + 1, view);
  putHash(bytes, at + 9, hash);
}

/** 32 bytes; null as zeros. */
export function putHash(bytes: Buffer, at: number, hash: string | null): void {
  if (hash === null) bytes.fill(0, at, at + 32);
  else bytes.write(hash, at, 32, 'hex');
}

/** u64 in two halves: a BigInt costs ten times as much. */
export function putCount(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  bytes.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

/** Reads forward; every method throws by `fail` where the bytes end early or hold what is never written. */
export class Reader {
  private readonly bytes: Buffer;
  /** What is read, for the message: `journal entry`. */
  private readonly what: string;
  private readonly error: new (
    message: string,
  ) => Error;
  private at = 0;

  constructor(data: Uint8Array, what: string, error: new (message: string) => Error) {
    this.bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
    this.what = what;
    this.error = error;
  }

  fail(message: string): never {
    throw new this.error(message);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  byte(): number {
    return this.bytes[this.take(1)]!;
  }

  short(): number {
    return this.bytes.readUInt16BE(this.take(2));
  }

  count(): number {
    const at = this.take(8);
    const value = this.bytes.readUInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) this.fail(`count at byte ${at} is above 2^53`);
    return value;
  }

  hash(): string {
    const at = this.take(32);
    return this.bytes.toString('hex', at, at + 32);
  }

  vote(): Vote {
    const { kind, view, hash } = this.ballot();
    const signer = this.short();
    return { kind, view, hash, signer, signature: this.signature() };
  }

  certificate(): Certificate {
    const { kind, view, hash } = this.ballot();
    const size = this.short();
    if (size * SIGNER_BYTES > this.left) this.tooEarly(size * SIGNER_BYTES);
    const signers: number[] = [];
    const signatures: Uint8Array[] = [];
    for (let i = 0; i < size; i++) {
      signers.push(this.short());
      signatures.push(this.signature());
      if (i > 0 && signers[i]! <= signers[i - 1]!) this.fail('signers of a certificate do not ascend');
    }
    return { kind, view, hash, signers, signatures };
  }

  evidence(): Evidence {
    const code = this.byte();
    const rule = RULES[code - 1];
    if (rule === undefined) this.fail(`evidence rule ${code}, expected 1 to 4`);
    return { rule, first: this.vote(), second: this.vote() };
  }

  /** A copy: the bytes read from may be a buffer that is used again. */
  signature(): Uint8Array {
    const at = this.take(SIGNATURE_BYTES);
    return new Uint8Array(this.bytes.subarray(at, at + SIGNATURE_BYTES));
  }

  /** UTF-8 to the end. */
  text(maxBytes: number): string {
    const rest = this.left;
    if (rest > maxBytes) this.fail(`text of ${rest} bytes, at most ${maxBytes}`);
    const at = this.take(rest);
    return this.bytes.toString('utf8', at, at + rest);
  }

  /** Everything to the end, not copied. */
  rest(): Buffer {
    return this.bytes.subarray(this.take(this.left));
  }

  end(): void {
    if (this.left !== 0) this.fail(`${this.left} bytes after the end of a ${this.what}`);
  }

  private ballot(): { kind: VoteKind; view: number; hash: string | null } {
    const kind = this.byte();
    if (kind !== NOTARIZE && kind !== NULLIFY && kind !== FINALIZE) {
      this.fail(`vote kind ${kind}, expected 1, 2 or 3`);
    }
    const view = this.count();
    const digest = this.hash();
    if (kind !== NULLIFY) return { kind, view, hash: digest };
    if (!/^0+$/.test(digest)) this.fail('a nullify vote names a block');
    return { kind, view, hash: null };
  }

  private take(size: number): number {
    const at = this.at;
    if (at + size > this.bytes.length) this.tooEarly(size);
    this.at = at + size;
    return at;
  }

  private tooEarly(size: number): never {
    const missing = this.at + size - this.bytes.length;
    return this.fail(`${this.what} ends at byte ${this.bytes.length}, ${missing} too early`);
  }
}
