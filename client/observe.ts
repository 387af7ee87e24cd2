// Makes a signed observation from a client's key: the exact bytes for POST /v1/observations, and their digest.
// Called by the CLI and by programs that observe. It reads no files and keeps no key.
import type { Ed25519 } from '../protocol/crypto/ed25519.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import type { JsonObject } from '../protocol/json.js';
import { ShapeError } from '../protocol/kinds/kind.js';
import { asObservation, observationShapeErrors, observationSignedBytes } from '../protocol/kinds/observation.js';
import { type ClientKey, signingKey } from './sign.js';

export interface SignedObservation {
  /** The observation with its signature. */
  readonly observation: JsonObject;
  /** The body to send; the same observation and key give the same bytes. */
  readonly body: Uint8Array;
  /** Lowercase hex SHA-256 of the signed bytes. */
  readonly digest: string;
}

/**
 * `draft` is an observation without `signature` (docs/ROUNDS.md); `node_id` is the key's issuer.
 * @throws ShapeError naming everything that is wrong with it, ClientKeyError when seed and public key do not belong together.
 */
export function signObservation(ed25519: Ed25519, key: ClientKey, draft: JsonObject): SignedObservation {
  const unsigned = { ...draft, node_id: key.issuer };
  const errors = observationShapeErrors(unsigned);
  if (errors.length > 0) throw new ShapeError(errors);
  const signedBytes = observationSignedBytes(asObservation(unsigned));
  const signature = [...ed25519.sign(signedBytes, signingKey(ed25519, key))];
  const observation = { ...unsigned, signature };
  return { observation, body: Buffer.from(JSON.stringify({ observation })), digest: sha256Hex(signedBytes) };
}
