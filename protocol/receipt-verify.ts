// Checks a receipt with the validator set alone: no node, no network, no state.
// Called by `quorate verify`, by the client library, and by a node on what it is about to hand out in tests.
// Must never call valid what it did not bind: every member of a receipt takes part in one of the checks below.
import { Buffer } from 'node:buffer';
import { canonicalize } from './canonical.js';
import { quorum } from './consensus/quorum.js';
import { FINALIZE, voteSignBytes } from './consensus/vote.js';
import type { Ed25519 } from './crypto/ed25519.js';
import { sha256Hex } from './crypto/hash.js';
import type { JsonValue } from './json.js';
import { ShapeError } from './kinds/kind.js';
import { entryLeaf } from './ledger/apply.js';
import { blockHash, type Header, headerText } from './ledger/header.js';
import { rootFromPath } from './merkle.js';
import { parseReceipt, type Receipt } from './receipt.js';
import { type Prepared, prepareEnvelope, prepareObservation, preparePcs, signatureInput } from './submission.js';
import { type Epoch, epochOf, parseValidatorSet, type ValidatorSet, validatorsHash } from './validators.js';

export interface Check {
  readonly name:
    | 'shape'
    | 'chain'
    | 'position'
    | 'inclusion'
    | 'ancestry'
    | 'epoch'
    | 'certificate'
    | 'signatures'
    | 'body'
    | 'digest'
    | 'client signature';
  readonly ok: boolean;
  /** One sentence: what was compared, and for a failure what was found. */
  readonly detail: string;
}

export interface ReceiptVerdict {
  readonly valid: boolean;
  readonly checks: readonly Check[];
}

/** The submission that a receipt is said to be for. */
export interface Submitted {
  /** The body exactly as it was sent. */
  readonly bytes: Uint8Array;
  /** The client's Ed25519 key; without it the client's signature is left to the validators, who checked it. */
  readonly publicKey?: Uint8Array;
}

/**
 * Whether `receipt` proves finality under `validators` (a GET /v1/validators answer). Every check is made and listed, also after one
 * failed. A receipt of another shape is not valid; a validator file of another shape throws ShapeError, as nothing can be said then.
 */
export function verifyReceipt(
  receipt: JsonValue,
  validators: JsonValue,
  ed25519: Ed25519,
  submitted?: Submitted,
): ReceiptVerdict {
  return verifyWith(receipt, parseValidatorSet(validators), ed25519, submitted);
}

/** As verifyReceipt, with a validator set that was read before: reading one costs a millisecond a key, for many receipts too much. */
export function verifyWith(
  receipt: JsonValue,
  set: ValidatorSet,
  ed25519: Ed25519,
  submitted?: Submitted,
): ReceiptVerdict {
  let parsed: Receipt;
  try {
    parsed = parseReceipt(receipt);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    return { valid: false, checks: [check('shape', false, error.message)] };
  }
  const checks = [
    check('shape', true, 'a receipt of version 1'),
    checkChain(parsed, set),
    checkPosition(parsed),
    checkInclusion(parsed),
    ...certifiedChecks(parsed, set, ed25519),
    ...(submitted === undefined ? [] : checkSubmitted(parsed, submitted, ed25519)),
  ];
  return { valid: checks.every(({ ok }) => ok), checks };
}

/** What a receipt shares with all others of its block; also how a stored block is checked against the validators. */
export type Certified = Pick<Receipt, 'block' | 'chain' | 'certificate'>;

/** Whether a quorum of the epoch's validators has finalized the block, itself or by a descendant. */
export function certifiedChecks(certified: Certified, set: ValidatorSet, ed25519: Ed25519): Check[] {
  const newest = certified.chain.at(-1) ?? certified.block;
  const epoch = epochOf(set, certified.block.epoch, certified.block.height);
  return [
    checkAncestry(certified),
    checkEpoch(certified, epoch),
    checkCertificate(certified, newest, epoch),
    checkSignatures(certified, newest, epoch, ed25519),
  ];
}

function check(name: Check['name'], ok: boolean, detail: string): Check {
  return { name, ok, detail };
}

function checkChain(receipt: Receipt, set: ValidatorSet): Check {
  const names = [receipt.chain_id, receipt.block.chain_id, ...receipt.chain.map((header) => header.chain_id)];
  const other = names.find((name) => name !== set.chainId);
  if (other === undefined) return check('chain', true, `all of chain ${set.chainId}`);
  return check('chain', false, `chain ${other} in the receipt, ${set.chainId} in the validator file`);
}

function checkPosition({ height, index, inclusion, block }: Receipt): Check {
  if (height !== block.height) return check('position', false, `height ${height}, but the block has ${block.height}`);
  // The tree size is not bound by the path: only the signed count makes it so.
  if (inclusion.tree_size !== block.entry_count) {
    return check('position', false, `tree of ${inclusion.tree_size}, but the block has ${block.entry_count} entries`);
  }
  if (index >= inclusion.tree_size) {
    return check('position', false, `index ${index} outside a block of ${block.entry_count} entries`);
  }
  return check('position', true, `entry ${index} of ${block.entry_count} at height ${height}`);
}

