// The recovery table as Markdown. Called by main.ts; the whole of docs/RECOVERY.md comes from here.
import { availableParallelism, cpus, release } from 'node:os';
import type { Misdeed } from '../../runtime/kernel/misdeeds.js';
import type { Cell, RecoveryReport, Round } from './recovery.js';

const MEANING: Readonly<Record<Misdeed, string>> = {
  throw: 'uncaught exception',
  exit: 'process.exit in the thread',
  reject: 'unhandled rejection',
  'out-of-memory': 'heap limit reached',
  loop: 'endless loop',
  regex: 'catastrophic regular expression',
  native: 'native call of 3 s',
};

export function recoveryText(report: RecoveryReport): string {
  const { rounds, connections, heartbeatMs } = report.options;
  const rows = report.cells.map(row);
  return `# Recovery

How long a node takes to heal, measured and not estimated. \`npm run bench:recovery\` makes this page anew.

A real node, ${connections} clients that submit up to 500 notes a second; each actor is made to go wrong from within in each
way, ${rounds} times, ${heartbeatMs} ms of silence counting as a hang, restart policy \`immediate\`, the first of them after
15 s of load. Every round begins when each actor has its thread made ahead, as it has one or two seconds after it came up
(\`quorate actors list\` shows it); a death that comes sooner has modules to load first, and takes up to half a second more. Times in
milliseconds: median / 99th percentile (with ${rounds} rounds: the slowest). Log times have a resolution of 1 ms.

- **detected**: from the misdeed until the thread is known to be gone. For a hang this holds the silence, the capture of
  the stack and the end of the thread; native code cannot be interrupted, so its own duration is in it.
- **restarted**: from there until the actor is up. Actors that stand on it come up after it and count in the next column.
- **first receipt**: from the misdeed until a submission that was sent after the thread's end has its receipt.
- **healed**: from the thread's end until that receipt. Before its end a thread that hangs, or whose heap V8 still tries to
  collect, is not known to be lost.
- **refused / cut**: submissions of one round that were answered 503 with a problem document, or whose connection was cut
  (ingress only: it holds the listener); median and most. Each was sent again with the same bytes and acknowledged.
- **last refusal**: from the thread's end until the client had the last 503 for a submission that was under way then, the most
  of all rounds; negative when they were refused during a hang.

| actor | misdeed | detected | restarted | first receipt | healed | refused | last refusal | cut |
|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}

Acknowledged in all: ${report.acknowledged}; lost: ${report.faults.length === 0 ? '0' : 'see below'}; twice in the ledger: ${report.faults.length === 0 ? '0' : 'see below'}.
${report.faults.length === 0 ? 'No call hung, none was answered with anything but 200, 202 or 503.' : report.faults.map((fault) => `- FAULT: ${fault}`).join('\n')}

Measured on ${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores, Linux ${release()}, Node ${process.versions.node}.
`;
}

function row({ actor, misdeed, rounds }: Cell): string {
  const of = (pick: (round: Round) => number): string => {
    const sorted = rounds.map(pick).sort((a, b) => a - b);
    return `${Math.round(quantile(sorted, 0.5))} / ${Math.round(quantile(sorted, 0.99))}`;
  };
  const columns = [
    of(({ detectedMs }) => detectedMs),
    of(({ restartedMs }) => restartedMs),
    of(({ firstSuccessMs }) => firstSuccessMs),
    of(({ healedMs }) => healedMs),
    of(({ refused }) => refused),
    most(rounds.flatMap(({ lastRefusalMs }) => lastRefusalMs ?? [])),
    of(({ cut }) => cut),
  ];
  return `| ${actor} | ${MEANING[misdeed]} | ${columns.join(' | ')} |`;
}

function most(values: readonly number[]): string {
  return values.length === 0 ? '–' : String(Math.round(Math.max(...values)));
}

/** Nearest rank. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
