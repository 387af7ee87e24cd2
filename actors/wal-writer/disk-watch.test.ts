// What a write without room leaves behind, and who may try again.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemClock } from '../../runtime/kernel/clock.js';
import { memoryLog } from '../testing/context.js';
import { DiskWatch } from './disk-watch.js';
import type { DiskLimits } from './pressure.js';

const ROOM: DiskLimits = { warnBytes: 3, errorBytes: 2, stopBytes: 1, ballastBytes: 0 };
const NO_ROOM: DiskLimits = { ...ROOM, stopBytes: Number.MAX_SAFE_INTEGER };

/** Watches a real directory, in which a write has found no room, until it has looked at it. */
function looked(t: { teardown(run: () => void): void }, limits: DiskLimits): Promise<DiskWatch> {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-disk-watch-'));
  return new Promise((resolve) => {
    const watch = new DiskWatch({
      directory,
      dataDirectory: directory,
      limits,
      clock: systemClock,
      log: memoryLog().log,
      report: () => {},
      looked: () => resolve(watch),
    });
    t.teardown(() => {
      watch.stop();
      rmSync(directory, { recursive: true, force: true });
    });
    watch.full();
    watch.start();
  });
}

test('ST-2: once the disk has room again, a write may be tried although nothing is admitted', async (t) => {
  const watch = await looked(t, ROOM);
  t.regex(watch.refusal ?? '', /no room/);
  t.true(watch.mayHaveRoom);
  watch.roomAgain();
  t.is(watch.refusal, null);
  t.false(watch.mayHaveRoom);
});

test('ST-2: what little a disk below its stop mark has is not tried for', async (t) => {
  const watch = await looked(t, NO_ROOM);
  t.regex(watch.refusal ?? '', /no room/);
  t.false(watch.mayHaveRoom);
});
