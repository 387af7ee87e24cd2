import test from 'ava';
import type { LogRecord } from '../../protocol/wal-record.js';
import { LogFailure, LogFull } from './errors.js';
import { contents, DIRECTORY, openOn, record, shown } from './log-fixture.js';
import { LOSE_ALL, type Operation, SimulatedDisk } from './simulated-disk.js';

const large = (fill: number): LogRecord[] => [{ type: 1, data: new Uint8Array(2000).fill(fill) }];
const segments = (disk: SimulatedDisk): string[] => disk.readdirSync(DIRECTORY).filter((name) => name.endsWith('.seg'));

/** Refuses `operation` on files whose path matches, from now on. */
function refusing(operation: Operation, code: string, path = /./): SimulatedDisk['refuse'] {
  return (asked, file) => (asked === operation && path.test(file) ? code : null);
}

for (const operation of ['write', 'fdatasync'] as const) {
  for (const code of ['EIO', 'ENOSPC']) {
    test(`ST-1: ${code} in the ${operation} of a batch: the log refuses everything after it, and touches the disk no more`, (t) => {
      const disk = new SimulatedDisk();
      const { log } = openOn(disk);
      log.append([record('good')]);
      disk.refuse = refusing(operation, code);
      const error = t.throws(() => log.append([record('lost')]), { instanceOf: LogFailure, message: /must end/ });
      t.regex((error.cause as Error).message, new RegExp(code));
      disk.refuse = () => null;
      const changes = disk.changes;
      t.throws(() => log.append([record('later')]), { instanceOf: LogFailure });
      t.is(log.stats().state, 'failed');
      t.is(log.nextLsn, 2);
      t.is(disk.changes, changes, 'no retry on pages that a failed sync marked clean');
      t.deepEqual(contents(log), shown([record('good')]), 'what was acknowledged is still served');
      const { log: restarted, verdict } = openOn(disk.afterPowerCut(LOSE_ALL));
      t.is(verdict.state, 'clean');
      t.deepEqual(contents(restarted), shown([record('good')]));
    });
  }
}

test('ST-1: no room for the next segment: the append is refused, nothing is lost, and it works once there is room', async (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk);
  log.append(large(1));
  disk.refuse = refusing('write', 'ENOSPC', /\.tmp$/);
  t.throws(() => log.append(large(2)), { instanceOf: LogFull, message: /free space/ });
  await t.throwsAsync(log.prepareSpare(), { instanceOf: LogFull });
  t.false(log.stats().spareReady);
  t.deepEqual(
    disk.readdirSync(DIRECTORY).filter((name) => name.endsWith('.tmp')),
    [],
    'no half-made file keeps the space',
  );
  t.is(log.append([record('small enough for the old segment')]), 2);
  disk.refuse = () => null;
  t.is(log.append(large(2)), 3);
  await log.close();
  const { log: again, verdict } = openOn(disk);
  t.is(verdict.state, 'clean');
  t.deepEqual(contents(again), shown([...large(1), record('small enough for the old segment'), ...large(2)]));
});

test('no room found only when the new segment is synced is still no failure', (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk);
  log.append(large(1));
  disk.refuse = refusing('fsync', 'EDQUOT', /\.tmp$/);
  t.throws(() => log.append(large(2)), { instanceOf: LogFull });
  disk.refuse = () => null;
  t.is(log.append(large(2)), 2);
});

const fatalSteps: Array<[string, Operation, string, RegExp]> = [
  ['the write of a new segment', 'write', 'EIO', /\.tmp$/],
  ['the sync of a new segment', 'fsync', 'EIO', /\.tmp$/],
  ['its rename', 'rename', 'EIO', /\.seg$/],
  ['the sync of the directory, the new name being there already', 'directory-sync', 'ENOSPC', /wal$/],
];
for (const spare of [false, true]) {
  for (const [step, operation, code, path] of fatalSteps) {
    test(`${code} in ${step}${spare ? ', a spare being used' : ''}: fatal, and the next start is clean`, async (t) => {
      const disk = new SimulatedDisk();
      const { log } = openOn(disk);
      log.append(large(1));
      if (spare) await log.prepareSpare();
      disk.refuse = refusing(operation, code, path);
      t.throws(() => log.append(large(2)), { instanceOf: LogFailure });
      disk.refuse = () => null;
      t.throws(() => log.append([record('later')]), { instanceOf: LogFailure });
      for (const next of [disk.afterKill(), disk.afterPowerCut(LOSE_ALL)]) {
        const { log: restarted, verdict } = openOn(next);
        t.is(verdict.state, 'clean');
        t.deepEqual(contents(restarted), shown(large(1)));
        t.is(restarted.append(large(2)), 2);
      }
    });
  }
}

test('a spare that cannot be synced ends the log too: the disk is failing', async (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk);
  disk.refuse = refusing('fsync', 'EIO', /spare/);
  await t.throwsAsync(log.prepareSpare(), { instanceOf: LogFailure });
  t.throws(() => log.append([record('more')]), { instanceOf: LogFailure });
});

test('I/O errors while a log is opened or made are failures with a cause, and change no segment', (t) => {
  const disk = new SimulatedDisk();
  disk.refuse = refusing('fsync', 'EIO');
  t.throws(() => openOn(disk), { instanceOf: LogFailure });
  disk.refuse = refusing('write', 'ENOSPC');
  t.throws(() => openOn(disk), { instanceOf: LogFull });
  t.deepEqual(segments(disk), []);
  disk.refuse = () => null;
  openOn(disk).log.append([record('kept')]);
  disk.refuse = refusing('rename', 'EIO');
  t.throws(() => openOn(disk), { instanceOf: LogFailure });
  disk.refuse = () => null;
  t.deepEqual(contents(openOn(disk).log), shown([record('kept')]));
});

test('short writes are carried on with, and a write of nothing is a failure', (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk);
  const whole = disk.writeSync.bind(disk);
  disk.writeSync = (fd, buffer, offset, length, position) => whole(fd, buffer, offset, Math.min(length, 100), position);
  log.append(large(3));
  t.deepEqual(contents(log), shown(large(3)));
  disk.writeSync = () => 0;
  t.throws(() => log.append([record('x')]), { instanceOf: LogFailure, message: /wrote nothing/ });
});
