// What is told to the service manager and when, with a clock that the test moves; and that a helper which is missing or
// fails costs one warning. The words as systemd gets them are tested with a real node.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from '../observability/pino.js';
import { ManualClock } from './kernel/clock.js';
import { NotifyHelper } from './notify-helper.js';
import { ServiceManager, watchdogUsecOf } from './service-manager.js';

const SUMMARY = '7 of 7 actors up';

function rig(more: { watchdogUsec?: number | null; listens?: boolean } = {}) {
  const clock = new ManualClock();
  const told: string[][] = [];
  const events: unknown[] = [];
  const state = { idle: true, look: { ok: true, reason: '' }, summary: SUMMARY };
  const teller = {
    get idle() {
      return state.idle;
    },
    tell: (assignments: readonly string[]) => void told.push([...assignments]),
    close: async () => undefined,
  };
  const manager = new ServiceManager({
    teller: more.listens === false ? null : teller,
    watchdogUsec: more.watchdogUsec === undefined ? 4_000_000 : more.watchdogUsec,
    clock,
    monotonicUsec: () => 123n,
    log: pino({ level: 'trace' }, { write: (line: string) => void events.push(JSON.parse(line).event) }),
    look: () => state.look,
    summary: () => state.summary,
  });
  const since = (): string[][] => told.splice(0);
  return { manager, clock, told, since, events, state };
}

test('CF-6: nobody listens: nothing is told and no timer is set', (t) => {
  const { manager, clock, told } = rig({ listens: false });
  manager.starting();
  manager.ready('x');
  manager.stopping(1);
  t.is(clock.nextTimerMs(), null);
  t.deepEqual(told, []);
});

test('CF-6: WATCHDOG=1 at half its time, from the start on; without a watchdog only what changed', (t) => {
  const fed = rig();
  fed.manager.starting();
  fed.manager.ready('http://x');
  fed.since();
  fed.clock.advance(6_000);
  t.deepEqual(fed.since(), [['WATCHDOG=1'], ['WATCHDOG=1'], ['WATCHDOG=1']]);

  const plain = rig({ watchdogUsec: null });
  plain.manager.starting();
  plain.manager.ready('http://x');
  plain.since();
  plain.clock.advance(60_000);
  t.deepEqual(plain.since(), []);
  plain.state.summary = '6 of 7 actors up, store is backoff';
  plain.clock.advance(60_000);
  t.deepEqual(plain.since(), [['STATUS=6 of 7 actors up, store is backoff']]);
});

test('CF-6: a long start asks for more time at each beat, as long as the supervisor is sound', (t) => {
  const { manager, clock, since, state } = rig({ watchdogUsec: null });
  manager.starting();
  t.deepEqual(since(), [['EXTEND_TIMEOUT_USEC=30000000', 'STATUS=Starting']]);
  clock.advance(20_000);
  t.deepEqual(since(), [
    ['EXTEND_TIMEOUT_USEC=30000000', `STATUS=Starting: ${SUMMARY}`],
    ['EXTEND_TIMEOUT_USEC=30000000'],
  ]);
  state.look = { ok: false, reason: 'consensus is stuck (starting)' };
  clock.advance(10_000);
  t.deepEqual(since(), [['STATUS=Starting: Not sound: consensus is stuck (starting)']]);
  manager.ready('http://x');
  t.deepEqual(since(), [['READY=1', `STATUS=Ready, client API on http://x; ${SUMMARY}`]]);
});

test('CF-6: the watchdog is not fed while the supervisor is not sound, which is logged once each way', (t) => {
  const { manager, clock, since, events, state } = rig();
  manager.starting();
  manager.ready('x');
  since();
  state.look = { ok: false, reason: 'store is down for good' };
  clock.advance(10_000);
  t.deepEqual(since(), [['STATUS=Not sound: store is down for good']]);
  state.look = { ok: true, reason: '' };
  clock.advance(4_000);
  t.deepEqual(since(), [['WATCHDOG=1', `STATUS=${SUMMARY}`], ['WATCHDOG=1']]);
  t.deepEqual(events, ['watchdog.withheld', 'watchdog.resumed']);
});

test('CF-6: the end of a node that cannot go on is told with its reason, in one line that is not too long, and feeds nothing', (t) => {
  const { manager, clock, since, state } = rig();
  manager.starting();
  manager.ready('x');
  since();
  state.look = { ok: false, reason: 'the process is being ended' };
  manager.failing(`the restart budget is spent; ${'x'.repeat(1000)}`);
  clock.advance(60_000);
  const told = since();
  t.is(told.length, 1);
  t.is(told[0]?.[0], 'STOPPING=1');
  t.regex(told[0]![1]!, /^STATUS=Cannot go on: the restart budget is spent; x{100,300}$/);
});

test('CF-6: a ping that is still under way is not queued behind', (t) => {
  const { manager, clock, since, state } = rig();
  manager.starting();
  since();
  state.idle = false;
  clock.advance(100_000);
  t.deepEqual(since(), []);
  state.idle = true;
  clock.advance(2_000);
  t.is(since().length, 1);
});

