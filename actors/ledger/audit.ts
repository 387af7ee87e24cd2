// Checks a whole ledger database: executes every block again and compares everything that is stored with what comes out.
// Called by `quorate wal repair`, which trusts only what passes, and by the crash drills. Reads only.
// Must never take a stored value for its own proof: all of it has to follow from the genesis and the validators' keys.
import type { Ed25519 } from '../../protocol/crypto/ed25519.js';
import type { Genesis } from '../../protocol/genesis.js';
import { indexKey, type LedgerView } from '../../protocol/ledger/apply.js';
import { blockFault, restoreEntry, type StoredBlock } from '../../protocol/ledger/block.js';
import { executeBlock } from '../../protocol/ledger/execute.js';
import {
  blockTimeMs,
  enterEpoch,
  genesisTip,
  headerFault,
  nextTip,
  type Tip,
  timestampMs,
} from '../../protocol/ledger/header.js';
import { certifiedChecks } from '../../protocol/receipt-verify.js';
import { type Registry, registryText } from '../../protocol/registry.js';
import { NO_ROUNDS, type RoundsState } from '../../protocol/rounds/round.js';
import { roundsChange, roundsChangeText } from '../../protocol/rounds/text.js';
import { epochAt, type ValidatorSet, validatorsHash } from '../../protocol/validators.js';
import type { LedgerReader } from './reader.js';

export type AuditedLedger = Pick<LedgerReader, 'head' | 'registry' | 'rounds' | 'find' | 'hint' | 'block'>;

export interface AuditOptions {
  readonly genesis: Genesis;
  readonly ledger: AuditedLedger;
  readonly validators: ValidatorSet;
  readonly ed25519: Ed25519;
  /** Called for every good block, in order. */
  readonly onBlock?: (block: StoredBlock) => void;
}

export interface LedgerAudit {
  /** Where the good part ends: everything up to here is proven. */
  readonly tip: Tip;
  readonly registry: Registry;
  readonly rounds: RoundsState;
  readonly entries: number;
  /** The first thing that is wrong; `height` is the last good one. Null when all of it holds together. */
  readonly fault: string | null;
}

/** Walks from the genesis and stops at the first fault. Costs about one execution of every entry. */
export function auditLedger(options: AuditOptions): LedgerAudit {
  const { genesis, ledger, onBlock } = options;
  let tip = genesisTip(genesis.chainIdHex, genesis.validatorsHash, genesis.validators.length);
  let registry = genesis.registry;
  let rounds = NO_ROUNDS;
  let entries = 0;
  const end = (fault: string | null): LedgerAudit => ({ tip, registry, rounds, entries, fault });
  const headHeight = storedTip(ledger)?.height ?? 0;
  while (tip.height < headHeight) {
    const height = tip.height + 1;
    const base = inEpoch(tip, options.validators);
    const good = auditBlock(options, base, registry, rounds);
    if (typeof good === 'string') return end(`block ${height}: ${good}`);
    tip = nextTip(base, good.block.header, good.block.hash);
    registry = good.registry;
    rounds = good.rounds;
    entries += good.block.entries.length;
    onBlock?.(good.block);
  }
  return end(endFault(ledger, inEpoch(tip, options.validators), tip, registry) ?? roundsFault(ledger, rounds));
}

/** The tip that the next block continues: the epoch in force at its height may be a later one. */
function inEpoch(tip: Tip, validators: ValidatorSet): Tip {
  const { epoch, set } = epochAt(validators, tip.height + 1);
  return epoch === tip.epoch ? tip : enterEpoch(tip, epoch, validatorsHash(set), set.length);
}

