// Kill drill: actors of a living node are killed in turn and again while clients submit. Called by main.ts with full counts
// and by its test with small ones.
// It must never forgive: whatever was not promised for a kill is a fault, and the exit code is the verdict.
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { parseClientKey } from '../../client/sign.js';
import { ACTOR_IDS, type ActorId } from '../../config/schema.js';
import { LocalNode } from '../local/node.js';
import { checkLedger, type LedgerFindings } from './actor-kills-ledger.js';
import { type Attempt, KillLoad } from './actor-kills-load.js';
import { reportText } from './actor-kills-report.js';
import { admin, type Status, statusOf } from './admin.js';
import { standbysReady } from './observe.js';

export interface ActorKillsOptions {
  readonly connections: number;
  /** Submissions a second at most; default: as many as are answered. */
  readonly perSecond?: number;
  /** Kills of each actor, in turn: round after round. */
  readonly rounds: number;
  /** Each of these when every actor has a thread ready for its next start, as a few seconds after the last one. */
  readonly prepared?: boolean;
  /** Further kills of one actor, one at the heels of the other: its own trap may need many to close. */
  readonly extra?: Readonly<Partial<Record<ActorId, number>>>;
  /** Then so many kills of anyone, without waiting for the recovery from the one before. */
  readonly storm?: number;
  /** A call that is not answered this long after its wait hangs. */
  readonly graceMs?: number;
  readonly progress?: (line: string) => void;
}

export interface Kill {
  readonly actor: ActorId;
  /** From the request to kill until the first submission that was sent after the kill was done has succeeded. */
  readonly recoveredMs: number;
  /** From the request to kill until every actor was up again. */
  readonly allUpMs: number;
  /** Answers that came between this kill and the next, by ending. */
  readonly endings: Readonly<Record<string, number>>;
}

export interface ActorKillsReport {
  readonly kills: readonly Kill[];
  readonly acknowledged: number;
  readonly attempts: number;
  readonly slowestMs: number;
  /** Kinds of answers and errors, with their numbers. */
  readonly details: Readonly<Record<string, number>>;
  readonly ledger: LedgerFindings;
  /** Reader slots in use when the node was about to stop. */
  readonly readerSlots: number;
  /** From the end of the load until nothing was under way any more. */
  readonly settledMs: number;
  /** The machine's load average while the drill ran: times mean little where others want the same cores. */
  readonly loadAverage: number;
  /** Promises that were broken. */
  readonly faults: readonly string[];
  /** Recoveries that took too long: a verdict on this machine at this time. */
  readonly slow: readonly string[];
}

/** The first success after a kill must come within this; the slowest kill of each actor counts. */
const RECOVERY_LIMIT_MS = 1_000;
const GRACE_MS = 1_000;
const BACK_LIMIT_MS = 30_000;
/** Work of the node's own that clients do not wait for: entries of lost appends are looked for every 30 s. */
const SETTLE_LIMIT_MS = 45_000;
const POLL_MS = 5;
/** Successes between the end of one kill and the next, so that each kill hits a node at full work. */
const SUCCESSES_BETWEEN = 64;
const SPREAD_MS = 60;
const STORM_PAUSE_MS = 300;
const FAULTS_MAX = 50;
/** Reasons of an exit that the drill asks for: the kill itself, and neighbours that are taken along. */
const EXPECTED_EXITS = new Set(['killed', 'stopped']);

class Drill {
  readonly #node: LocalNode;
  readonly #options: ActorKillsOptions;
  readonly #load: KillLoad;
  readonly #kills: Kill[] = [];
  readonly #faults: string[] = [];
  readonly #details: Record<string, number> = {};
  #endings: Record<string, number> = {};
  #attempts = 0;
  #slowestMs = 0;
  #successes = 0;
  /** Who was killed last. Only the end of ingress breaks connections. */
  #killed: ActorId | 'anyone' | null = null;
  /** Only requests sent after this moment prove that the node is back. */
  #doneAtMs = Number.POSITIVE_INFINITY;
  #recovered: ((atMs: number) => void) | null = null;

