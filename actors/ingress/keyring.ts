// Which keys may have signed a submission, at the registry this node has read. Called by the door before and after the
// signature check. Its answers are admission only: apply() judges keys again, at block time, alike on every node.
import {
  type Attestation,
  type AttestationClaim,
  attestationBytes,
  attestationJson,
} from '../../protocol/attestation.js';
import type { JsonObject } from '../../protocol/json.js';
import { OBSERVATION } from '../../protocol/kinds/observation.js';
import type { KeyRecord } from '../../protocol/kinds/registry-kind.js';
import {
  isOpen,
  keyOf,
  keysForKind,
  keysOf,
  mayAttest,
  maySign,
  type Registry,
  restoreRegistry,
  roleFor,
  signerOf,
} from '../../protocol/registry.js';
import type { Prepared } from '../../protocol/submission.js';
import { CHECK_ED25519, CHECK_HMAC, CHECK_HMAC_DIGEST, type SignatureCheck } from '../verify/checks.js';
import type { VerifyPool } from '../verify/pool.js';
import type { Refusal } from './answers.js';
import type { Submission, VerifiedBy } from './submission.js';

export interface Candidate {
  readonly check: SignatureCheck;
  readonly verifiedBy: VerifiedBy;
}

export interface KeyringOptions {
  readonly genesis: Registry;
  readonly registry: Registry;
  readonly chainId: string;
  readonly nodeId: string;
  /** Public keys by node id: who may attest. */
  readonly validators: ReadonlyMap<string, Uint8Array>;
  readonly secrets: readonly { readonly issuer: string; readonly keyId: string; readonly secret: Uint8Array }[];
}

/**
 * A PCS does not name its issuer, so every key that may sign one is tried, and whoever sends rubbish makes the node pay:
 * an Ed25519 check costs 60 µs, an HMAC 3 µs, so 2 ms at most either way. Keys beyond these counts never verify a PCS.
 */
const CANDIDATES_MAX = { ed25519: 32, hmac: 512 } as const;

export class Keyring {
  readonly #options: KeyringOptions;
  #registry: Registry;
  #secrets: ReadonlyMap<string, Uint8Array>;

  constructor(options: KeyringOptions) {
    this.#options = options;
    this.#registry = options.registry;
    this.#secrets = secretsByKey(options.secrets);
  }

  get registry(): Registry {
    return this.#registry;
  }

  /** A registry entry became final. */
  update(text: string): void {
    this.#registry = restoreRegistry(this.#options.genesis, JSON.parse(text) as JsonObject);
  }

  replaceSecrets(secrets: KeyringOptions['secrets']): void {
    this.#secrets = secretsByKey(secrets);
  }

