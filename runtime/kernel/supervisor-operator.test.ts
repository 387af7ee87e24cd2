// What an operator does at awkward moments: starting by hand what a breaker holds, killing what is being ended anyway.
import test from 'ava';
import { ScriptedHost } from './fixtures/scripted-host.js';
import { actor, group, rig } from './fixtures/scripted-rig.js';

test('RT-3: an actor that is started by hand while its breaker is open closes it by staying up', async (t) => {
  const tree = group('root', 'one-for-one', [actor('a', { restart: 'circuit-breaker' })]);
  const { supervisor, host, settle, advance } = rig(tree);
  await supervisor.start();
  for (const delayMs of [100, 200, 400, 800]) {
    host.living('a').die();
    await settle();
    await advance(delayMs);
  }
  host.living('a').die();
  await settle();
  await supervisor.restart('a');
  t.like(supervisor.status()[0], { state: 'up', breaker: 'open' });
  // Successes at 30 s and 60 s of uptime; the first counts for nothing, for the breaker is open for 60 s.
  await advance(30_000);
  t.like(supervisor.status()[0], { breaker: 'open', failures: 0 });
  await advance(90_000);
  t.like(supervisor.status()[0], { state: 'up', breaker: 'closed', incarnation: 6 });
});

test('RT-3: a kill of an incarnation that is being ended for a failure does not make the failure undone', async (t) => {
  const host = new ScriptedHost();
  host.starts.a = ['hangs'];
  const tree = group('root', 'one-for-one', [actor('a', { restart: 'backoff', startTimeoutMs: 1 })]);
  const { supervisor, settle } = rig(tree, host);
  void supervisor.start();
  const first = host.living('a');
  first.mortal = false;
  await settle();
  void supervisor.kill('a');
  await settle();
  first.die();
  await settle();
  t.is(supervisor.status()[0]!.lastExit?.reason, 'start_timeout');
  t.like(supervisor.status()[0], { state: 'backoff', failures: 1 });
});
