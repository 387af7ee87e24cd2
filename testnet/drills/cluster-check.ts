// The ledgers of several nodes after a drill, held against each other and against what clients were told. Called by
// cluster-drills.ts and tests on directories that no node has open. It must only read.
import { join } from 'node:path';
import { LedgerReader } from '../../actors/ledger/reader.js';
import { canonicalize } from '../../protocol/canonical.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import type { JsonObject } from '../../protocol/json.js';
import { indexKey } from '../../protocol/ledger/apply.js';
import { BlockReceipts, blockFault, type StoredBlock } from '../../protocol/ledger/block.js';
import { headerText } from '../../protocol/ledger/header.js';
import { verifyWith } from '../../protocol/receipt-verify.js';
import type { ValidatorSet } from '../../protocol/validators.js';

export interface ClusterFindings {
  readonly blocks: number;
  readonly entries: number;
  /** Receipts whose signatures were checked. */
  readonly verified: number;
  /** Sentences; empty when every promise was kept. */
  readonly faults: readonly string[];
}

const FAULTS_MAX = 20;
const VERIFIED_MAX = 500;

/** `receipts` by id, as clients got them, whichever node gave them. */
export async function checkClusterLedgers(
  dataDirs: readonly string[],
  receipts: ReadonlyMap<string, string>,
  validators: ValidatorSet,
): Promise<ClusterFindings> {
  const faults: string[] = [];
  const fault = (text: string): void => {
    if (faults.length < FAULTS_MAX) faults.push(text);
  };
  const readers = dataDirs.map((directory) => LedgerReader.open(join(directory, 'ledger')));
  const [first, ...others] = readers as [LedgerReader, ...LedgerReader[]];
  const seen = new Set<string>();
  const names = new Set<string>();
  let height = 1;
  for (let block = first.block(height); block !== undefined; block = first.block(++height)) {
    const unsound = blockFault(block);
    if (unsound !== null) fault(`block ${height}: ${unsound}`);
    const hash = contentHash(block);
    for (const [index, other] of others.entries()) {
      const found = other.block(height);
      if (found === undefined) fault(`node ${index + 2} has no block ${height}, node 1 has`);
      else if (contentHash(found) !== hash) fault(`block ${height} of node ${index + 2} is not the one of node 1`);
    }
    const texts = new BlockReceipts(block);
    for (const [index, { issuer, id }] of block.entries.entries()) {
      const name = indexKey(issuer, id);
      if (names.has(name)) fault(`${id} of ${issuer} is in the ledger more than once, again in block ${height}`);
      names.add(name);
      seen.add(id);
      const promised = receipts.get(id);
      if (promised !== undefined && withoutCertificate(promised) !== withoutCertificate(texts.text(index))) {
        fault(`${id}: the ledger gives another receipt`);
      }
    }
  }
  for (const [index, other] of others.entries()) {
    if (other.block(height) !== undefined) fault(`node ${index + 2} has block ${height}, node 1 has not`);
  }
  for (const id of receipts.keys()) if (!seen.has(id)) fault(`${id} was acknowledged and is not in the ledger`);
  const verified = await verifySome(receipts, validators, fault);
  await Promise.all(readers.map((reader) => reader.close()));
  return { blocks: height - 1, entries: seen.size, verified, faults };
}

/** Everything of a block but what nodes may have differently: why it is final. */
function contentHash({ header, hash, entries }: StoredBlock): string {
  const lines = entries.map(({ digest, body, outcome, raw }) => `${digest} ${body} ${outcome} ${sha256Hex(raw)}`);
  return sha256Hex([hash, headerText(header), ...lines].join('\n'));
}

function withoutCertificate(receipt: string): string {
  const { certificate: _, chain: __, ...rest } = JSON.parse(receipt) as JsonObject;
  return canonicalize(rest);
}

async function verifySome(
  receipts: ReadonlyMap<string, string>,
  validators: ValidatorSet,
  fault: (text: string) => void,
): Promise<number> {
  const ed25519 = await loadEd25519();
  const every = Math.ceil(Math.max(1, receipts.size) / VERIFIED_MAX);
  let count = 0;
  for (const [index, [id, text]] of [...receipts].entries()) {
    if (index % every !== 0) continue;
    count += 1;
    const { valid, checks } = verifyWith(JSON.parse(text) as JsonObject, validators, ed25519);
    if (!valid) fault(`receipt of ${id}: ${checks.find(({ ok }) => !ok)?.detail}`);
  }
  return count;
}
