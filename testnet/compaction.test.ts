// A real node whose log is compacted: by command while it runs and while it is stopped, killed in between, and held to
// everything that it acknowledged.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { DrillClient } from './drills/client.js';
import { checkAnswers, checkLedger } from './drills/ledger-check.js';
import { drillNode, initialised, up } from './drills/subject.js';
import { command } from './lifecycle/support.js';

const ENV = { QUORATE_WAL_RETENTION_BYTES: '1073741824', QUORATE_WAL_COMPACT_INTERVAL_MS: '86400000' };

interface Freed {
  readonly segments: number;
  readonly bytes: number;
  readonly firstLsn: number;
  readonly skipped: string | null;
}

async function compact(t: ExecutionContext, dataDir: string, ...words: string[]): Promise<Freed> {
  const { code, stdout, stderr } = await command(['wal', 'compact', '--data-dir', dataDir, '--json', ...words]);
  t.is(code, 0, stderr);
  return JSON.parse(stdout) as Freed;
}

function segmentsOf(dataDir: string): number {
  return readdirSync(join(dataDir, 'wal')).filter((name) => name.endsWith('.seg')).length;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('ST-2: the log is compacted running, killed and stopped, and nothing acknowledged is lost', async (t) => {
  t.timeout(120_000);
  const dataDir = join(mkdtempSync(join(tmpdir(), 'quorate-compaction-')), 'data');
  t.teardown(() => rmSync(join(dataDir, '..'), { recursive: true, force: true }));
  const key = await initialised(dataDir);
  const client = await DrillClient.create({ key, connections: 8, seed: 3, prefix: 'c', bodyBytes: 20_000 });
  const first = drillNode(dataDir, [], ENV);
  t.teardown(() => first.dispose());
  await up(first, client);
  client.start();
  await until(() => segmentsOf(dataDir) >= 4);
  const running = await compact(t, dataDir, '--all');
  t.true(running.segments >= 2);
  t.true(running.firstLsn > 1);
  t.is(running.skipped, null);
  t.true(existsSync(join(dataDir, 'wal', 'floor')));
  const before = client.figures.acknowledged;
  await until(() => client.figures.acknowledged > before + 20);
  await first.kill();
  client.pointAt(null);

  const second = drillNode(dataDir, [], ENV);
  t.teardown(() => second.dispose());
  await up(second, client);
  await until(() => segmentsOf(dataDir) >= 3);
  await client.finish();
  t.deepEqual(client.faults, []);
  t.deepEqual((await checkAnswers(second.endpoints.api, client.promises, 50)).faults, []);
  t.is((await second.stop()).code, 0);
  const verified = await command(['wal', 'verify', '--data-dir', dataDir]);
  t.is(verified.code, 0, verified.stderr);

  const stopped = await compact(t, dataDir, '--all');
  t.true(stopped.segments >= 1);
  t.true(stopped.firstLsn > running.firstLsn);
  t.regex(readFileSync(join(dataDir, 'audit.jsonl'), 'utf8'), /"event":"wal_compact"/);
  t.is((await compact(t, dataDir, '--all')).segments, 0);
  const third = drillNode(dataDir, [], ENV);
  t.teardown(() => third.dispose());
  await up(third, client);
  t.is((await fetch(`${third.endpoints.ops}/readyz`)).status, 200);
  t.deepEqual((await checkAnswers(third.endpoints.api, client.promises, 50)).faults, []);
  t.is((await third.stop()).code, 0);
  client.pointAt(null);
  const ledger = await checkLedger(dataDir, client.promises);
  t.deepEqual(ledger.faults, []);
  t.is(ledger.kept, client.figures.acknowledged);

  // What the log has no longer, it cannot give a lost ledger again: the start says so, and builds on nothing.
  rmSync(join(dataDir, 'ledger'), { recursive: true });
  const without = drillNode(dataDir, [], ENV);
  t.teardown(() => without.dispose());
  await without.exited;
  const last = JSON.parse(readFileSync(join(dataDir, 'run', 'last-exit.json'), 'utf8')) as {
    code: number;
    reason: string;
  };
  t.is(last.code, 65);
  t.regex(last.reason, /the ledger is at height 0, and the log .* Restore a backup of the whole data directory/);
});
