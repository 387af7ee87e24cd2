// What the supervisor decides, over a host without threads and a clock that a test moves: policies, budgets,
// strategies, deaths at awkward moments.
import test from 'ava';
import type { Registry } from 'prom-client';
import { ManualClock } from './clock.js';
import { ScriptedHost } from './fixtures/scripted-host.js';
import { actor, group, rig } from './fixtures/scripted-rig.js';

async function metric(registry: Registry, name: string, labels: Record<string, string>): Promise<number | undefined> {
  const found = (await registry.getMetricsAsJSON()).find((each) => each.name === name);
  return found?.values.find((value) => Object.entries(labels).every(([key, wanted]) => value.labels[key] === wanted))
    ?.value;
}

test('RT-5: rest-for-one: the later ones are stopped in reverse before the dead one starts, then all start in order', async (t) => {
  const { supervisor, host, settle } = rig(
    group('root', 'rest-for-one', [actor('a'), actor('b'), actor('c'), actor('d')]),
  );
  await supervisor.start();
  host.journal.length = 0;
  host.living('b').die();
  await settle();
  t.deepEqual(host.journal, ['stop d 1', 'end d 1', 'stop c 1', 'end c 1', 'spawn b 2', 'spawn c 2', 'spawn d 2']);
});

test('RT-5: one-for-one: only the dead one comes back', async (t) => {
  const { supervisor, host, settle } = rig(group('root', 'one-for-one', [actor('a'), actor('b'), actor('c')]));
  await supervisor.start();
  host.journal.length = 0;
  host.living('a').die();
  await settle();
  t.deepEqual(host.journal, ['spawn a 2']);
});

test('RT-5: one-for-all: all others are stopped in reverse, all start in order', async (t) => {
  const { supervisor, host, settle } = rig(group('root', 'one-for-all', [actor('a'), actor('b'), actor('c')]));
  await supervisor.start();
  host.journal.length = 0;
  host.living('b').die();
  await settle();
  t.deepEqual(host.journal, ['stop c 1', 'end c 1', 'stop a 1', 'end a 1', 'spawn a 2', 'spawn b 2', 'spawn c 2']);
});

test('RT-5: an actor starts only after the exit of its predecessor', async (t) => {
  const { supervisor, host, settle } = rig(group('root', 'one-for-one', [actor('a')]));
  await supervisor.start();
  host.living('a').mortal = false;
  void supervisor.kill('a');
  await settle();
  t.is(host.puppets.length, 1, 'terminated, and still there');
  host.living('a').die();
  await settle();
  t.is(host.puppets.length, 2);
});

test('RT-6: an actor that never comes to let go of what it holds is terminated all the same', async (t) => {
  const { supervisor, host, settle, advance } = rig(group('root', 'one-for-one', [actor('a')]));
  host.abandons.add('a');
  await supervisor.start();
  const first = host.living('a');
  void supervisor.kill('a');
  await settle();
  await advance(249);
  t.deepEqual([first.notices.at(-1)?.kind, first.gone], ['abandon', false]);
  await advance(1);
  t.true(first.gone);
  t.is(host.living('a').boot.incarnation, 2);
});

test('RT-5: two deaths in one turn, the later actor first, end in one orderly recovery', async (t) => {
  const { supervisor, host, settle, states } = rig(group('root', 'rest-for-one', [actor('a'), actor('b'), actor('c')]));
  await supervisor.start();
  host.journal.length = 0;
  host.living('c').die();
  host.living('a').die();
  await settle();
  t.deepEqual(host.journal.filter((line) => line.startsWith('spawn')).slice(-3), [
    'spawn a 2',
    'spawn b 2',
    'spawn c 2',
  ]);
  t.deepEqual(states(), { a: 'up', b: 'up', c: 'up' });
});

