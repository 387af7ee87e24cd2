// Threads that load while what they stand on comes up, and deaths that are a neighbour's.
import test from 'ava';
import { actor, group, rig } from './fixtures/scripted-rig.js';

test('RT-5: actors that come up one after the other load side by side, and begin in order', async (t) => {
  const { supervisor, host, settle, states } = rig(group('root', 'rest-for-one', [actor('a'), actor('b'), actor('c')]));
  await supervisor.start();
  host.starts.b = ['hangs'];
  host.living('a').die();
  await settle();
  t.deepEqual(host.journal.slice(-3), ['spawn a 2', 'spawn b 2', 'spawn c 2']);
  t.deepEqual(states(), { a: 'up', b: 'starting', c: 'waiting' });
  t.deepEqual(host.living('c').calls, [], 'nothing was asked of it yet');
});

test('RT-5: an actor that only loads goes on when what it waits for dies again', async (t) => {
  const { supervisor, host, settle, states, fatal } = rig(group('root', 'rest-for-one', [actor('a'), actor('b')]));
  host.starts.a = ['throws', 'throws'];
  await supervisor.start();
  await settle();
  t.deepEqual(states(), { a: 'up', b: 'up' });
  t.deepEqual(
    host.journal.filter((line) => line.startsWith('spawn')),
    ['spawn a 1', 'spawn b 1', 'spawn a 2', 'spawn a 3'],
  );
  t.deepEqual(fatal, []);
});

test('RT-5: a module that cannot be loaded is a failure of its own, also while others start', async (t) => {
  const { supervisor, host, settle, fatal } = rig(group('root', 'rest-for-one', [actor('a'), actor('b')], 1));
  host.starts.a = ['hangs'];
  void supervisor.start().catch(() => {});
  for (let death = 0; death < 2; death++) {
    await settle();
    host.living('b').die();
  }
  await settle();
  t.is(fatal.length, 1);
});

test('RT-5: who ends because of a neighbour that died first has not failed: no budget, no backoff', async (t) => {
  const core = group('core', 'rest-for-one', [actor('a'), actor('b', { restart: 'backoff' })], 0);
  const { supervisor, host, settle, states, fatal } = rig(core);
  await supervisor.start();
  host.living('a').mortal = false;
  const killed = supervisor.kill('a');
  host.living('b').die();
  await settle();
  host.living('a').mortal = true;
  host.living('a').die();
  await killed;
  await settle();
  t.deepEqual(states(), { a: 'up', b: 'up' });
  t.deepEqual(fatal, []);
  t.deepEqual(
    supervisor.status().map(({ failures }) => failures),
    [0, 0],
  );
});
