// The kill drill with small counts; the command has the full ones. Times are the command's verdict, not this test's.
import test from 'ava';
import { actorKills } from './actor-kills.js';

test('RT-2, IN-8: actors killed under load: acknowledged is kept once, answers are 200, 202 or 503, nothing hangs', async (t) => {
  t.timeout(180_000);
  const load = { connections: 64, perSecond: 400, graceMs: 10_000 };
  const report = await actorKills({ ...load, rounds: 1, extra: { store: 10 }, storm: 6 });
  t.deepEqual(report.faults, []);
  t.is(report.kills.length, 17);
  t.true(report.acknowledged > 17 * 64);
});