  constructor(node: LocalNode, options: ActorKillsOptions) {
    this.#node = node;
    this.#options = options;
    const key = parseClientKey(JSON.parse(readFileSync(join(node.dataDir, 'keys', 'dev-client.json'), 'utf8')));
    const onAttempt = (attempt: Attempt): void => this.#onAttempt(attempt);
    const { connections, perSecond = Number.POSITIVE_INFINITY, graceMs = GRACE_MS } = options;
    this.#load = new KillLoad({ api: node.endpoints.api, key, connections, perSecond, graceMs, onAttempt });
  }

  async run(): Promise<ActorKillsReport> {
    await this.#load.start();
    for (const { actor, prepared } of this.#plan()) {
      if (!(await this.#killOnce(actor, prepared))) break;
    }
    if (this.#faults.length === 0) await this.#storm();
    await this.#load.stop();
    const settledMs = await this.#settled();
    await this.#checkSupervision();
    const readerSlots = await this.#readerSlots();
    const { code } = await this.#node.stop();
    if (code !== 0) this.#fault(`the node ended with ${code} after the drill`);
    this.#checkExits();
    const ledger = await checkLedger(this.#node.dataDir, this.#load.acknowledged);
    for (const text of ledger.faults) this.#fault(text);
    for (const id of this.#load.abandoned) this.#fault(`${id} was never acknowledged`);
    return {
      kills: this.#kills,
      acknowledged: this.#load.acknowledged.size,
      attempts: this.#attempts,
      slowestMs: this.#slowestMs,
      details: this.#details,
      ledger,
      readerSlots,
      settledMs,
      loadAverage: loadavg()[0]!,
      faults: this.#faults,
      slow: this.#slow(),
    };
  }

  #plan(): { readonly actor: ActorId; readonly prepared: boolean }[] {
    const { rounds, prepared = false, extra = {} } = this.#options;
    const inTurn = Array.from({ length: rounds }, () => ACTOR_IDS).flat();
    const further = ACTOR_IDS.flatMap((actor) => Array.from({ length: extra[actor] ?? 0 }, () => actor));
    return [...inTurn.map((actor) => ({ actor, prepared })), ...further.map((actor) => ({ actor, prepared: false }))];
  }

  /** One kill and the recovery from it. False when the node is gone, or did not come back. */
  async #killOnce(actor: ActorId, prepared: boolean): Promise<boolean> {
    if (prepared) await standbysReady(this.#node, BACK_LIMIT_MS);
    await this.#steady();
    if (this.#node.hasExited) return this.#gone(actor);
    this.#endings = {};
    this.#killed = actor;
    const before = await this.#status();
    const killedAtMs = performance.now();
    const recovery = new Promise<number>((resolve) => {
      this.#recovered = resolve;
    });
    await this.#admin('POST', `/v1/admin/actors/${actor}/kill`);
    this.#doneAtMs = performance.now();
    const [recoveredAtMs, upAtMs] = await Promise.all([within(recovery, BACK_LIMIT_MS), this.#allUp(before, actor)]);
    this.#doneAtMs = Number.POSITIVE_INFINITY;
    if (this.#node.hasExited) return this.#gone(actor);
    if (recoveredAtMs === null || upAtMs === null) {
      const states = (await this.#status()).map(({ id, state }) => `${id} ${state}`).join(', ');
      this.#fault(`after a kill of ${actor} the node was not back within ${BACK_LIMIT_MS} ms: ${states}`);
      return false;
    }
    const kill = {
      actor,
      recoveredMs: recoveredAtMs - killedAtMs,
      allUpMs: upAtMs - killedAtMs,
      endings: this.#endings,
    };
    this.#kills.push(kill);
    this.#options.progress?.(
      `${this.#kills.length} ${actor}: ${Math.round(kill.recoveredMs)} ms, ${JSON.stringify(kill.endings)}`,
    );
    return true;
  }

  /** Kills that hit actors on their way down, while they load and in their init. */
  async #storm(): Promise<void> {
    const { storm = 0 } = this.#options;
    if (storm === 0) return;
    await this.#steady();
    const before = await this.#status();
    this.#killed = 'anyone';
    for (let count = 0; count < storm && !this.#node.hasExited; count++) {
      const actor = ACTOR_IDS[Math.floor(Math.random() * ACTOR_IDS.length)]!;
      await this.#admin('POST', `/v1/admin/actors/${actor}/kill`);
      await pause(STORM_PAUSE_MS * Math.random());
    }
    const back = await this.#allUp(before, null);
    if (back === null) this.#fault(`the node was not back within ${BACK_LIMIT_MS} ms of ${storm} kills in a row`);
  }

  #gone(actor: ActorId): false {
    this.#fault(`the node ended after a kill of ${actor}: ${this.#node.output.slice(-1_000)}`);
    return false;
  }

  /** The load runs as before; then a moment of no certain length, so that kills hit every state of work. */
  async #steady(): Promise<void> {
    const wanted = this.#successes + SUCCESSES_BETWEEN;
    await until(() => this.#successes >= wanted || this.#node.hasExited, BACK_LIMIT_MS);
    await pause(SPREAD_MS * Math.random());
  }

  /** When every actor was seen up, the killed one in another incarnation; null when that took too long. */
  async #allUp(before: readonly Status[], killed: ActorId | null): Promise<number | null> {
    const was = before.find(({ id }) => id === killed)?.incarnation ?? 0;
    const isUp = ({ id, state, incarnation }: Status): boolean =>
      state === 'up' && (id !== killed || incarnation > was);
    const untilMs = performance.now() + BACK_LIMIT_MS;
    while (performance.now() < untilMs && !this.#node.hasExited) {
      if ((await this.#status()).every(isUp)) return performance.now();
      await pause(POLL_MS);
    }
    return null;
  }

  #onAttempt({ sentAtMs, endedAtMs, ending, detail }: Attempt): void {
    this.#attempts += 1;
    this.#slowestMs = Math.max(this.#slowestMs, endedAtMs - sentAtMs);
    this.#endings[ending] = (this.#endings[ending] ?? 0) + 1;
    this.#details[detail] = (this.#details[detail] ?? 0) + 1;
    // A 202 may come from the log alone: that the node is back is shown by a receipt.
    if (ending === 'final') {
      this.#successes += 1;
      if (sentAtMs > this.#doneAtMs) this.#recovered?.(endedAtMs);
    } else if (ending === 'no-answer' || ending === 'wrong') {
      this.#fault(`after a kill of ${this.#killed}: ${detail}`);
    } else if (ending === 'connection' && this.#killed !== 'ingress' && this.#killed !== 'anyone') {
      this.#fault(`a connection error (${detail}) after a kill of ${this.#killed}, which holds no connection`);
    }
  }

  /** The clients are gone: what the node still has in hand must come to an end by itself. */
  async #settled(): Promise<number> {
    const startMs = performance.now();
    let left = '';
    while (performance.now() - startMs < SETTLE_LIMIT_MS && !this.#node.hasExited) {
      const door = await this.#admin('GET', '/v1/admin/actors/ingress');
      const log = await this.#admin('GET', '/v1/admin/actors/wal-writer');
      const consensus = await this.#admin('GET', '/v1/admin/actors/consensus');
      const counts: Record<string, unknown> = {
        ...door,
        unsettled: log.unsettled,
        mempool: consensus.mempool,
        unwritten: consensus.unwritten,
      };
      left = Object.entries(counts)
        .filter(([, count]) => count !== 0)
        .map(([name, count]) => `${name} ${count}`)
        .join(', ');
      if (left === '') return performance.now() - startMs;
      await pause(100);
    }
    this.#fault(`${SETTLE_LIMIT_MS} ms after the load the node still has: ${left}`);
    return performance.now() - startMs;
  }

  /** An operator's kill is no failure: it spends no budget, opens no breaker, lengthens no backoff. */
  async #checkSupervision(): Promise<void> {
    if (this.#node.hasExited) return;
    for (const { id, failures, breaker } of await this.#status()) {
      if (failures !== 0 || breaker !== 'closed')
        this.#fault(`${id} has ${failures} failures and a breaker that is ${breaker}`);
    }
  }

  #checkExits(): void {
    for (const { msg, actor, reason, detail } of this.#node.logs()) {
      if (msg !== 'actor exited' || EXPECTED_EXITS.has(String(reason))) continue;
      // In a storm an init may find the actor gone that it asks something of.
      if (reason === 'start_failed' && (this.#options.storm ?? 0) > 0) continue;
      this.#fault(`${actor} ${reason}, which nobody asked for: ${detail}`);
    }
  }

  #slow(): string[] {
    return ACTOR_IDS.flatMap((actor) => {
      const times = this.#kills.filter((kill) => kill.actor === actor).map(({ recoveredMs }) => recoveredMs);
      const slow = times.filter((ms) => ms > RECOVERY_LIMIT_MS).length;
      if (slow === 0) return [];
      return `${actor}: after ${slow} of ${times.length} kills the first success came later than ${RECOVERY_LIMIT_MS} ms`;
    });
  }

  /** A thread that dies must give its slot in the reader table back: there are 126. */
  async #readerSlots(): Promise<number> {
    if (this.#node.hasExited) return Number.NaN;
    const ledger = open({ path: join(this.#node.dataDir, 'ledger', 'index'), readOnly: true, maxDbs: 8 });
    const slots = ledger.readerList().trim().split('\n').length - 1;
    await ledger.close();
    if (slots > ACTOR_IDS.length)
      this.#fault(`${slots} reader slots are in use, by at most ${ACTOR_IDS.length} threads`);
    return slots;
  }

  #status(): Promise<readonly Status[]> {
    return statusOf(this.#node);
  }

  #admin(method: 'GET' | 'POST', path: string): Promise<Record<string, unknown>> {
    return admin(this.#node, method, path);
  }

  #fault(text: string): void {
    if (this.#faults.length < FAULTS_MAX) this.#faults.push(text);
  }
}

export async function actorKills(options: ActorKillsOptions): Promise<ActorKillsReport> {
  const node = await LocalNode.start({ env: { QUORATE_SUPERVISION_STANDBY: 'true' } });
  try {
    return await new Drill(node, options).run();
  } finally {
    await node.dispose();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(done: () => boolean, limitMs: number): Promise<void> {
  const untilMs = performance.now() + limitMs;
  while (!done() && performance.now() < untilMs) await pause(POLL_MS);
}

function within(moment: Promise<number>, limitMs: number): Promise<number | null> {
  return Promise.race([moment, pause(limitMs).then(() => null)]);
}

/** `store=200` */
function extraOf(text: string): [ActorId, number] {
  const [name, count] = text.split('=');
  const actor = ACTOR_IDS.find((id) => id === name);
  if (actor === undefined || !/^\d+$/.test(count ?? ''))
    throw new Error(`--extra ${text}: allowed is ACTOR=COUNT with one of ${ACTOR_IDS.join(', ')}`);
  return [actor, Number(count)];
}

export interface ActorKillsCounts {
  readonly connections: number;
  readonly rounds: number;
  /** `ACTOR=COUNT`. Throws for anything else. */
  readonly extra: readonly string[];
  readonly storm: number;
  readonly log: (line: string) => void;
}

/**
 * The drill with full counts. Each part has a node of its own: the log grows with every submission, and restarts read it.
 * False when a promise was broken, or a recovery took too long.
 */
export async function actorKillsDrill({ connections, rounds, extra, storm, log }: ActorKillsCounts): Promise<boolean> {
  const parts: Pick<ActorKillsOptions, 'rounds' | 'prepared' | 'extra' | 'storm'>[] = [
    { rounds, prepared: true },
    ...extra.map((text) => ({ rounds: 0, extra: Object.fromEntries([extraOf(text)]) })),
    { rounds: 0, storm },
  ];
  let kept = true;
  for (const part of parts) {
    const report = await actorKills({ connections, ...part });
    log(`${JSON.stringify(part)}\n${reportText(report)}`);
    kept &&= report.faults.length === 0 && report.slow.length === 0;
  }
  return kept;
}
