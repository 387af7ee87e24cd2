// Holds a node to what it promised: its whole ledger is checked, and every answer that a client was given must be there.
// Called by the crash drills when their node has stopped, and again over HTTP when it runs. It changes nothing.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Answers } from '../../actors/ingress/answers.js';
import { auditLedger, type LedgerAudit } from '../../actors/ledger/audit.js';
import { LedgerReader } from '../../actors/ledger/reader.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { sha256Hex } from '../../protocol/crypto/hash.js';
import { type Genesis, parseGenesis } from '../../protocol/genesis.js';
import { type JsonValue, parseStrict } from '../../protocol/json.js';
import { indexKey } from '../../protocol/ledger/apply.js';
import { BlockReceipts, type StoredBlock } from '../../protocol/ledger/block.js';
import { verifyWith } from '../../protocol/receipt-verify.js';
import { firstEpoch, parseValidatorSet, type ValidatorSet } from '../../protocol/validators.js';
import type { Promised } from './client.js';
import { Connections } from './exchange.js';

export interface LedgerReport {
  readonly height: number;
  readonly entries: number;
  /** Acknowledged submissions that were found with the answer that the client was given. */
  readonly kept: number;
  readonly faults: readonly string[];
}

const FAULTS_MAX = 20;

/** Everything in one ledger, by the files alone. The node must not run. */
export async function checkLedger(dataDir: string, promises: ReadonlyMap<string, Promised>): Promise<LedgerReport> {
  const genesis = readGenesis(dataDir);
  const ed25519 = await loadEd25519();
  const faults: string[] = [];
  const ledger = LedgerReader.open(join(dataDir, 'ledger'));
  const seen = new Set<string>();
  const answers = new Answers(() => 0);
  let kept = 0;
  const onBlock = (block: StoredBlock): void => {
    const receipts = new BlockReceipts(block);
    for (const [index, { issuer, id, outcome, digest, body }] of block.entries.entries()) {
      const name = indexKey(issuer, id);
      if (seen.has(name))
        faults.push(`${issuer} ${id} is in the ledger twice, the second time at ${block.header.height}`);
      seen.add(name);
      const promised = promises.get(id);
      if (promised === undefined) continue;
      if (promised.digest !== digest || promised.bodyHash !== body) faults.push(`${id}: the ledger has another body`);
      if (promised.answer === null) continue;
      if (promised.answer === sha256Hex(answers.final(outcome, receipts.text(index)).body)) kept += 1;
      else faults.push(`${id}: its receipt is not the one that was acknowledged`);
    }
  };
  let audit: LedgerAudit;
  try {
    audit = auditLedger({ genesis, ledger, validators: storedValidators(ledger, genesis), ed25519, onBlock });
  } finally {
    await ledger.close();
  }
  if (audit.fault !== null) faults.push(`the ledger does not hold together: ${audit.fault}`);
  for (const { id, answer } of promises.values()) {
    if (!seen.has(indexKey(issuerOf(dataDir), id))) {
      faults.push(`${id}: ${answer === null ? 'said to be durable' : 'acknowledged'} and not in the ledger`);
    }
  }
  return { height: audit.tip.height, entries: audit.entries, kept, faults: faults.slice(0, FAULTS_MAX) };
}

export function readGenesis(dataDir: string): Genesis {
  return parseGenesis(parseStrict(readFileSync(join(dataDir, 'genesis.json'))));
}

export function storedValidators(ledger: LedgerReader, genesis: Genesis): ValidatorSet {
  const stored = ledger.validators;
  if (stored === undefined) return firstEpoch(genesis.chainIdHex, genesis.validators);
  return parseValidatorSet(JSON.parse(stored) as JsonValue);
}

export interface AnswersReport {
  readonly asked: number;
  readonly faults: readonly string[];
}

/**
 * Asks a running node for a sample of what was acknowledged, evenly spread: GET must give the same bytes, the receipt
 * must verify with the validators that the node names, and the ledger must be walkable to its end.
 */
export async function checkAnswers(
  url: string,
  promises: ReadonlyMap<string, Promised>,
  sample: number,
): Promise<AnswersReport> {
  const node = new Connections(url, 4);
  const faults: string[] = [];
  try {
    const ed25519 = await loadEd25519();
    const validators = parseValidatorSet(parseStrict(Buffer.from((await node.get('/v1/validators')).text)));
    const acknowledged = [...promises.values()].filter(({ answer }) => answer !== null);
    const step = Math.max(1, Math.floor(acknowledged.length / sample));
    let asked = 0;
    for (let at = 0; at < acknowledged.length; at += step) {
      const { id, digest, answer } = acknowledged[at]!;
      const { status, text } = await node.get(`/v1/submissions/${digest}`);
      asked += 1;
      if (status !== 200 || sha256Hex(text) !== answer) {
        faults.push(`${id}: GET answers ${status} ${text.slice(0, 200)}`);
        continue;
      }
      const { receipt } = parseStrict(Buffer.from(text)) as { receipt: JsonValue };
      const { valid, checks } = verifyWith(receipt, validators, ed25519);
      if (!valid) faults.push(`${id}: its receipt does not verify: ${JSON.stringify(checks.filter(({ ok }) => !ok))}`);
    }
    return { asked, faults: faults.slice(0, FAULTS_MAX) };
  } finally {
    node.close();
  }
}

function issuerOf(dataDir: string): string {
  const path = join(dataDir, 'keys', 'dev-client.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { issuer: string }).issuer : 'dev';
}
