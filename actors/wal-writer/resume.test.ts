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
import { factsOf, type LogFacts } from './follow.js';
import { DIRECTORY, openOn, record, SEGMENT_BYTES, seeded, tossed } from './log-fixture.js';
import { RESUME_NAME, type ResumePoint, readResumePoint, writeResumePoint } from './resume.js';
import { KEEP_ALL, LOSE_ALL, PowerCut, SimulatedDisk } from './simulated-disk.js';

const NEEDS = { checkpoint: [record('checkpoint', RecordType.journal)], keepFrom: null, pins: [] };
const RETENTION = { minAgeMs: 0, nowMs: 1_000_000 };
/** Eight segments. */
const KEPT_BYTES = 8 * SEGMENT_BYTES;

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
function grown(seed: number, minBytes = 0): Grown {
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
      const { replayFrom } = compactLog(log, entries, NEEDS, { ...RETENTION, minBytes }, true);
      point = { run: 'this', replayFrom: replayFrom!, ...log.facts(), ...entries.tally };
    }
  }
  return { disk, point: point! };
}

test('RT-7: a log that is followed from a checkpoint is the log that is found by verifying all of it', (t) => {
  let since = 0;
  const shares: number[] = [];
  for (let seed = 1; seed <= 25; seed += 1) {
    const { disk, point } = grown(seed, seed % 2 === 0 ? KEPT_BYTES : 0);
    const tally = new EntryTally();
    const whole = openOn(disk, { onRecord: (found) => tally.take(found) });
    const before = disk.bytesRead;
    const trusted = openOn(disk, { follow: point });
    shares.push((disk.bytesRead - before) / whole.log.stats().usedBytes);
    since += trusted.log.segments.at(-1)!.seq - point.segments.at(-1)!.seq;
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

    // What is appended now follows from what was found: the next one who verifies everything finds one chain.
    const lsn = trusted.log.append([inbox(10)]);
    const again = openOn(disk);
    t.is(again.verdict.state, 'clean');
    t.is(again.log.nextLsn, lsn + 1);
  }
  t.true(Math.min(...shares) < 0.5, `parts that were read: ${shares.join(' ')}`);
  t.true(since > 25, `${since} segments are younger than their checkpoints`);
});

test('ST-1: a thread dies at any change to the disk; what its successor counts on survives a loss of power', (t) => {
  const batches = Array.from({ length: 12 }, (_, index) => [inbox(200 + 90 * index), inbox(30)]);
  const work = (disk: SimulatedDisk): { acknowledged: number; facts: LogFacts | null } => {
    let acknowledged = 0;
    let facts: LogFacts | null = null;
    try {
      const { log } = openOn(disk);
      for (const [index, batch] of batches.entries()) {
        if (index % 5 === 0) facts = log.facts();
        log.append(batch);
        acknowledged += batch.length;
      }
    } catch (error) {
      if (!isPowerCut(error)) throw error;
    }
    return { acknowledged, facts };
  };
  const rehearsal = new SimulatedDisk();
  work(rehearsal);
  let checked = 0;
  for (let step = 0; step < rehearsal.changes; step += 1) {
    const cut = new SimulatedDisk();
    cut.cutBefore = step;
    const { acknowledged, facts } = work(cut);
    // The thread is gone, the process lives: its page cache stays as it was.
    const disk = cut.afterKill();
    if (acknowledged === 0) continue;
    const { log, verdict } = openOn(disk, { follow: facts! });
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

test('ST-1: what does not look as this process writes it is verified after all', (t) => {
  const { disk, point } = grown(3, KEPT_BYTES);
  const { log } = openOn(disk);
  const [sealed, tail] = [log.segments[1]!, log.segments.at(-1)!];
  flip(disk, sealed.path, sealed.end - 40);
  // Payload from before the checkpoint: not looked at, and found when it is read.
  t.is(openOn(disk, { follow: point }).verdict.state, 'clean');
  t.is(openOn(disk).verdict.state, 'corrupt');
  flip(disk, sealed.path, 100);
  const { verdict } = openOn(disk, { follow: point });
  t.is(verdict.state, 'corrupt', 'a header is looked at');
  t.is(verdict.damage?.segment, sealed.name);

  const other = grown(3, KEPT_BYTES);
  flip(other.disk, tail.path, tail.end - 20);
  t.not(openOn(other.disk, { follow: other.point }).verdict.state, 'clean', 'and so is what was written since');
});

test('ST-1: facts that the log contradicts are not believed: it is verified', (t) => {
  const { disk, point } = grown(4);
  const whole = openOn(disk).log;
  const newest = whole.facts();
  const wrong: LogFacts[] = [
    { ...point, segments: [] },
    { ...point, nextLsn: newest.nextLsn + 5 },
    { ...newest, lastHash: '00'.repeat(32), segments: newest.segments.slice(0, -1) },
    { ...newest, segments: newest.segments.map((each) => ({ ...each, nextLsn: each.nextLsn + 1 })) },
  ];
  for (const facts of wrong) {
    const { log, verdict } = openOn(disk, { follow: facts });
    t.is(verdict.state, 'clean');
    t.deepEqual(log.facts(), whole.facts());
  }
});

test('a long segment hands over a bounded number of marks, and everything in it is found', (t) => {
  const marks = {
    lsns: Array.from({ length: 1_000 }, (_, i) => 1 + 9 * i),
    offsets: Array.from({ length: 1_000 }, (_, i) => 512 + 65_536 * i),
  };
  const { log } = openOn(new SimulatedDisk());
  const facts = factsOf({ ...log.segments[0]!, marks });
  t.is(facts.marks.lsns.length, 250);
  t.deepEqual([facts.marks.lsns[0], facts.marks.lsns[1]], [1, 37]);
  t.deepEqual([facts.marks.offsets[0], facts.marks.offsets[1]], [512, 512 + 4 * 65_536]);
});

test('a resume point is complete or not there', (t) => {
  const disk = new SimulatedDisk();
  openOn(disk);
  t.is(readResumePoint(DIRECTORY, 'this', disk), null);
  const { log } = openOn(new SimulatedDisk());
  const point: ResumePoint = { run: 'this', replayFrom: 7, unsettled: [3, 5], moved: [[3, 8]], ...log.facts() };
  writeResumePoint(DIRECTORY, point, disk);
  t.deepEqual(readResumePoint(DIRECTORY, 'this', disk), point);
  flip(disk, `${DIRECTORY}/${RESUME_NAME}`, 0);
  t.is(readResumePoint(DIRECTORY, 'this', disk), null);
  writeResumePoint(DIRECTORY, { ...point, nextLsn: 10 }, disk);
  t.is(readResumePoint(DIRECTORY, 'this', disk)?.nextLsn, 10);
  t.is(readResumePoint(DIRECTORY, 'another', disk), null, 'what another process has left is not believed');
});
