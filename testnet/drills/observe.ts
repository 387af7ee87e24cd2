// What a running node says about itself, as the disk drills look at it. It only asks, and waits for what is due: a state
// that never comes is told by name.
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalNode } from '../local/node.js';
import { statusOf } from './admin.js';

interface Readiness {
  readonly ready: boolean;
  /** Name → detail of the checks that fail. */
  readonly failing: ReadonlyMap<string, string>;
}

const POLL_MS = 50;

export async function readiness(node: LocalNode): Promise<Readiness> {
  const answer = await fetch(`${node.endpoints.ops}/readyz`);
  const { checks } = (await answer.json()) as { checks: { name: string; ok: boolean; detail: string }[] };
  const failing = checks.filter(({ ok }) => !ok).map(({ name, detail }) => [name, detail] as const);
  return { ready: answer.status === 200, failing: new Map(failing) };
}

/** One value without labels, or NaN. */
export async function metric(node: LocalNode, name: string): Promise<number> {
  const text = await (await fetch(`${node.endpoints.ops}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return line === undefined ? Number.NaN : Number(line.slice(name.length + 1));
}

/** Waits until it holds. Milliseconds it took; null, and a fault under `name`, when it does not within the limit. */
export async function within(
  limitMs: number,
  name: string,
  faults: string[],
  holds: () => boolean | Promise<boolean>,
): Promise<number | null> {
  const startMs = performance.now();
  for (;;) {
    if (await Promise.resolve(holds()).catch(() => false)) return Math.round(performance.now() - startMs);
    if (performance.now() - startMs > limitMs) break;
    await delay(POLL_MS);
  }
  faults.push(`not within ${limitMs} ms: ${name}`);
  return null;
}

/**
 * Waits until every actor that has a thread made ahead has it, as each does one or two seconds after it came up. Throws when
 * that does not come within the limit.
 */
export async function standbysReady(node: LocalNode, limitMs: number): Promise<void> {
  const untilMs = performance.now() + limitMs;
  for (;;) {
    const without = (await statusOf(node)).filter(({ standby }) => standby === false).map(({ id }) => id);
    if (without.length === 0) return;
    if (performance.now() > untilMs) throw new Error(`no standby within ${limitMs} ms: ${without.join(', ')}`);
    await delay(POLL_MS);
  }
}
