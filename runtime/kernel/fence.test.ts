// Words that were under way when their speaker was ended: none is heard once its successor is up.
import test from 'ava';
import { pino } from '../../observability/pino.js';
import { systemClock } from './clock.js';
import { type FixtureConfig, fixtureSpec, type ListenerContract } from './fixtures/contracts.js';
import { threadHost } from './host-thread.js';
import { supervise } from './supervisor.js';

const KILLS = 4;

test('RT-8: with thousands of messages under way at each kill, none of a dead incarnation is heard once its successor is up', async (t) => {
  t.timeout(60_000);
  const supervisor = supervise<FixtureConfig>({
    tree: {
      id: 'root',
      strategy: 'one-for-one',
      budget: { intensity: 3, periodMs: 60_000 },
      children: [fixtureSpec('listener', 'listener'), fixtureSpec('talker', 'talker', { links: ['listener'] })],
    },
    config: { value: 'x' },
    clock: systemClock,
    random: () => 0.5,
    host: threadHost({ clock: systemClock }),
    log: pino({ level: 'silent' }),
    actorLogOptions: { level: 'silent' },
    onFatal: () => undefined,
  });
  t.teardown(() => supervisor.halt(30_000));
  await supervisor.start();
  const link = supervisor.link<ListenerContract>('listener');
  const heard = () => link.ask('heard', {}, { deadlineMs: 30_000 });
  const upAtMs = new Map([[1, 0]]);
  supervisor.on('event', ({ kind, actor, incarnation }) => {
    if (kind === 'up' && actor === 'talker') upAtMs.set(incarnation, performance.timeOrigin + performance.now());
  });
  const depths: number[] = [];
  for (let incarnation = 1; incarnation <= KILLS; incarnation++) {
    // It speaks from its first moment on, before it counts as up.
    while ((await heard()).heard[incarnation] === undefined || !upAtMs.has(incarnation));
    depths.push(supervisor.status().find(({ id }) => id === 'listener')!.mailboxDepth);
    await supervisor.kill('talker');
  }
  while ((await heard()).heard[KILLS + 1] === undefined || !upAtMs.has(KILLS + 1));
  const { lastAtMs } = await heard();
  for (let incarnation = 1; incarnation <= KILLS; incarnation++) {
    const lateMs = lastAtMs[incarnation]! - upAtMs.get(incarnation + 1)!;
    t.true(lateMs < 0, `a word of incarnation ${incarnation} was heard ${lateMs} ms after its successor came up`);
  }
  t.true(Math.max(...depths) > 1_000, `under way at the kills: ${depths.join(', ')}`);
  t.log(`under way at the kills: ${depths.join(', ')}`);
});
