// What the /metrics of a node say, as figures, and a reload as they show it. Called by tests and scenarios. It only reads,
// but for the SIGHUP that `reload` sends.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalNode } from './node.js';

export interface Metrics {
  /** Series (`name{labels}`) → value. */
  readonly series: ReadonlyMap<string, number>;
  /** Name → counter, gauge, histogram or summary. */
  readonly types: ReadonlyMap<string, string>;
  /** Sum of all series of one name, whatever their labels; 0 when there is none. */
  total(name: string, ...labels: readonly string[]): number;
}

/** Prometheus text format 0.0.4, as far as prom-client writes it. */
export function parseMetrics(text: string): Metrics {
  const series = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line.startsWith('# TYPE ')) {
      const [name, type] = line.slice('# TYPE '.length).split(' ');
      types.set(name!, type!);
    } else if (line !== '' && !line.startsWith('#')) {
      const space = line.lastIndexOf(' ');
      series.set(line.slice(0, space), Number(line.slice(space + 1)));
    }
  }
  return {
    series,
    types,
    total: (name, ...labels) =>
      [...series]
        .filter(([key]) => key.split('{')[0] === name && labels.every((label) => key.includes(label)))
        .reduce((sum, [, value]) => sum + value, 0),
  };
}

const ANSWER_LIMIT_MS = 10_000;

export async function metricsText(ops: string): Promise<string> {
  return (await fetch(`${ops}/metrics`, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) })).text();
}

const RESULTS = ['ok', 'unchanged', 'error'] as const;
export type ReloadResult = (typeof RESULTS)[number];

const RELOAD_LIMIT_MS = 40_000;
const POLL_MS = 10;

/** SIGHUP, and the result that the node counts for it. Rejects when there is none within 40 s. */
export async function reload(node: LocalNode): Promise<ReloadResult> {
  const { ops } = node.endpoints;
  const counts = async () => {
    const metrics = parseMetrics(await metricsText(ops));
    return RESULTS.map((result) => metrics.total('quorate_peer_reload_total', `result="${result}"`));
  };
  const before = await counts();
  node.signal('SIGHUP');
  for (const endMs = Date.now() + RELOAD_LIMIT_MS; Date.now() < endMs; await sleep(POLL_MS)) {
    const after = await counts();
    const result = RESULTS.find((_, index) => after[index]! > before[index]!);
    if (result !== undefined) return result;
  }
  throw new Error(`no result of a reload within ${RELOAD_LIMIT_MS} ms`);
}
