// The context that an actor's definition gets from the kernel, for tests in one thread. Called by tests and fixtures of
// actors only. It records what the actor says to the kernel; it must never end a process.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import { ManualClock } from '../../runtime/kernel/clock.js';
import type { ActorContext, Clock, Links, ReportValue, Vitals } from '../../runtime/kernel/contract.js';
import { createVitals, ThreadVitals } from '../../runtime/kernel/vitals.js';

export interface Recorded {
  readonly reports: { readonly name: string; readonly value: ReportValue }[];
  readonly fatals: { readonly exitCode: number; readonly reason: string }[];
  readonly lines: LogLine[];
  /** Shared memory behind the vitals, as the supervisor holds it. */
  readonly block: SharedArrayBuffer;
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly level: number; readonly msg: string };

/** A logger whose lines are kept as objects. */
export function memoryLog(): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line) as LogLine) });
  return { log, lines };
}

export interface ContextParts<L, Config> {
  readonly config: Config;
  readonly links?: Links<L>;
  readonly clock?: Clock;
  readonly id?: string;
}

/** A context with links and clock of the test's choice, and what the actor told the kernel through it. */
export function testContext<L, Config>(
  parts: ContextParts<L, Config>,
): { readonly context: ActorContext<L, Config>; readonly recorded: Recorded } {
  const block = createVitals();
  const vitals: Vitals = new ThreadVitals(block);
  const { log, lines } = memoryLog();
  const recorded: Recorded = { reports: [], fatals: [], lines, block };
  const context: ActorContext<L, Config> = {
    id: parts.id ?? 'under-test',
    incarnation: 1,
    config: parts.config,
    ahead: null,
    links: parts.links ?? ({} as Links<L>),
    log,
    registry: new Registry(),
    clock: parts.clock ?? new ManualClock(),
    vitals,
    report: (name, value) => void recorded.reports.push({ name, value }),
    transferring: (reply) => reply,
    fatal: (exitCode, reason) => void recorded.fatals.push({ exitCode, reason }),
  };
  return { context, recorded };
}

/** Sum of a metric's values over its labels, as /metrics would show them. */
export async function metricValue(
  registry: Registry,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const metric = (await registry.getMetricsAsJSON()).find((each) => each.name === name);
  if (metric === undefined) throw new Error(`no metric ${name}`);
  let sum = 0;
  for (const { value, labels: found } of metric.values) {
    if (Object.entries(labels).every(([key, wanted]) => String((found as Record<string, unknown>)[key]) === wanted)) {
      sum += Number(value);
    }
  }
  return sum;
}

/** A directory that the test owns; `remove` is for its teardown. */
export function temporaryDirectory(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'quorate-units-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
