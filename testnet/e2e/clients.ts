// Clients with keys of their own: what they sign, and the clients.yml that registers them. Used by the end-to-end tests.
// Every key comes from its name, so that a failed run can be repeated byte by byte.
import { randomUUID } from 'node:crypto';
import { type ClientKey, type Draft, signSubmission } from '../../client/sign.js';
import { canonicalize } from '../../protocol/canonical.js';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256, sha256Hex } from '../../protocol/crypto/hash.js';
import { hmacSha256 } from '../../protocol/crypto/hmac.js';
import { envelopeSignedBytes } from '../../protocol/envelope.js';
import type { JsonObject } from '../../protocol/json.js';
import type { Observation } from '../../protocol/kinds/observation.js';
import { asPcs, pcsId, pcsSignedBytes } from '../../protocol/kinds/pcs.js';
import { signedObservation } from '../../protocol/ledger/testkit.js';
import { prepareObservation } from '../../protocol/submission.js';

export interface Signed {
  readonly body: Buffer;
  /** 64 hex. */
  readonly digest: string;
  readonly envelope: JsonObject;
}

export type NoteDraft = Partial<Draft> & { readonly text?: string };

export const ed25519: Ed25519 = await loadEd25519();

/** A client with one Ed25519 key. */
export class Client {
  readonly issuer: string;
  readonly seed: Uint8Array;
  readonly publicKey: string;
  readonly #key: ClientKey;

  constructor(issuer: string, seed: Uint8Array = sha256(`e2e key of ${issuer}`)) {
    this.issuer = issuer;
    this.seed = seed;
    this.publicKey = Buffer.from(ed25519.keyPair(seed).publicKey).toString('hex');
    this.#key = { issuer, publicKey: this.publicKey, seed };
  }

  sign(draft: NoteDraft = {}): Signed {
    const signed = signSubmission(ed25519, this.#key, complete(draft));
    return { body: Buffer.from(signed.body), digest: signed.digest, envelope: { ...signed.envelope } };
  }

  /** An observation of this client: `{"observation":{…}}`, signed. */
  observe(changes: Partial<Observation> & { readonly tis?: number } = {}): { body: Buffer; digest: string } {
    const timestamp = new Date().toISOString();
    const signer = { name: this.issuer, secretKey: ed25519.keyPair(this.seed).secretKey };
    const body = signedObservation({ ed25519 }, signer, { timestamp, audit_id: randomUUID(), ...changes });
    return { body, digest: prepareObservation(body).digest.toString('hex') };
  }

  /** `pcs` with this client's signature in place of its own. */
  signPcs(pcs: JsonObject): JsonObject {
    const { secretKey } = ed25519.keyPair(this.seed);
    const signature = ed25519.sign(sha256(pcsSignedBytes(asPcs(pcs))), secretKey);
    return { ...pcs, sig: Buffer.from(signature).toString('base64') };
  }
}

/** A client that shares a secret with the node. */
export class HmacClient {
  readonly issuer: string;
  readonly secret: Buffer;

  constructor(issuer: string, secret: Uint8Array | string = sha256(`e2e secret of ${issuer}`)) {
    this.issuer = issuer;
    this.secret = Buffer.from(secret);
  }

  sign(draft: NoteDraft = {}): Signed {
    const { issuedAtMs, ...rest } = complete(draft);
    const issued_at = new Date(issuedAtMs).toISOString();
    const unsigned = { ...rest, issuer: this.issuer, issued_at, alg: 'hmac-sha256' as const };
    const signedBytes = envelopeSignedBytes(unsigned);
    const envelope = { ...unsigned, sig: hmacSha256(this.secret, signedBytes).toString('base64') };
    return { body: Buffer.from(canonicalize(envelope)), digest: sha256Hex(signedBytes), envelope };
  }

  signPcs(pcs: JsonObject, form: 'direct' | 'digest' = 'direct'): JsonObject {
    const signedBytes = pcsSignedBytes(asPcs(pcs));
    const message = form === 'direct' ? signedBytes : sha256(signedBytes);
    return { ...pcs, sig: hmacSha256(this.secret, message).toString('base64') };
  }
}

function complete({ text = 'hi', ...draft }: NoteDraft): Draft {
  return { kind: 'note', id: randomUUID(), issuedAtMs: Date.now(), payload: { text }, ...draft };
}

/** A PCS of another shard than the golden one's: another pcs_id, so another submission. */
export function pcsOfShard(pcs: JsonObject, shard: string): JsonObject {
  const id = pcsId(String(pcs.merkle_root), Number(pcs.epoch), shard);
  return { ...pcs, shard_id: shard, pcs_id: id };
}

/** One client's entry of clients.yml, with the key named as its issuer. */
export function register(client: Client | HmacClient, more: JsonObject = {}, key: JsonObject = {}): JsonObject {
  const own: JsonObject =
    client instanceof Client
      ? { alg: 'ed25519', public_key: client.publicKey }
      : { alg: 'hmac-sha256', secret_hex: client.secret.toString('hex') };
  return { issuer: client.issuer, ...more, keys: [{ key_id: client.issuer, ...own, ...key }] };
}