test('RT-5: a death while its successors are still being stopped does not start them early', async (t) => {
  const host = new ScriptedHost();
  const { supervisor, settle, states } = rig(group('root', 'rest-for-one', [actor('a'), actor('b'), actor('c')]), host);
  await supervisor.start();
  host.stops.c = 'hangs';
  host.journal.length = 0;
  host.living('a').die();
  await settle();
  t.deepEqual(host.journal, ['stop c 1'], 'c takes its time; nobody starts');
  host.living('b').die();
  await settle();
  t.deepEqual(host.journal, ['stop c 1']);
  host.living('c').die();
  await settle();
  t.deepEqual(host.journal, ['stop c 1', 'spawn a 2', 'spawn b 2', 'spawn c 2']);
  t.deepEqual(states(), { a: 'up', b: 'up', c: 'up' });
});

test('RT-5: siblings that went down together start in order again, each after the attempt of the one before', async (t) => {
  const host = new ScriptedHost();
  const edge = group('edge', 'one-for-one', [actor('a'), actor('b')]);
  const { supervisor, settle, states } = rig(group('root', 'rest-for-one', [actor('x'), edge]), host);
  await supervisor.start();
  host.starts.a = ['hangs'];
  host.living('x').die();
  await settle();
  t.deepEqual(states(), { x: 'up', a: 'starting', b: 'waiting' });
  host.living('a').die();
  await settle();
  t.deepEqual(states(), { x: 'up', a: 'up', b: 'up' });
  host.starts.a = ['hangs'];
  host.living('a').die();
  host.living('b').die();
  await settle();
  t.deepEqual(states(), { x: 'up', a: 'starting', b: 'up' }, 'alone, they do not wait for each other');
});

test('RT-7: survivors hear of a death when it is decided, before the thread is gone, and close both directions', async (t) => {
  const children = [actor('a'), actor('b', { links: ['a'] }), actor('c'), actor('d', { links: ['a'] })];
  const { supervisor, host, settle } = rig(group('root', 'one-for-one', children));
  await supervisor.start();
  host.living('a').mortal = false;
  void supervisor.kill('a');
  await settle();
  const heard = ['b', 'c', 'd'].map((id) => host.living(id).notices.filter(({ kind }) => kind === 'down'));
  t.deepEqual(heard, [[{ kind: 'down', peer: 'a' }], [], [{ kind: 'down', peer: 'a' }]]);
  host.living('a').die();
  await settle();
  t.is(host.living('b').notices.filter(({ kind }) => kind === 'down').length, 1, 'told once');
  t.is(host.living('b').notices.at(-1)?.kind, 'link', 'and connected to the next incarnation');
  host.living('b').die();
  await settle();
  t.deepEqual(
    host
      .living('a')
      .notices.map(({ kind }) => kind)
      .slice(-2),
    ['down', 'serve'],
  );
});

test('RT-5: failed starts at boot are failures like any other: the next actor waits, the budget ends it', async (t) => {
  const host = new ScriptedHost();
  host.starts.a = ['throws', 'dies', 'throws', 'throws'];
  const { supervisor, settle, fatal, states } = rig(group('root', 'rest-for-one', [actor('a'), actor('b')]), host);
  const started = t.throwsAsync(supervisor.start(), { message: /supervisor is halted/ });
  await settle();
  await started;
  t.deepEqual(fatal, ['70 the restart budget is spent; last: a start_failed: handler_failed: Error: scripted init']);
  t.deepEqual(
    host.puppets.filter(({ calls }) => calls.includes('init')).map(({ name }) => name),
    ['a 1', 'a 2', 'a 3', 'a 4'],
  );
  t.is(states().a, 'stopped');
});

test('RT-5: a group that gives up is one failure of its parent, which takes along what its own strategy says', async (t) => {
  const tree = group('root', 'rest-for-one', [
    group('core', 'rest-for-one', [actor('a'), actor('b')], 1),
    group('edge', 'one-for-one', [actor('c')], 1),
  ]);
  const { supervisor, host, settle, fatal, states } = rig(tree);
  await supervisor.start();
  host.living('b').die();
  await settle();
  t.is(host.living('c').boot.incarnation, 1, 'within the budget the edge is not touched');
  host.living('b').die();
  await settle();
  t.deepEqual(
    ['a', 'b', 'c'].map((id) => host.living(id).name),
    ['a 2', 'b 3', 'c 2'],
  );
  t.deepEqual(fatal, []);
  t.deepEqual(states(), { a: 'up', b: 'up', c: 'up' });
});

