// A node under steady load while some actor is killed, crashes or hangs every two seconds: nothing acknowledged is lost, and
// memory, descriptors and threads are at the end what they were. Called by main.ts.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseClientKey } from '../../client/sign.js';
import { MISDEEDS } from '../../runtime/kernel/misdeeds.js';
import { LocalNode } from '../local/node.js';
import { checkLedger } from './actor-kills-ledger.js';
import { type Attempt, KillLoad } from './actor-kills-load.js';
import { admin, statusOf } from './admin.js';
import { Random } from './random.js';
import { WORKING_ACTORS } from './recovery.js';

export interface ChaosOptions {
  readonly minutes: number;
  readonly perSecond: number;
  readonly connections: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

export interface ChaosReport {
  readonly seed: number;
  readonly attempts: number;
  readonly acknowledged: number;
  readonly harms: Readonly<Record<string, number>>;
  readonly endings: Readonly<Record<string, number>>;
  /** Medians of each minute, MiB. */
  readonly rssMib: readonly number[];
  /** Of it, what is the process's own: not the pages of the ledger's file that the system has mapped in. */
  readonly ownMib: readonly number[];
  readonly descriptors: readonly number[];
  readonly threads: readonly number[];
  readonly faults: readonly string[];
}

const EVERY_MS = 2_000;
const SAMPLE_MS = 250;
const GRACE_MS = 15_000;
const HEARTBEAT_MS = 500;
/** Last minute against second minute. */
const RSS_RATIO_MAX = 1.1;
const BACK_LIMIT_MS = 30_000;
/** Half of the harm is a plain kill. */
const HARMS = [...MISDEEDS, ...MISDEEDS.map(() => 'kill' as const)];

interface Sample {
  readonly atMs: number;
  readonly rssMib: number;
  readonly ownMib: number;
  readonly descriptors: number;
  readonly threads: number;
}

export async function chaosDrill(options: ChaosOptions): Promise<ChaosReport> {
  const env = { QUORATE_SUPERVISION_BUDGET_INTENSITY: '1000', QUORATE_SUPERVISION_BACKOFF_CEILING_MS: '200' };
  // As the shipped unit starts it: memory is measured.
  const memory = { MALLOC_ARENA_MAX: '2' };
  const breaker = { QUORATE_SUPERVISION_BREAKER_FAILURES: '1000' };
  const heartbeats = WORKING_ACTORS.map((actor) => [
    `QUORATE_SUPERVISION_ACTORS_${actor.replace('-', '_').toUpperCase()}_HEARTBEAT_MS`,
    String(HEARTBEAT_MS),
  ]);
  const node = await LocalNode.start({ env: { ...env, ...memory, ...breaker, ...Object.fromEntries(heartbeats) } });
  try {
    return await run(node, options);
  } finally {
    await node.dispose();
  }
}

async function run(
  node: LocalNode,
  { minutes, perSecond, connections, seed, log }: ChaosOptions,
): Promise<ChaosReport> {
  const faults: string[] = [];
  const endings: Record<string, number> = {};
  const harms: Record<string, number> = {};
  let attempts = 0;
  const onAttempt = ({ ending, detail }: Attempt): void => {
    attempts += 1;
    endings[ending] = (endings[ending] ?? 0) + 1;
    if (ending === 'no-answer' || ending === 'wrong') faults.push(detail);
  };
  const key = parseClientKey(JSON.parse(readFileSync(join(node.dataDir, 'keys', 'dev-client.json'), 'utf8')));
  const load = new KillLoad({ api: node.endpoints.api, key, connections, graceMs: GRACE_MS, perSecond, onAttempt });
  await load.start();
  const samples: Sample[] = [];
  const sampling = setInterval(() => {
    if (!node.hasExited) samples.push(sample(node.process.pid!));
  }, SAMPLE_MS);
  const random = new Random(seed);
  const endAtMs = performance.now() + minutes * 60_000;
  while (performance.now() < endAtMs && !node.hasExited) {
    await pause(EVERY_MS);
    const actor = WORKING_ACTORS[random.between(0, WORKING_ACTORS.length - 1)]!;
    const harm = HARMS[random.between(0, HARMS.length - 1)]!;
    const how = harm === 'kill' ? 'kill' : `drill/${harm}`;
    // One that is down already cannot be harmed.
    await admin(node, 'POST', `/v1/admin/actors/${actor}/${how}`).catch(() => undefined);
    harms[`${actor} ${harm}`] = (harms[`${actor} ${harm}`] ?? 0) + 1;
  }
  clearInterval(sampling);
  if (node.hasExited) faults.push(`the node ended: ${node.output.slice(-2_000)}`);
  else await settled(node, faults);
  if (!node.hasExited) await load.stop();
  if (!node.hasExited && (await node.stop()).code !== 0) faults.push('the node did not end with 0');
  const ledger = await checkLedger(node.dataDir, load.acknowledged);
  faults.push(...ledger.faults, ...load.abandoned.map((id) => `${id} was never acknowledged`));
  const perMinute = (pick: (sample: Sample) => number) => medians(samples, pick);
  const report = {
    seed,
    attempts,
    acknowledged: load.acknowledged.size,
    harms,
    endings,
    rssMib: perMinute(({ rssMib }) => rssMib),
    ownMib: perMinute(({ ownMib }) => ownMib),
    descriptors: perMinute(({ descriptors }) => descriptors),
    threads: perMinute(({ threads }) => threads),
  };
  faults.push(...grown(report));
  log(`${Object.values(harms).reduce((sum, count) => sum + count, 0)} harms in ${minutes} minutes`);
  return { ...report, faults };
}

/** Everyone is up again once the harm has ended. */
async function settled(node: LocalNode, faults: string[]): Promise<void> {
  const untilMs = performance.now() + BACK_LIMIT_MS;
  while (performance.now() < untilMs) {
    if ((await statusOf(node)).every(({ state }) => state === 'up')) return;
    await pause(20);
  }
  faults.push(`not everyone was up ${BACK_LIMIT_MS} ms after the last harm`);
}

/**
 * The first minute warms up: what a node grows to is compared from the second one on. The ledger grows with what is submitted,
 * and the system maps in of its file what it likes: that is shown, and not judged.
 */
function grown({ ownMib, descriptors, threads }: Pick<ChaosReport, 'ownMib' | 'descriptors' | 'threads'>): string[] {
  if (ownMib.length < 3) return [];
  const faults: string[] = [];
  const ratio = ownMib.at(-1)! / ownMib[1]!;
  if (ratio > RSS_RATIO_MAX) faults.push(`resident memory grew from ${ownMib[1]} to ${ownMib.at(-1)} MiB`);
  for (const [what, counts] of Object.entries({ descriptors, threads })) {
    // A restart that is under way holds a thread and a few descriptors more.
    if (counts.at(-1)! > counts[1]! + 3) faults.push(`${what} grew from ${counts[1]} to ${counts.at(-1)}`);
  }
  return faults;
}

function sample(pid: number): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return {
    atMs: performance.now(),
    rssMib: number('VmRSS') / 1024,
    ownMib: number('RssAnon') / 1024,
    threads: number('Threads'),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  };
}

function medians(samples: readonly Sample[], pick: (sample: Sample) => number): number[] {
  const startMs = samples[0]?.atMs ?? 0;
  const minutes = new Map<number, number[]>();
  for (const each of samples) {
    const minute = Math.floor((each.atMs - startMs) / 60_000);
    minutes.set(minute, [...(minutes.get(minute) ?? []), pick(each)]);
  }
  // What the drill ran over its last full minute says little.
  const full = [...minutes.values()].filter((values) => values.length > 30_000 / SAMPLE_MS);
  return full.map((values) => Math.round(values.sort((a, b) => a - b)[values.length >> 1]!));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
