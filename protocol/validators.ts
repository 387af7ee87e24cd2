// The validators of a chain, epoch by epoch: what GET /v1/validators answers and what an offline verifier trusts.
// Called by the genesis, the client API and the receipt verifier.
// Must never accept a set whose quorum or keys do not add up: this file is the verifier's only root of trust.
import type { Buffer } from 'node:buffer';
import { canonicalize } from './canonical.js';
import { quorum } from './consensus/quorum.js';
import { sha256Hex } from './crypto/hash.js';
import { checkPublicKey } from './crypto/keys.js';
import type { JsonObject, JsonValue } from './json.js';
import { Fields, Mistakes } from './shape.js';

export interface Validator {
  readonly nodeId: string;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Buffer;
}

/** Why an epoch does not simply continue the one before: the operator gave up what lay above `lastTrustedHeight`. */
export interface Handover {
  readonly reason: string;
  readonly lastTrustedHeight: number;
}

export interface Epoch {
  readonly epoch: number;
  /** In validator order: the order of leaders and of signatures in a certificate. */
  readonly set: readonly Validator[];
  /** First height that belongs to this epoch; blocks of earlier epochs at or above it are void. */
  readonly fromHeight: number;
  readonly handover: Handover | null;
}

/** The current set and how it came about. `epochs` is ascending and ends with the current epoch. */
export interface ValidatorSet {
  readonly chainId: string;
  readonly epoch: number;
  readonly quorum: number;
  readonly validators: readonly Validator[];
  readonly epochs: readonly Epoch[];
}

/** More would make a certificate outgrow its block, and all-to-all votes the network. */
export const MAX_VALIDATORS = 128;

const VALIDATOR_MEMBERS = ['node_id', 'public_key'];
const SET_MEMBERS = ['chain_id', 'epoch', 'quorum', 'validators', 'epochs'];
const EPOCH_MEMBERS = ['epoch', 'set', 'from_height', 'handover'];
const HANDOVER_MEMBERS = ['reason', 'last_trusted_height'];
const REASON_CHARACTERS_MAX = 200;
const REASON = /^[\x20-\x7e]{1,200}$/;

/** What a header says about its validators: hex SHA-256 over `quorate/validators/1\n` and the canonical list, in validator order. */
export function validatorsHash(validators: readonly Validator[]): string {
  return sha256Hex(`quorate/validators/1\n${canonicalize(validatorsJson(validators))}`);
}

/** The set of a chain that never left its first epoch. */
export function firstEpoch(chainId: string, validators: readonly Validator[]): ValidatorSet {
  return {
    chainId,
    epoch: 0,
    quorum: quorum(validators.length),
    validators,
    epochs: [{ epoch: 0, set: validators, fromHeight: 1, handover: null }],
  };
}

/** The epoch that a block of this epoch number and height belongs to, or why there is none. */
export function epochOf(set: ValidatorSet, epoch: number, height: number): Epoch | string {
  const found = set.epochs.find((candidate) => candidate.epoch === epoch);
  if (found === undefined) return `epoch ${epoch} is not in the validator file (known: ${known(set)})`;
  if (height < found.fromHeight) return `epoch ${epoch} begins at height ${found.fromHeight}, not ${height}`;
  const later = set.epochs.find((candidate) => candidate.epoch > epoch && candidate.fromHeight <= height);
  if (later === undefined) return found;
  return `height ${height} of epoch ${epoch} is void: epoch ${later.epoch} begins at height ${later.fromHeight}`;
}

/** The epoch in which the block at this height is, or will be: the latest that begins at or below it. */
export function epochAt(set: ValidatorSet, height: number): Epoch {
  return set.epochs.findLast(({ fromHeight }) => fromHeight <= height) ?? set.epochs[0]!;
}

/** The set after a loss was accepted: the same validators begin `epoch` above the last trusted height. */
export function withEpoch(set: ValidatorSet, epoch: number, handover: Handover): ValidatorSet {
  const reason = handover.reason.replace(/[^\x20-\x7e]/g, '?').slice(0, REASON_CHARACTERS_MAX);
  const begun: Epoch = {
    epoch,
    set: set.validators,
    fromHeight: handover.lastTrustedHeight + 1,
    handover: { reason, lastTrustedHeight: handover.lastTrustedHeight },
  };
  return { ...set, epoch, epochs: [...set.epochs, begun] };
}

function known(set: ValidatorSet): string {
  return set.epochs.map((epoch) => epoch.epoch).join(', ');
}

export function validatorsJson(validators: readonly Validator[]): JsonObject[] {
  return validators.map(({ nodeId, publicKey }) => ({ node_id: nodeId, public_key: publicKey.toString('hex') }));
}

