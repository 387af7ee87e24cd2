// The drill of the slow disk: strace makes every sync of a running node take seconds, then lets go. Clients must get answers,
// readiness and a metric must name the disk, nothing may be restarted for it, and afterwards all is as before. Called by
// main.ts and by a test.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalNode } from '../local/node.js';
import { type ClientFigures, DrillClient } from './client.js';
import { checkLedger, type LedgerReport } from './ledger-check.js';
import { metric, readiness, within } from './observe.js';
import { drillNode, inDirectory, initialised, lastWords, up } from './subject.js';

export interface SlowDiskOptions {
  /** Of each sync. */
  readonly delayMs: number;
  /** How long the disk stays slow. */
  readonly slowMs: number;
  readonly connections: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

export interface SlowDiskReport {
  readonly client: ClientFigures;
  readonly ledger: LedgerReport;
  /** Longest that quorate_wal_fsync_stalled was seen at, seconds. */
  readonly stalledSeconds: number;
  readonly recoveryMs: number | null;
  readonly faults: readonly string[];
}

const SYNC_CHECK = 'wal-writer:sync';
const NOTICED_MS = 10_000;
const RECOVERED_MS = 30_000;

/** Whether strace is there and may trace a process that it did not start. */
export function canSlowDown(): boolean {
  if (spawnSync('strace', ['--version']).status !== 0) return false;
  const scope = '/proc/sys/kernel/yama/ptrace_scope';
  return process.getuid?.() === 0 || !existsSync(scope) || readFileSync(scope, 'utf8').trim() === '0';
}

export function slowDiskDrill(options: SlowDiskOptions): Promise<SlowDiskReport> {
  return inDirectory('slow-disk', options.log, (dataDir) => run(dataDir, options));
}

async function run(dataDir: string, options: SlowDiskOptions): Promise<SlowDiskReport> {
  const { connections, seed, log, delayMs, slowMs } = options;
  const faults: string[] = [];
  const key = await initialised(dataDir);
  const client = await DrillClient.create({ key, connections, seed, prefix: `w${seed}` });
  const node = drillNode(dataDir);
  let stalledSeconds = 0;
  let recoveryMs: number | null = null;
  try {
    client.start();
    await up(node, client);
    await within(NOTICED_MS, 'submissions are acknowledged', faults, () => client.figures.acknowledged > 0);
    const slow = slowDown(node, delayMs);
    const untilMs = performance.now() + slowMs;
    const before = { ...client.figures };
    await within(NOTICED_MS, `readiness names ${SYNC_CHECK}`, faults, async () =>
      (await readiness(node)).failing.has(SYNC_CHECK),
    );
    await within(NOTICED_MS, 'quorate_wal_fsync_stalled rises', faults, async () => {
      stalledSeconds = Math.max(stalledSeconds, await metric(node, 'quorate_wal_fsync_stalled'));
      return stalledSeconds >= 1;
    });
    await delay(Math.max(0, untilMs - performance.now()));
    const late = client.figures.durable + client.figures.deferred - before.durable - before.deferred;
    if (late === 0) faults.push('no client was told to wait: the disk was not slow');
    slow.kill('SIGTERM');
    await once(slow, 'exit');
    const acknowledged = client.figures.acknowledged;
    recoveryMs = await within(
      RECOVERED_MS,
      'submissions are acknowledged again',
      faults,
      () => client.figures.acknowledged > acknowledged,
    );
    await within(RECOVERED_MS, 'the node is ready again', faults, async () => (await readiness(node)).ready);
    log(`fast again: acknowledged after ${recoveryMs} ms, a sync was seen to take ${stalledSeconds.toFixed(1)} s`);
    faults.push(...(await restarts(node)));
    await client.finish();
    await within(
      RECOVERED_MS,
      'nothing is unsettled',
      faults,
      async () => (await metric(node, 'quorate_wal_unsettled_entries')) === 0,
    );
    const { code } = await node.stop();
    if (code !== 0) faults.push(`the node ended with ${code}:\n${lastWords(node)}`);
  } finally {
    await client.abandon();
    await node.dispose();
  }
  const ledger = await checkLedger(dataDir, client.promises);
  return {
    client: client.figures,
    ledger,
    stalledSeconds,
    recoveryMs,
    faults: [...faults, ...client.faults.slice(0, 20), ...ledger.faults],
  };
}

function slowDown(node: LocalNode, delayMs: number): ChildProcess {
  const inject = `inject=fdatasync:delay_enter=${delayMs * 1000}`;
  const words = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', inject, '-p', String(node.pid)];
  return spawn('strace', words, { stdio: 'ignore' });
}

/** A slow disk is no reason to restart anything. */
async function restarts(node: LocalNode): Promise<string[]> {
  const answer = await fetch(`${node.endpoints.ops}/v1/admin/actors`, {
    headers: { authorization: `Bearer ${node.adminToken}` },
  });
  const { actors } = (await answer.json()) as { actors: { id: string; restarts: number }[] };
  return actors
    .filter((actor) => actor.restarts > 0)
    .map(({ id, restarts: count }) => `${id} was restarted ${count} times`);
}
