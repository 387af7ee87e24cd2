// How long recovery takes: every actor is made to go wrong in every way, again and again, while clients submit. Called by
// main.ts; docs/RECOVERY.md is its report. It must never leave a slow round out.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseClientKey } from '../../client/sign.js';
import type { ActorId } from '../../config/schema.js';
import { MISDEEDS, type Misdeed } from '../../runtime/kernel/misdeeds.js';
import { LocalNode } from '../local/node.js';
import { checkLedger } from './actor-kills-ledger.js';
import { type Attempt, KillLoad } from './actor-kills-load.js';
import { admin, statusOf } from './admin.js';
import { standbysReady } from './observe.js';

/** Actors that a submission goes through; gossip and rpc-client carry nothing without peers. */
export const WORKING_ACTORS = ['wal-writer', 'store', 'consensus', 'dedup', 'ingress'] as const satisfies ActorId[];

export interface RecoveryOptions {
  readonly rounds: number;
  readonly connections: number;
  readonly heartbeatMs: number;
  readonly actors?: readonly ActorId[];
  readonly misdeeds?: readonly Misdeed[];
  readonly progress: (line: string) => void;
}

/** Milliseconds; of one round. */
export interface Round {
  /** From the misdeed to the supervisor's word that the thread is gone. For a hang: noticed, stack taken, thread ended. */
  readonly detectedMs: number;
  /** From there until the actor is up again, its backoff included. */
  readonly restartedMs: number;
  /** From the misdeed to the first receipt for a submission that was sent after the thread's end. */
  readonly firstSuccessMs: number;
  /** From the thread's end to that receipt. */
  readonly healedMs: number;
  /** From the thread's end to the last refusal of a submission that was under way then; null when none was refused. */
  readonly lastRefusalMs: number | null;
  /** Submissions that were answered 503 until then. */
  readonly refused: number;
  /** Those whose connection was cut. */
  readonly cut: number;
}

export interface Cell {
  readonly actor: ActorId;
  readonly misdeed: Misdeed;
  readonly rounds: readonly Round[];
}

export interface RecoveryReport {
  readonly cells: readonly Cell[];
  readonly acknowledged: number;
  readonly options: Pick<RecoveryOptions, 'rounds' | 'connections' | 'heartbeatMs'>;
  readonly faults: readonly string[];
}

const GRACE_MS = 15_000;
const BACK_LIMIT_MS = 30_000;
/** Uptime between two rounds, and from there until every standby is there, as it is in life a few seconds after a start. */
const PAUSE_MS = 1_500;
const STANDBY_LIMIT_MS = 30_000;
/** Load before the first round: until then much of the code has never run. */
const WARM_UP_MS = 15_000;

class Measurement {
  readonly #node: LocalNode;
  readonly #options: RecoveryOptions;
  readonly #load: KillLoad;
  readonly #faults: string[] = [];
  #sinceMs = Number.POSITIVE_INFINITY;
  #firstSuccess: ((atMs: number) => void) | null = null;
  #refusals: Attempt[] = [];
  #cut = 0;