test('RT-5: the budget spent at every level ends the process with 70, once, and nothing starts any more', async (t) => {
  const tree = group('root', 'one-for-one', [group('inner', 'one-for-one', [actor('a')], 1)], 1);
  const { supervisor, host, settle, fatal } = rig(tree);
  await supervisor.start();
  for (let death = 0; death < 4; death++) {
    host.living('a').die();
    await settle();
  }
  t.is(fatal.length, 1);
  t.regex(fatal[0]!, /^70 the restart budget is spent; last: a crashed: Error: scripted/);
  t.is(host.puppets.length, 4);
  t.true(await supervisor.halt(100));
});

test('RT-2: `backoff` waits longer each time, and 30 s of uptime forget it', async (t) => {
  const { supervisor, host, settle, advance, states } = rig(
    group('root', 'one-for-one', [actor('a', { restart: 'backoff' })]),
  );
  await supervisor.start();
  for (const delayMs of [100, 200]) {
    host.living('a').die();
    await settle();
    t.deepEqual(states(), { a: 'backoff' });
    t.is(supervisor.status()[0]!.startsInMs, delayMs);
    await advance(delayMs - 1);
    t.deepEqual(states(), { a: 'backoff' });
    await advance(1);
    t.deepEqual(states(), { a: 'up' });
  }
  await advance(30_000);
  host.living('a').die();
  await settle();
  t.is(supervisor.status()[0]!.startsInMs, 100);
});

test('RT-2: a timer that fires a fraction of a millisecond early, as those of the system do, still starts the actor', async (t) => {
  class EarlyClock extends ManualClock {
    override setTimer(delayMs: number, run: () => void) {
      return super.setTimer(delayMs - 0.5, run);
    }
  }
  const tree = group('root', 'one-for-one', [actor('a', { restart: 'backoff' })]);
  const { supervisor, host, settle, advance, states } = rig(tree, new ScriptedHost(), new EarlyClock(1_000_000));
  await supervisor.start();
  host.living('a').die();
  await settle();
  await advance(99.5);
  t.deepEqual(states(), { a: 'up' });
});

test('RT-2: time spent waiting is no uptime', async (t) => {
  const { supervisor, host, settle, advance } = rig(group('root', 'one-for-one', [actor('a', { restart: 'backoff' })]));
  await supervisor.start();
  await advance(29_000);
  host.living('a').die();
  await settle();
  await advance(2_000);
  host.living('a').die();
  await settle();
  t.is(supervisor.status()[0]!.failures, 2);
});

test('RT-3: five failures open the breaker: the actor stays down for a minute while others run; success closes it', async (t) => {
  const tree = group('root', 'one-for-one', [actor('a', { restart: 'circuit-breaker' }), actor('b')], 1);
  const { supervisor, host, settle, advance, fatal, states, registry, lines } = rig(tree);
  await supervisor.start();
  for (const delayMs of [100, 200, 400, 800]) {
    host.living('a').die();
    await settle();
    await advance(delayMs);
  }
  host.living('a').die();
  await settle();
  t.deepEqual(states(), { a: 'circuit_open', b: 'up' });
  t.like(supervisor.status()[0], { breaker: 'open', startsInMs: 60_000 });
  t.is(await metric(registry, 'quorate_recovery_actions_total', { action: 'circuit_open', result: 'success' }), 1);
  await advance(60_000);
  t.like(supervisor.status()[0], { state: 'up', breaker: 'half-open' });
  await advance(90_000);
  t.like(supervisor.status()[0], { state: 'up', breaker: 'closed', failures: 0 });
  t.deepEqual(fatal, []);
  const changes = lines.filter(({ msg }) => msg === 'actor breaker changed').map(({ from, to }) => `${from} → ${to}`);
  t.deepEqual(changes, ['closed → open', 'open → half-open', 'half-open → closed']);
});

