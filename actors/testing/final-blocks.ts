// Final blocks of a small chain, in the forms in which consensus sends them to ingress, store and dedup.
// Called by tests and fixtures of actors only. It must spell the messages as consensus does; contracts.test.ts and the
// tests of consensus' own finality would tell a difference.
import { indexKey } from '../../protocol/ledger/apply.js';
import type { StoredBlock } from '../../protocol/ledger/block.js';
import { encodeBlock } from '../../protocol/ledger/block-codec.js';
import { certify, type MadeBlock, store, type Testkit } from '../../protocol/ledger/testkit.js';
import { registryText } from '../../protocol/registry.js';
import type { FinalizedBlock, RefusedBatch } from '../ingress/contract.js';
import type { FinalizedForStore } from '../store/contract.js';

export interface FinalMessages {
  readonly stored: StoredBlock;
  readonly store: FinalizedForStore;
  readonly ingress: FinalizedBlock;
}

/** `made` certified by itself, as every block of a lone validator is. */
export function finalMessagesOf(kit: Testkit, made: MadeBlock): FinalMessages {
  const { header, result } = made;
  const entries = result.accepted.map(({ entry }) => entry);
  const keys = entries.map(({ issuer, prepared }) => indexKey(issuer, prepared.id));
  const digests = column(entries.map(({ prepared }) => prepared.digest));
  const bodies = column(entries.map(({ prepared }) => prepared.body));
  const contents = column(entries.map(({ prepared }) => (prepared.alg === null ? prepared.body : prepared.digest)));
  const registry = result.registry === null ? null : registryText(result.registry);
  const stored = store(kit, made);
  return {
    stored,
    store: {
      height: header.height,
      block: encodeBlock(stored),
      keys,
      digests,
      contents,
      head: JSON.stringify(made.changes.tip),
      registry,
      rounds: null,
    },
    ingress: {
      height: header.height,
      digests,
      bodies,
      outcomes: result.accepted.map(({ outcome }) => outcome),
      lsns: entries.map((_, index) => index + 1),
      tree: result.tree.nodes,
      certified: { header, chain: [], certificate: certify(kit, made) },
      registry,
    },
  };
}

/** What apply() refused of a block, as ingress is told. */
export function refusedOf({ result }: MadeBlock): RefusedBatch {
  const { refused } = result;
  return {
    digests: column(refused.map(({ entry }) => entry.prepared.digest)),
    bodies: column(refused.map(({ entry }) => entry.prepared.body)),
    statuses: refused.map(({ refusal }) => refusal.status),
    codes: refused.map(({ refusal }) => refusal.code),
    details: refused.map(({ refusal }) => refusal.detail),
    heights: refused.map(({ refusal }) => refusal.position?.height ?? 0),
    indexes: refused.map(({ refusal }) => refusal.position?.index ?? 0),
  };
}

/** 32-byte hashes end to end. */
function column(hashes: readonly Buffer[]): Uint8Array {
  return new Uint8Array(Buffer.concat(hashes));
}