/** The answer of GET /v1/validators, which is the file that `verify --validators` takes. */
export function validatorSetJson(set: ValidatorSet): JsonObject {
  return {
    chain_id: set.chainId,
    epoch: set.epoch,
    quorum: set.quorum,
    validators: validatorsJson(set.validators),
    epochs: set.epochs.map(({ epoch, set: validators, fromHeight, handover }) => ({
      epoch,
      set: validatorsJson(validators),
      from_height: fromHeight,
      handover: handover === null ? null : { reason: handover.reason, last_trusted_height: handover.lastTrustedHeight },
    })),
  };
}

/** Throws ShapeError with everything wrong. Without `epochs`, the one set is taken to hold from the first block on. */
export function parseValidatorSet(value: JsonValue): ValidatorSet {
  const mistakes = new Mistakes();
  const fields = new Fields(value, '', SET_MEMBERS, mistakes);
  const chainId = fields.hex('chain_id');
  const epoch = fields.count('epoch');
  const validators = readValidators(fields, 'validators');
  const expected = quorum(validators.length);
  const stated = fields.count('quorum', 1);
  if (validators.length > 0 && stated !== expected) {
    fields.wrong('quorum', `${expected}, the quorum of ${validators.length} validators`);
  }
  const epochs = fields.has('epochs')
    ? readEpochs(fields, epoch, validators)
    : [{ epoch, set: validators, fromHeight: 1, handover: null }];
  mistakes.done();
  return { chainId, epoch, quorum: expected, validators, epochs };
}

/** A list of validators by itself. Throws ShapeError with everything wrong. */
export function parseValidatorList(value: JsonValue): Validator[] {
  const mistakes = new Mistakes();
  const validators = readValidators(new Fields({ validators: value }, '', ['validators'], mistakes), 'validators');
  mistakes.done();
  return validators;
}

/** A list of validators under `name`: 1 to 128, every node id and every key once, every key a proper Ed25519 point. */
export function readValidators(fields: Fields, name: string, screened?: ReadonlySet<string>): Validator[] {
  const nodeIds = new Set<string>();
  const publicKeys = new Set<string>();
  const read = (item: Fields): Validator => {
    const nodeId = item.identifier('node_id');
    if (nodeIds.has(nodeId)) item.wrong('node_id', 'every node id once');
    nodeIds.add(nodeId);
    return { nodeId, publicKey: readPublicKey(item, publicKeys, screened) };
  };
  return fields.objects(name, VALIDATOR_MEMBERS, read, 1, MAX_VALIDATORS);
}

/**
 * `public_key`, 64 hex; `seen` collects the keys of one document, in which every key may stand once. Keys in `screened` passed the
 * curve check before; it costs about a millisecond a key.
 */
export function readPublicKey(fields: Fields, seen: Set<string>, screened?: ReadonlySet<string>): Buffer {
  const publicKey = fields.hexBytes('public_key');
  const text = fields.value('public_key');
  if (typeof text !== 'string' || publicKey.toString('hex') !== text) return publicKey;
  const fault = screened?.has(text) ? null : checkPublicKey(publicKey);
  if (fault !== null) fields.wrong('public_key', 'an Ed25519 public key', `a key that is unusable: ${fault}`);
  if (seen.has(text)) fields.wrong('public_key', 'every key once');
  seen.add(text);
  return publicKey;
}

function readEpochs(fields: Fields, current: number, validators: readonly Validator[]): Epoch[] {
  let previous = -1;
  // Epochs mostly repeat the same keys; a wrong one was reported where it stood first.
  const screened = new Set(validators.map(({ publicKey }) => publicKey.toString('hex')));
  const read = (item: Fields): Epoch => {
    const epoch = item.count('epoch');
    if (epoch <= previous) item.wrong('epoch', `ascending epochs, so more than ${previous}`);
    previous = epoch;
    const set = readValidators(item, 'set', screened);
    for (const { publicKey } of set) screened.add(publicKey.toString('hex'));
    return {
      epoch,
      set,
      fromHeight: item.count('from_height', 1),
      handover: readHandover(item),
    };
  };
  const epochs = fields.objects('epochs', EPOCH_MEMBERS, read, 1);
  const last = epochs.at(-1);
  if (last !== undefined && (last.epoch !== current || validatorsHash(last.set) !== validatorsHash(validators))) {
    fields.wrong('epochs', `the current epoch ${current} and its validators at the end`, `epoch ${last.epoch} there`);
  }
  return epochs;
}

function readHandover(item: Fields): Handover | null {
  if (item.value('handover') === null) return null;
  const handover = item.fields('handover', HANDOVER_MEMBERS);
  return {
    reason: handover.text('reason', REASON, '1 to 200 printable ASCII characters'),
    lastTrustedHeight: handover.count('last_trusted_height'),
  };
}