test('RT-3: a failure in half-open opens it again; reset starts the actor now and closes it', async (t) => {
  const { supervisor, host, settle, advance, states } = rig(
    group('root', 'one-for-one', [actor('a', { restart: 'circuit-breaker' })]),
  );
  await supervisor.start();
  for (const delayMs of [100, 200, 400, 800, 60_000]) {
    host.living('a').die();
    await settle();
    await advance(delayMs);
  }
  host.living('a').die();
  await settle();
  t.deepEqual(states(), { a: 'circuit_open' });
  supervisor.reset('a');
  await settle();
  t.like(supervisor.status()[0], { state: 'up', breaker: 'closed', failures: 0 });
});

test('RT-3: start resolves although a breaker holds one actor back, and later siblings started', async (t) => {
  const host = new ScriptedHost();
  host.starts.a = ['throws', 'throws', 'throws', 'throws', 'throws'];
  const tree = group('root', 'one-for-one', [actor('a', { restart: 'circuit-breaker' }), actor('b')]);
  const { supervisor, settle, advance, states } = rig(tree, host);
  const started = supervisor.start();
  await settle();
  t.deepEqual(states(), { a: 'backoff', b: 'up' });
  for (const delayMs of [100, 200, 400, 800]) await advance(delayMs);
  await started;
  t.deepEqual(states(), { a: 'circuit_open', b: 'up' });
});

test('RT-3: an operator’s kill restarts at once and counts neither for backoff, breaker nor budget', async (t) => {
  const tree = group('root', 'one-for-one', [actor('a', { restart: 'circuit-breaker' }), actor('b')], 1);
  const { supervisor, settle, fatal } = rig(tree);
  await supervisor.start();
  for (let time = 0; time < 20; time++) {
    await supervisor.kill('a');
    await supervisor.kill('b');
    await settle();
  }
  t.deepEqual(fatal, []);
  for (const status of supervisor.status())
    t.like(status, { state: 'up', failures: 0, breaker: 'closed', incarnation: 21 });
});

test('RT-5: restart stops in order and resolves when the actor is up again', async (t) => {
  const { supervisor, host } = rig(group('root', 'rest-for-one', [actor('a'), actor('b'), actor('c')]));
  await supervisor.start();
  host.journal.length = 0;
  await supervisor.restart('b');
  t.deepEqual(host.journal.slice(0, 5), ['stop c 1', 'end c 1', 'stop b 1', 'end b 1', 'spawn b 2']);
  t.is(supervisor.status()[1]!.lastExit?.reason, 'stopped');
});

test('RT-5: restart of an actor in backoff starts it now', async (t) => {
  const { supervisor, host, settle, states } = rig(group('root', 'one-for-one', [actor('a', { restart: 'backoff' })]));
  await supervisor.start();
  host.living('a').die();
  await settle();
  t.deepEqual(states(), { a: 'backoff' });
  await supervisor.restart('a');
  t.deepEqual(states(), { a: 'up' });
});

test('RT-5: a neighbour in backoff keeps its own delay when it is taken along', async (t) => {
  const tree = group('root', 'one-for-all', [actor('a'), actor('b', { restart: 'backoff' })], 9);
  const host = new ScriptedHost();
  const { supervisor, settle, advance, states } = rig(tree, host);
  await supervisor.start();
  host.living('b').die();
  await settle();
  await advance(100);
  host.living('b').die();
  await settle();
  t.is(supervisor.status()[1]!.startsInMs, 200);
  await advance(10);
  host.starts.a = ['ready'];
  t.deepEqual(states(), { a: 'waiting', b: 'backoff' });
  await advance(190);
  t.deepEqual(states(), { a: 'up', b: 'up' });
});

