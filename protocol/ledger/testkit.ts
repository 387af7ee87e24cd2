// A small chain in memory for tests: validators and clients with fixed seeds, submissions signed by them, blocks certified by a quorum.
// Called by the tests of protocol/ and of whoever builds on the ledger; never by the product.
// Must never use randomness or a clock: conformance hashes are taken over what it makes.
import { Buffer } from 'node:buffer';
import { type Attestation, attest } from '../attestation.js';
import { quorum } from '../consensus/quorum.js';
import { type CertificateJson, FINALIZE, voteSignBytes } from '../consensus/vote.js';
import { type Ed25519, loadEd25519 } from '../crypto/ed25519.js';
import { hmacSha256 } from '../crypto/hmac.js';
import { envelopeSignedBytes } from '../envelope.js';
import { createGenesis, type Genesis, type GenesisDraft } from '../genesis.js';
import type { JsonObject } from '../json.js';
import { type Observation, observationSignedBytes } from '../kinds/observation.js';
import { NO_ROUNDS } from '../rounds/round.js';
import { type Prepared, prepareEnvelope, prepareObservation, preparePcs } from '../submission.js';
import { firstEpoch, type ValidatorSet } from '../validators.js';
import type { Entry, IndexEntry, LedgerView } from './apply.js';
import { type StoredBlock, storedBlock } from './block.js';
import { type BlockResult, executeBlock } from './execute.js';
import { blockHash, blockTimeMs, genesisTip, type Header, headerText, makeHeader } from './header.js';
import { type BlockChanges, changesOf, Overlay } from './overlay.js';

/** 2026-11-20T12:00:00Z */
export const NOON_MS = Date.UTC(2026, 10, 20, 12);
export const HMAC_SECRET = Buffer.from('testsecret');

export interface Signer {
  readonly name: string;
  readonly publicKey: Buffer;
  readonly secretKey: Uint8Array;
}

export interface MadeBlock {
  readonly header: Header;
  readonly hash: string;
  readonly result: BlockResult;
  readonly changes: BlockChanges;
}

export interface Testkit {
  readonly ed25519: Ed25519;
  readonly validators: readonly Signer[];
  readonly operator: Signer;
  /** Issuer `dev` with key `k1` (ed25519); issuer `hmac` with key `h1` at home on the first validator. */
  readonly dev: Signer;
  readonly genesis: Genesis;
  readonly set: ValidatorSet;
  readonly view: LedgerView;
}

/** `draft` replaces parts of the genesis. */
export async function makeTestkit(validatorCount = 1, draft: Partial<GenesisDraft> = {}): Promise<Testkit> {
  const ed25519 = await loadEd25519();
  const signer = (name: string, seed: number): Signer => {
    const { publicKey, secretKey } = ed25519.keyPair(Buffer.alloc(32, seed));
    return { name, publicKey: Buffer.from(publicKey), secretKey };
  };
  const validators = Array.from({ length: validatorCount }, (_, i) => signer(`node_${i}`, 16 + i));
  const operator = signer('operator', 2);
  const dev = signer('dev', 1);
  const genesis = createGenesis({
    createdAtMs: NOON_MS,
    validators: validators.map(({ name, publicKey }) => ({ nodeId: name, publicKey })),
    operators: [{ keyId: operator.name, publicKey: operator.publicKey }],
    clients: [devClient(dev), hmacClient(validators[0]!)],
    ...draft,
  });
  const tip = genesisTip(genesis.chainIdHex, genesis.validatorsHash, validatorCount);
  return {
    ed25519,
    validators,
    operator,
    dev,
    genesis,
    set: firstEpoch(genesis.chainIdHex, genesis.validators),
    view: {
      chain: genesis.chain,
      tip,
      registry: genesis.registry,
      rounds: NO_ROUNDS,
      find: (): IndexEntry | undefined => undefined,
    },
  };
}

export function devClient(dev: Signer, key: JsonObject = {}): JsonObject {
  const publicKey = dev.publicKey.toString('hex');
  return {
    issuer: 'dev',
    roles: ['submit'],
    keys: [{ key_id: 'k1', alg: 'ed25519', public_key: publicKey, ...key }],
  };
}

