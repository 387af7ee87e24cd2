// genesis.json: what a chain is before its first block, and the name (chain id) that every signature on it carries.
// Called by every process at start, by `quorate init` that writes it, and by tests.
// Must never read a value with a default: everything consensus depends on stands in the file and so in the chain id.
import type { Buffer } from 'node:buffer';
import { canonicalize } from './canonical.js';
import { quorum } from './consensus/quorum.js';
import { sha256 } from './crypto/hash.js';
import type { JsonObject, JsonValue } from './json.js';
import { type ClientRecord, type KeyRecord, type RegistryFrame, type Role, readWish } from './kinds/registry-kind.js';
import { createRegistry, type Registry } from './registry.js';
import { Fields, Mistakes } from './shape.js';
import { readPublicKey, readValidators, type Validator, validatorsHash, validatorsJson } from './validators.js';

/** Consensus-critical numbers (DECISIONS 15). A change is a new chain, or later an entry signed by the operator. */
export interface ChainParameters {
  /** Sum of the raw bodies of a block. */
  readonly blockMaxBytes: number;
  readonly blockMaxEntries: number;
  /** How old a submission's time may be at block time. */
  readonly horizonMs: number;
  /** How far it may be ahead of block time. */
  readonly futureMs: number;
  readonly quorumRule: 'byzantine';
  /** Version of the rules whose constants are part of the program: PCS verdicts, observation rounds. */
  readonly rules: 1;
}

export interface OperatorKey {
  readonly keyId: string;
  readonly publicKey: Buffer;
}

export interface Genesis {
  /** As it was read; its canonical form is what the chain id hashes. */
  readonly json: JsonObject;
  /** SHA-256 of the canonical form, 32 bytes. */
  readonly chainId: Buffer;
  readonly chainIdHex: string;
  readonly createdAtMs: number;
  readonly chain: ChainParameters;
  readonly validators: readonly Validator[];
  readonly validatorsHash: string;
  readonly quorum: number;
  readonly operators: readonly OperatorKey[];
  /** Version 0 of the registry. */
  readonly registry: Registry;
}

/** What `quorate init` decides; the rest are the values below. */
export interface GenesisDraft {
  readonly createdAtMs: number;
  readonly validators: readonly Validator[];
  readonly operators?: readonly OperatorKey[];
  /** ClientRecords in their JSON form. */
  readonly clients?: readonly JsonObject[];
  readonly kinds?: readonly JsonObject[];
  readonly chain?: Partial<ChainParameters>;
}

const DAY_MS = 86_400_000;

export const DEFAULT_CHAIN: ChainParameters = {
  blockMaxBytes: 512 * 1024,
  blockMaxEntries: 1000,
  horizonMs: 14 * DAY_MS,
  futureMs: 60_000,
  quorumRule: 'byzantine',
  rules: 1,
};

/** Bounds within which the rest of the node keeps its promises (memory of 8 unfinalized blocks, frames, index size). */
const MAX_BLOCK_BYTES = 4 * 1024 * 1024;
const MAX_BLOCK_ENTRIES = 10_000;

const MEMBERS = ['version', 'created_at', 'chain', 'validators', 'operators', 'clients', 'kinds'];
const CHAIN_MEMBERS = ['block_max_bytes', 'block_max_entries', 'horizon_ms', 'future_ms', 'quorum_rule', 'rules'];
const OPERATOR_MEMBERS = ['key_id', 'public_key'];

