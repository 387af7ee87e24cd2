// The supervisor over real worker threads: order, death in every form, restarts, links, calls that settle.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { systemClock } from './clock.js';
import type { ActorSpec, GroupSpec, GroupStrategy } from './contract.js';
import { type FixtureConfig, fixtureSpec, type RelayContract } from './fixtures/contracts.js';
import { threadHost } from './host-thread.js';
import { supervise } from './supervisor.js';
import type { Supervisor, SupervisorEvent } from './supervisor-types.js';

function group(
  strategy: GroupStrategy,
  children: GroupSpec<FixtureConfig>['children'],
  more: Partial<GroupSpec<FixtureConfig>> = {},
): GroupSpec<FixtureConfig> {
  return { id: 'root', strategy, budget: { intensity: 5, periodMs: 60_000 }, children, ...more };
}

interface Rig {
  readonly supervisor: Supervisor<FixtureConfig>;
  readonly registry: Registry;
  readonly fatal: { readonly exitCode: number; readonly reason: string }[];
  readonly events: SupervisorEvent[];
  diary(): string[];
  /** Resolves at the first event, past or to come, that fits. */
  event(fits: (event: SupervisorEvent) => boolean): Promise<SupervisorEvent>;
}

function rig(t: ExecutionContext, tree: GroupSpec<FixtureConfig>, config: Partial<FixtureConfig> = {}): Rig {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-kernel-'));
  const diary = join(directory, 'diary');
  writeFileSync(diary, '');
  const registry = new Registry();
  const fatal: { exitCode: number; reason: string }[] = [];
  const events: SupervisorEvent[] = [];
  const supervisor = supervise<FixtureConfig>({
    tree,
    config: { value: 'first', diary, ...config },
    clock: systemClock,
    random: () => 0.5,
    host: threadHost({ clock: systemClock }),
    log: pino({ level: 'silent' }),
    actorLogOptions: { level: 'silent' },
    onFatal: (exitCode, reason) => fatal.push({ exitCode, reason }),
    registry,
  });
  const waiting = new Set<(event: SupervisorEvent) => void>();
  supervisor.on('event', (event) => {
    events.push(event);
    for (const listener of [...waiting]) listener(event);
  });
  t.teardown(async () => {
    if (!(await supervisor.halt(5_000))) throw new Error('a thread did not end');
    rmSync(directory, { recursive: true });
  });
  return {
    supervisor,
    registry,
    fatal,
    events,
    diary: () => readFileSync(diary, 'utf8').trim().split('\n'),
    event(fits) {
      const past = events.find(fits);
      if (past !== undefined) return Promise.resolve(past);
      return new Promise((resolve) => {
        const listener = (event: SupervisorEvent): void => {
          if (!fits(event)) return;
          waiting.delete(listener);
          resolve(event);
        };
        waiting.add(listener);
      });
    },
  };
}

const echo = (more: Partial<ActorSpec<FixtureConfig>> = {}) => fixtureSpec('echo', 'echo', more);
const relay = (more: Partial<ActorSpec<FixtureConfig>> = {}) =>
  fixtureSpec('relay', 'relay', { links: ['echo'], ...more });

test('RT-5: actors start in order, each after the init of the one before, and stop in reverse', async (t) => {
  const tree = group('rest-for-one', [
    group('rest-for-one', [fixtureSpec('one', 'echo'), fixtureSpec('two', 'echo')], { id: 'core' }),
    group('one-for-one', [fixtureSpec('three', 'echo'), fixtureSpec('four', 'echo')], { id: 'edge' }),
  ]);
  const { supervisor, diary } = rig(t, tree);
  await supervisor.start();
  await supervisor.stop();
  const names = ['one', 'two', 'three', 'four'];
  t.deepEqual(diary(), [
    ...names.flatMap((name) => [`init ${name} 1`, `ready ${name} 1`]),
    ...[...names].reverse().map((name) => `drain ${name}`),
    ...[...names].reverse().map((name) => `stop ${name}`),
  ]);
  t.true(supervisor.status().every(({ state }) => state === 'stopped'));
});

test('RT-7: a call crosses threads, and again after the peer was killed and came back', async (t) => {
  const { supervisor } = rig(t, group('one-for-one', [echo(), relay()]));
  await supervisor.start();
  const link = supervisor.link<RelayContract>('relay');
  t.deepEqual(await link.ask('through', { text: 'a' }), { text: 'a', incarnation: 1 });
  await supervisor.kill('echo');
  await link.ask('linkUp', { times: 2 });
  t.deepEqual(await link.ask('through', { text: 'b' }), { text: 'b', incarnation: 2 });
  t.deepEqual(await link.ask('linkHistory', {}), { history: ['up', 'down', 'up'] });
});
