// Observation rounds as the host sees them: what a final block did to them is told (once, no restart tells it again), and
// time that is due calls for a block. Must never decide anything about a round: rounds are the ledger's.
import type { Logger } from 'pino';
import { event } from '../../observability/events.js';
import { nextDeadlineMs, ROUND_TIMEOUT_MS, type Round, type RoundsState } from '../../protocol/rounds/round.js';
import type { Clock, ReportValue, Timer } from '../../runtime/kernel/contract.js';
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

/** Whether a block at this time would let a round fail: then one is proposed though it may have no entries (DECISIONS 28). */
export function isDue(rounds: RoundsState, nowMs: number): boolean {
  const deadline = nextDeadlineMs(rounds);
  return deadline !== null && nowMs >= deadline;
}

/** A timer for the next deadline. `due` is called at it, and looks for itself whether it is. */
export class RoundClock {
  readonly #clock: Clock;
  readonly #due: () => void;
  #timer: Timer | null = null;

  constructor(clock: Clock, due: () => void) {
    this.#clock = clock;
    this.#due = due;
  }

  /** Of one that has passed already nothing is set: whoever let it pass goes on by himself. */
  arm(rounds: RoundsState, nowMs: number): void {
    this.stop();
    const deadline = nextDeadlineMs(rounds);
    if (deadline === null || deadline <= nowMs) return;
    // A deadline in a far future is one of a wrong clock; looking again costs nothing.
    const delayMs = Math.min(deadline - nowMs, ROUND_TIMEOUT_MS);
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timer = null;
      this.#due();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}