export function hmacClient(home: Signer): JsonObject {
  return { issuer: 'hmac', roles: ['submit'], keys: [{ key_id: 'h1', alg: 'hmac-sha256', homes: [home.name] }] };
}

export interface EnvelopeParts {
  readonly kind?: string;
  readonly id: string;
  readonly issuedAtMs?: number;
  readonly payload?: JsonObject;
}

/** The body of an envelope signed by `signer` under its own name. */
export function signedEnvelope(kit: Testkit, signer: Signer, parts: EnvelopeParts): Buffer {
  const unsigned = {
    kind: parts.kind ?? 'note',
    id: parts.id,
    issuer: signer.name,
    issued_at: new Date(parts.issuedAtMs ?? NOON_MS).toISOString(),
    payload: parts.payload ?? { text: `text of ${parts.id}` },
    alg: 'ed25519' as const,
  };
  const signature = kit.ed25519.sign(envelopeSignedBytes(unsigned), signer.secretKey);
  return Buffer.from(JSON.stringify({ ...unsigned, sig: Buffer.from(signature).toString('base64') }));
}

/** A verified entry of `dev`. */
export function devEntry(kit: Testkit, parts: EnvelopeParts): Entry {
  return entryOf(kit.dev, 'k1', signedEnvelope(kit, kit.dev, parts));
}

export function entryOf(signer: Signer, keyId: string, raw: Buffer): Entry {
  const prepared = prepareEnvelope(raw);
  const key = { keyId, alg: 'ed25519' as const, publicKey: signer.publicKey };
  return { prepared, raw, issuer: prepared.issuer, key, attestation: null };
}

/** A registry entry signed by the operator. */
export function registryEntry(kit: Testkit, id: string, payload: JsonObject): Entry {
  const { operator } = kit;
  return entryOf(operator, operator.name, signedEnvelope(kit, operator, { kind: 'registry', id, payload }));
}

/** A verified entry of `hmac`, attested by the first validator. */
export function hmacEntry(kit: Testkit, id: string): Entry {
  const unsigned = {
    kind: 'note',
    id,
    issuer: 'hmac',
    issued_at: new Date(NOON_MS).toISOString(),
    payload: { text: 'by hmac' },
    alg: 'hmac-sha256' as const,
  };
  const sig = hmacSha256(HMAC_SECRET, envelopeSignedBytes(unsigned)).toString('base64');
  const raw = Buffer.from(JSON.stringify({ ...unsigned, sig }));
  return attestedEntry(kit, 'hmac', 'h1', 'hmac-sha256', raw, prepareEnvelope(raw));
}

/** A PCS body (FORMATS C5, G1) as an entry of `hmac`; `changes` replaces members, also unsigned ones. */
export function pcsEntry(kit: Testkit, changes: JsonObject = {}): Entry {
  const raw = Buffer.from(JSON.stringify({ ...GOLDEN_PCS, ...changes }));
  return attestedEntry(kit, 'hmac', 'h1', 'hmac-sha256', raw, preparePcs(raw));
}

/** The body of an observation signed by `signer` under its own name; of a score that is its components'. */
export function signedObservation(
  kit: Pick<Testkit, 'ed25519'>,
  signer: Pick<Signer, 'name' | 'secretKey'>,
  changes: { readonly tis?: number } & Partial<Observation> = {},
): Buffer {
  const { tis = 0.85, ...members } = changes;
  const observation: Observation = {
    node_id: signer.name,
    audit_id: `audit of ${members.round_id ?? 'r'}`.replaceAll(' ', '-'),
    round_id: 'r',
    window_hours: 24,
    timestamp: new Date(NOON_MS).toISOString(),
    forecast_hash: `sha256:${'a'.repeat(64)}`,
    outcome_hash: `sha256:${'b'.repeat(64)}`,
    tis_components: { prediction_accuracy: tis, ethical_alignment: tis, coherence_stability: tis },
    tis_overall: tis,
    bias_flags: [],
    ...members,
  };
  const signature = kit.ed25519.sign(observationSignedBytes(observation), signer.secretKey);
  return Buffer.from(JSON.stringify({ observation: { ...observation, signature: [...signature] } }));
}

