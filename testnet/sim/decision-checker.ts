// Checks of what is decided about a death: policy, backoff, breaker, budget, escalation. Called by supervisor.ts for every
// event. It counts for itself, by the documents and not by the kernel's functions.
import type { ActorEvent, ActorStatus } from '../../runtime/kernel/supervisor-types.js';
import type { OrderChecker } from './order-checker.js';
import type { ActorRecord, Records } from './record.js';
import type { World } from './world.js';

interface Past {
  /** Failures since the last success. */
  failures: number;
  phase: 'closed' | 'open' | 'half-open';
  /** Failures in a row while the breaker was closed. */
  inClosed: number;
  openUntilMs: number;
  /** Full spans of uptime since it became half-open, of earlier incarnations. */
  spans: number;
  halfOpenAtMs: number;
}

/** An exit whose consequences are still to come in this turn. */
interface Pending {
  readonly record: ActorRecord;
  readonly reason: string;
  /** Neither planned nor a neighbour's: something must follow. */
  readonly must: boolean;
  /** It was planned, or it is a neighbour's: nothing may follow. */
  readonly mustNot: boolean;
  readonly gaveUp: string[];
}

const SLACK_MS = 0.01;

export class DecisionChecker {
  readonly #world: World;
  readonly #records: Records;
  readonly #order: OrderChecker;
  readonly #status: (id: string) => ActorStatus;
  readonly #pasts = new Map<string, Past>();
  readonly #spent = new Map<string, number[]>();
  #pending: Pending | null = null;
  #resetting: string | null = null;

  constructor(world: World, records: Records, order: OrderChecker, status: (id: string) => ActorStatus) {
    this.#world = world;
    this.#records = records;
    this.#order = order;
    this.#status = status;
    for (const { id } of world.specs) {
      const none = { failures: 0, inClosed: 0, openUntilMs: 0, spans: 0, halfOpenAtMs: 0 };
      this.#pasts.set(id, { ...none, phase: 'closed' });
    }
  }

  /** Before the record forgets the thread. */
  exit(record: ActorRecord, reason: string, stopAsked: boolean): void {
    this.endOfTurn();
    const { mode } = this.#world;
    const began = record.begunAtMs !== null;
    const inner = record.above[0]!;
    const supports = inner.group.strategy === 'one-for-one' ? [] : inner.group.children.slice(0, inner.index);
    const standsOn = supports.flatMap((child) => this.#records.all.filter(({ spec }) => within(child, spec.id)));
    const fell = began && reason !== 'killed' && standsOn.some(({ upAtMs }) => upAtMs === null);
    const planned = reason === 'stopped' || mode !== 'running' || stopAsked;
    const member = record.thread !== null && this.#order.memberOfOpen(record.thread);
    this.#pending = {
      record,
      reason,
      must: !planned && !fell && !member,
      mustNot: planned || fell,
      gaveUp: [],
    };
    this.#countUptime(record);
  }

