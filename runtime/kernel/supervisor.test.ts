// The supervisor over real worker threads: order, death in every form, restarts, links, calls that settle. One test at
// a time: dozens of threads starting at once would measure the machine.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import { systemClock } from './clock.js';
import type { ActorSpec, GroupSpec, GroupStrategy } from './contract.js';
import {
  type EchoContract,
  type FixtureConfig,
  fixtureSpec,
  fixtureUrl,
  type InitMisdeed,
  type Misdeed,
  type RelayContract,
} from './fixtures/contracts.js';
import { threadHost } from './host-thread.js';
import { supervise } from './supervisor.js';
import type { Supervisor, SupervisorEvent } from './supervisor-types.js';
import type { ActorLogOptions } from './wire.js';
import { ActorError } from './wire-error.js';

function group(
  strategy: GroupStrategy,
  children: GroupSpec<FixtureConfig>['children'],
  more: Partial<GroupSpec<FixtureConfig>> = {},
): GroupSpec<FixtureConfig> {
  return { id: 'root', strategy, budget: { intensity: 5, periodMs: 60_000 }, children, ...more };
}

interface Rig {
  readonly supervisor: Supervisor<FixtureConfig>;
  readonly config: FixtureConfig;
  readonly directory: string;
  readonly registry: Registry;
  readonly fatal: { readonly exitCode: number; readonly reason: string }[];
  readonly events: SupervisorEvent[];
  diary(): string[];
  /** Resolves at the first event, past or to come, that fits. */
  event(fits: (event: SupervisorEvent) => boolean): Promise<SupervisorEvent>;
}

interface RigOptions extends Partial<FixtureConfig> {
  readonly logs?: (directory: string) => ActorLogOptions;
}

