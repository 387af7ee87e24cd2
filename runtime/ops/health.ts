// Is the node alive, and is it ready? Called by the ops server and by the daemon's start. Liveness never looks at peers or
// disks; readiness names every check that fails.
import type { ReportValue } from '../kernel/contract.js';
import type { ActorStatus } from '../kernel/supervisor-types.js';
import { stallOf } from './stalls.js';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface HealthSources {
  status(): readonly ActorStatus[];
  reports(): ReadonlyMap<string, ReadonlyMap<string, ReportValue>>;
  /** Asks the store for its height; rejects when it does not answer in time. */
  store(): Promise<{ readonly height: number }>;
  draining(): boolean;
  /** Can what happens be audited? */
  audit(): Check;
}

/** OB-2: the store answers within a second. */
const STORE_DEADLINE_MS = 1_000;

export async function readiness(sources: HealthSources): Promise<readonly Check[]> {
  const checks: Check[] = [
    { name: 'draining', ok: !sources.draining(), detail: sources.draining() ? 'the node is shutting down' : '' },
  ];
  for (const { id, state, breaker, native } of sources.status()) {
    checks.push({ name: `actor:${id}`, ok: state === 'up', detail: state === 'up' ? '' : `the actor is ${state}` });
    if (breaker !== 'closed') checks.push({ name: `breaker:${id}`, ok: false, detail: `the breaker is ${breaker}` });
    const stall = stallOf(native);
    if (stall !== null) checks.push({ name: `${id}:${stall.check}`, ok: false, detail: stall.wording });
  }
  for (const [actor, facts] of sources.reports()) {
    for (const [name, { ok, detail }] of facts) checks.push({ name: `${actor}:${name}`, ok, detail: detail ?? '' });
  }
  checks.push(sources.audit());
  checks.push(await storeCheck(sources));
  return checks;
}

async function storeCheck(sources: HealthSources): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${STORE_DEADLINE_MS} ms`)), STORE_DEADLINE_MS);
  });
  try {
    const { height } = await Promise.race([sources.store(), late]);
    return { name: 'store', ok: true, detail: `height ${height}` };
  } catch (error) {
    return { name: 'store', ok: false, detail: (error as Error).message };
  } finally {
    clearTimeout(timer);
  }
}

export function failing(checks: readonly Check[]): readonly Check[] {
  return checks.filter(({ ok }) => !ok);
}