test('CF-6: reloads say RELOADING and READY, but before the node is ready neither, and after a stop no READY', async (t) => {
  const { manager, since } = rig();
  const answer = { result: 'ok', errors: [], changed: ['log.level'] } as const;
  manager.starting();
  since();
  await manager.reload(async () => answer);
  t.deepEqual(since(), [], 'READY would be told too early');
  manager.ready('x');
  since();
  await Promise.all([manager.reload(async () => answer), manager.reload(async () => answer)]);
  t.deepEqual(
    since().map(([first]) => first),
    ['RELOADING=1', 'RELOADING=1', 'READY=1'],
  );
  await t.throwsAsync(manager.reload(() => Promise.reject(new Error('no luck'))));
  t.deepEqual(since().at(-1), ['READY=1', 'STATUS=Reload failed']);
  await manager.reload(async () => {
    manager.stopping(30_000);
    return answer;
  });
  t.deepEqual(
    since().map(([first]) => first),
    ['RELOADING=1', 'STOPPING=1'],
  );
});

test('CF-6: WATCHDOG_USEC counts for the process that WATCHDOG_PID names, and only as a number', (t) => {
  t.is(watchdogUsecOf({ WATCHDOG_USEC: '30000000' }, 7), 30_000_000);
  t.is(watchdogUsecOf({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 7), 30_000_000);
  t.is(watchdogUsecOf({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 7), null);
  for (const usec of ['', '0', '-1', '1e6', 'abc']) t.is(watchdogUsecOf({ WATCHDOG_USEC: usec }, 7), null, usec);
  t.is(watchdogUsecOf({}, 7), null);
});

/** A folder with a systemd-notify of the test's own, as the only place where programs are found. */
function folderWith(t: ExecutionContext, script: string | null): string {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-helper-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  if (script !== null) {
    writeFileSync(join(folder, 'systemd-notify'), script);
    chmodSync(join(folder, 'systemd-notify'), 0o755);
  }
  return folder;
}

/** Resolves with the one complaint. */
async function complaintOf(path: string): Promise<{ reasons: string[]; helper: NotifyHelper }> {
  const reasons: string[] = [];
  let complained: () => void = () => undefined;
  const once = new Promise<void>((resolve) => {
    complained = resolve;
  });
  const onFailure = (reason: string): void => {
    reasons.push(reason);
    complained();
  };
  const helper = new NotifyHelper({ socket: '/nowhere', path, onFailure });
  helper.tell(['READY=1']);
  // The helper keeps no loop alive, so the test has to.
  const alive = setInterval(() => undefined, 1_000);
  await once;
  for (let round = 0; round < 3; round++) {
    helper.tell(['WATCHDOG=1']);
    while (!helper.idle) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  clearInterval(alive);
  return { reasons, helper };
}

test('CF-6: without systemd-notify, or with one that fails, there is one complaint, and telling goes on', async (t) => {
  const missing = await complaintOf(folderWith(t, null));
  t.deepEqual(missing.reasons, ['systemd-notify was not found in PATH']);
  const failing = await complaintOf(folderWith(t, '#!/bin/sh\necho "no such socket\nreally" >&2\nexit 3\n'));
  t.deepEqual(failing.reasons, ['systemd-notify ended with 3: no such socket']);
});

test('CF-6: an assignment with tabs and line ends stays one, wildcards are not opened, and no secret is in the environment', async (t) => {
  const folder = folderWith(t, null);
  const heard = join(folder, 'heard');
  writeFileSync(
    join(folder, 'systemd-notify'),
    `#!/bin/sh\nfor word in "$@"; do printf "<%s>\\n" "$word" >>${heard}; done\necho "$NOTIFY_SOCKET $QUORATE_SIGNING_KEY" >>${heard}\n`,
    { mode: 0o755 },
  );
  process.env.QUORATE_SIGNING_KEY = 'a secret';
  t.teardown(() => delete process.env.QUORATE_SIGNING_KEY);
  const reasons: string[] = [];
  const helper = new NotifyHelper({ socket: '@a b', path: folder, onFailure: (reason) => reasons.push(reason) });
  helper.tell(['READY=1', 'STATUS=a  b\tc\nWATCHDOG=1 * $HOME `id` "q" \\t']);
  while (!helper.idle) await new Promise((resolve) => setTimeout(resolve, 1));
  helper.tell(['STOPPING=1']);
  await helper.close(5_000);
  t.deepEqual(reasons, []);
  const lines = spawnSync('cat', [heard], { encoding: 'utf8' }).stdout.split('\n');
  t.deepEqual(lines, [
    '<READY=1>',
    '<STATUS=a  b c WATCHDOG=1 * $HOME `id` "q" \\t>',
    '@a b ',
    '<STOPPING=1>',
    '@a b ',
    '',
  ]);
});
