// Makes a signed submission from a client's key: the exact bytes to send and the digest by which the ledger knows them.
// Called by the CLI and by programs that submit. It reads no files and keeps no key.
import { canonicalize } from '../protocol/canonical.js';
import type { Ed25519 } from '../protocol/crypto/ed25519.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import { type Envelope, envelopeSignedBytes, parseEnvelope } from '../protocol/envelope.js';
import type { JsonObject, JsonValue } from '../protocol/json.js';

/** An Ed25519 client key, as in `dev-client.json`: {"issuer","public_key","seed"}, both 64 hex digits. */
export interface ClientKey {
  readonly issuer: string;
  readonly publicKey: string;
  /** 32 secret bytes. */
  readonly seed: Uint8Array;
}

export interface Draft {
  readonly kind: string;
  /** Unique per issuer: sending other content under it again is refused. */
  readonly id: string;
  readonly issuedAtMs: number;
  readonly payload: JsonObject;
}

export interface SignedSubmission {
  readonly envelope: Envelope;
  /** The body to send; the same draft and key give the same bytes. */
  readonly body: Uint8Array;
  /** Lowercase hex SHA-256 of the signed bytes. */
  readonly digest: string;
}

/** The key file does not hold a client key; the message names the field and never its value. */
export class ClientKeyError extends Error {
  override readonly name = 'ClientKeyError';
}

/** @throws ClientKeyError */
export function parseClientKey(value: JsonValue): ClientKey {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ClientKeyError('found no object, allowed is {"issuer","public_key","seed"}');
  }
  const { issuer, public_key: publicKey, seed } = value;
  if (typeof issuer !== 'string') throw new ClientKeyError('issuer: found no string, allowed is the name of the key');
  if (typeof publicKey !== 'string' || !HEX_32.test(publicKey)) throw new ClientKeyError(`public_key: ${HEX_ALLOWED}`);
  if (typeof seed !== 'string' || !HEX_32.test(seed)) throw new ClientKeyError(`seed: ${HEX_ALLOWED}`);
  return { issuer, publicKey, seed: Buffer.from(seed, 'hex') };
}

const HEX_32 = /^[0-9a-f]{64}$/;
const HEX_ALLOWED = 'allowed are 64 lowercase hex digits';

/**
 * @throws ShapeError when the draft is no valid envelope (kind, id or issuer), ClientKeyError when seed and public key do
 * not belong together.
 */
export function signSubmission(ed25519: Ed25519, key: ClientKey, draft: Draft): SignedSubmission {
  const secretKey = signingKey(ed25519, key);
  const unsigned = {
    kind: draft.kind,
    id: draft.id,
    issuer: key.issuer,
    issued_at: new Date(draft.issuedAtMs).toISOString(),
    payload: draft.payload,
    alg: 'ed25519' as const,
  };
  // Checked before it is signed: the signed bytes are only defined for a well-formed envelope.
  parseEnvelope({ ...unsigned, sig: PLACEHOLDER });
  const signedBytes = envelopeSignedBytes(unsigned);
  const sig = Buffer.from(ed25519.sign(signedBytes, secretKey)).toString('base64');
  const envelope: Envelope = { ...unsigned, sig };
  return { envelope, body: Buffer.from(canonicalize(envelope)), digest: sha256Hex(signedBytes) };
}

/** @throws ClientKeyError when seed and public key do not belong together. */
export function signingKey(ed25519: Ed25519, { seed, publicKey }: ClientKey): Uint8Array {
  const pair = ed25519.keyPair(seed);
  if (Buffer.from(pair.publicKey).toString('hex') === publicKey) return pair.secretKey;
  throw new ClientKeyError('public_key: does not belong to the seed beside it');
}

/** Has the shape of an Ed25519 signature and verifies nothing. */
const PLACEHOLDER = Buffer.alloc(64).toString('base64');
