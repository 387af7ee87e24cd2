// How far log and ledger together are proven: the height that the record of a new epoch names. Called by wal.ts in a repair.
// It must rather find no height than one that nothing proves.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { peekBlockRecord } from '../actors/consensus/block-record.js';
import { auditLedger } from '../actors/ledger/audit.js';
import { ledgerFileDamage } from '../actors/ledger/file-check.js';
import { LedgerReader } from '../actors/ledger/reader.js';
import { LEDGER_PARTS } from '../actors/ledger/tables.js';
import { rollBackLedger, syncLedger } from '../actors/store/roll-back.js';
import { decodeJournal } from '../protocol/consensus/journal.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import type { Genesis } from '../protocol/genesis.js';
import type { JsonObject } from '../protocol/json.js';
import { firstEpoch, parseValidatorSet, type ValidatorSet } from '../protocol/validators.js';
import { decodeCarried, decodeEpoch, type PlacedRecord, RecordType } from '../protocol/wal-record.js';
import { EXIT } from '../runtime/exit-codes.js';
import { CliError } from './output.js';

interface FinalBlock {
  readonly height: number;
  readonly hash: string;
}

/** What a log says about final blocks, record by record in their order. */
export class ProvenByLog {
  /** The height that the log proves, or that an earlier repair has proven. */
  height = 0;
  /** The last block that the log calls final; null when an earlier loss has taken it back. */
  last: FinalBlock | null = null;
  /** The blocks that a start could write to the ledger anew, from this height to the last without a gap; null: none. */
  first: number | null = null;
  #firstLsn: number | null = null;
  readonly #carried = new Set<number>();
  /** Height → epoch of blocks that the log has with their bodies. A pruned one calls heights final without them. */
  readonly #blocks = new Map<number, number>();
  #epoch = 0;

  /** @throws JournalError, WalRecordError for a record that this version cannot read. */
  take(record: PlacedRecord): void {
    this.#firstLsn ??= record.lsn;
    if (record.type === RecordType.carried) {
      this.#carried.add(decodeCarried(record.data).lsn);
    } else if (record.type === RecordType.epoch) {
      const { epoch, lastTrustedHeight } = decodeEpoch(record.data);
      // A checkpoint repeats it.
      if (epoch <= this.#epoch) return;
      this.#epoch = epoch;
      this.height = lastTrustedHeight;
      // What an earlier loss took back, or proved without the log, the log cannot give again.
      if (this.last?.height !== this.height) this.first = this.last = null;
      for (const [height, of] of this.#blocks) {
        if (height > lastTrustedHeight && of < epoch) this.#blocks.delete(height);
      }
    } else if (record.type === RecordType.block) {
      const { header, lsns } = peekBlockRecord(record.data);
      const isThere = (lsn: number) => lsn >= this.#firstLsn! || this.#carried.has(lsn);
      if (lsns.every(isThere)) this.#blocks.set(header.height, header.epoch);
    } else if (record.type === RecordType.journal) {
      const entry = decodeJournal(record.data);
      if (entry.type !== 'finalization') return;
      this.height = entry.height;
      this.last = { height: entry.height, hash: entry.certificate.hash! };
      const before = this.first ?? entry.height;
      this.first = this.#blocks.has(entry.height) ? before : null;
    }
  }
}

/**
 * The last height that stays: of the ledger, as far as every block of it follows from the genesis and is certified, and
 * above that of the log, from which the next start writes the blocks. The ledger is cut where it does not hold together,
 * and is durable when this resolves.
 */
export async function settleTrustedHeight(ledgerPath: string, genesis: Genesis, log: ProvenByLog): Promise<number> {
  const ledger = await settleLedger(ledgerPath, genesis, log.last);
  if (log.last === null || log.last.height <= ledger) return ledger;
  if (log.first !== null && log.first <= ledger + 1) return log.last.height;
  throw new CliError(
    EXIT.data.code,
    `the ledger ends at height ${ledger}, and the log has none before ${log.first ?? log.last.height + 1}: the blocks between are nowhere.`,
    { hint: 'Restore a backup of the whole data directory.' },
  );
}

/** The height up to which the ledger database is good; it holds nothing else when this resolves. */
async function settleLedger(path: string, genesis: Genesis, inLog: FinalBlock | null): Promise<number> {
  const ledger = openForReading(path);
  if (ledger === null) return 0;
  let hashThere = inLog?.hash;
  let audit: ReturnType<typeof auditLedger>;
  try {
    audit = auditLedger({
      genesis,
      ledger,
      validators: validatorsOf(ledger, genesis),
      ed25519: await loadEd25519(),
      onBlock: ({ header, hash }) => {
        if (header.height === inLog?.height) hashThere = hash;
      },
    });
  } finally {
    await ledger.close();
  }
  if (hashThere !== inLog?.hash) {
    throw new CliError(EXIT.data.code, `log and ledger have different blocks at height ${inLog?.height}.`, {
      hint: 'They are not of the same node. Restore a backup of the whole data directory.',
    });
  }
  if (audit.fault !== null) await rollBackLedger(path, audit);
  syncLedger(path);
  return audit.tip.height;
}

/** Null when there is none. What LMDB could not open without harm is not opened. */
function openForReading(path: string): LedgerReader | null {
  const isThere = (part: string) => existsSync(join(path, part, 'data.mdb'));
  if (!LEDGER_PARTS.some(isThere)) return null;
  for (const part of LEDGER_PARTS) {
    const damage = isThere(part) ? ledgerFileDamage(join(path, part)) : 'its file is missing';
    if (damage === null) continue;
    throw new CliError(EXIT.data.code, `${join(path, part)} is no usable database: ${damage}.`, {
      hint: 'Restore a backup, or move the ledger away: then only what the log proves stays.',
    });
  }
  return LedgerReader.open(path);
}

/** The validators and epochs that the ledger names. Of a ledger of another chain nothing may be taken. */
function validatorsOf(ledger: Pick<LedgerReader, 'chain' | 'validators'>, genesis: Genesis): ValidatorSet {
  if (ledger.chain !== undefined && ledger.chain !== genesis.chainIdHex) {
    throw new CliError(
      EXIT.data.code,
      `the ledger is of chain ${ledger.chain}, genesis.json of ${genesis.chainIdHex}.`,
    );
  }
  const stored = ledger.validators;
  if (stored === undefined) return firstEpoch(genesis.chainIdHex, genesis.validators);
  return parseValidatorSet(JSON.parse(stored) as JsonObject);
}

export interface LedgerHead {
  readonly height: number;
  /** A new epoch must come after it, also when the log that named it is gone. */
  readonly epoch: number;
}

/** What the ledger says of itself, unproven. */
export async function readLedgerHead(path: string): Promise<LedgerHead> {
  const ledger = openForReading(path);
  if (ledger === null) return { height: 0, epoch: 0 };
  try {
    const { head, validators } = ledger;
    const tip = head === undefined ? { height: 0, epoch: 0 } : (JSON.parse(head) as LedgerHead);
    const named = validators === undefined ? 0 : parseValidatorSet(JSON.parse(validators) as JsonObject).epoch;
    return { height: tip.height, epoch: Math.max(tip.epoch, named) };
  } finally {
    await ledger.close();
  }
}

/** A log is written before the ledger: one that is behind is not the one that the node had. Null when it is not. */
export function doubtOf(head: LedgerHead, log: ProvenByLog): string | null {
  if (head.height <= log.height) return null;
  return `the ledger is at height ${head.height}, and the log proves no more than ${log.height}: a part of it is missing`;
}
