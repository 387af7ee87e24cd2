// Threads made ahead: used by the next incarnation, replaced, never missed, gone with the supervisor.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from '../../observability/pino.js';
import { systemClock } from './clock.js';
import type { ActorSpec } from './contract.js';
import { type EchoContract, type FixtureConfig, fixtureSpec } from './fixtures/contracts.js';
import { threadHost } from './host-thread.js';
import { supervise } from './supervisor.js';

function rig(t: ExecutionContext, module: string, more: Partial<ActorSpec<FixtureConfig>> = {}, loadMs = 300) {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-standby-'));
  const diary = join(directory, 'diary');
  writeFileSync(diary, '');
  const config: FixtureConfig = { value: 'x', diary };
  const supervisor = supervise<FixtureConfig>({
    tree: {
      id: 'root',
      strategy: 'one-for-one',
      budget: { intensity: 3, periodMs: 60_000 },
      children: [fixtureSpec('one', module, { standby: true, ...more })],
    },
    config,
    clock: systemClock,
    random: () => 0.5,
    host: threadHost({
      clock: systemClock,
      firstStandbyMs: 20,
      env: { DIARY: diary, LOAD_MS: String(loadMs) },
    }),
    log: pino({ level: 'silent' }),
    actorLogOptions: { level: 'silent' },
    onFatal: () => undefined,
  });
  t.teardown(async () => {
    await supervisor.halt(30_000);
    rmSync(directory, { recursive: true, force: true });
  });
  const lines = (what: string) =>
    readFileSync(diary, 'utf8')
      .split('\n')
      .filter((line) => line === what).length;
  const incarnation = () => supervisor.status()[0]!.incarnation;
  const up = async (number: number) => {
    while (supervisor.status()[0]!.state !== 'up' || incarnation() !== number) await turn();
  };
  const standby = async () => {
    while (supervisor.status()[0]!.standby !== true) await turn();
  };
  return { supervisor, lines, up, standby, config };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

test('RT-2: the next incarnation is a thread that loaded before it was needed, and another one is made', async (t) => {
  const { supervisor, lines, up, standby } = rig(t, 'slow-load');
  await supervisor.start();
  t.is(lines('loading'), 1);
  await standby();
  await supervisor.kill('one');
  t.is(supervisor.status()[0]!.standby, false);
  await up(2);
  t.is(lines('loading'), 2, 'nothing had to be loaded for the second incarnation');
  await standby();
  await supervisor.restart('one');
  t.is(lines('loading'), 3);
});

test('status names the thread of each actor as the kernel does, and another one after a restart', async (t) => {
  const { supervisor, up, standby } = rig(t, 'echo');
  await supervisor.start();
  const tid = () => supervisor.status()[0]!.threadTid;
  if (process.platform !== 'linux') {
    t.is(tid(), null);
    return;
  }
  const threads = () => readdirSync('/proc/self/task').map(Number);
  const first = tid()!;
  t.true(threads().includes(first) && first !== process.pid, `${first}`);
  await standby();
  await supervisor.kill('one');
  await up(2);
  t.true(threads().includes(tid()!) && tid() !== first, `${tid()} after ${first}`);
  await supervisor.stop();
  t.is(tid(), null);
});

test('RT-2: while the standby still loads, a thread is made the ordinary way', async (t) => {
  const { supervisor, lines, up } = rig(t, 'slow-load', {}, 2_000);
  await supervisor.start();
  while (lines('loading') < 2) await turn();
  await supervisor.kill('one');
  await up(2);
  t.is(lines('loading'), 3);
});

test('RT-6: an end waits until a standby has loaded, and takes it along', async (t) => {
  const { supervisor, lines } = rig(t, 'slow-load', {}, 1_500);
  await supervisor.start();
  while (lines('loading') < 2) await turn();
  t.is(lines('loaded'), 1);
  t.true(await supervisor.halt(30_000));
  t.is(lines('loaded'), 2, 'a library that is being loaded is not torn down');
});

test('RT-2: what a standby has made ahead is there at the next start, also when the configuration is another by then', async (t) => {
  const { supervisor, lines, up, standby, config } = rig(t, 'ahead');
  await supervisor.start();
  t.is(lines('start 1 with null'), 1);
  await standby();
  await supervisor.kill('one');
  await up(2);
  t.is(lines('start 2 with {"of":"x"}'), 1);
  await standby();
  await supervisor.prepare({ ...config, value: 'y' });
  await supervisor.commit();
  await supervisor.kill('one');
  await up(3);
  t.is(lines('start 3 with {"of":"x"}'), 1, 'it is for the actor to look at');
  await standby();
  await supervisor.kill('one');
  await up(4);
  t.is(lines('start 4 with {"of":"y"}'), 1);
});

test('an actor on its standby talks, is told what came right behind its boot data, and works as any other', async (t) => {
  const { supervisor, lines, up, standby } = rig(t, 'echo');
  await supervisor.start();
  const link = supervisor.link<EchoContract>('one');
  for (let number = 2; number <= 4; number++) {
    // One of them is killed before its standby is there: that must make no difference.
    if (number !== 3) await standby();
    await supervisor.kill('one');
    supervisor.adjustLogs({ level: 'debug' });
    await up(number);
    while (!link.up) await turn();
    t.deepEqual(await link.ask('echo', { text: 'hi' }), { text: 'hi', incarnation: number });
  }
  t.is(lines('ready one 4'), 1);
});