function rig(t: ExecutionContext, tree: GroupSpec<FixtureConfig>, { logs, ...config }: RigOptions = {}): Rig {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-kernel-'));
  const diary = join(directory, 'diary');
  writeFileSync(diary, '');
  const registry = new Registry();
  const fatal: { exitCode: number; reason: string }[] = [];
  const events: SupervisorEvent[] = [];
  const whole = { value: 'first', diary, ...config };
  const supervisor = supervise<FixtureConfig>({
    tree,
    config: whole,
    clock: systemClock,
    random: () => 0.5,
    host: threadHost({ clock: systemClock }),
    log: pino({ level: 'silent' }),
    actorLogOptions: logs?.(directory) ?? { level: 'silent' },
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
    config: whole,
    directory,
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

function up(actor: string, incarnation: number): (event: SupervisorEvent) => boolean {
  return (event) => event.kind === 'up' && event.actor === actor && event.incarnation === incarnation;
}

const echo = (more: Partial<ActorSpec<FixtureConfig>> = {}) => fixtureSpec('echo', 'echo', more);
const relay = (more: Partial<ActorSpec<FixtureConfig>> = {}) =>
  fixtureSpec('relay', 'relay', { links: ['echo'], ...more });

test.serial('RT-5: actors start in order, each after the init of the one before, and stop in reverse', async (t) => {
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

test.serial('RT-7: a call crosses threads, and again after the peer was killed and came back', async (t) => {
  const { supervisor } = rig(t, group('one-for-one', [echo(), relay()]));
  await supervisor.start();
  const link = supervisor.link<RelayContract>('relay');
  t.deepEqual(await link.ask('through', { text: 'a' }), { text: 'a', incarnation: 1 });
  await supervisor.kill('echo');
  await link.ask('linkUp', { times: 2 });
  t.deepEqual(await link.ask('through', { text: 'b' }), { text: 'b', incarnation: 2 });
  t.deepEqual(await link.ask('linkHistory', {}), { history: ['up', 'down', 'up'] });
});

const SELF_INFLICTED: [how: Misdeed, reason: string, exitCode: number, detail: RegExp][] = [
  ['throw', 'crashed', 1, /thrown outside of any handler/],
  ['reject', 'crashed', 1, /rejected and not caught/],
  ['exit-0', 'exited', 0, /ended by itself/],
  ['exit-3', 'exited', 3, /exit code 3/],
  ['out-of-memory', 'out_of_memory', 1, /memory limit of 24 MB/],
];
for (const [how, reason, exitCode, detail] of SELF_INFLICTED) {
  test.serial(`RT-5: an actor that ends by ${how} comes back, and its exit says ${reason}`, async (t) => {
    const { supervisor, event } = rig(t, group('one-for-one', [echo({ memoryMb: 24 })]));
    await supervisor.start();
    const link = supervisor.link<EchoContract>('echo');
    // Whether the answer still gets out depends on how it ends; that the call settles does not.
    const call = link.ask('misbehave', { how }).catch((error: unknown) => error);
    const exit = await event(({ kind }) => kind === 'exit');
    t.like(exit, { actor: 'echo', incarnation: 1, reason, exitCode });
    t.regex(exit.kind === 'exit' ? exit.detail : '', detail);
    await call;
    await event(up('echo', 2));
  });
}

test.serial(
  'RT-5: a tell handler that throws ends the actor; an ask handler that throws ends only the call',
  async (t) => {
    const { supervisor, event } = rig(t, group('one-for-one', [echo()]));
    await supervisor.start();
    const link = supervisor.link<EchoContract>('echo');
    const codes: string[] = [];
    for (const how of ['error', 'string', 'coded', 'uncloneable'] as const) {
      const error = await t.throwsAsync(link.ask('fail', { how }), { instanceOf: ActorError });
      codes.push(error.code);
    }
    t.deepEqual(codes, ['handler_failed', 'handler_failed', 'overloaded', 'not_cloneable']);
    t.like(await link.ask('echo', { text: 'still there' }), { incarnation: 1 });
    link.tell('throwInTell', {});
    t.like(await event(({ kind }) => kind === 'exit'), { reason: 'crashed', detail: 'Error: thrown in a tell' });
  },
);

const BAD_STARTS: [what: string, spec: Partial<ActorSpec<FixtureConfig>>, init: InitMisdeed | null, exit: object][] = [
  ['throws in init', {}, 'throw', { reason: 'start_failed', exitCode: 1 }],
  ['exits in init', {}, 'exit-0', { reason: 'start_failed', exitCode: 0 }],
  ['hangs in init', { startTimeoutMs: 300 }, 'hang', { reason: 'start_timeout' }],
  ['never finishes loading', { module: fixtureUrl('never-loads') }, null, { reason: 'start_failed', exitCode: 13 }],
  ['has no module', { module: fixtureUrl('nowhere') }, null, { reason: 'start_failed', exitCode: 1 }],
  ['exports no definition', { module: fixtureUrl('no-definition') }, null, { reason: 'start_failed', exitCode: 1 }],
];
for (const [what, spec, init, exit] of BAD_STARTS) {
  test.serial(`RT-5: an actor that ${what} is a failed start; the budget ends it with 70`, async (t) => {
    const tree = group('one-for-one', [echo(spec)], { budget: { intensity: 1, periodMs: 60_000 } });
    const { supervisor, events, fatal } = rig(t, tree, init === null ? {} : { init: { echo: init } });
    await t.throwsAsync(supervisor.start(), { code: 'stopped' });
    const exits = events.filter(({ kind }) => kind === 'exit');
    t.is(exits.length, 2);
    for (const each of exits) t.like(each, exit);
    t.is(fatal.length, 1);
    t.is(fatal[0]!.exitCode, 70);
  });
}

test.serial('RT-5: what went wrong at a start is told: the error, not the consequence', async (t) => {
  const tree = group('rest-for-one', [echo({ module: fixtureUrl('nowhere') })], {
    budget: { intensity: 0, periodMs: 1_000 },
  });
  const { supervisor, fatal } = rig(t, tree);
  await t.throwsAsync(supervisor.start());
  t.regex(fatal[0]!.reason, /echo start_failed: .*Cannot find module .*nowhere\.js/);
});

test.serial('RT-5: an actor that fails twice and then starts is up, and boot goes on behind it', async (t) => {
  const { supervisor, diary } = rig(t, group('rest-for-one', [echo(), relay()]), { init: { echo: 'throw-twice' } });
  await supervisor.start();
  t.deepEqual(diary(), ['init echo 1', 'init echo 2', 'init echo 3', 'ready echo 3', 'init relay 1']);
});

test.serial('RT-7: all calls in flight to an actor that dies settle, and none hangs', async (t) => {
  for (const [outcomeUnknownOnDeath, code] of [
    [false, 'peer_down'],
    [true, 'outcome_unknown'],
  ] as const) {
    const { supervisor, event } = rig(t, group('one-for-one', [echo({ outcomeUnknownOnDeath }), relay()]));
    await supervisor.start();
    const stranded = supervisor.link<RelayContract>('relay').ask('strand', { count: 3 });
    await supervisor.link<EchoContract>('echo').ask('echo', { text: 'the loop turned' });
    await waitForDepth(supervisor, 'echo', 3);
    await supervisor.kill('echo');
    t.deepEqual(await stranded, { codes: [code, code, code] });
    await event(up('echo', 2));
  }
});

test.serial(
  'RT-7: a full mailbox answers at once, and its depth is seen even while the receiver stands still',
  async (t) => {
    const { supervisor, registry } = rig(t, group('one-for-one', [echo()]));
    await supervisor.start();
    const link = supervisor.link<EchoContract>('echo');
    const blocked = link.ask('misbehave', { how: 'block' }).catch((error: unknown) => (error as ActorError).code);
    const results = ['a', 'b', 'c', 'd', 'e', 'f'].map((text) => link.tell('note', { text }));
    t.deepEqual(results, ['ok', 'ok', 'ok', 'ok', 'overloaded', 'overloaded']);
    const [status] = supervisor.status();
    t.is(status!.mailboxDepth, 5);
    t.regex(await registry.metrics(), /quorate_actor_mailbox_depth\{actor="echo"\} 5/);
    await supervisor.kill('echo');
    t.is(await blocked, 'peer_down');
  },
);

test.serial('RT-7: a call to an actor that is blocked settles at its deadline', async (t) => {
  const { supervisor } = rig(t, group('one-for-one', [echo()]));
  await supervisor.start();
  const link = supervisor.link<EchoContract>('echo');
  link.ask('misbehave', { how: 'block' }).catch(() => {});
  const error = await t.throwsAsync(link.ask('echo', { text: 'x' }, { deadlineMs: 20 }), { instanceOf: ActorError });
  t.is(error.code, 'deadline');
});

test.serial('RT-7: nothing that was queued for a dead incarnation reaches the next one', async (t) => {
  const { supervisor, event } = rig(t, group('one-for-one', [echo()]));
  await supervisor.start();
  const link = supervisor.link<EchoContract>('echo');
  link.ask('misbehave', { how: 'block' }).catch(() => {});
  for (const text of ['a', 'b', 'c']) t.is(link.tell('note', { text }), 'ok');
  await supervisor.kill('echo');
  await event(up('echo', 2));
  await new Promise<void>((resolve) => link.onUp(resolve));
  t.deepEqual(await link.ask('notes', {}), { notes: [] });
});

test.serial(
  'RT-7: an actor that is being stopped is handed nothing more, and its callers do not wait for its end',
  async (t) => {
    const stopsAfter = join(mkdtempSync(join(tmpdir(), 'quorate-kernel-')), 'go');
    const { supervisor, diary } = rig(t, group('one-for-one', [echo()]), { stopsAfter });
    await supervisor.start();
    const link = supervisor.link<EchoContract>('echo');
    const held = link.ask('never', {});
    const restarted = supervisor.restart('echo');
    await until(() => diary().at(-1) === 'stop echo');
    t.is((await t.throwsAsync(held, { instanceOf: ActorError })).code, 'peer_down');
    t.is(supervisor.status()[0]!.state, 'stopping');
    t.is(link.tell('note', { text: 'too late' }), 'down');
    writeFileSync(stopsAfter, '');
    await restarted;
    rmSync(dirname(stopsAfter), { recursive: true });
  },
);

test.serial('RT-6: a gated write is finished before its thread is terminated, 10 times out of 10', async (t) => {
  const { supervisor, event, diary } = rig(t, group('one-for-one', [echo({ gated: true })]));
  await supervisor.start();
  const link = supervisor.link<EchoContract>('echo');
  const gate = (): string[] => diary().filter((line) => line.startsWith('gate'));
  for (let incarnation = 1; incarnation <= 10; incarnation++) {
    link.ask('gated', { forMs: 5 }).catch(() => {});
    await until(() => gate().length >= incarnation * 2 - 1);
    await supervisor.kill('echo');
    t.is(gate().length, incarnation * 2, 'the write it was in is finished, and no other was begun');
    await event(up('echo', incarnation + 1));
    await new Promise<void>((resolve) => link.onUp(resolve));
  }
  t.deepEqual(
    gate(),
    Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 'gate in' : 'gate out')),
  );
});

test.serial(
  'RT-9: an actor’s counters do not fall over its death, and a scrape of a blocked actor does not wait for it',
  async (t) => {
    const { supervisor, event, diary } = rig(t, group('one-for-one', [echo()]));
    await supervisor.start();
    const link = supervisor.link<EchoContract>('echo');
    const scraped = async (): Promise<[number, boolean]> => {
      const [{ metrics, stale } = { metrics: [], stale: true }] = await supervisor.metrics();
      return [metrics.find(({ name }) => name === 'fixture_handled_total')?.values[0]?.value ?? 0, stale];
    };
    // A busy machine may make any one scrape late; what a fresh one says must be right.
    const handled = async (): Promise<number> => {
      for (;;) {
        const [count, stale] = await scraped();
        if (!stale) return count;
      }
    };
    for (let ask = 0; ask < 3; ask++) await link.ask('echo', { text: 'x' });
    t.is(await handled(), 3);
    await supervisor.kill('echo');
    t.is((await scraped())[0], 3);
    await event(up('echo', 2));
    await new Promise<void>((resolve) => link.onUp(resolve));
    await link.ask('echo', { text: 'x' });
    t.is(await handled(), 4);
    await supervisor.restart('echo');
    await link.ask('echo', { text: 'x' });
    t.is(await handled(), 5);
    link.ask('misbehave', { how: 'block' }).catch(() => {});
    await until(() => diary().at(-1) === 'block');
    t.deepEqual(await scraped(), [5, true]);
  },
);

test.serial(
  'RT-6: an actor that has something to let go of is told before it is killed, and not after it stopped',
  async (t) => {
    const relay = fixtureSpec('relay', 'relay', { links: ['echo'] });
    const { supervisor, diary, event } = rig(t, group('one-for-one', [fixtureSpec('echo', 'echo'), relay]));
    await supervisor.start();
    await supervisor.kill('relay');
    await event(({ kind, actor, incarnation }) => kind === 'up' && actor === 'relay' && incarnation === 2);
    await supervisor.stop();
    const ofRelay = diary().filter((line) => line.includes('relay'));
    t.deepEqual(ofRelay, ['init relay 1', 'abandon relay', 'init relay 2', 'stop relay']);
  },
);

test.serial('RT-9: an ordinary restart keeps what was counted after the last scrape', async (t) => {
  const { supervisor } = rig(t, group('one-for-one', [echo()]));
  await supervisor.start();
  await supervisor.link<EchoContract>('echo').ask('echo', { text: 'x' });
  await supervisor.restart('echo');
  const [{ metrics } = { metrics: [] }] = await supervisor.metrics();
  t.is(metrics.find(({ name }) => name === 'fixture_handled_total')?.values[0]?.value, 1);
});

test.serial('CF-3: a configuration is taken by all actors or by none', async (t) => {
  const { supervisor, config: first } = rig(t, group('one-for-one', [echo(), fixtureSpec('other', 'echo')]));
  await supervisor.start();
  const config = { ...first, value: 'second' };
  await t.throwsAsync(supervisor.prepare({ ...config, refuses: 'other' }), { message: /refused: other: .*cannot be/ });
  t.deepEqual(await supervisor.inspect('echo'), { value: 'first', source: true });
  await supervisor.prepare(config);
  await supervisor.commit();
  t.deepEqual(await supervisor.inspect('echo'), { value: 'second', source: true });
  t.deepEqual(await supervisor.inspect('other'), { value: 'second', source: true });
  await supervisor.kill('echo');
  await new Promise<void>((resolve) => supervisor.link('echo').onUp(resolve));
  t.deepEqual(await supervisor.inspect('echo'), { value: 'second', source: true });
});

test.serial(
  'CF-3: an actor without reconfigure is restarted by the commit, and only when its part changed',
  async (t) => {
    const tree = group('one-for-one', [echo(), relay({ configure: ({ value }) => ({ value }) })]);
    const { supervisor, config } = rig(t, tree);
    await supervisor.start();
    await supervisor.prepare({ ...config, init: {} });
    await supervisor.commit();
    t.deepEqual(
      supervisor.status().map(({ incarnation }) => incarnation),
      [1, 1],
    );
    await supervisor.prepare({ ...config, value: 'second' });
    await supervisor.commit();
    t.deepEqual(
      supervisor.status().map(({ incarnation }) => incarnation),
      [1, 2],
    );
  },
);

test.serial('an actor’s report reaches the main thread and is forgotten with its incarnation', async (t) => {
  const { supervisor, event } = rig(t, group('one-for-one', [echo({ restart: 'backoff' })]));
  await supervisor.start();
  await event(({ kind }) => kind === 'report');
  t.deepEqual([...supervisor.reports().get('echo')!], [['value', { ok: true, data: { value: 'first' } }]]);
  supervisor
    .link<EchoContract>('echo')
    .ask('misbehave', { how: 'exit-0' })
    .catch(() => {});
  await event(({ kind }) => kind === 'exit');
  t.is(supervisor.reports().get('echo')!.size, 0);
});

test.serial('an actor’s fatal report ends the process with its code, and nothing is restarted after it', async (t) => {
  const { supervisor, fatal } = rig(t, group('one-for-one', [echo()]));
  await supervisor.start();
  await supervisor.link<EchoContract>('echo').ask('misbehave', { how: 'fatal' });
  await until(() => fatal.length > 0);
  t.deepEqual(fatal, [{ exitCode: 74, reason: 'echo: the disk lies' }]);
  t.true(await supervisor.halt(2_000));
  t.is(supervisor.status()[0]!.state, 'stopped');
});

test.serial('buffers move through a link in both directions', async (t) => {
  const { supervisor } = rig(t, group('one-for-one', [echo()]));
  await supervisor.start();
  const bytes = new Uint8Array([1, 2, 3]);
  const reply = await supervisor.link<EchoContract>('echo').ask('moved', { bytes }, { transfer: [bytes.buffer] });
  t.is(bytes.length, 0);
  t.deepEqual([...reply.bytes], [1, 2, 3]);
});

const LOGS: [what: string, logs: (directory: string) => ActorLogOptions, more: object][] = [
  ['its own', (directory) => ({ level: 'info', file: join(directory, 'log') }), {}],
  [
    'a factory’s',
    (directory) => {
      const options = { file: join(directory, 'log'), mark: 'made' };
      return { factory: { module: fixtureUrl('log-factory').href, options } };
    },
    { mark: 'made' },
  ],
];
for (const [what, logs, more] of LOGS) {
  test.serial(
    `OB-5: ${what} log of a thread takes a new level, keeps it over a restart, and is opened anew`,
    async (t) => {
      const { supervisor, directory } = rig(t, group('one-for-one', [echo()]), { logs });
      await supervisor.start();
      const file = join(directory, 'log');
      const link = supervisor.link<EchoContract>('echo');
      const lines = (): Record<string, unknown>[] =>
        existsSync(file)
          ? readFileSync(file, 'utf8')
              .split('\n')
              .filter(Boolean)
              .map((line) => JSON.parse(line))
          : [];
      // Level and message go by different ports: noted until it shows.
      const untilNoted = (incarnation: number): Promise<void> =>
        until(() => {
          link.tell('note', { text: 'x' });
          return lines().some((line) => line.incarnation === incarnation);
        });
      link.tell('note', { text: 'x' });
      await link.ask('notes', {});
      t.deepEqual(lines(), [], 'debug lines are off');
      supervisor.adjustLogs({ level: 'debug' });
      await untilNoted(1);
      t.like(lines()[0], { level: 20, actor: 'echo', incarnation: 1, text: 'x', msg: 'noted', ...more });
      await supervisor.kill('echo');
      await untilNoted(2);
      renameSync(file, `${file}.1`);
      supervisor.adjustLogs({ reopen: true });
      await untilNoted(2);
      t.pass();
    },
  );
}

test.serial('a thread sees neither the environment nor the flags of the process', async (t) => {
  const { supervisor } = rig(t, group('one-for-one', [fixtureSpec('surroundings', 'surroundings')]));
  process.env.QUORATE_SIGNING_KEY = 'secret';
  t.teardown(() => {
    delete process.env.QUORATE_SIGNING_KEY;
  });
  await supervisor.start();
  t.deepEqual(await supervisor.inspect('surroundings'), { env: {}, execArgv: [] });
});

/** Until as many messages are on their way to, or in hand of, the actor. */
function waitForDepth(supervisor: Supervisor<FixtureConfig>, id: string, depth: number): Promise<void> {
  return until(() => supervisor.status().find((actor) => actor.id === id)?.mailboxDepth === depth);
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