/** Throws ShapeError with everything wrong, each with its place, what was found and what is allowed. */
export function parseGenesis(value: JsonValue): Genesis {
  const mistakes = new Mistakes();
  const fields = new Fields(value, '', MEMBERS, mistakes);
  fields.count('version', 1, 1);
  const createdAtMs = fields.time('created_at');
  const chain = readChain(fields.fields('chain', CHAIN_MEMBERS));
  const validators = readValidators(fields, 'validators');
  const operators = readOperators(fields, validators);
  const frame: RegistryFrame = {
    validators: new Set(validators.map((validator) => validator.nodeId)),
    reserved: new Set([...validators.map(({ nodeId }) => nodeId), ...operators.map(({ keyId }) => keyId)]),
    observers: validators.map(({ nodeId, publicKey }) =>
      keyHolder(nodeId, publicKey, ['observe'], 'observation', 'accusation'),
    ),
    screened: new Set(),
  };
  const wish = readWish(fields, frame);
  mistakes.done();
  const chainId = sha256(canonicalize(fields.object));
  return {
    json: fields.object,
    chainId,
    chainIdHex: chainId.toString('hex'),
    createdAtMs,
    chain,
    validators,
    validatorsHash: validatorsHash(validators),
    quorum: quorum(validators.length),
    operators,
    registry: createRegistry(frame, authorities(validators, operators), wish, 0),
  };
}

function readChain(fields: Fields): ChainParameters {
  return {
    blockMaxBytes: fields.count('block_max_bytes', 1024, MAX_BLOCK_BYTES),
    blockMaxEntries: fields.count('block_max_entries', 1, MAX_BLOCK_ENTRIES),
    horizonMs: fields.count('horizon_ms', 60_000, 366 * DAY_MS),
    futureMs: fields.count('future_ms', 0, 3_600_000),
    quorumRule: fields.oneOf('quorum_rule', ['byzantine']),
    rules: fields.count('rules', 1, 1) as 1,
  };
}

function readOperators(fields: Fields, validators: readonly Validator[]): OperatorKey[] {
  const keyIds = new Set(validators.map((validator) => validator.nodeId));
  const publicKeys = new Set<string>();
  return fields.objects('operators', OPERATOR_MEMBERS, (item) => {
    const keyId = item.identifier('key_id');
    if (keyIds.has(keyId)) item.wrong('key_id', 'every name once among operators and validators');
    keyIds.add(keyId);
    return { keyId, publicKey: readPublicKey(item, publicKeys) };
  });
}

/** Who may sign a registry entry alone: each operator key, and the validator of a chain that has only one (DECISIONS 16). */
function authorities(validators: readonly Validator[], operators: readonly OperatorKey[]): ClientRecord[] {
  const alone = validators.length === 1 ? validators : [];
  return [
    ...operators.map(({ keyId, publicKey }) => keyHolder(keyId, publicKey, ['submit', 'operate'], 'registry')),
    ...alone.map(({ nodeId, publicKey }) => keyHolder(nodeId, publicKey, ['submit', 'operate'], 'registry')),
  ];
}

/** Somebody the genesis itself names, with one key for these kinds. */
function keyHolder(name: string, publicKey: Buffer, roles: readonly Role[], ...kinds: string[]): ClientRecord {
  const key: KeyRecord = {
    keyId: name,
    alg: 'ed25519',
    publicKey,
    homes: [],
    form: 'direct',
    kinds,
    notBeforeMs: null,
    notAfterMs: null,
  };
  return { issuer: name, roles, keys: [key] };
}

/** The JSON of a new genesis, checked. Throws ShapeError like parseGenesis. */
export function createGenesis(draft: GenesisDraft): Genesis {
  const chain = { ...DEFAULT_CHAIN, ...draft.chain };
  return parseGenesis({
    version: 1,
    created_at: new Date(draft.createdAtMs).toISOString(),
    chain: {
      block_max_bytes: chain.blockMaxBytes,
      block_max_entries: chain.blockMaxEntries,
      horizon_ms: chain.horizonMs,
      future_ms: chain.futureMs,
      quorum_rule: chain.quorumRule,
      rules: chain.rules,
    },
    validators: validatorsJson(draft.validators),
    operators: (draft.operators ?? []).map(({ keyId, publicKey }) => ({
      key_id: keyId,
      public_key: publicKey.toString('hex'),
    })),
    clients: [...(draft.clients ?? [])],
    kinds: [...(draft.kinds ?? [])],
  });
}
