// A tree that follows the configuration: after a commit, limits, times, policies and budgets are those of the new one.
import test from 'ava';
import { pino } from '../../observability/pino.js';
import { ManualClock } from './clock.js';
import type { GroupSpec } from './contract.js';
import { defineSpec } from './define.js';
import { ScriptedHost } from './fixtures/scripted-host.js';
import { supervise } from './supervisor.js';

interface Config {
  readonly intensity: number;
  readonly memoryMb: number;
  readonly ids: readonly string[];
}

const FIRST: Config = { intensity: 0, memoryMb: 64, ids: ['a', 'b'] };

function tree({ intensity, memoryMb, ids }: Config): GroupSpec<Config> {
  const children = ids.map((id) =>
    defineSpec<Config>({
      // Scripted threads do not beat.
      heartbeatMs: 2 ** 31,
      id,
      module: new URL('file:///nowhere.js'),
      restart: 'immediate',
      links: [],
      memoryMb,
      configure: () => null,
    }),
  );
  return { id: 'root', strategy: 'one-for-one', budget: { intensity, periodMs: 10_000 }, children };
}

function rig() {
  const host = new ScriptedHost();
  const fatal: number[] = [];
  const supervisor = supervise<Config>({
    tree,
    config: FIRST,
    clock: new ManualClock(1_000_000),
    random: () => 0.5,
    host,
    log: pino({ level: 'silent' }),
    actorLogOptions: {},
    onFatal: (exitCode) => fatal.push(exitCode),
  });
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return { supervisor, host, fatal, settle };
}

test('CF-7: a committed configuration changes budgets and limits of what starts from now on, and restarts nothing', async (t) => {
  const { supervisor, host, fatal, settle } = rig();
  await supervisor.start();
  await supervisor.prepare({ ...FIRST, intensity: 1, memoryMb: 128 });
  await supervisor.commit();
  t.deepEqual(
    supervisor.status().map(({ incarnation }) => incarnation),
    [1, 1],
  );
  host.living('a').die();
  await settle();
  t.deepEqual(fatal, [], 'the old budget would have been spent');
  t.is(host.living('a').boot.incarnation, 2);
  t.is(host.living('a').boot.memoryMb, 128);
  host.living('a').die();
  await settle();
  t.deepEqual(fatal, [70], 'the new one is');
});

test('CF-7: a configuration whose tree cannot be run is refused at prepare, and the old one stays', async (t) => {
  const { supervisor, host, fatal, settle } = rig();
  await supervisor.start();
  await t.throwsAsync(supervisor.prepare({ ...FIRST, intensity: 5, ids: ['a', 'a'] }), { message: /more than once/ });
  host.living('b').die();
  await settle();
  t.deepEqual(fatal, [70]);
});
