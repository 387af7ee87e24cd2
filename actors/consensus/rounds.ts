// What a final block did to observation rounds, as metrics, log lines and reports. Called by the host once for each final
// block that changed them; a restart does not tell it again. Must never decide anything: rounds are the ledger's.
import type { Logger } from 'pino';
import { event } from '../../observability/events.js';
import type { Round, RoundsState } from '../../protocol/rounds/round.js';
import type { ReportValue } from '../../runtime/kernel/contract.js';
import type { ConsensusMetrics } from './metrics.js';

export interface RoundsTelling {
  readonly metrics: Pick<ConsensusMetrics, 'rounds' | 'roundsFailed' | 'roundSeconds'>;
  readonly log: Logger;
  report(name: string, value: ReportValue): void;
}

export function tellRounds(
  { metrics, log, report }: RoundsTelling,
  { before, after }: { readonly before: RoundsState; readonly after: RoundsState },
): void {
  const known = new Map(before.rounds.map((round) => [round.number, round]));
  for (const round of after.rounds) {
    const earlier = known.get(round.number);
    if (earlier === round) continue;
    if (isFirstCompletion(round, earlier)) {
      metrics.rounds.inc();
      metrics.roundSeconds.observe((round.completedAtMs! - round.openedAtMs) / 1000);
    }
    if (round.status === 'Failed' && earlier?.status !== 'Failed') metrics.roundsFailed.inc();
  }
  for (const { nodeId, reason, roundId } of after.excluded.slice(before.excluded.length)) {
    const facts = { node_id: nodeId, reason, round_id: roundId };
    event(log, 'observer.excluded', facts);
    report('exclusion', { ok: true, data: facts });
  }
}

function isFirstCompletion({ completedAtMs }: Round, earlier: Round | undefined): boolean {
  return completedAtMs !== null && (earlier?.completedAtMs ?? null) === null;
}
