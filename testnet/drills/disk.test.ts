// The drills of the full and the slow disk with counts that fit into a run of the tests; `npm run drill` has the full ones.
import test, { type ExecutionContext } from 'ava';
import { canMount, fullDiskDrill } from './full-disk.js';
import { canSlowDown, slowDiskDrill } from './slow-disk.js';

if (canMount()) {
  test.serial('ST-2: a full disk: 507 before the end, nothing lost, a start on it, and it goes on by itself', fullDisk);
} else {
  test('no tmpfs can be mounted: a full disk was not tried', (t) => {
    t.is(process.env.CI, undefined, 'a machine that vouches for a change has to try it: run this as root');
  });
}

if (canSlowDown()) {
  test.serial(
    'ST-2: a slow disk: clients are answered, readiness and a metric name it, nothing is restarted',
    slowDisk,
  );
} else {
  test('strace cannot trace a running node: a slow disk was not tried', (t) => {
    t.is(
      process.env.CI,
      undefined,
      'a machine that vouches for a change has to try it: install strace, run this as root',
    );
  });
}

async function fullDisk(t: ExecutionContext): Promise<void> {
  t.timeout(120_000);
  const report = await fullDiskDrill({ times: 0, connections: 16, seed: 11, log: (line) => t.log(line) });
  t.deepEqual(report.faults, []);
  t.true(report.client.acknowledged > 0 && report.client.refusedFull > 0);
  t.is(report.ledger.kept, report.client.acknowledged);
}

async function slowDisk(t: ExecutionContext): Promise<void> {
  t.timeout(120_000);
  const timing = { delayMs: 1_300, slowMs: 4_000 };
  const report = await slowDiskDrill({ ...timing, connections: 16, seed: 12, log: (line) => t.log(line) });
  t.deepEqual(report.faults, []);
  t.true(report.stalledSeconds >= 1);
  t.is(report.ledger.kept, report.client.acknowledged);
}