function checkInclusion({ digest, body, outcome, index, inclusion, block }: Receipt): Check {
  const leaf = entryLeaf(digest, body, canonicalize(outcome));
  const path = inclusion.path.map((hash) => Buffer.from(hash, 'hex'));
  const root = rootFromPath(leaf, index, inclusion.tree_size, path);
  if (root === null) {
    return check(
      'inclusion',
      false,
      `a path of ${path.length} hashes fits no entry ${index} of ${inclusion.tree_size}`,
    );
  }
  const found = root.toString('hex');
  if (found === block.entries_root)
    return check('inclusion', true, 'digest, body and outcome lead to the entries root');
  return check(
    'inclusion',
    false,
    `digest, body and outcome lead to root ${found}, the block has ${block.entries_root}`,
  );
}

function checkAncestry({ block, chain }: Certified): Check {
  let parent = block;
  for (const header of chain) {
    const hash = blockHash(headerText(parent)).toString('hex');
    if (header.parent_hash !== hash || header.height !== parent.height + 1 || header.parent_view !== parent.view) {
      return check(
        'ancestry',
        false,
        `block ${header.height} of view ${header.view} does not follow block ${parent.height}`,
      );
    }
    parent = header;
  }
  if (chain.length === 0) return check('ancestry', true, 'the certificate is for the block itself');
  return check('ancestry', true, `the certificate is for block ${parent.height}, which descends from it`);
}

function checkEpoch({ block, chain }: Certified, epoch: Epoch | string): Check {
  if (typeof epoch === 'string') return check('epoch', false, epoch);
  const expected = validatorsHash(epoch.set);
  for (const header of [block, ...chain]) {
    if (header.epoch !== epoch.epoch)
      return check('epoch', false, `block ${header.height} is of epoch ${header.epoch}`);
    if (header.validators_hash !== expected) {
      return check(
        'epoch',
        false,
        `block ${header.height} names other validators than the file does for epoch ${epoch.epoch}`,
      );
    }
  }
  return check('epoch', true, `validators of epoch ${epoch.epoch} as in the file`);
}

function checkCertificate({ certificate }: Certified, certified: Header, epoch: Epoch | string): Check {
  const { signers, view } = certificate;
  if (certificate.epoch !== certified.epoch || view !== certified.view) {
    const place = `epoch ${certified.epoch}, view ${certified.view}`;
    return check('certificate', false, `for epoch ${certificate.epoch}, view ${view}; the block is of ${place}`);
  }
  if (typeof epoch === 'string') return check('certificate', false, 'not checked: the validators are not known');
  const order = signers.map((signer) => epoch.set.findIndex((validator) => validator.nodeId === signer));
  const stranger = order.indexOf(-1);
  if (stranger !== -1)
    return check('certificate', false, `${signers[stranger]} is no validator of epoch ${epoch.epoch}`);
  if (order.some((place, i) => i > 0 && place <= (order[i - 1] as number))) {
    return check('certificate', false, 'signers are not in validator order, each once');
  }
  const needed = quorum(epoch.set.length);
  const counted = `${signers.length} signers of ${epoch.set.length} validators, ${needed} needed`;
  return check('certificate', signers.length >= needed, counted);
}

function checkSignatures(
  { certificate }: Certified,
  certified: Header,
  epoch: Epoch | string,
  ed25519: Ed25519,
): Check {
  if (typeof epoch === 'string') return check('signatures', false, 'not checked: the validators are not known');
  const hash = blockHash(headerText(certified));
  const chainId = Buffer.from(certified.chain_id, 'hex');
  const signed = voteSignBytes(chainId, certificate.epoch, FINALIZE, certificate.view, hash);
  const bad = certificate.signers.filter((signer, i) => {
    const publicKey = epoch.set.find((validator) => validator.nodeId === signer)?.publicKey;
    const signature = Buffer.from(certificate.signatures[i] as string, 'base64');
    return publicKey === undefined || !ed25519.verify(signature, signed, publicKey);
  });
  if (bad.length > 0) return check('signatures', false, `no valid signature by ${bad.join(', ')} over this block`);
  return check('signatures', true, `${certificate.signers.length} valid over block ${hash.toString('hex')}`);
}

function checkSubmitted(receipt: Receipt, submitted: Submitted, ed25519: Ed25519): Check[] {
  const { bytes, publicKey } = submitted;
  const body = sha256Hex(bytes);
  const checks = [
    body === receipt.body
      ? check('body', true, 'the submission is byte for byte the one stored')
      : check('body', false, `SHA-256 of the submission is ${body}, the receipt is for ${receipt.body}`),
  ];
  let prepared: Prepared;
  try {
    prepared = prepareAny(bytes);
  } catch (error) {
    return [...checks, check('digest', false, error instanceof Error ? error.message : String(error))];
  }
  const digest = prepared.digest.toString('hex');
  checks.push(
    digest === receipt.digest
      ? check('digest', true, 'its signed bytes have the digest of the receipt')
      : check('digest', false, `its signed bytes have digest ${digest}, the receipt is for ${receipt.digest}`),
  );
  if (publicKey !== undefined) {
    const holds = ed25519.verify(prepared.signature, signatureInput(prepared, 'ed25519'), publicKey);
    checks.push(
      check('client signature', holds, holds ? 'holds under the key given' : 'does not hold under the key given'),
    );
  }
  return checks;
}

/** An envelope, a bare PCS body or an observation: the shapes exclude each other. The error is the envelope's, which is the usual case. */
function prepareAny(bytes: Uint8Array): Prepared {
  let first: unknown = null;
  for (const prepare of [prepareEnvelope, preparePcs, prepareObservation]) {
    try {
      return prepare(bytes);
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}