/** A verified observation. `keyId` is the name of a validator's one key. */
export function observationEntry(
  kit: Testkit,
  signer: Signer,
  changes: Parameters<typeof signedObservation>[2] = {},
  keyId: string = signer.name,
): Entry {
  const raw = signedObservation(kit, signer, changes);
  const prepared = prepareObservation(raw);
  const key = { keyId, alg: 'ed25519' as const, publicKey: signer.publicKey };
  return { prepared, raw, issuer: prepared.issuer, key, attestation: null };
}

function attestedEntry(
  kit: Testkit,
  issuer: string,
  keyId: string,
  alg: 'ed25519' | 'hmac-sha256',
  raw: Buffer,
  prepared: Prepared,
): Entry {
  const home = kit.validators[0]!;
  const claim = { issuer, keyId, nodeId: home.name, timeMs: NOON_MS };
  const attestation: Attestation = attest(kit.ed25519, home.secretKey, kit.genesis.chainIdHex, prepared.body, claim);
  return { prepared, raw, issuer, key: { keyId, alg, publicKey: null }, attestation };
}

/** Executes entries on a view and makes the block, proposed one view after its parent by the first validator. */
export function makeBlock(
  kit: Testkit,
  view: LedgerView,
  entries: readonly Entry[],
  timestampMs: number = NOON_MS,
): MadeBlock {
  const result = executeBlock(view, entries, blockTimeMs(view.tip, timestampMs));
  const proposal = { view: view.tip.view + 1, proposer: kit.validators[0]!.name, timestampMs };
  const header = makeHeader(view.tip, proposal, result);
  const hash = blockHash(headerText(header)).toString('hex');
  return { header, hash, result, changes: changesOf(view.tip, header, hash, result) };
}

export function after(view: LedgerView, ...blocks: readonly MadeBlock[]): LedgerView {
  return new Overlay(
    view,
    blocks.map((block) => block.changes),
  );
}

/** A finalization of the block by the first q validators. */
export function certify(kit: Testkit, { header, hash }: MadeBlock): CertificateJson {
  const digest = Buffer.from(hash, 'hex');
  const signed = voteSignBytes(kit.genesis.chainId, header.epoch, FINALIZE, header.view, digest);
  const signers = kit.validators.slice(0, quorum(kit.validators.length));
  return {
    epoch: header.epoch,
    view: header.view,
    signers: signers.map(({ name }) => name),
    signatures: signers.map(({ secretKey }) => Buffer.from(kit.ed25519.sign(signed, secretKey)).toString('base64')),
  };
}

/** The stored form of a block that is final by itself, or through its descendants (oldest first). */
export function store(kit: Testkit, block: MadeBlock, ...descendants: readonly MadeBlock[]): StoredBlock {
  const certificate = certify(kit, descendants.at(-1) ?? block);
  const chain = descendants.map(({ header }) => header);
  return storedBlock(block.header, block.hash, certificate, chain, block.result);
}

/** FORMATS C5, G1. Its signature is the published one, HMAC in direct form under HMAC_SECRET. */
const GOLDEN_PCS: JsonObject = {
  pcs_id: 'c50bb25a7aff94164147b73c846f0e5e10890d75df204875ca70c448f52c6edf',
  schema: 'fractal-lba-kakeya',
  version: '0.1',
  shard_id: 'test-shard-001',
  epoch: 1,
  attempt: 1,
  sent_at: '2026-11-20T12:00:00Z',
  seed: 42,
  scales: [2, 4, 8, 16],
  N_j: { 2: 5, 4: 10, 8: 13, 16: 15 },
  coh_star: 0.066666667,
  v_star: [0.6000020458127243, -0.16701530057610703, 0.7823703946303298],
  D_hat: 0.528320834,
  r: 0.318421053,
  regime: 'mixed',
  budget: 0.317807017,
  merkle_root: 'e966b52c992aefad3c3d0196db02554f30d10d55e8a6e5e3038f88e79e414112',
  sig: 'x5KLRpKb75Oy1oxLA+3V+bgY/HL/3ZYOk1rw3pCiSm4=',
  ft: { outbox_seq: 1, degraded: false, fallbacks: [], clock_skew_ms: 0 },
};
