// A thread that is still loading its module is not terminated: native libraries take the whole process with them.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pino } from '../../observability/pino.js';
import { systemClock } from './clock.js';
import { type FixtureConfig, fixtureSpec } from './fixtures/contracts.js';
import { threadHost } from './host-thread.js';
import { supervise } from './supervisor.js';
import { createVitals, loadGated, VitalsView } from './vitals.js';

for (const [what, end] of [
  ['a stop', (supervisor: Supervised) => supervisor.stop()],
  ['a kill', (supervisor: Supervised) => supervisor.kill('slow')],
  ['the end of the process', (supervisor: Supervised) => supervisor.halt(30_000)],
] as const) {
  test(`RT-6: ${what} waits until the module is loaded`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'quorate-loading-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const diary = join(directory, 'diary');
    writeFileSync(diary, '');
    const lines = () => readFileSync(diary, 'utf8').split('\n').filter(Boolean);
    const supervisor = supervisedAt(diary);
    t.teardown(() => supervisor.halt(30_000));
    const started = supervisor.start().catch(() => undefined);
    while (lines().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    t.deepEqual(lines(), ['loading']);
    await end(supervisor);
    t.deepEqual(lines().slice(0, 2), ['loading', 'loaded']);
    if (what !== 'a kill') await started;
  });
}

type Supervised = ReturnType<typeof supervisedAt>;

function supervisedAt(diary: string) {
  return supervise<FixtureConfig>({
    tree: {
      id: 'root',
      strategy: 'one-for-one',
      budget: { intensity: 3, periodMs: 60_000 },
      children: [fixtureSpec('slow', 'slow-load')],
    },
    config: { value: 'x', diary },
    clock: systemClock,
    random: () => 0.5,
    host: threadHost({ clock: systemClock, env: { DIARY: diary } }),
    log: pino({ level: 'silent' }),
    actorLogOptions: { level: 'silent' },
    onFatal: () => undefined,
  });
}

test('the gate is shut while a module loads, opens again also when that fails, and a closed one lets nothing load', async (t) => {
  const block = createVitals();
  const view = new VitalsView(block);
  const closing = () => view.closeGate(systemClock, 0);
  t.is(await loadGated(block, async () => [await closing()]).then((found) => found?.[0]), false);
  await t.throwsAsync(
    loadGated(block, () => Promise.reject(new Error('no such module'))),
    { message: 'no such module' },
  );
  t.true(await closing());
  t.is(await loadGated(block, () => Promise.reject(new Error('was loaded'))), null);
});
