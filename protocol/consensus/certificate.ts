// Certificates: q distinct validators' signatures over one vote, and their JSON form in receipts and ledger.
// Called by the core when a quorum is reached or a certificate arrives, and by whoever publishes one.
// Must never count a signer twice, nor accept fewer than q.
import { Buffer } from 'node:buffer';
import type { Context } from './context.js';
import { quorum } from './quorum.js';
import { type CertificateJson, FINALIZE, NOTARIZE, NULLIFY, type VoteKind, voteSignBytes } from './vote.js';

/** Notarization, Nullification or Finalization by its `kind`. `hash` is null exactly for a Nullification. */
export interface Certificate {
  readonly kind: VoteKind;
  readonly view: number;
  readonly hash: string | null;
  /** Validator indices, strictly ascending. */
  readonly signers: readonly number[];
  /** One signature of 64 bytes a signer, in the same order. */
  readonly signatures: readonly Uint8Array[];
}

export const HASH_HEX = /^[0-9a-f]{64}$/;
const SIGNATURE_BYTES = 64;

/** The signed bytes of a vote whose hash is hex. */
export function signedBytes(context: Context, kind: VoteKind, view: number, hash: string | null): Uint8Array {
  return voteSignBytes(context.chainId, context.epoch, kind, view, hash === null ? null : Buffer.from(hash, 'hex'));
}

/** What is wrong with the shape shared by votes and certificates, or null. Views start at 1; view 0 is genesis. */
export function ballotFault(kind: VoteKind, view: number, hash: string | null): string | null {
  if (kind !== NOTARIZE && kind !== NULLIFY && kind !== FINALIZE) return `kind ${String(kind)}, expected 1, 2 or 3`;
  if (!Number.isSafeInteger(view) || view < 1) return `view ${String(view)}, expected an integer from 1`;
  if (kind === NULLIFY) return hash === null ? null : 'a nullify vote names a block';
  return hash !== null && HASH_HEX.test(hash) ? null : 'the block hash is not 64 lowercase hex digits';
}

/** Whether `signature` is validator `signer`'s over that vote. False for an index outside the set or a wrong length. */
export function verifySignature(
  context: Context,
  signer: number,
  signature: Uint8Array,
  kind: VoteKind,
  view: number,
  hash: string | null,
): boolean {
  const validator = context.validators[signer];
  if (validator === undefined || signature.length !== SIGNATURE_BYTES) return false;
  return context.verify(signature, signedBytes(context, kind, view, hash), validator.publicKey);
}

/**
 * What is wrong with a certificate, or null when it is valid for this context.
 * `known` names signatures that this node has verified over the same vote already; those are compared, not verified again.
 */
export function certificateFault(
  context: Context,
  certificate: Certificate,
  known?: (signer: number) => Uint8Array | undefined,
): string | null {
  const { kind, view, hash, signers, signatures } = certificate;
  const fault = ballotFault(kind, view, hash);
  if (fault !== null) return fault;
  const needed = quorum(context.validators.length);
  if (signers.length < needed) return `${signers.length} signers, expected at least ${needed}`;
  if (signatures.length !== signers.length) return `${signatures.length} signatures for ${signers.length} signers`;
  let previous = -1;
  for (const signer of signers) {
    if (!Number.isInteger(signer) || signer <= previous) return 'the signers are not distinct and ascending';
    if (signer >= context.validators.length) return `signer ${signer} is no validator of this epoch`;
    previous = signer;
  }
  const bytes = signedBytes(context, kind, view, hash);
  for (let i = 0; i < signers.length; i++) {
    const signer = signers[i]!;
    const signature = signatures[i]!;
    if (signature.length !== SIGNATURE_BYTES) return `signature of validator ${signer} has ${signature.length} bytes`;
    const seen = known?.(signer);
    if (seen !== undefined && Buffer.compare(seen, signature) === 0) continue;
    if (!context.verify(signature, bytes, context.validators[signer]!.publicKey)) {
      return `signature of validator ${signer} is wrong`;
    }
  }
  return null;
}

/** The form of receipts and ledger (INTERFACE.md): node ids and base64, in validator order. */
export function certificateToJson(context: Context, certificate: Certificate): CertificateJson {
  return {
    epoch: context.epoch,
    view: certificate.view,
    signers: certificate.signers.map((signer) => context.validators[signer]!.nodeId),
    signatures: certificate.signatures.map((signature) => base64(signature)),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}