test('RT-5: an actor that does not answer stop in time is ended all the same', async (t) => {
  const host = new ScriptedHost();
  host.stops.a = 'hangs';
  const { supervisor, states } = rig(group('root', 'one-for-one', [actor('a', { shutdownMs: 1 })]), host);
  await supervisor.start();
  await supervisor.stop();
  t.deepEqual(host.journal, ['spawn a 1', 'stop a 1', 'end a 1']);
  t.deepEqual(states(), { a: 'stopped' });
  t.regex(supervisor.status()[0]!.lastExit!.detail, /did not stop in order/);
});

test('RT-5: a start that takes too long is ended and counts as a failure', async (t) => {
  const host = new ScriptedHost();
  host.starts.a = ['hangs'];
  const { supervisor, settle } = rig(group('root', 'one-for-one', [actor('a', { startTimeoutMs: 1 })]), host);
  const started = supervisor.start();
  await settle();
  await started;
  t.like(supervisor.status()[0], { state: 'up', incarnation: 2, failures: 1 });
  t.is(supervisor.status()[0]!.lastExit?.reason, 'start_timeout');
});

test('RT-5: stop during a recovery ends everything and starts nothing', async (t) => {
  const { supervisor, host, states, settle } = rig(
    group('root', 'rest-for-one', [actor('a', { restart: 'backoff' }), actor('b')]),
  );
  await supervisor.start();
  host.living('a').die();
  const both = [supervisor.stop(), supervisor.stop()];
  await Promise.all(both);
  await settle();
  t.deepEqual(states(), { a: 'stopped', b: 'stopped' });
  t.is(host.puppets.length, 2);
});

test('RT-6: a thread that terminate does not end ends the process with 71, a busy gate too', async (t) => {
  const stuck = rig(group('root', 'one-for-one', [actor('a')]));
  await stuck.supervisor.start();
  stuck.host.living('a').mortal = false;
  void stuck.supervisor.kill('a');
  await stuck.settle();
  await stuck.advance(9_999);
  t.deepEqual(stuck.fatal, []);
  await stuck.advance(1);
  t.deepEqual(stuck.fatal, ['71 the thread of "a" did not end within 10000 ms']);

  const gated = rig(group('root', 'one-for-one', [actor('a', { gated: true })]));
  await gated.supervisor.start();
  const gate = new Int32Array(gated.host.living('a').boot.vitals, 0, 4);
  Atomics.store(gate, 2, 1);
  void gated.supervisor.kill('a');
  await gated.advance(2_000);
  t.regex(gated.fatal[0]!, /^71 "a" is in a gated write/);
  t.false(gated.host.journal.includes('end a 1'), 'it was never terminated');
});

test('a fatal report ends the process with its code, even from an incarnation that is being ended', async (t) => {
  const { supervisor, host, settle, fatal } = rig(group('root', 'one-for-one', [actor('a')]));
  await supervisor.start();
  const puppet = host.living('a');
  puppet.mortal = false;
  void supervisor.kill('a');
  await settle();
  puppet.events.notice({ kind: 'report', name: 'late', value: { ok: true } });
  puppet.events.notice({ kind: 'fatal', exitCode: 74, reason: 'EIO' });
  t.deepEqual(fatal, ['74 a: EIO']);
  t.is(supervisor.reports().get('a')!.size, 0, 'its facts count no more');
  await t.throwsAsync(supervisor.restart('a'), { message: /supervisor is halted/ });
});

