// What is sent out when a block is final: to ingress (receipts for waiting clients) and to the store (to be written).
// Called by the host after the log has acknowledged the block, and by replay.
import { certificateToJson } from '../../protocol/consensus/certificate.js';
import type { Context } from '../../protocol/consensus/context.js';
import type { Effect } from '../../protocol/consensus/effect.js';
import type { CertificateJson } from '../../protocol/consensus/vote.js';
import { indexKey } from '../../protocol/ledger/apply.js';
import { storedBlock } from '../../protocol/ledger/block.js';
import { encodeBlock } from '../../protocol/ledger/block-codec.js';
import type { Header } from '../../protocol/ledger/header.js';
import { registryText } from '../../protocol/registry.js';
import { roundsChange } from '../../protocol/rounds/text.js';
import type { Prepared } from '../../protocol/submission.js';
import { column } from '../../runtime/kernel/batch.js';
import type { FinalizedBlock, NotarizedBlock } from '../ingress/contract.js';
import type { FinalizedForStore } from '../store/contract.js';
import type { Blocks, ExecutedBlock } from './blocks.js';
import type { Pooled } from './mempool.js';

export type CommitEffect = Extract<Effect, { readonly type: 'commit' }>;

export interface Finalized {
  readonly block: ExecutedBlock;
  /** For the block itself or for a descendant. */
  readonly certificate: CertificateJson;
  /** From its child up to the certified one; empty when the certificate is for the block itself. */
  readonly chain: readonly Header[];
  /** Executed blocks that this one has overtaken. */
  readonly abandoned: readonly ExecutedBlock[];
}

/** Makes the committed blocks part of the state, oldest first, with what proves each. */
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
    yield {
      block,
      certificate: certificateToJson(context, certificate),
      chain: chain.map(({ header }) => header),
      abandoned: blocks.commit(block),
    };
  }
}

/** The nearest block from `index` on that has a Finalization of its own; the last one always has. */
function certifiedAt(certificates: readonly unknown[], index: number): number {
  const at = certificates.findIndex((certificate, place) => place >= index && certificate !== null);
  return at === -1 ? certificates.length - 1 : at;
}

/** To be sent first: clients wait for it. */
export function messageForIngress({ block, certificate, chain }: Finalized): FinalizedBlock {
  const { header, ref, pooled, result } = block;
  return {
    height: ref.height,
    digests: hashes(pooled, ({ digest }) => digest),
    bodies: hashes(pooled, ({ body }) => body),
    outcomes: column(result.accepted, ({ outcome }) => outcome),
    lsns: column(pooled, ({ lsn }) => lsn),
    tree: result.tree.nodes,
    certified: { header, chain, certificate },
    registry: registryOf(block),
  };
}

export function messageForStore({ block, certificate, chain }: Finalized): FinalizedForStore {
  const { header, ref, pooled, result, changes, rounds } = block;
  return {
    height: ref.height,
    block: encodeBlock(storedBlock(header, ref.hash, certificate, chain, result)),
    keys: column(pooled, ({ entry }) => indexKey(entry.issuer, entry.prepared.id)),
    digests: hashes(pooled, ({ digest }) => digest),
    contents: hashes(pooled, ({ alg, body, digest }) => (alg === null ? body : digest)),
    head: JSON.stringify(changes.tip),
    registry: registryOf(block),
    rounds: rounds === null ? null : roundsChange(rounds.before, rounds.after),
  };
}

function registryOf({ result }: ExecutedBlock): string | null {
  return result.registry === null ? null : registryText(result.registry);
}

/** Of a block that is notarized and not final yet, what its waiting clients are found by. */
export function notarizedMessage(pooled: readonly Pooled[]): NotarizedBlock {
  return {
    digests: hashes(pooled, ({ digest }) => digest),
    bodies: hashes(pooled, ({ body }) => body),
  };
}

/** One 32-byte hash of each, end to end, in a buffer that is theirs alone. */
function hashes(pooled: readonly Pooled[], of: (prepared: Prepared) => Buffer): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(32 * pooled.length));
  let end = 0;
  for (const { entry } of pooled) {
    bytes.set(of(entry.prepared), end);
    end += 32;
  }
  return bytes;
}
