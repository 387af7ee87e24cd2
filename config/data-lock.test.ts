// The lock of a data directory, between real processes: it ends with its holder, and belongs to the directory, not to a path.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { DataDirectoryHeld, lockDataDirectory, nodePid } from './data-lock.js';

// Elsewhere than on Linux the lock is run/node.pid alone, of which the first stories do not hold.

if (process.platform === 'linux') {
  test('CF-1: a second process on the directory is refused, by whatever path it comes; another directory is free', async (t) => {
    const directory = directoryOf(t);
    const holder = await holderOf(t, directory);
    mkdirSync(join(directory, 'run'));
    writeFileSync(join(directory, 'run', 'node.pid'), `${holder.pid}\n`);
    const link = `${directory}-link`;
    symlinkSync(directory, link);
    t.teardown(() => rmSync(link));
    for (const path of [directory, link, join(directory, 'run', '..')]) {
      const error = await t.throwsAsync(lockDataDirectory(path), { instanceOf: DataDirectoryHeld }, path);
      t.is(error.pid, holder.pid ?? null);
      t.regex(error.message, new RegExp(`is in use by process ${holder.pid}$`));
    }
    const other = await lockDataDirectory(directoryOf(t));
    await other.release();
  });

  test('the lock is free as soon as its holder is killed, and after a release', async (t) => {
    const directory = directoryOf(t);
    const holder = await holderOf(t, directory);
    await t.throwsAsync(lockDataDirectory(directory), { instanceOf: DataDirectoryHeld });
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    const lock = await lockDataDirectory(directory);
    await t.throwsAsync(lockDataDirectory(directory), { message: /is in use by another process$/ });
    await lock.release();
    await (await lockDataDirectory(directory)).release();
  });
}

test('a directory that is not there cannot be locked', async (t) => {
  await t.throwsAsync(lockDataDirectory(join(tmpdir(), 'quorate-no-such')), { code: 'ENOENT' });
});

test('run/node.pid counts only when it holds a process id', (t) => {
  const directory = directoryOf(t);
  t.is(nodePid(directory), null);
  mkdirSync(join(directory, 'run'));
  const stories: [string, number | null][] = [
    ['4711\n', 4711],
    ['', null],
    ['0', null],
    ['-1', null],
    ['12 34', null],
    ['x', null],
  ];
  for (const [text, expected] of stories) {
    writeFileSync(join(directory, 'run', 'node.pid'), text);
    t.is(nodePid(directory), expected, text);
  }
});

/** A process that has the lock when this returns. */
async function holderOf(t: ExecutionContext, directory: string): Promise<ChildProcess> {
  const module = new URL('./data-lock.js', import.meta.url).href;
  const program = `import { lockDataDirectory } from ${JSON.stringify(module)};
    await lockDataDirectory(${JSON.stringify(directory)}); console.log('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

function directoryOf(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-lock-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
