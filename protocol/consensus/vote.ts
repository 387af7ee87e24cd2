// What a validator signs, byte for byte, and the shape in which q signatures travel as JSON.
// Called by the consensus core, the receipt verifier and everything that checks a certificate.
// Must never sign or verify over JSON: these 101 bytes are the only thing a vote key ever signs for consensus.
import { Buffer } from 'node:buffer';

/** Vote kinds as they stand in the sign bytes (CONSENSUS.md 1.4, DECISIONS 29). */
export const NOTARIZE = 1;
export const NULLIFY = 2;
export const FINALIZE = 3;
export type VoteKind = typeof NOTARIZE | typeof NULLIFY | typeof FINALIZE;

/** A certificate as it stands in receipts and in the ledger: both lists in validator order, Ed25519 signatures in base64. */
export interface CertificateJson {
  readonly epoch: number;
  readonly view: number;
  readonly signers: readonly string[];
  readonly signatures: readonly string[];
}

const DOMAIN = Buffer.from('quorate/consensus/1\0', 'latin1');
const CHAIN_ID_BYTES = 32;
const DIGEST_BYTES = 32;
const EPOCH_AT = DOMAIN.length + CHAIN_ID_BYTES;
const KIND_AT = EPOCH_AT + 8;
const VIEW_AT = KIND_AT + 1;
const DIGEST_AT = VIEW_AT + 8;
const SIZE = DIGEST_AT + DIGEST_BYTES;

/**
 * The signed bytes of a vote: `quorate/consensus/1\0` ‖ chainId (32) ‖ epoch (u64 BE) ‖ kind (u8) ‖ view (u64 BE) ‖ digest (32).
 * `digest` is the block hash, and null exactly for a nullify vote (32 zero bytes).
 * Throws RangeError for anything that does not fit: a caller with such values has a bug, and a signature over it would outlive it.
 */
export function voteSignBytes(
  chainId: Uint8Array,
  epoch: number,
  kind: VoteKind,
  view: number,
  digest: Uint8Array | null,
): Buffer {
  if (chainId.length !== CHAIN_ID_BYTES) throw new RangeError(`chain id of ${chainId.length} bytes, expected 32`);
  if ((digest === null) !== (kind === NULLIFY)) {
    throw new RangeError(
      kind === NULLIFY ? 'a nullify vote names no block' : `a vote of kind ${kind} must name a block`,
    );
  }
  if (digest !== null && digest.length !== DIGEST_BYTES) {
    throw new RangeError(`block hash of ${digest.length} bytes, expected 32`);
  }
  const bytes = Buffer.alloc(SIZE);
  bytes.set(DOMAIN, 0);
  bytes.set(chainId, DOMAIN.length);
  writeCount(bytes, epoch, EPOCH_AT, 'epoch');
  bytes[KIND_AT] = kind;
  writeCount(bytes, view, VIEW_AT, 'view');
  if (digest !== null) bytes.set(digest, DIGEST_AT);
  return bytes;
}

/** A non-negative safe integer as u64 big-endian, in two halves: BigInt costs ten times as much on this path. */
function writeCount(bytes: Buffer, value: number, at: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} ${value} is not a count below 2^53`);
  bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  bytes.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}