test('RT-4: actions, restarts, tasks and delays are counted with underscored names', async (t) => {
  const { supervisor, host, settle, advance, registry } = rig(
    group('root', 'one-for-one', [actor('rpc-client', { restart: 'backoff' })]),
  );
  await supervisor.start();
  t.is(await metric(registry, 'quorate_actor_state', { actor: 'rpc_client' }), 2);
  host.starts['rpc-client'] = ['throws'];
  host.living('rpc-client').die();
  await settle();
  t.is(await metric(registry, 'quorate_actor_state', { actor: 'rpc_client' }), 5);
  await advance(100);
  await advance(200);
  const count = (name: string, labels: Record<string, string>) => metric(registry, `quorate_${name}`, labels);
  t.is(await count('recovery_actions_total', { action: 'backoff', result: 'success' }), 2);
  t.is(await count('recovery_actions_total', { action: 'restart', result: 'failure' }), 1);
  t.is(await count('recovery_actions_total', { action: 'restart', result: 'success' }), 1);
  t.is(await count('recovery_actions_total', { action: 'circuit_open', result: 'success' }), 0);
  t.is(await count('actor_restarts_total', { actor: 'rpc_client', reason: 'crashed' }), 1);
  t.is(await count('actor_restarts_total', { actor: 'rpc_client', reason: 'start_failed' }), 1);
  t.is(await count('task_restart_total', { task: 'rpc_client' }), 2);
  t.regex(await registry.metrics(), /quorate_backoff_duration_seconds_sum 0\.3/);
});

test('every exit and decision is logged with actor, incarnation, reason and exit code', async (t) => {
  const { supervisor, host, settle, lines } = rig(group('root', 'one-for-one', [actor('a', { restart: 'backoff' })]));
  await supervisor.start();
  host.living('a').die(7, 'TypeError: broken');
  await settle();
  const exit = lines.find(({ msg }) => msg === 'actor exited');
  t.like(exit, { level: 50, actor: 'a', incarnation: 1, reason: 'crashed', detail: 'TypeError: broken', exit_code: 7 });
  const decision = lines.find(({ msg }) => msg === 'actor restart decided');
  t.like(decision, { actor: 'a', incarnation: 1, reason: 'crashed', action: 'backoff', delay_ms: 100, failures: 1 });
});

test('RT-9: a memory limit that a flag of the process overrides is told', async (t) => {
  const host = new ScriptedHost();
  host.heapLimitMb = 948;
  const { supervisor, lines } = rig(group('root', 'one-for-one', [actor('a', { memoryMb: 256 })]), host);
  await supervisor.start();
  const warning = lines.find(({ msg }) => msg === 'memory limit of the actor is not in force');
  t.like(warning, { level: 40, actor: 'a', memory_mb: 256, heap_limit_mb: 948 });
});

test('CF-3: one refusal and no actor commits; all accept and all commit', async (t) => {
  const { supervisor, host } = rig(group('root', 'one-for-one', [actor('a'), actor('b')]));
  await supervisor.start();
  host.refuses.add('b');
  await t.throwsAsync(supervisor.prepare({ value: 2 }), { message: /refused: b: / });
  t.deepEqual(host.living('a').calls, ['init', 'prepare', 'abort']);
  await t.throwsAsync(supervisor.commit(), { message: /no configuration is prepared/ });
  host.refuses.clear();
  await supervisor.prepare({ value: 2 });
  await t.throwsAsync(supervisor.prepare({ value: 3 }), { message: /commit or abort it first/ });
  await supervisor.commit();
  t.deepEqual(host.living('a').calls, ['init', 'prepare', 'abort', 'prepare', 'commit']);
  await supervisor.kill('b');
  await supervisor.restart('b');
  t.deepEqual(host.living('b').boot.config, { value: 2 });
});

test('CF-3: an actor that was started on the old configuration between prepare and commit is restarted on the new one', async (t) => {
  const { supervisor, host, settle } = rig(group('root', 'one-for-one', [actor('a'), actor('b')]));
  await supervisor.start();
  await supervisor.prepare({ value: 2 });
  host.living('b').die();
  await settle();
  t.deepEqual(host.living('b').boot.config, { value: 1 });
  await supervisor.commit();
  t.deepEqual(host.living('b').boot.config, { value: 2 });
  t.is(host.living('a').boot.incarnation, 1);
});

test('an unknown actor is an error that lists the known ones', async (t) => {
  const { supervisor } = rig(group('root', 'one-for-one', [actor('a'), actor('b')]));
  await supervisor.start();
  await t.throwsAsync(supervisor.kill('x'), { message: /no actor "x"; there are: a, b/ });
  await t.throwsAsync(supervisor.inspect('x'), { message: /no actor "x"/ });
});
