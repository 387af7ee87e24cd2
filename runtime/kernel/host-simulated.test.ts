// The simulated host keeps the promises of host.ts, and is as unkind as real threads are.
import test from 'ava';
import { pino } from '../../observability/pino.js';
import { ManualClock } from './clock.js';
import type { ActorContext, Link } from './contract.js';
import { defineActor, defineSpec } from './define.js';
import { SimulatedHost } from './host-simulated.js';
import type { Moment, SimulatedThread } from './simulated-thread.js';
import { supervise } from './supervisor.js';
import type { ActorError } from './wire-error.js';

interface Contract {
  tell: { note: { text: string } };
  ask: { hold: { request: object; reply: object }; echo: { request: object; reply: object } };
}

type Peers = Record<string, Contract>;

const bound = { max: 8, reason: 'a test' };

interface Rig {
  readonly clock: ManualClock;
  readonly host: SimulatedHost;
  readonly supervisor: ReturnType<typeof supervise<null>>;
  /** What the actors were told, as "receiver text". */
  readonly notes: string[];
  readonly moments: string[];
  thread(id: string): SimulatedThread;
  link(from: string, to: string): Link<Contract>;
  pass(durationMs: number): Promise<void>;
}

/** Two actors that know each other; every message takes 1 ms, an end 5 ms, loading 2 ms. */
async function rig(random: () => number = () => 0): Promise<Rig> {
  const clock = new ManualClock();
  const notes: string[] = [];
  const moments: string[] = [];
  const contexts = new Map<string, ActorContext<Peers, unknown>>();
  const definition = (id: string) =>
    defineActor<Contract, null, Peers, unknown>({
      policies: { tell: { note: bound }, ask: { hold: bound, echo: bound } },
      init(context) {
        contexts.set(id, context);
        return null;
      },
      tell: { note: (_, { text }) => void notes.push(`${id} ${text}`) },
      ask: { hold: () => new Promise(() => {}), echo: (_, request) => request },
      stop() {},
    });
  const wire = { clock, delayMs: () => 1 };
  const log = pino({ level: 'silent' });
  const host = new SimulatedHost({
    wire,
    dataWire: wire,
    random,
    threadLog: { log, reopen() {} },
    plan: ({ id }) => ({ spawnMs: 1, loadMs: 1, module: definition(id), exitMs: 5 }),
    observe: (thread, moment: Moment) => void moments.push(`${moment} ${thread.name}`),
    asked: () => {},
  });
  const spec = (id: string, peer: string) =>
    defineSpec<null>({
      id,
      module: new URL('file:///simulated.js'),
      restart: 'immediate',
      links: [peer],
      configure: () => null,
    });
  const supervisor = supervise<null>({
    tree: {
      id: 'root',
      strategy: 'one-for-one',
      budget: { intensity: 3, periodMs: 1_000 },
      children: [spec('a', 'b'), spec('b', 'a')],
    },
    config: null,
    clock,
    random: () => 0.5,
    host,
    log,
    actorLogOptions: {},
    onFatal: (exitCode, reason) => void moments.push(`fatal ${exitCode} ${reason}`),
  });
  const pass = async (durationMs: number): Promise<void> => {
    const untilMs = clock.monotonic() + durationMs;
    const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
    await turn();
    for (let next = clock.nextTimerMs(); next !== null && clock.monotonic() + next <= untilMs; ) {
      clock.step();
      await turn();
      next = clock.nextTimerMs();
    }
    clock.advance(untilMs - clock.monotonic());
    await turn();
  };
  const started = supervisor.start();
  await pass(20);
  await started;
  return {
    clock,
    host,
    supervisor,
    notes,
    moments,
    thread: (id) => host.living(id)!,
    link: (from, to) => contexts.get(from)!.links[to]!,
    pass,
  };
}

test('what was under way when its sender died arrives; what it would have sent later does not', async (t) => {
  const { thread, link, pass, notes } = await rig();
  const a = thread('a');
  a.clock.setTimer(3, () => link('a', 'b').tell('note', { text: 'too late' }));
  link('a', 'b').tell('note', { text: 'under way' });
  a.crash('Error: simulated');
  await pass(0.5);
  t.deepEqual(notes, []);
  await pass(50);
  t.deepEqual(notes, ['b under way']);
});

test('a blocked loop takes what came meanwhile later, each sender in order', async (t) => {
  const { thread, link, pass, notes } = await rig();
  thread('b').block(30);
  for (const text of ['1', '2', '3']) link('a', 'b').tell('note', { text });
  await pass(29);
  t.deepEqual(notes, []);
  await pass(2);
  t.deepEqual(notes, ['b 1', 'b 2', 'b 3']);
});

// Which of its ports a loop reads first when it turns again is not for anybody to say: both orders must do.
for (const [order, draw] of [
  ['first', 0],
  ['last', 0.999],
] as const) {
  test(`RT-8: a receiver that was blocked while the sender was replaced drops what that sent, read ${order}`, async (t) => {
    const { thread, link, pass, notes, supervisor } = await rig(() => draw);
    thread('b').block(100);
    link('a', 'b').tell('note', { text: 'of a dead incarnation' });
    await pass(5);
    const killed = supervisor.kill('a');
    await pass(50);
    await killed;
    t.like(supervisor.status()[0], { state: 'up', incarnation: 2 });
    await pass(60);
    link('a', 'b').tell('note', { text: 'of the living one' });
    await pass(5);
    t.deepEqual(notes, ['b of the living one']);
  });
}

for (const [order, draw] of [
  ['first', 0],
  ['last', 0.999],
] as const) {
  test(`RT-8: a caller that was blocked while the one it asked was replaced takes no answer of that, read ${order}`, async (t) => {
    const { thread, link, pass, supervisor } = await rig(() => draw);
    const settled: string[] = [];
    link('b', 'a')
      .ask('echo', {})
      .then(
        () => settled.push('answered'),
        (error: ActorError) => settled.push(error.code),
      );
    thread('b').block(100);
    await pass(5);
    void supervisor.kill('a');
    await pass(50);
    t.like(supervisor.status()[0], { state: 'up', incarnation: 2 });
    t.deepEqual(settled, [], 'it stands still');
    await pass(60);
    t.deepEqual(settled, ['peer_down']);
  });
}

test('RT-7: a call in flight settles within 10 ms of the fence, long before the thread is gone', async (t) => {
  const { thread, link, pass, supervisor, clock } = await rig();
  thread('b').block(1_000, true);
  const settled: [string, number][] = [];
  link('a', 'b')
    .ask('hold', {})
    .catch((error: ActorError) => settled.push([error.code, clock.monotonic()]));
  await pass(10);
  const fencedAtMs = clock.monotonic();
  void supervisor.kill('b');
  await pass(10);
  t.deepEqual(settled, [['peer_down', fencedAtMs + 1]]);
  t.false(thread('b').gone, 'terminate waits for native code');
});

test('RT-6: a thread that does not die ends the process', async (t) => {
  const { thread, pass, supervisor, moments } = await rig();
  thread('b').mortal = false;
  void supervisor.kill('b');
  await pass(10_001);
  t.is(moments.at(-1), 'fatal 71 the thread of "b" did not end within 10000 ms');
});
