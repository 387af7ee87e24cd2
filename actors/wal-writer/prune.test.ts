// Segments are dropped from the front of a log: at every step of it a crash leaves a log that begins whole at one place.
import { Buffer } from 'node:buffer';
import test from 'ava';
import type { LogRecord } from '../../protocol/wal-record.js';
import { LogFailure, LogFull } from './errors.js';
import { decodeFloor, encodeFloor, FLOOR_NAME } from './floor.js';
import { inspectLog } from './inspect.js';
import type { Log } from './log.js';
import { DIRECTORY, IDENTITY, openOn, optionsOn, record, seeded, tossed } from './log-fixture.js';
import { repairLog } from './repair.js';
import { type CrashChoices, KEEP_ALL, LOSE_ALL, PowerCut, SimulatedDisk } from './simulated-disk.js';

const OUTCOMES: readonly CrashChoices[] = [KEEP_ALL, LOSE_ALL, ...[1, 2, 3, 4, 5, 6].map(tossed)];
const FLOOR = `${DIRECTORY}/${FLOOR_NAME}`;

function isPowerCut(error: unknown): boolean {
  return error instanceof PowerCut || (error instanceof Error && isPowerCut(error.cause));
}

/** Position → text of every record. */
function textsOf(log: Pick<Log, 'records'>): Map<number, string> {
  const found = new Map<number, string>();
  for (let from: number | null = 1; from !== null; ) {
    const page = log.records({ from, maxBytes: 700 });
    for (const { lsn, data } of page.records) found.set(lsn, Buffer.from(data).toString());
    from = page.next;
  }
  return found;
}

function batch(n: number): LogRecord[] {
  return [record(`${n} ${'x'.repeat(1500)}`)];
}

/** Segments of two batches each, the newest with one. */
function fill(disk: SimulatedDisk, batches = 9): Log {
  const { log } = openOn(disk);
  for (let n = 1; n <= batches; n += 1) log.append(batch(n));
  return log;
}

function namesOn(disk: SimulatedDisk): string[] {
  return disk
    .readdirSync(DIRECTORY)
    .filter((name) => name.endsWith('.seg'))
    .sort();
}

test('ST-2: what is dropped is gone, the rest is served, goes on, and is whole at the next start', async (t) => {
  const disk = new SimulatedDisk();
  const log = fill(disk);
  const third = log.segments[2]!;
  t.deepEqual(log.dropBefore(third.seq), { segments: 2, bytes: 2 * 4096 });
  t.deepEqual([...textsOf(log).keys()], [5, 6, 7, 8, 9]);
  t.is(log.fetch([1, 5]).size, 1);
  t.is(log.append(batch(10)), 10);
  await log.close();
  const again = openOn(disk);
  t.is(again.verdict.state, 'clean');
  t.deepEqual([...textsOf(again.log).keys()], [5, 6, 7, 8, 9, 10]);
  const found = inspectLog(DIRECTORY, { files: disk, identity: IDENTITY });
  t.like(found, { state: 'clean', firstLsn: 5, lastLsn: 10, records: 6 });
  t.deepEqual(again.log.dropBefore(third.seq), { segments: 0, bytes: 0 }, 'once is enough');
  again.log.dropBefore(again.log.segments.at(-1)!.seq);
  t.deepEqual([...textsOf(openOn(disk).log).keys()], [9, 10]);
});

test('ST-2: power cut or kill before every change that pruning makes: the log begins at the old place or the new one', (t) => {
  const prepared = new SimulatedDisk();
  fill(prepared);
  // Twice, so that a floor is replaced too.
  const prune = (log: Log) => {
    log.dropBefore(log.segments[1]!.seq);
    log.append(batch(10));
    log.dropBefore(log.segments[2]!.seq);
    log.append(batch(11));
  };
  const rehearsal = prepared.clone();
  const whole = openOn(rehearsal).log;
  const opened = rehearsal.changes;
  prune(whole);
  const steps = rehearsal.changes;
  t.true(steps - opened > 12);
  const wrong: string[] = [];
  for (let step = opened; step < steps; step += 1) {
    const disk = prepared.clone();
    const { log } = openOn(disk);
    let acknowledged = 9;
    const append = log.append.bind(log);
    log.append = (records) => {
      const lsn = append(records);
      acknowledged = lsn;
      return lsn;
    };
    disk.cutBefore = step;
    const error = t.throws(() => prune(log));
    t.true(isPowerCut(error));
    for (const [index, next] of [
      disk.afterKill(),
      ...OUTCOMES.map((choices) => disk.afterPowerCut(choices)),
    ].entries()) {
      const restarted = openOn(next, { random: seeded(9).bytes });
      const found = [...textsOf(restarted.log).keys()];
      const consecutive = found.every((lsn, at) => lsn === found[0]! + at);
      const begins = [1, 3, 7].includes(found[0]!);
      const { state } = restarted.verdict;
      const good = (state === 'clean' || state === 'torn') && consecutive && begins && found.at(-1)! >= acknowledged;
      if (!good) wrong.push(`before change ${step}, outcome ${index}: ${state}, ${found[0]} to ${found.at(-1)}`);
      else {
        const expected = namesOn(next).length;
        if (restarted.log.segments.length !== expected)
          wrong.push(`before change ${step}, outcome ${index}: leftovers`);
      }
    }
  }
  t.deepEqual(wrong, []);
});

