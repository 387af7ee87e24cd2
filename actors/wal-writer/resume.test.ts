// A thread that takes over in the same process must find what one that reads everything finds.
import { Buffer } from 'node:buffer';
import test from 'ava';
import {
  encodeInbox,
  encodeSettled,
  InboxRoute,
  type LogRecord,
  RecordType,
  SettledReason,
} from '../../protocol/wal-record.js';
import { compactLog } from './compaction.js';
import { Entries, EntryTally } from './entries.js';
import { DIRECTORY, openOn, record, seeded, tossed } from './log-fixture.js';
import { RESUME_NAME, type ResumePoint, readResumePoint, writeResumePoint } from './resume.js';
import { KEEP_ALL, LOSE_ALL, PowerCut, SimulatedDisk } from './simulated-disk.js';

const NEEDS = { checkpoint: [record('checkpoint', RecordType.journal)], keepFrom: null, pins: [] };
const ALL = { minBytes: 0, minAgeMs: 0, nowMs: 1_000_000 };

function inbox(sizeBytes: number): LogRecord {
  const body = Buffer.alloc(sizeBytes, 'x');
  return {
    type: RecordType.inbox,
    data: encodeInbox({ receivedAtMs: 1, route: InboxRoute.envelope, requestId: 'r', body }),
  };
}

function settled(lsns: readonly number[]): LogRecord {
  return { type: RecordType.settled, data: encodeSettled({ reason: SettledReason.final, lsns }) };
}

function isPowerCut(error: unknown): boolean {
  return error instanceof PowerCut || (error instanceof Error && isPowerCut(error.cause));
}

function flip(disk: SimulatedDisk, path: string, offset: number): void {
  disk.damage(path, (bytes) => {
    bytes[offset]! ^= 0x40;
    return bytes;
  });
}

interface Grown {
  readonly disk: SimulatedDisk;
  readonly point: ResumePoint;
}

/** Appends, settles and compacts by the toss of a coin; the last checkpoint is some batches before the end. */
function grown(seed: number): Grown {
  const coin = seeded(seed);
  const disk = new SimulatedDisk();
  const { log } = openOn(disk);
  const entries = new Entries(log);
  const open: number[] = [];
  let point: ResumePoint | null = null;
  for (let turn = 0; turn < 120; turn += 1) {
    const first = log.append(Array.from({ length: 1 + coin.below(4) }, () => inbox(1 + coin.below(400))));
    for (let lsn = first; lsn < log.nextLsn; lsn += 1) {
      entries.add(lsn);
      open.push(lsn);
    }
    const done = open.splice(0).filter((lsn) => {
      if (coin.below(4) > 0) return true;
      open.push(lsn);
      return false;
    });
    if (done.length > 0) log.append([settled(done)]);
    for (const lsn of done) entries.settle(lsn);
    if (turn < 110 && coin.below(10) === 0) {
      const { replayFrom } = compactLog(log, entries, NEEDS, ALL, true);
      point = { run: 'this', nextLsn: log.nextLsn, replayFrom: replayFrom!, ...entries.tally };
    }
  }
  return { disk, point: point! };
}

test('RT-7: a log whose full segments are trusted is the log that is found by verifying all of it', (t) => {
  let full = 0;
  for (let seed = 1; seed <= 25; seed += 1) {
    const { disk, point } = grown(seed);
    const tally = new EntryTally();
    const whole = openOn(disk, { onRecord: (found) => tally.take(found) });
    const trusted = openOn(disk, { trustSealed: true });
    full += trusted.log.segments.length - 1;
    t.deepEqual(trusted.verdict, whole.verdict);
    t.is(trusted.log.nextLsn, whole.log.nextLsn);
    t.deepEqual(
      trusted.log.segments.map(({ seal: _, ...segment }) => segment),
      whole.log.segments.map(({ seal: _, ...segment }) => segment),
    );
    const scanned = new Entries(whole.log, { tally, from: whole.log.nextLsn });
    const resumed = new Entries(trusted.log, { tally: EntryTally.of(point), from: point.nextLsn });
    const read = new Entries(trusted.log);
    t.deepEqual(scanned.tally.unsettled, read.tally.unsettled);
    t.deepEqual(resumed.tally.unsettled, read.tally.unsettled);
    for (const lsn of read.tally.unsettled) t.is(resumed.placeOf(lsn), read.placeOf(lsn));

    // What is appended now follows from what was skimmed: the next one who verifies everything finds one chain.
    const lsn = trusted.log.append([inbox(10)]);
    const again = openOn(disk);
    t.is(again.verdict.state, 'clean');
    t.is(again.log.nextLsn, lsn + 1);
  }
  t.true(full > 50, `${full} segments were trusted`);
});

