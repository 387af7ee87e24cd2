// The watchdog's question to the supervisor, over scripted actors: what deserves a restart of the process, and what not.
import test from 'ava';
import { ScriptedHost } from './kernel/fixtures/scripted-host.js';
import { actor, group, rig } from './kernel/fixtures/scripted-rig.js';
import { BETWEEN_STATES_MAX_MS, summaryOf, Vigil } from './vigil.js';

const SOUND = { ok: true, reason: '' };

function watched(tree: Parameters<typeof rig>[0], host = new ScriptedHost()) {
  const made = rig(tree, host);
  const phase = { stopping: false, ending: false };
  const vigil = new Vigil({
    status: () => made.supervisor.status(),
    stopping: () => phase.stopping,
    ending: () => phase.ending,
    monotonic: () => made.clock.monotonic(),
  });
  return { ...made, phase, vigil };
}

test('CF-6: an actor in backoff is sound as long as the budget lasts; once it is spent, the actor is down for good', async (t) => {
  const tree = group('root', 'one-for-one', [actor('a'), actor('b', { restart: 'backoff' })], 2);
  const { supervisor, host, settle, advance, fatal, states, vigil } = watched(tree);
  void supervisor.start();
  await settle();
  t.deepEqual(states(), { a: 'up', b: 'up' });
  t.deepEqual(vigil.look(), SOUND);
  for (let death = 1; death <= 2; death++) {
    host.living('b').die();
    await settle();
    t.is(states().b, 'backoff');
    t.deepEqual(vigil.look(), SOUND);
    await advance(1_000);
    t.is(states().b, 'up');
  }
  host.living('b').die();
  await settle();
  t.is(fatal.length, 1);
  t.deepEqual(vigil.look(), { ok: false, reason: 'b is down for good' });
});

test('CF-6: an actor that neither starts nor fails is waited for, but not for ever', async (t) => {
  const host = new ScriptedHost();
  host.starts.a = ['hangs'];
  // Its own limit for a start is far away: nobody but the vigil looks.
  const tree = group('root', 'one-for-one', [actor('a', { startTimeoutMs: 100 * BETWEEN_STATES_MAX_MS })]);
  const { supervisor, settle, advance, states, vigil } = watched(tree, host);
  supervisor.start().catch(() => undefined);
  await settle();
  t.is(states().a, 'starting');
  t.deepEqual(vigil.look(), SOUND);
  await advance(BETWEEN_STATES_MAX_MS);
  t.deepEqual(vigil.look(), SOUND);
  await advance(1);
  t.deepEqual(vigil.look(), { ok: false, reason: 'a is stuck (starting)' });
  await supervisor.kill('a');
  await settle();
  t.is(states().a, 'up');
  t.deepEqual(vigil.look(), SOUND, 'what comes up again is sound again');
});

test('CF-6: an ordered stop is sound, the end of a process that cannot go on is not', async (t) => {
  const { supervisor, settle, states, vigil, phase } = watched(group('root', 'one-for-one', [actor('a')]));
  void supervisor.start();
  await settle();
  phase.stopping = true;
  await supervisor.stop();
  t.deepEqual(states(), { a: 'stopped' });
  t.deepEqual(vigil.look(), SOUND);
  phase.ending = true;
  t.false(vigil.look().ok);
});

test('CF-6: the status line names who is not up and what fails', async (t) => {
  const { supervisor, host, settle } = watched(
    group('root', 'one-for-one', [actor('a'), actor('b', { restart: 'backoff' })]),
  );
  void supervisor.start();
  await settle();
  t.is(summaryOf(supervisor.status(), new Map()), '2 of 2 actors up');
  host.living('b').die();
  await settle();
  const reports = new Map([['a', new Map([['disk', { ok: false, detail: 'full' }]])]]);
  t.is(summaryOf(supervisor.status(), reports), '1 of 2 actors up, b is backoff, a:disk fails');
});