  constructor(node: LocalNode, options: RecoveryOptions) {
    this.#node = node;
    this.#options = options;
    const key = parseClientKey(JSON.parse(readFileSync(join(node.dataDir, 'keys', 'dev-client.json'), 'utf8')));
    const onAttempt = (attempt: Attempt): void => this.#onAttempt(attempt);
    this.#load = new KillLoad({
      api: node.endpoints.api,
      key,
      connections: options.connections,
      graceMs: GRACE_MS,
      perSecond: 500,
      onAttempt,
    });
  }

  async run(): Promise<RecoveryReport> {
    const { actors = WORKING_ACTORS, misdeeds = MISDEEDS, rounds, progress } = this.#options;
    await this.#load.start();
    await pause(WARM_UP_MS);
    const cells: Cell[] = [];
    for (const actor of actors) {
      for (const misdeed of misdeeds) {
        const done: Round[] = [];
        for (let round = 0; round < rounds; round++) done.push(await this.#round(actor, misdeed));
        cells.push({ actor, misdeed, rounds: done });
        progress(`${actor} ${misdeed}: ${done.map(({ firstSuccessMs }) => Math.round(firstSuccessMs)).join(' ')} ms`);
      }
    }
    await this.#load.stop();
    const { code } = await this.#node.stop();
    if (code !== 0) this.#faults.push(`the node ended with ${code}`);
    const ledger = await checkLedger(this.#node.dataDir, this.#load.acknowledged);
    const abandoned = this.#load.abandoned.map((id) => `${id} was never acknowledged`);
    return {
      cells,
      acknowledged: this.#load.acknowledged.size,
      options: this.#options,
      faults: [...this.#faults, ...ledger.faults, ...abandoned],
    };
  }

  async #round(actor: ActorId, misdeed: Misdeed): Promise<Round> {
    await pause(PAUSE_MS * (0.9 + 0.2 * Math.random()));
    await standbysReady(this.#node, STANDBY_LIMIT_MS);
    const before = (await statusOf(this.#node)).find(({ id }) => id === actor)!.incarnation;
    const seen = this.#node.output.length;
    this.#refusals = [];
    this.#cut = 0;
    const success = new Promise<number>((resolve) => {
      this.#firstSuccess = resolve;
    });
    // The node's log has wall-clock times in milliseconds, of the same clock.
    const wallMs = Date.now();
    const startMs = performance.now();
    await admin(this.#node, 'POST', `/v1/admin/actors/${actor}/drill/${misdeed}`);
    const exited = await this.#line(seen, 'actor exited', actor, before);
    // What was sent before may have had its answer before the misdeed began.
    this.#sinceMs = performance.now();
    const up = await this.#line(seen, 'actor up', actor, before + 1);
    const successAtMs = await within(success, BACK_LIMIT_MS);
    this.#sinceMs = Number.POSITIVE_INFINITY;
    if (successAtMs === null) throw new Error(`no success within ${BACK_LIMIT_MS} ms of ${actor} ${misdeed}`);
    const endedMs = startMs + exited - wallMs;
    const underWay = this.#refusals.filter(({ sentAtMs }) => sentAtMs < endedMs);
    return {
      detectedMs: exited - wallMs,
      restartedMs: up - exited,
      firstSuccessMs: successAtMs - startMs,
      healedMs: successAtMs - endedMs,
      lastRefusalMs: underWay.length === 0 ? null : Math.max(...underWay.map(({ endedAtMs }) => endedAtMs - endedMs)),
      refused: this.#refusals.length,
      cut: this.#cut,
    };
  }

  /** When the node logged this of the actor, wall clock; looked for behind the first `from` characters of its output. */
  async #line(from: number, message: string, actor: ActorId, incarnation: number): Promise<number> {
    const untilMs = performance.now() + BACK_LIMIT_MS;
    while (performance.now() < untilMs) {
      for (const text of this.#node.output.slice(from).split('\n')) {
        if (!text.includes(message) || !text.endsWith('}')) continue;
        const line = JSON.parse(text) as Record<string, unknown>;
        if (line.msg === message && line.actor === actor && line.incarnation === incarnation) {
          return Date.parse(String(line.time));
        }
      }
      await pause(2);
    }
    throw new Error(
      `the node did not log "${message}" of ${actor} ${incarnation}:\n${this.#node.output.slice(-2_000)}`,
    );
  }

  #onAttempt(attempt: Attempt): void {
    const { sentAtMs, endedAtMs, ending, detail } = attempt;
    if (ending === 'final' && sentAtMs > this.#sinceMs) this.#firstSuccess?.(endedAtMs);
    if (ending === 'retry') this.#refusals.push(attempt);
    if (ending === 'connection') this.#cut += 1;
    if (ending === 'no-answer' || ending === 'wrong') this.#faults.push(detail);
  }
}

export async function measureRecovery(options: RecoveryOptions): Promise<RecoveryReport> {
  const node = await LocalNode.start({ env: supervisionFor(options) });
  try {
    return await new Measurement(node, options).run();
  } finally {
    await node.dispose();
  }
}

/** At once and without end: the policy and the budget are not what is measured. */
function supervisionFor({ heartbeatMs }: RecoveryOptions): Record<string, string> {
  const actors = WORKING_ACTORS.flatMap((actor) => {
    const prefix = `QUORATE_SUPERVISION_ACTORS_${actor.replace('-', '_').toUpperCase()}`;
    return [
      [`${prefix}_RESTART`, 'immediate'],
      [`${prefix}_HEARTBEAT_MS`, String(heartbeatMs)],
    ] as const;
  });
  return { ...Object.fromEntries(actors), QUORATE_SUPERVISION_BUDGET_INTENSITY: '1000' };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function within<T>(promise: Promise<T>, limitMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limitMs);
  });
  const first = await Promise.race([promise, limit]);
  clearTimeout(timer);
  return first;
}
