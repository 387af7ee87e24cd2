// The unit file that is shipped: systemd's own checks take it, and what it says of exit codes and times agrees with the node.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { FIELDS } from '../../config/fields.js';
import { EXIT } from '../../runtime/exit-codes.js';

const UNIT = readFileSync(fileURLToPath(new URL('../../../deploy/systemd/quorate.service', import.meta.url)), 'utf8');

/** All values of a setting, in order. */
const valuesOf = (name: string): string[] =>
  [...UNIT.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value!);

test('CF-6: the unit waits for READY, is watched, and gives a stop more time than the node takes', (t) => {
  t.deepEqual(valuesOf('Type'), ['notify']);
  t.deepEqual(valuesOf('NotifyAccess'), ['all'], 'the helper is another process of the unit');
  t.true(Number(valuesOf('WatchdogSec')[0]) >= 10);
  t.deepEqual(valuesOf('KillMode'), ['mixed']);
  t.true(Number(valuesOf('TimeoutStopSec')[0]) * 1000 > Number(FIELDS.shutdown_ms.default));
  t.true(valuesOf('Environment').includes('MALLOC_ARENA_MAX=2'), 'the chaos drill measures memory with it');
  t.deepEqual(valuesOf('MemoryDenyWriteExecute'), [], 'V8 compiles');
  t.true(valuesOf('SystemCallFilter')[0]?.split(' ').includes('@pkey'), 'Node is killed without');
});

test('CF-5, CF-6: what no restart mends is not restarted, everything else is', (t) => {
  const { usage, data, cannotCreate, running, permission, config } = EXIT;
  const never = [usage, data, cannotCreate, running, permission, config].map(({ code }) => String(code));
  t.deepEqual(valuesOf('RestartPreventExitStatus')[0]?.split(' '), never);
  t.deepEqual(valuesOf('Restart'), ['always']);
});

if (process.platform !== 'linux' || spawnSync('systemd-analyze', ['--version']).status !== 0) {
  test('systemd-analyze is not installed: the unit was not checked by systemd', (t) => {
    t.is(process.env.CI, undefined, 'a machine that vouches for a change has to check it: install systemd');
  });
} else {
  test('CF-6: systemd-analyze finds no fault in the unit, and little that it could still do', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'quorate-unit-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'quorate.service');
    const check = (unit: string) => {
      writeFileSync(path, unit);
      const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
      // An unknown setting is told and does not change the exit code.
      return `${stdout}${stderr}`;
    };
    const here = UNIT.replaceAll('/usr/bin/node', process.execPath);
    t.is(check(here), '');
    t.regex(check(here.replace('KillMode=', 'KilMode=')), /KilMode/, 'faults are found');
    writeFileSync(path, here);
    const security = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', path]);
    t.is(security.status, 0, String(security.stdout));
  });
}