  gaveUp(id: string, group: string): void {
    if (this.#pending?.record.spec.id === id) this.#pending.gaveUp.push(group);
    else this.#world.found('budget', `group ${group} gave up for ${id}, which did not end now`);
  }

  restart(id: string, { action, delayMs }: Extract<ActorEvent, { kind: 'restart' }>): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending === null || pending.record.spec.id !== id || pending.mustNot) {
      this.#world.found('decisions', `a restart of ${id} was decided, and nothing unplanned ended there`);
      return;
    }
    const { record, reason, gaveUp } = pending;
    const inner = record.above[0]!;
    if (reason === 'killed') {
      if (action !== 'restart' || delayMs !== 0 || gaveUp.length > 0) {
        this.#world.found('decisions', `a kill of ${id} was held against it: ${action} in ${delayMs} ms, ${gaveUp}`);
      }
      this.#order.recover(record, inner, 0);
      return;
    }
    this.#judge(pending, action, delayMs);
    const level = this.#policy(id) === 'circuit-breaker' ? inner : this.#spend(record, gaveUp);
    if (level === null) this.#world.found('budget', `${id} comes back although no group’s budget allows it`);
    this.#order.recover(record, level ?? inner, delayMs);
  }

  fatal(exitCode: number): void {
    const pending = this.#pending;
    this.#pending = null;
    if (exitCode !== 70) return;
    if (pending === null || pending.mustNot || this.#policy(pending.record.spec.id) === 'circuit-breaker') {
      this.#world.found('budget', 'the process ends with 70, and nothing that spends a budget ended');
      return;
    }
    if (this.#spend(pending.record, pending.gaveUp) !== null) {
      this.#world.found('budget', `the process ends with 70 although a budget is left, for ${pending.record.spec.id}`);
    }
  }

  /** The next event that is nobody's consequence. */
  endOfTurn(): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending?.must !== true || this.#world.mode !== 'running') return;
    this.#world.found('decisions', `${pending.record.spec.id} ended (${pending.reason}) and nothing was decided`);
  }

  reset(id: string, run: () => void): void {
    this.#order.reset(id);
    this.#resetting = id;
    run();
    this.#resetting = null;
    Object.assign(this.#past(id), { failures: 0, phase: 'closed', inClosed: 0, spans: 0 });
  }

  breaker(record: ActorRecord, from: string, to: string): void {
    const { nowMs } = this.#world;
    const { id } = record.spec;
    const past = this.#past(id);
    const { breaker, successAfterMs } = this.#settings(id);
    const wrong = (why: string) => this.#world.found('breaker', `${id}: ${from} → ${to}: ${why}`);
    if (from !== past.phase) wrong(`it was ${past.phase}`);
    if (this.#resetting === id && to === 'closed') return;
    if (to === 'half-open' && from === 'open') {
      if (nowMs < past.openUntilMs - SLACK_MS) wrong(`${past.openUntilMs - nowMs} ms early`);
      Object.assign(past, { phase: 'half-open', spans: 0, halfOpenAtMs: nowMs });
    } else if (to === 'closed' && from === 'open') {
      // Started by hand before its time, and up when that came: half-open and one success in one step.
      if (nowMs < past.openUntilMs - SLACK_MS || breaker.successes > 1) wrong('there is no such step');
      Object.assign(past, { phase: 'closed', inClosed: 0 });
    } else if (to === 'closed' && from === 'half-open') {
      const sinceMs = Math.max(record.cameUpAtMs ?? nowMs, past.halfOpenAtMs - successAfterMs);
      const spans = past.spans + Math.floor((nowMs - sinceMs + SLACK_MS) / successAfterMs);
      if (spans < breaker.successes) wrong(`after ${spans} of ${breaker.successes} successes`);
      Object.assign(past, { phase: 'closed', inClosed: 0 });
    } else if (to === 'open' && from !== 'open') {
      if (this.#pending?.record !== record || this.#pending.reason === 'killed') wrong('without a failure');
      if (from === 'closed' && past.inClosed + 1 < breaker.failures) wrong(`after ${past.inClosed + 1} failures`);
      Object.assign(past, { phase: 'open', openUntilMs: nowMs + breaker.openMs });
    } else wrong('there is no such step');
  }

  /** At rest, with everything up: a breaker that had its successes is closed. */
  atRest(record: ActorRecord): void {
    const { id } = record.spec;
    const { breaker, successAfterMs } = this.#settings(id);
    const status = this.#status(id);
    const upForMs = status.upForMs ?? 0;
    const needMs = (breaker.successes + 1) * successAfterMs + breaker.openMs;
    if (status.breaker !== 'closed' && upForMs > needMs) {
      this.#world.found('breaker', `${id} is up for ${upForMs} ms and its breaker still ${status.breaker}`);
    }
    if (status.failures > 0 && upForMs > successAfterMs + SLACK_MS) {
      this.#world.found('decisions', `${id} is up for ${upForMs} ms and ${status.failures} failures are not forgotten`);
    }
  }

  #judge({ record, reason }: Pending, action: string, delayMs: number): void {
    const { id } = record.spec;
    const { policy, backoff, breaker } = this.#settings(id);
    const past = this.#past(id);
    past.failures += 1;
    const { failures } = this.#status(id);
    if (failures !== past.failures) {
      this.#world.found('decisions', `${id} has ${failures} failures on record, and had ${past.failures}`);
      past.failures = failures;
    }
    const wrong = (why: string) => {
      const what = `${id} after failure ${past.failures} (${reason}): ${action} in ${delayMs} ms: ${why}`;
      this.#world.found(action === 'circuit_open' ? 'breaker' : 'backoff', what);
    };
    if (policy === 'immediate') {
      if (action !== 'restart' || delayMs !== 0) wrong('it should come back at once');
      return;
    }
    if (policy === 'circuit-breaker' && past.phase !== 'closed') {
      // A failure after its time has come, of one that was started by hand before: it opens anew.
      if (past.openUntilMs <= this.#world.nowMs) past.openUntilMs = this.#world.nowMs + breaker.openMs;
      const leftMs = past.openUntilMs - this.#world.nowMs;
      if (action !== 'circuit_open' || Math.abs(delayMs - leftMs) > SLACK_MS) wrong(`open for ${leftMs} ms`);
      return;
    }
    past.inClosed += 1;
    if (policy === 'circuit-breaker' && past.inClosed >= breaker.failures) wrong('its breaker should have opened');
    if (action !== 'backoff') {
      wrong('it should wait');
      return;
    }
    const exactMs = Math.min(backoff.ceilingMs, backoff.floorMs * backoff.factor ** (past.failures - 1));
    const lowMs = Math.max(backoff.floorMs, exactMs * (1 - backoff.jitter));
    const highMs = Math.min(backoff.ceilingMs, exactMs * (1 + backoff.jitter));
    if (delayMs < lowMs - SLACK_MS || delayMs > highMs + SLACK_MS) wrong(`allowed: ${lowMs} to ${highMs} ms`);
  }

  /** The innermost level whose budget allows it, by the definition: at most `intensity` restarts within the period. */
  #spend(record: ActorRecord, gaveUp: readonly string[]): ActorRecord['above'][number] | null {
    const { nowMs } = this.#world;
    const expected: string[] = [];
    let allowed: ActorRecord['above'][number] | null = null;
    for (const level of record.above) {
      const { id, budget } = level.group;
      const recent = (this.#spent.get(id) ?? []).filter((atMs) => nowMs - atMs < budget.periodMs);
      if (recent.length < budget.intensity) {
        this.#spent.set(id, [...recent, nowMs]);
        allowed = level;
        break;
      }
      this.#spent.set(id, []);
      expected.push(id);
    }
    if (expected.join() !== gaveUp.join()) {
      this.#world.found('budget', `for ${record.spec.id} these gave up: [${gaveUp}]; spent were: [${expected}]`);
    }
    return allowed;
  }

  /** An incarnation ends: what its uptime was worth. */
  #countUptime({ spec, cameUpAtMs }: ActorRecord): void {
    if (cameUpAtMs === null) return;
    const past = this.#past(spec.id);
    const uptimeMs = this.#world.nowMs - cameUpAtMs;
    const { successAfterMs } = this.#settings(spec.id);
    if (past.phase === 'half-open') past.spans += Math.floor((uptimeMs + SLACK_MS) / successAfterMs);
    // At the very moment of success either may have come first.
    const tie = Math.abs(uptimeMs - successAfterMs) <= SLACK_MS;
    if (uptimeMs < successAfterMs - SLACK_MS || (tie && this.#status(spec.id).failures > 0)) return;
    past.failures = 0;
    past.inClosed = 0;
  }

  #past(id: string): Past {
    return this.#pasts.get(id)!;
  }

  #settings(id: string) {
    return this.#world.scenario.settings.get(id)!;
  }

  #policy(id: string): string {
    return this.#settings(id).policy;
  }
}

function within(node: { readonly id: string } | { readonly children: readonly object[] }, id: string): boolean {
  if ('children' in node) return node.children.some((child) => within(child as { id: string }, id));
  return node.id === id;
}