function auditBlock(
  { genesis, ledger, validators, ed25519 }: AuditOptions,
  tip: Tip,
  registry: Registry,
  rounds: RoundsState,
): { readonly block: StoredBlock; readonly registry: Registry; readonly rounds: RoundsState } | string {
  const height = tip.height + 1;
  let block: StoredBlock | undefined;
  try {
    block = ledger.block(height);
  } catch (error) {
    return `cannot be read: ${(error as Error).message}`;
  }
  if (block === undefined) return 'missing';
  const { header, chain, certificate } = block;
  const broken = blockFault(block);
  if (broken !== null) return broken;
  const certified = certifiedChecks({ block: header, chain, certificate }, validators, ed25519);
  const failed = certified.find(({ ok }) => !ok);
  if (failed !== undefined) return `${failed.name}: ${failed.detail}`;
  const result = executeBlock(
    viewBelow(genesis, ledger, tip, registry, rounds),
    block.entries.map(restoreEntry),
    blockTimeMs(tip, timestampMs(header)),
  );
  const refused = result.refused[0];
  if (refused !== undefined) return `holds an entry that is refused: ${refused.refusal.detail}`;
  const unlike = headerFault(tip, header, result);
  if (unlike !== null) return unlike;
  const outcome = block.entries.findIndex((entry, index) => entry.outcome !== result.accepted[index]!.outcome);
  if (outcome !== -1) return `entry ${outcome} has another outcome than executing it gives`;
  const after = { registry: result.registry ?? registry, rounds: result.rounds ?? rounds };
  return tablesFault(ledger, block) ?? { block, ...after };
}

/** The state before the block at `tip.height + 1`, seen through the index of the whole ledger. */
function viewBelow(
  genesis: Genesis,
  ledger: AuditedLedger,
  tip: Tip,
  registry: Registry,
  rounds: RoundsState,
): LedgerView {
  return {
    chain: genesis.chain,
    tip,
    registry,
    rounds,
    find(key) {
      const found = ledger.find(key);
      return found === undefined || found.height > tip.height ? undefined : found;
    },
  };
}

/** Every entry must be found by its name, with its content, and by its digest. */
function tablesFault(ledger: AuditedLedger, { header, entries }: StoredBlock): string | null {
  const { height } = header;
  for (const [index, { route, issuer, id, digest, body }] of entries.entries()) {
    const found = ledger.find(indexKey(issuer, id));
    // The table keeps a body's hash only where that is what a repetition is compared with.
    const content = route === 'pcs' ? body : '';
    const isRight =
      found?.height === height &&
      found.index === index &&
      found.digest.toString('hex') === digest &&
      found.body.toString('hex') === content;
    if (!isRight) return `entry ${index} is not in the index under its issuer and id`;
    const hint = ledger.hint(Buffer.from(digest, 'hex'));
    // Two issuers may submit one PCS: the first keeps the digest.
    if (hint === undefined || hint.height > height) return `entry ${index} is not found by its digest`;
  }
  return null;
}

function endFault(ledger: AuditedLedger, next: Tip, tip: Tip, registry: Registry): string | null {
  const head = storedTip(ledger);
  const text = JSON.stringify(head ?? null);
  // The head names the new epoch from its beginning, or the old one to its end: both lead to the same next block.
  const allowed = [tip, next].map((each) => JSON.stringify(each));
  if (head !== undefined && !allowed.includes(text)) return `the head is ${text}, the blocks lead to ${allowed[0]}`;
  const stored = ledger.registry;
  if (stored !== undefined && stored !== registryText(registry))
    return 'the stored registry is not what the blocks lead to';
  return stored === undefined && registry.version > 0 ? 'the registry of the blocks is not stored' : null;
}

/** A part that cannot be read says so itself. */
function roundsFault(ledger: AuditedLedger, rounds: RoundsState): string | null {
  try {
    const stored = roundsChangeText(roundsChange(NO_ROUNDS, ledger.rounds));
    return stored === roundsChangeText(roundsChange(NO_ROUNDS, rounds))
      ? null
      : 'the stored observation rounds are not what the blocks lead to';
  } catch (error) {
    return `the stored observation rounds cannot be read: ${(error as Error).message}`;
  }
}

function storedTip(ledger: AuditedLedger): Tip | undefined {
  const { head } = ledger;
  return head === undefined ? undefined : (JSON.parse(head) as Tip);
}
