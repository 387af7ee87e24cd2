// Judges the blocks of other leaders: every signature in them that this node has not verified yet, then execution by the
// ledger's one function (R3). Driven by the host. It must never look at a clock or at anything else that nodes do not share:
// every honest node comes to the same verdict.
import { attestationBytes } from '../../protocol/attestation.js';
import { type Context, leaderOf } from '../../protocol/consensus/context.js';
import { sha256 } from '../../protocol/crypto/hash.js';
import { type Header, headerFault, type Tip } from '../../protocol/ledger/header.js';
import { type BlockBody, type BodyEntry, entryOf, prepareEntry } from '../../protocol/peer/block-body.js';
import { CHECK_ED25519, type SignatureCheck } from '../verify/checks.js';
import { contentOf } from './block-record.js';
import { type Blocks, type ExecutedBlock, type HeldBlock, refOf } from './blocks.js';
import type { Mempool, Pooled } from './mempool.js';

/** One verdict byte a check, 1 valid. */
export interface SignatureVerifier {
  verify(checks: readonly SignatureCheck[]): Promise<Uint8Array>;
}

export interface ValidationParts {
  readonly context: Context;
  readonly blocks: Blocks;
  readonly mempool: Mempool;
  readonly verifier: SignatureVerifier;
  /** So many signatures were checked; the rest of the block was known. */
  checked(signatures: number): void;
}

/** Why a block is not valid, by its header alone. */
export class InvalidBlock extends Error {
  override readonly name = 'InvalidBlock';
}

/**
 * These bodies do not lead to this header. It may be the block that is wrong, or the bodies: the hash covers the header, so
 * whoever sent them could have sent others. Everything else that is thrown is a fault of this program.
 */
export class UnfitBody extends Error {
  override readonly name = 'UnfitBody';
}

/** Checks in one task of the verify thread: it answers other blocks between two of them. */
const CHECKS_PER_TASK = 128;

export class Validation {
  readonly #parts: ValidationParts;

  constructor(parts: ValidationParts) {
    this.#parts = parts;
  }

  /** Resolves with the executed block; throws InvalidBlock or UnfitBody. Other failures say nothing about it. */
  async judge(hash: string): Promise<ExecutedBlock> {
    const { context, blocks } = this.#parts;
    const known = blocks.get(hash);
    if (known !== undefined) return known;
    const held = blocks.held(hash);
    if (held === undefined) throw new Error(`block ${hash} is to be judged and is not held`);
    const leader = context.validators[leaderOf(context, held.header.view)]!.nodeId;
    if (held.header.proposer !== leader) {
      throw new InvalidBlock(
        `its proposer is ${held.header.proposer}, the leader of view ${held.header.view} is ${leader}`,
      );
    }
    const before = blocks.viewOf(held.header.parent_hash);
    if (before !== undefined) checkHeader(before.tip, held.header);
    const pooled = unfitWhen(() => held.pooled());
    if (!held.verified) await this.#verify(held.unverified());
    // Executed meanwhile, by a commit.
    const executed = blocks.get(hash);
    if (executed !== undefined) return executed;
    const parent = blocks.viewOf(held.header.parent_hash);
    if (parent === undefined) throw new InvalidBlock('its parent was overtaken');
    return unfitWhen(() => blocks.judge(parent, held.header, pooled));
  }

  async #verify(list: readonly Pooled[]): Promise<void> {
    const checks = list.flatMap((pooled) => this.#checkOf(pooled));
    this.#parts.checked(checks.length);
    for (let at = 0; at < checks.length; at += CHECKS_PER_TASK) {
      const part = checks.slice(at, at + CHECKS_PER_TASK);
      const verdicts = await this.#parts.verifier.verify(part);
      const wrong = verdicts.findIndex((verdict) => verdict !== 1);
      if (wrong !== -1) throw new UnfitBody(`a signature in it is wrong, of ${at + wrong + 1} checked`);
    }
  }

  /** What apply() relies on: the client's signature, or the word of the home node where only that one can check it. */
  #checkOf({ entry }: Pooled): SignatureCheck[] {
    const { prepared, key, attestation } = entry;
    const { context } = this.#parts;
    if (attestation !== null) {
      const home = context.validators.find(({ nodeId }) => nodeId === attestation.nodeId);
      if (home === undefined) throw new UnfitBody(`an attestation of ${attestation.nodeId}, which is no validator`);
      const chainId = Buffer.from(context.chainId).toString('hex');
      const message = attestationBytes(chainId, prepared.body, attestation);
      return [{ operation: CHECK_ED25519, key: home.publicKey, signature: attestation.signature, message }];
    }
    // Without one, apply() refuses whatever needs an attestation.
    if (key.publicKey === null || prepared.alg !== 'ed25519') return [];
    const { signature, signedBytes: message } = prepared;
    return [{ operation: CHECK_ED25519, key: key.publicKey, signature, message }];
  }
}

/** What a header says of its place in the chain, whatever its entries are. */
function checkHeader(tip: Tip, header: Header): void {
  const { entries_root: entriesRoot, entry_count: entryCount, state_digest: stateDigest } = header;
  const fault = headerFault(tip, header, { entriesRoot, entryCount, stateDigest });
  if (fault !== null) throw new InvalidBlock(fault);
}

function unfitWhen<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new UnfitBody(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/**
 * A peer's block, to be judged or made final. Its bodies are parsed when they are first asked for; what the mempool knows
 * byte for byte is taken from there, verified.
 */
export function heldBlock(body: BlockBody, mempool: Mempool): HeldBlock {
  let parsed: { readonly pooled: readonly Pooled[]; readonly unverified: readonly Pooled[] } | null = null;
  const parse = () => {
    if (parsed !== null) return parsed;
    const pooled: Pooled[] = [];
    const unverified: Pooled[] = [];
    for (const entry of body.entries) {
      const known = mempool.byBody(sha256(entry.raw).toString('latin1'));
      if (known !== undefined && isSame(known, entry)) {
        pooled.push(known);
        continue;
      }
      const made = pooledOf(entry);
      pooled.push(made);
      unverified.push(made);
    }
    parsed = { pooled, unverified };
    return parsed;
  };
  const { header, headerText, hash } = body;
  return {
    ref: refOf(header, hash),
    header,
    headerText,
    verified: false,
    pooled: () => parse().pooled,
    unverified: () => parse().unverified,
  };
}

/** The same body under the same key and attestation: then what was verified is what stands in the block. */
function isSame({ entry }: Pooled, { issuer, key, attestation }: BodyEntry): boolean {
  if (entry.issuer !== issuer || entry.key.keyId !== key.keyId) return false;
  if ((entry.key.publicKey === null) !== (key.publicKey === null)) return false;
  if (entry.key.publicKey !== null && Buffer.compare(entry.key.publicKey, key.publicKey!) !== 0) return false;
  if (entry.attestation === null || attestation === null) return entry.attestation === attestation;
  const { nodeId, timeMs, signature } = entry.attestation;
  return nodeId === attestation.nodeId && timeMs === attestation.timeMs && signature.equals(attestation.signature);
}

function pooledOf(body: BodyEntry): Pooled {
  // A copy: the bytes are a view of a frame that holds the whole block.
  const raw = Buffer.from(body.raw);
  const prepared = prepareEntry({ route: body.route, raw });
  const entry = entryOf({ ...body, raw }, prepared);
  return { entry, lsn: 0, route: body.route, content: contentOf(prepared), origin: '' };
}
