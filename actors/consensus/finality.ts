// What is sent out when a block is final: to the store (to be written), to ingress (receipts for waiting
// clients). Called by the host after the log has acknowledged the block, and by replay. Everything is encoded here, once.
import type { Certificate } from '../../protocol/consensus/certificate.js';
import { certificateToJson } from '../../protocol/consensus/certificate.js';
import type { Context } from '../../protocol/consensus/context.js';
import type { Effect } from '../../protocol/consensus/effect.js';
import { indexKey } from '../../protocol/ledger/apply.js';
import { storedBlock } from '../../protocol/ledger/block.js';
import { encodeBlock } from '../../protocol/ledger/block-codec.js';
import { registryText } from '../../protocol/registry.js';
import { roundsChange } from '../../protocol/rounds/text.js';
import type { FinalizedBlock, NotarizedBlock } from '../ingress/contract.js';
import type { FinalizedForStore } from '../store/contract.js';
import type { Blocks, ExecutedBlock } from './blocks.js';
import type { Pooled } from './mempool.js';

export type CommitEffect = Extract<Effect, { readonly type: 'commit' }>;

export interface Finalized {
  readonly block: ExecutedBlock;
  readonly messages: FinalMessages;
  /** Executed blocks that this one has overtaken. */
  readonly abandoned: readonly ExecutedBlock[];
}

/** Makes the committed blocks part of the state, oldest first, with what has to be sent out for each. */
export function* finalize(
  blocks: Blocks,
  context: Context,
  { blocks: refs, finalization, certificates }: CommitEffect,
): Generator<Finalized> {
  const executed = refs.map(({ hash }) => blocks.settled(hash));
  for (const [index, block] of executed.entries()) {
    const own = certificates[index];
    const chain = own ? [] : executed.slice(index + 1, certifiedAt(certificates, index) + 1);
    const certificate = own ?? certificates[certifiedAt(certificates, index)] ?? finalization;
    const messages = finalMessages(context, block, certificate, chain);
    yield { block, messages, abandoned: blocks.commit(block) };
  }
}

/** The nearest block from `index` on that has a Finalization of its own; the last one always has. */
function certifiedAt(certificates: readonly unknown[], index: number): number {
  const at = certificates.findIndex((certificate, place) => place >= index && certificate !== null);
  return at === -1 ? certificates.length - 1 : at;
}

export interface FinalMessages {
  readonly store: FinalizedForStore;
  readonly ingress: FinalizedBlock;
}

/**
 * `certificate` finalizes the block itself or a descendant; then `chain` holds the blocks from its child up to the
 * certified one.
 */
export function finalMessages(
  context: Context,
  block: ExecutedBlock,
  certificate: Certificate,
  chain: readonly ExecutedBlock[],
): FinalMessages {
  const { ref, pooled, result } = block;
  const keys = pooled.map(({ entry }) => indexKey(entry.issuer, entry.prepared.id));
  const digests = columns(pooled.map(({ entry }) => entry.prepared.digest));
  const bodies = columns(pooled.map(({ entry }) => entry.prepared.body));
  const contents = columns(
    pooled.map(({ entry }) => (entry.prepared.alg === null ? entry.prepared.body : entry.prepared.digest)),
  );
  const certificateJson = certificateToJson(context, certificate);
  const headers = chain.map(({ header }) => header);
  const stored = storedBlock(block.header, ref.hash, certificateJson, headers, result);
  const registry = result.registry === null ? null : registryText(result.registry);
  return {
    store: {
      height: ref.height,
      block: encodeBlock(stored),
      keys,
      digests,
      contents,
      head: JSON.stringify(block.changes.tip),
      registry,
      rounds: block.rounds === null ? null : roundsChange(block.rounds.before, block.rounds.after),
    },
    ingress: {
      height: ref.height,
      digests,
      bodies,
      outcomes: result.accepted.map(({ outcome }) => outcome),
      lsns: pooled.map(({ lsn }) => lsn),
      tree: result.tree.nodes,
      certified: { header: block.header, chain: headers, certificate: certificateJson },
      registry,
    },
  };
}

/** Of a block that is notarized and not final yet, what its waiting clients are found by. */
export function notarizedMessage(pooled: readonly Pooled[]): NotarizedBlock {
  return {
    digests: columns(pooled.map(({ entry }) => entry.prepared.digest)),
    bodies: columns(pooled.map(({ entry }) => entry.prepared.body)),
  };
}

/** 32-byte hashes end to end, in a buffer that is theirs alone. */
function columns(hashes: readonly Buffer[]): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(32 * hashes.length));
  for (const [index, hash] of hashes.entries()) bytes.set(hash, 32 * index);
  return bytes;
}
