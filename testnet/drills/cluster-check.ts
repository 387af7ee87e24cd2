// The ledgers of several nodes after a drill, held against each other and against what clients were told. Called by
// cluster-drills.ts and tests on directories that no node has open. It must only read.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { auditLedger } from '../../actors/ledger/audit.js';
import { LedgerReader } from '../../actors/ledger/reader.js';
import { canonicalize } from '../../protocol/canonical.js';
import { type Ed25519, loadEd25519 } from '../../protocol/crypto/ed25519.js';
import type { JsonObject } from '../../protocol/json.js';
import { BlockReceipts, type StoredBlock } from '../../protocol/ledger/block.js';
import { certificateText } from '../../protocol/receipt.js';
import { certifiedChecks, verifyWith } from '../../protocol/receipt-verify.js';
import type { ValidatorSet } from '../../protocol/validators.js';
import { readGenesis } from './ledger-check.js';
import { DETERMINED, type Determined, type LedgerRow, LedgerRows } from './ledger-rows.js';

export interface ClusterFindings {
  readonly blocks: number;
  readonly entries: number;
  /** What is the same on all nodes, byte for byte; a hash over all rows of node 1. */
  readonly compared: readonly ComparedTable[];
  /** Certificates whose signatures were checked: those of every block on every node. */
  readonly certificates: number;
  /** Blocks for which not all nodes have the same signatures. */
  readonly certifiedApart: number;
  /** Receipts whose signatures were checked. */
  readonly verified: number;
  /** Sentences; empty when every promise was kept. */
  readonly faults: readonly string[];
}

export interface ComparedTable {
  readonly table: Determined;
  readonly rows: number;
  readonly sha256: string;
}

const FAULTS_MAX = 20;
const VERIFIED_MAX = 500;

interface Checking {
  readonly dataDirs: readonly string[];
  readonly receipts: ReadonlyMap<string, string>;
  readonly validators: ValidatorSet;
  readonly ed25519: Ed25519;
  readonly fault: (text: string) => void;
}

/**
 * Executes the ledger of node 1 again from its genesis, holds every row of the others against it, and checks every certificate of every
 * node. `receipts` by id, as clients got them, whichever node gave them.
 */
export async function checkClusterLedgers(
  dataDirs: readonly string[],
  receipts: ReadonlyMap<string, string>,
  validators: ValidatorSet,
): Promise<ClusterFindings> {
  const faults: string[] = [];
  const fault = (text: string): void => {
    if (faults.length < FAULTS_MAX) faults.push(text);
  };
  const checking: Checking = { dataDirs, receipts, validators, ed25519: await loadEd25519(), fault };
  const first = await checkContent(checking);
  const compared = await compareRows(checking);
  const certified = await checkCertificates(checking);
  return { ...first, compared, ...certified, verified: verifySome(checking), faults };
}

/** Node 1 by itself: whole, and with every receipt that was given. */
async function checkContent({ dataDirs, receipts, validators, ed25519, fault }: Checking) {
  const seen = new Set<string>();
  const onBlock = (block: StoredBlock): void => {
    const texts = new BlockReceipts(block);
    for (const [index, { id }] of block.entries.entries()) {
      seen.add(id);
      const promised = receipts.get(id);
      if (promised !== undefined && withoutCertificate(promised) !== withoutCertificate(texts.text(index))) {
        fault(`${id}: the ledger gives another receipt`);
      }
    }
  };
  const ledger = LedgerReader.open(join(dataDirs[0]!, 'ledger'));
  const audit = auditLedger({ genesis: readGenesis(dataDirs[0]!), ledger, validators, ed25519, onBlock });
  await ledger.close();
  if (audit.fault !== null) fault(`the ledger of node 1 does not hold together: ${audit.fault}`);
  for (const id of receipts.keys()) if (!seen.has(id)) fault(`${id} was acknowledged and is not in the ledger`);
  return { blocks: audit.tip.height, entries: audit.entries };
}

async function compareRows({ dataDirs, fault }: Checking): Promise<ComparedTable[]> {
  const ledgers = dataDirs.map((directory) => new LedgerRows(directory));
  const [first, ...others] = ledgers as [LedgerRows, ...LedgerRows[]];
  const compared = DETERMINED.map((table): ComparedTable => {
    const hash = createHash('sha256');
    let rows = 0;
    for (const { key, value } of first.of(table)) {
      rows += 1;
      for (const part of [key, value]) hash.update(String(part.length)).update(':').update(part);
    }
    for (const [index, other] of others.entries()) {
      const difference = firstDifference(first.of(table), other.of(table));
      if (difference !== null) fault(`table ${table} of node ${index + 2} is not that of node 1: ${difference}`);
    }
    return { table, rows, sha256: hash.digest('hex') };
  });
  await Promise.all(ledgers.map((ledger) => ledger.close()));
  return compared;
}

function firstDifference(ones: Iterator<LedgerRow>, others: Iterator<LedgerRow>): string | null {
  for (;;) {
    const one = ones.next().value as LedgerRow | undefined;
    const other = others.next().value as LedgerRow | undefined;
    if (one === undefined && other === undefined) return null;
    if (other === undefined || (one !== undefined && Buffer.compare(one.key, other.key) < 0))
      return `it has no row ${nameOf(one!)}`;
    if (one === undefined || Buffer.compare(one.key, other.key) > 0) return `it has a row ${nameOf(other)} more`;
    if (!one.value.equals(other.value)) return `row ${nameOf(one)} differs`;
  }
}

function nameOf({ key }: LedgerRow): string {
  const text = key.toString('latin1');
  return /^[\x21-\x7e]+(\0[\x21-\x7e]+)?$/.test(text) ? text.replace('\0', ' ') : key.toString('hex');
}

/** Why a block is final may differ from node to node: any quorum will do, but it has to be one. */
async function checkCertificates({ dataDirs, validators, ed25519, fault }: Checking) {
  const ledgers = dataDirs.map((directory) => LedgerReader.open(join(directory, 'ledger')));
  let certificates = 0;
  let certifiedApart = 0;
  for (let height = 1; ; height++) {
    const blocks = ledgers.map((ledger) => readable(ledger, height));
    const texts = new Set<string>();
    for (const [index, block] of blocks.entries()) {
      if (block === undefined) continue;
      certificates += 1;
      texts.add(certificateText(block.certificate));
      const { header, chain, certificate } = block;
      const failed = certifiedChecks({ block: header, chain, certificate }, validators, ed25519).find(({ ok }) => !ok);
      if (failed !== undefined) fault(`block ${height} of node ${index + 1}: ${failed.name}: ${failed.detail}`);
    }
    if (texts.size === 0) break;
    if (texts.size > 1) certifiedApart += 1;
  }
  await Promise.all(ledgers.map((ledger) => ledger.close()));
  return { certificates, certifiedApart };
}

/** One that cannot be read is no block: comparing the rows has found it. */
function readable(ledger: LedgerReader, height: number): StoredBlock | undefined {
  try {
    return ledger.block(height);
  } catch {
    return undefined;
  }
}

function withoutCertificate(receipt: string): string {
  const { certificate: _, chain: __, ...rest } = JSON.parse(receipt) as JsonObject;
  return canonicalize(rest);
}

function verifySome({ receipts, validators, ed25519, fault }: Checking): number {
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