  /** The checks of which one must hold; empty when no registered, open key can have signed this. */
  candidates(prepared: Prepared, nowMs: number): Candidate[] {
    const holders =
      prepared.alg === null
        ? keysForKind(this.#registry, 'pcs', nowMs).map(({ client, key }) => ({ issuer: client.issuer, key }))
        : keysOf(this.#registry, prepared.issuer, prepared.kind)
            .filter((key) => key.alg === prepared.alg && isOpen(key, nowMs))
            .map((key) => ({ issuer: prepared.issuer, key }));
    const candidates: Candidate[] = [];
    for (const { issuer, key } of holders) {
      const check = this.#check(prepared, issuer, key);
      if (check === null) continue;
      const publicKey = key.publicKey === null ? '' : key.publicKey.toString('hex');
      candidates.push({ check, verifiedBy: { issuer, keyId: key.keyId, publicKey } });
      if (candidates.length === CANDIDATES_MAX[key.publicKey === null ? 'hmac' : 'ed25519']) break;
    }
    return candidates;
  }

  /**
   * The same for what a peer tells of: the client's signature where everybody can check it, else the attestation of the
   * node that could. A secret that this node happens to have says nothing about an attestation.
   */
  candidatesOfPeer(prepared: Prepared, attestation: Attestation | null, nowMs: number): Candidate[] {
    if (attestation === null) {
      if (prepared.alg !== 'ed25519') return [];
      return this.candidates(prepared, nowMs);
    }
    const { issuer, keyId, nodeId, signature } = attestation;
    const home = this.#options.validators.get(nodeId);
    const key = keyOf(this.#registry, issuer, keyId, prepared.kind);
    if (home === undefined || key === undefined || !isOpen(key, nowMs)) return [];
    if (prepared.alg !== null && (prepared.alg !== key.alg || prepared.issuer !== issuer)) return [];
    const message = attestationBytes(this.#options.chainId, prepared.body, attestation);
    const publicKey = key.publicKey === null ? '' : key.publicKey.toString('hex');
    const check = { operation: CHECK_ED25519, key: home, signature, message } as const;
    return [{ check, verifiedBy: { issuer, keyId, publicKey } }];
  }

  /** Null when the key cannot have made a signature of this length, or its secret is not kept here. */
  #check(prepared: Prepared, issuer: string, key: KeyRecord): SignatureCheck | null {
    const { signature } = prepared;
    if (key.publicKey !== null) {
      if (signature.length !== 64) return null;
      const message = prepared.alg === null ? prepared.digest : prepared.signedBytes;
      return { operation: CHECK_ED25519, key: key.publicKey, signature, message };
    }
    const secret = this.#secrets.get(`${issuer}\0${key.keyId}`);
    if (secret === undefined || signature.length !== 32) return null;
    const operation = prepared.alg === null && key.form === 'digest' ? CHECK_HMAC_DIGEST : CHECK_HMAC;
    return { operation, key: secret, signature, message: prepared.signedBytes };
  }

  /** Why `candidates` found none. Says no more than a client with a wrong key may know. */
  whyNone(prepared: Prepared, nowMs: number): Refusal {
    if (prepared.alg === null) return { slug: 'unknown-key', detail: 'no registered key may sign kind pcs' };
    const keys = keysOf(this.#registry, prepared.issuer, prepared.kind).filter((key) => key.alg === prepared.alg);
    if (keys.length === 0) {
      const what = prepared.kind === OBSERVATION ? 'is no observer' : `has no ${prepared.alg} key here`;
      return { slug: 'unknown-key', detail: `issuer ${prepared.issuer} ${what}` };
    }
    if (!keys.some((key) => isOpen(key, nowMs))) {
      return { slug: 'key-not-valid-now', detail: `no ${prepared.alg} key of ${prepared.issuer} is valid now` };
    }
    return { slug: 'unknown-key', detail: `the HMAC secret of ${prepared.issuer} is not kept on this node` };
  }

  needsAttestation(submission: Submission): boolean {
    return submission.verifiedBy!.publicKey === '' || submission.prepared!.alg === null;
  }

  /** Adds this node's attestation to each. The pool signs: no signature is made on the event loop. */
  async attest(list: readonly Submission[], pool: VerifyPool, nowMs: number): Promise<void> {
    const claims = list.map((submission): AttestationClaim => {
      const { issuer, keyId } = submission.verifiedBy!;
      return { issuer, keyId, nodeId: this.#options.nodeId, timeMs: nowMs };
    });
    const signatures = await pool.attest(
      claims.map((claim, index) => attestationBytes(this.#options.chainId, list[index]!.prepared!.body, claim)),
    );
    list.forEach((submission, index) => {
      const attestation = { ...claims[index]!, signature: Buffer.from(signatures[index]!) };
      submission.attestation = JSON.stringify(attestationJson(attestation));
    });
  }

  /** The kind's own check, and what the registry allows the key (both repeated by apply()). Null when it passes. */
  judge(submission: Submission): Refusal | null {
    const prepared = submission.prepared!;
    const { issuer, keyId } = submission.verifiedBy!;
    const key = keyOf(this.#registry, issuer, keyId, prepared.kind);
    if (key === undefined) return { slug: 'unknown-key', detail: `key ${keyId} of ${issuer} was removed` };
    const role = roleFor(prepared.kind);
    if (!signerOf(this.#registry, issuer, prepared.kind)!.roles.includes(role)) {
      return { slug: 'forbidden', detail: `${issuer} has not the role ${role}` };
    }
    const kind = this.#registry.checks.get(prepared.kind);
    if (kind === undefined) {
      const known = [...this.#registry.checks.keys()].join(', ');
      return { slug: 'unknown-kind', detail: `found ${prepared.kind}, registered are ${known}` };
    }
    if (!maySign(key, prepared.kind)) {
      return { slug: 'forbidden', detail: `key ${keyId} of ${issuer} may not sign kind ${prepared.kind}` };
    }
    const home = submission.sharedAttestation?.nodeId ?? this.#options.nodeId;
    if (this.needsAttestation(submission) && !mayAttest(this.#registry, key, home)) {
      return { slug: 'forbidden', detail: `${home} is not a home of key ${keyId}: submit to a node that is` };
    }
    const verdict = kind.check(prepared.payload);
    return verdict.ok ? null : { slug: 'invalid-payload', errors: verdict.errors };
  }
}

function secretsByKey(secrets: KeyringOptions['secrets']): Map<string, Uint8Array> {
  return new Map(secrets.map(({ issuer, keyId, secret }) => [`${issuer}\0${keyId}`, secret]));
}
