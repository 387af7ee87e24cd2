// Whether this log may be trusted, as the wal-writer tells consensus, the node's readiness and the operator. Called by the
// actor at its start. It must never let a key sign whose vote log was lost.
import { isInitialising } from '../../config/chain-files.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { encodeInit, initSignBytes, RecordType } from '../../protocol/wal-record.js';
import type { ReportValue } from '../../runtime/kernel/contract.js';
import type { LogCondition } from './contract.js';
import type { Log } from './log.js';
import type { LogVerdict } from './recovery.js';
import type { WalWriterConfig } from './spec.js';

export type Condition = Omit<LogCondition, 'replayFrom'>;

/** A log that is empty is only trusted when this start may create it: a key without its vote log always quarantines. */
export async function judge(config: WalWriterConfig, log: Log, verdict: LogVerdict): Promise<Condition> {
  const { state, damage } = verdict;
  const detail = damage === null ? '' : `${damage.segment} at byte ${damage.offset}: ${damage.reason}`;
  if (state === 'corrupt' || state === 'suspect') return { state, detail, quarantine: detail };
  if (log.nextLsn > 1) return { state, detail, quarantine: null };
  if (!isInitialising(config.dataDirectory)) {
    const missing = `${config.directory} holds no log for this validator key: votes it cast may be lost`;
    return { state: 'suspect', detail: missing, quarantine: missing };
  }
  const chainId = Buffer.from(config.chainId, 'hex');
  const publicKey = Buffer.from(config.publicKey, 'hex');
  const ed25519 = await loadEd25519();
  const signature = ed25519.sign(initSignBytes(chainId, publicKey), ed25519.keyPair(config.seed).secretKey);
  log.append([{ type: RecordType.init, data: encodeInit({ chainId, publicKey, signature }) }]);
  return { state, detail, quarantine: null };
}

export function reportOf(condition: Condition): ReportValue {
  if (condition.quarantine === null) return { ok: true, detail: condition.detail };
  return {
    ok: false,
    detail: `quarantined: ${condition.quarantine}; run "quorate wal verify", then "quorate wal repair"`,
    data: { quarantine: condition.quarantine },
  };
}
