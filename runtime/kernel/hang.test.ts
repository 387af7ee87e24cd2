// Threads that stand still: noticed, told with their stack, replaced; and what only looks like it is left alone.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from '../../observability/pino.js';
import { systemClock } from './clock.js';
import { type EchoContract, type FixtureConfig, fixtureSpec } from './fixtures/contracts.js';
import { ScriptedHost } from './fixtures/scripted-host.js';
import { actor, group, rig as scripted } from './fixtures/scripted-rig.js';
import type { CrashReport } from './flight-recorder.js';
import { threadHost } from './host-thread.js';
import type { Misdeed } from './misdeeds.js';
import { supervise } from './supervisor.js';
import type { SupervisorEvent } from './supervisor-types.js';
import { ThreadVitals } from './vitals.js';

const HEARTBEAT_MS = 400;

function rig(t: ExecutionContext, drills = true) {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-hang-'));
  const crashes: CrashReport[] = [];
  const events: SupervisorEvent[] = [];
  const fatal: string[] = [];
  const lines: Record<string, unknown>[] = [];
  const supervisor = supervise<FixtureConfig>({
    tree: {
      id: 'root',
      strategy: 'one-for-one',
      budget: { intensity: 5, periodMs: 60_000 },
      children: [fixtureSpec('echo', 'echo', { heartbeatMs: HEARTBEAT_MS })],
    },
    config: { value: 'x', diary: join(directory, 'diary') },
    clock: systemClock,
    random: () => 0.5,
    host: threadHost({ clock: systemClock }),
    log: pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    actorLogOptions: { level: 'silent' },
    drills,
    onCrash: (report) => void crashes.push(report),
    onFatal: (code, reason) => void fatal.push(`${code} ${reason}`),
  });
  supervisor.on('event', (event) => void events.push(event));
  t.teardown(async () => {
    await supervisor.halt(30_000);
    rmSync(directory, { recursive: true, force: true });
  });
  const upTimes = () => events.filter(({ kind }) => kind === 'up').length;
  return { supervisor, crashes, events, fatal, lines, upTimes };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const HANGS: [misdeed: Misdeed, inStack: RegExp | null][] = [
  ['loop', /at endlessLoop \(.*runtime\/kernel\/misdeeds\.ts:\d+:\d+\)/],
  ['regex', /at catastrophicExpression \(.*runtime\/kernel\/misdeeds\.ts:\d+:\d+\)/],
  ['native', null],
];
for (const [misdeed, inStack] of HANGS) {
  test.serial(`RT-6, RT-10: an actor that hangs in a ${misdeed} is found with its stack and replaced`, async (t) => {
    t.timeout(60_000);
    const { supervisor, crashes, events, fatal, upTimes } = rig(t);
    await supervisor.start();
    const link = supervisor.link<EchoContract>('echo');
    t.is(link.tell('note', { text: 'the last word' }), 'ok');
    const call = link.ask('never', {}, { deadlineMs: 60_000 }).catch((error: unknown) => error);
    // Its answer says that what was sent before it has arrived: the misdeed leaves no time for anything that comes after it.
    await link.ask('echo', { text: 'is dealt with' });
    await supervisor.drill('echo', misdeed);
    await until(() => upTimes() === 2);
    t.like(await call, { code: 'peer_down' });
    t.like(
      events.find(({ kind }) => kind === 'exit'),
      { reason: 'hung', incarnation: 1 },
    );
    t.is(crashes.length, 1);
    const [crash] = crashes as [CrashReport];
    t.like(crash, { actor: 'echo', reason: 'hung', incarnation: 1, path: ['root'], native: null, mailbox_depth: 1 });
    if (inStack === null) t.is(crash.stack, null);
    else t.regex(crash.stack ?? '', inStack);
    t.regex(crash.detail, inStack === null ? /for 500 ms; it runs no JavaScript/ : /for 500 ms$/);
    const names = crash.last_messages.map(({ form, name }) => `${form} ${name}`);
    t.deepEqual(names, ['ask echo', 'ask never', 'tell note']);
    t.true(crash.last_messages.every(({ ago_ms }) => ago_ms >= 0 && ago_ms < 60_000));
    t.deepEqual(
      crash.last_events.map(({ kind }) => kind),
      ['starting', 'up'],
    );
    t.like(await link.ask('echo', { text: 'again' }), { incarnation: 2 });
    t.deepEqual(fatal, []);
  });
}

test.serial('RT-6: messages that keep a thread busy without a turn for its timers are no hang', async (t) => {
  const { supervisor, crashes, lines } = rig(t);
  await supervisor.start();
  const link = supervisor.link<EchoContract>('echo');
  // Eight lie in the port at once: node deals with them all before any timer, for far longer than the heartbeat.
  for (let round = 0; round < 2; round++) {
    const busy = { forMs: HEARTBEAT_MS / 2 };
    await Promise.all(Array.from({ length: 8 }, () => link.ask('gated', busy, { deadlineMs: 60_000 })));
  }
  t.deepEqual(crashes, []);
  t.deepEqual(lines, []);
  t.like(await link.ask('echo', { text: 'alive' }), { incarnation: 1 });
});

test('RT-6: a loop that turns again while its stack is asked for is told, and not ended', async (t) => {
  const host = new ScriptedHost();
  const { supervisor, advance, lines } = scripted(
    group('root', 'one-for-one', [actor('a', { heartbeatMs: 1_000 })]),
    host,
  );
  await supervisor.start();
  host.stacks.a = ({ boot }) => {
    new ThreadVitals(boot.vitals).beat();
    return '    at slowFunction';
  };
  await advance(1_500);
  const told = lines.filter(({ msg }) => msg === 'actor loop was blocked');
  t.like(told, [{ actor: 'a', silent_ms: 1_250, stack: '    at slowFunction' }]);
  t.like(supervisor.status()[0], { state: 'up', incarnation: 1, failures: 0 });
  host.stacks.a = () => '    at stillThere';
  await advance(1_500);
  t.like(supervisor.status()[0]?.lastExit, { reason: 'hung', stack: '    at stillThere', incarnation: 1 });
  t.is(supervisor.status()[0]?.failures, 1, 'a hang is a failure like any other');
});

test.serial('a supervisor that was not made for drills makes nobody go wrong', async (t) => {
  const { supervisor } = rig(t, false);
  await supervisor.start();
  await t.throwsAsync(supervisor.drill('echo', 'throw'), { code: 'refused' });
  await t.throwsAsync(supervisor.drill('nobody', 'throw'), { code: 'unknown_actor' });
});
