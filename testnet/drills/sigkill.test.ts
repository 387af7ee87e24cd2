// The drill of sudden death with a count that fits into a run of the tests; `npm run drill -- sigkill` has the full one.
import test from 'ava';
import { sigkillDrill } from './sigkill.js';

test('ST-1, IN-6, CO-7: killed under load and started again, a node keeps every answer that it gave', async (t) => {
  t.timeout(120_000);
  const seed = 20_261_120;
  const report = await sigkillDrill({ times: 5, connections: 32, seed, lifeMs: 300, log: (line) => t.log(line) });
  t.deepEqual(report.faults, []);
  const { acknowledged, replayed } = report.client;
  t.log(report.client);
  t.true(acknowledged > 0);
  t.is(report.ledger.kept, acknowledged, 'each with its receipt');
  t.true(replayed > 0, 'some were sent again, and answered as before');
});