test('ST-2: no room for the floor: nothing is deleted, and it works once there is room', (t) => {
  const disk = new SimulatedDisk();
  const log = fill(disk);
  const before = namesOn(disk);
  disk.refuse = (operation, path) => (operation === 'write' && /floor/.test(path) ? 'ENOSPC' : null);
  t.throws(() => log.dropBefore(log.segments[2]!.seq), { instanceOf: LogFull });
  t.deepEqual(namesOn(disk), before);
  disk.refuse = () => null;
  t.is(log.dropBefore(log.segments[2]!.seq).segments, 2);
});

test('ST-2: a disk that fails while segments are dropped ends the log, and the next start has all that counts', (t) => {
  const disk = new SimulatedDisk();
  const log = fill(disk);
  disk.refuse = (operation) => (operation === 'unlink' ? 'EIO' : null);
  t.throws(() => log.dropBefore(log.segments[2]!.seq), { instanceOf: LogFailure });
  disk.refuse = () => null;
  t.throws(() => log.append(batch(10)), { instanceOf: LogFailure });
  const next = disk.afterKill();
  t.deepEqual([...textsOf(openOn(next).log).keys()], [5, 6, 7, 8, 9]);
  t.is(namesOn(next).length, 3, 'what the crash left below the floor is deleted by the start');
});

test('ST-1: segments that are missing without a floor, or from the floor on, are damage', (t) => {
  const disk = new SimulatedDisk();
  const log = fill(disk);
  const [first, , third, fourth] = namesOn(disk);
  const lost = disk.clone();
  lost.unlinkSync(`${DIRECTORY}/${first}`);
  t.like(openOn(lost).verdict, { state: 'corrupt', damage: { segment: first, offset: 0 } });

  log.dropBefore(log.segments[2]!.seq);
  const gap = disk.clone();
  gap.unlinkSync(`${DIRECTORY}/${fourth}`);
  t.like(openOn(gap).verdict, { state: 'corrupt', lastLsn: 6, damage: { segment: fourth } });
  const begin = disk.clone();
  begin.unlinkSync(`${DIRECTORY}/${third}`);
  t.like(openOn(begin).verdict, { state: 'corrupt', damage: { segment: third } });
  const empty = disk.clone();
  for (const name of namesOn(empty)) empty.unlinkSync(`${DIRECTORY}/${name}`);
  const { verdict } = openOn(empty);
  t.like(verdict, { state: 'corrupt', created: false, damage: { segment: third } });
  t.regex(verdict.damage!.reason, /begins here/);
});

test('ST-1: a floor with a flipped bit anywhere is damage, and accepting the loss begins a new log', async (t) => {
  const prepared = new SimulatedDisk();
  const log = fill(prepared);
  log.dropBefore(log.segments[2]!.seq);
  await log.close();
  for (let at = 0; at < 72; at += 1) {
    const disk = prepared.clone();
    disk.damage(FLOOR, (bytes) => {
      bytes[at]! ^= 4;
      return bytes;
    });
    t.like(openOn(disk).verdict, { state: 'corrupt', damage: { segment: FLOOR_NAME } }, `byte ${at}`);
  }
  const disk = prepared.clone();
  disk.damage(FLOOR, (bytes) => bytes.subarray(0, 40));
  const report = await repairLog({ ...optionsOn(disk), acceptLoss: true, nowMs: 0, lastTrustedHeight: () => 7 });
  t.like(report, { result: 'repaired', newEpoch: { lastTrustedHeight: 7 } });
  t.true(disk.existsSync(`${report.keptIn}/${FLOOR_NAME}`));
  t.false(disk.existsSync(FLOOR));
  const { log: next, verdict } = openOn(disk);
  t.is(verdict.state, 'clean');
  t.is(next.segments[0]!.seq, 1);
});

test('ST-1: accepting a loss behind the floor keeps the floor and what stands between', async (t) => {
  const disk = new SimulatedDisk();
  const log = fill(disk);
  log.dropBefore(log.segments[1]!.seq);
  await log.close();
  const [, third] = namesOn(disk);
  disk.damage(`${DIRECTORY}/${third}`, (bytes) => {
    bytes[700]! ^= 1;
    return bytes;
  });
  const report = await repairLog({ ...optionsOn(disk), acceptLoss: true, nowMs: 0, lastTrustedHeight: () => 1 });
  t.like(report, { result: 'repaired', lastLsn: 4 });
  t.deepEqual([...textsOf(openOn(disk).log).keys()], [3, 4, 5]);
});

test('conformance: the bytes of a floor are those of version 1', (t) => {
  const floor = { seq: 7, firstLsn: 2 ** 33, previousHash: new Uint8Array(32).fill(9) };
  const bytes = encodeFloor(floor);
  t.is(
    bytes.toString('hex'),
    `51554f52464c5200010000000000000007000000000000000000000002000000${'09'.repeat(32)}00000000${bytes.toString('hex', 68)}`,
  );
  t.deepEqual(decodeFloor(bytes), floor);
});
