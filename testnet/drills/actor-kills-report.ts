// The figures of a kill drill as text, for people. Used by actor-kills.ts. It decides nothing.
import { ACTOR_IDS } from '../../config/schema.js';
import type { ActorKillsReport, Kill } from './actor-kills.js';

/** The smallest of `values` that `percent` of them do not exceed; 0 when there are none. */
function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0;
}

export function reportText(report: ActorKillsReport): string {
  const { kills, ledger } = report;
  const lines = ['actor        kills  first success p50 / max   all up p50 / max   answers'];
  for (const actor of ACTOR_IDS) {
    const own = kills.filter((kill) => kill.actor === actor);
    if (own.length > 0) lines.push(`${actor.padEnd(12)} ${String(own.length).padStart(5)}  ${figures(own)}`);
  }
  lines.push(
    '',
    `${report.attempts} requests, ${report.acknowledged} submissions acknowledged, slowest answer ${Math.round(report.slowestMs)} ms`,
    `ledger: ${ledger.blocks} blocks, ${ledger.entries} entries; reader slots in use ${report.readerSlots}`,
    `settled ${Math.round(report.settledMs)} ms after the load`,
    ...Object.entries(report.details).map(([detail, count]) => `  ${count} × ${detail}`),
    `load average of the machine ${report.loadAverage.toFixed(1)}`,
    ...report.slow,
    report.faults.length === 0 ? 'no faults' : `${report.faults.length} faults:`,
    ...report.faults.map((fault) => `  ${fault}`),
  );
  return `${lines.join('\n')}\n`;
}

function figures(kills: readonly Kill[]): string {
  const recovered = kills.map(({ recoveredMs }) => recoveredMs);
  const allUp = kills.map(({ allUpMs }) => allUpMs);
  const pair = (values: readonly number[]) =>
    `${percentile(values, 50).toFixed(0)} / ${percentile(values, 100).toFixed(0)} ms`;
  const endings: Record<string, number> = {};
  for (const kill of kills)
    for (const [ending, count] of Object.entries(kill.endings)) endings[ending] = (endings[ending] ?? 0) + count;
  const answers = Object.entries(endings)
    .map(([ending, count]) => `${ending} ${count}`)
    .join(', ');
  return `${pair(recovered).padEnd(25)} ${pair(allUp).padEnd(18)} ${answers}`;
}