test('ST-1: a thread dies at any change to the disk; what its successor counts on survives a loss of power', (t) => {
  const batches = Array.from({ length: 12 }, (_, index) => [inbox(200 + 90 * index), inbox(30)]);
  const work = (disk: SimulatedDisk): number => {
    let acknowledged = 0;
    try {
      const { log } = openOn(disk);
      for (const batch of batches) {
        log.append(batch);
        acknowledged += batch.length;
      }
    } catch (error) {
      if (!isPowerCut(error)) throw error;
    }
    return acknowledged;
  };
  const rehearsal = new SimulatedDisk();
  work(rehearsal);
  let checked = 0;
  for (let step = 0; step < rehearsal.changes; step += 1) {
    const cut = new SimulatedDisk();
    cut.cutBefore = step;
    const acknowledged = work(cut);
    // The thread is gone, the process lives: its page cache stays as it was.
    const disk = cut.afterKill();
    if (acknowledged === 0) continue;
    const { log, verdict } = openOn(disk, { trustSealed: true });
    t.true(['clean', 'torn'].includes(verdict.state), verdict.state);
    t.true(log.nextLsn > acknowledged);
    const survives = () => {
      for (const lost of [LOSE_ALL, tossed(step), KEEP_ALL]) {
        const after = openOn(disk.afterPowerCut(lost));
        t.is(after.verdict.state, 'clean', `change ${step}`);
        t.is(after.log.nextLsn, log.nextLsn, `change ${step}`);
      }
    };
    survives();
    log.append([inbox(10)]);
    survives();
    checked += 1;
  }
  t.true(checked > 20, `${checked} deaths`);
});

test('ST-1: a full segment that does not look as it was left is verified after all', (t) => {
  const { disk } = grown(3);
  const sealed = openOn(disk).log.segments[1]!;
  flip(disk, sealed.path, sealed.end - 40);
  // Payload: not looked at, and found when it is read.
  t.is(openOn(disk, { trustSealed: true }).verdict.state, 'clean');
  t.is(openOn(disk).verdict.state, 'corrupt');
  flip(disk, sealed.path, 512);
  const { verdict } = openOn(disk, { trustSealed: true });
  t.is(verdict.state, 'corrupt');
  t.is(verdict.damage?.segment, sealed.name);
});

test('a resume point is complete or not there', (t) => {
  const disk = new SimulatedDisk();
  openOn(disk);
  t.is(readResumePoint(DIRECTORY, 'this', disk), null);
  const point: ResumePoint = { run: 'this', nextLsn: 9, replayFrom: 7, unsettled: [3, 5], moved: [[3, 8]] };
  writeResumePoint(DIRECTORY, point, disk);
  t.deepEqual(readResumePoint(DIRECTORY, 'this', disk), point);
  flip(disk, `${DIRECTORY}/${RESUME_NAME}`, 0);
  t.is(readResumePoint(DIRECTORY, 'this', disk), null);
  writeResumePoint(DIRECTORY, { ...point, nextLsn: 10 }, disk);
  t.is(readResumePoint(DIRECTORY, 'this', disk)?.nextLsn, 10);
  t.is(readResumePoint(DIRECTORY, 'another', disk), null, 'what another process has left is not believed');
});
