// The drill of failing syncs with a count that fits into a run of the tests; `npm run drill -- fsync-faults` has the full one.
import test, { type ExecutionContext } from 'ava';
import { type Fault, fsyncFaultsDrill, hasStrace } from './fsync-faults.js';

if (hasStrace()) {
  test('ST-1: EIO at a sync ends the process with 74, a kill in one loses nothing, the next start is clean', faults);
} else {
  test('strace is not installed: failing syncs were not tried', (t) => {
    t.is(process.env.CI, undefined, 'a machine that vouches for a change has to try them: install strace');
  });
}

async function faults(t: ExecutionContext): Promise<void> {
  t.timeout(240_000);
  const under = { syscall: 'fdatasync', fresh: false } as const;
  const faults: Fault[] = [
    { ...under, kind: 'eio', k: 1 },
    { ...under, kind: 'eio', k: 7 },
    { ...under, kind: 'kill', k: 5 },
    { syscall: 'fsync', fresh: true, kind: 'kill', k: 6 },
  ];
  const report = await fsyncFaultsDrill({ faults, connections: 16, seed: 7, log: (line) => t.log(line) });
  t.deepEqual(report.faults, []);
  t.deepEqual([report.done, report.missed], [faults.length, []]);
  t.true(report.client.acknowledged > 0);
  t.is(report.ledger.kept, report.client.acknowledged);
}
