// What compaction keeps: every unsettled entry, under the position that it always had, whatever happens on the way.
import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import {
  encodeInbox,
  encodeSettled,
  InboxRoute,
  type LogRecord,
  RecordType,
  SettledReason,
} from '../../protocol/wal-record.js';
import { type CompactionNeeds, compactLog, droppable, type Retention } from './compaction.js';
import { Entries } from './entries.js';
import { LogFull } from './errors.js';
import type { Log } from './log.js';
import { openOn, record, seeded, tossed } from './log-fixture.js';
import { KEEP_ALL, LOSE_ALL, PowerCut, SimulatedDisk } from './simulated-disk.js';

const ALL: Retention = { minBytes: 0, minAgeMs: 0, nowMs: 1_000_000 };
const NEEDS: CompactionNeeds = {
  checkpoint: [record('checkpoint', RecordType.journal)],
  keepFrom: null,
  pins: [],
};

function inbox(id: number, sizeBytes = 100): LogRecord {
  const body = Buffer.from(`${id}:`.padEnd(sizeBytes, '.'));
  return {
    type: RecordType.inbox,
    data: encodeInbox({ receivedAtMs: id, route: InboxRoute.envelope, requestId: 'r', body }),
  };
}

function settled(lsns: readonly number[]): LogRecord {
  return { type: RecordType.settled, data: encodeSettled({ reason: SettledReason.final, lsns }) };
}

/** Position → time of arrival, of everything that is unsettled; bodies included. */
function unsettledOf(entries: Entries): Map<number, string> {
  const found = new Map<number, string>();
  for (let after: number | null = 0; after !== null; ) {
    const page = entries.page(after, 300);
    for (const { lsn, data } of page.records) found.set(lsn, Buffer.from(data).toString('latin1'));
    after = page.next;
  }
  return found;
}

function isPowerCut(error: unknown): boolean {
  return error instanceof PowerCut || (error instanceof Error && isPowerCut(error.cause));
}

/** Ten entries a batch, a segment takes two; one of each ten is never settled. */
function filled(disk: SimulatedDisk, batches = 40): { log: Log; entries: Entries } {
  const { log } = openOn(disk);
  for (let batch = 0; batch < batches; batch += 1) {
    const first = log.append(Array.from({ length: 10 }, (_, index) => inbox(batch * 10 + index)));
    log.append([settled(Array.from({ length: 10 }, (_, index) => first + index).filter((lsn) => lsn !== first + 3))]);
  }
  return { log, entries: new Entries(log) };
}

test('ST-2: old segments go, what is unsettled in them is carried and keeps its position, also over restarts', async (t) => {
  const disk = new SimulatedDisk();
  const { log, entries } = filled(disk);
  const before = unsettledOf(entries);
  t.is(before.size, 40);
  const segments = log.segments.length;
  t.true(segments > 10);
  const report = compactLog(log, entries, NEEDS, ALL);
  t.true(report.segments >= segments - 2);
  t.true(report.carried >= 30);
  t.is(report.firstLsn, log.segments[0]!.firstLsn);
  t.deepEqual(unsettledOf(entries), before);
  const lsns = [...before.keys()];
  t.deepEqual(
    entries.fetch(lsns).map(({ lsn, type }) => [lsn, type]),
    lsns.map((lsn) => [lsn, RecordType.inbox]),
  );
  const read = entries.read({ from: 1, types: [RecordType.inbox], maxBytes: 1e6 }).records.map(({ lsn }) => lsn);
  t.true(
    lsns.every((lsn) => read.includes(lsn)),
    'a replay meets each under its own position',
  );

  // Settled under the old position; compacted again, carried twice.
  log.append([settled(lsns.slice(0, 20))]);
  for (const lsn of lsns.slice(0, 20)) t.true(entries.settle(lsn));
  for (let batch = 0; batch < 8; batch += 1) {
    const first = log.append([inbox(1_000 + batch, 1_500)]);
    entries.add(first);
    log.append([settled([first])]);
    entries.settle(first);
  }
  t.true(compactLog(log, entries, NEEDS, ALL).carried >= 20);
  const rest = new Map([...before].slice(20));
  t.deepEqual(unsettledOf(entries), rest);
  await log.close();
  const again = openOn(disk);
  t.is(again.verdict.state, 'clean');
  t.deepEqual(unsettledOf(new Entries(again.log)), rest);
});

test('ST-2: nothing at or above keepFrom goes, nor a settled entry that is pinned, nor what age and size keep', (t) => {
  const need = (overrides: Partial<CompactionNeeds>, retention = ALL) => {
    const { log, entries } = filled(new SimulatedDisk());
    const { firstLsn } = compactLog(log, entries, { ...NEEDS, ...overrides }, retention);
    return { firstLsn, log };
  };
  t.true(need({ keepFrom: 200 }).firstLsn <= 200);
  t.true(need({ keepFrom: 200 }).firstLsn > 100, 'what lies before goes');
  t.is(need({ keepFrom: 0 }).firstLsn, 1);
  t.true(need({ pins: [150] }).firstLsn <= 150, '150 is settled, and somebody works on it');
  const unsettledPin = 4;
  t.true(need({ pins: [unsettledPin] }).firstLsn > 100, 'an unsettled one is carried');
  const kept = need({}, { ...ALL, minBytes: 5 * 4096 }).log;
  t.true(kept.segments.length >= 5 && kept.segments.length <= 7);
  t.is(need({}, { ...ALL, minAgeMs: 1_000_001 }).firstLsn, 1, 'written at 0, it is not old enough');
  t.true(need({}, { ...ALL, minAgeMs: 1_000_000 }).firstLsn > 1);
});

test('ST-2: entries that nothing settles stay where they are: copying them round and round frees nothing', (t) => {
  const { log } = openOn(new SimulatedDisk());
  for (let batch = 0; batch < 20; batch += 1) log.append(Array.from({ length: 10 }, (_, index) => inbox(index)));
  const entries = new Entries(log);
  const segments = log.segments.length;
  t.like(compactLog(log, entries, NEEDS, ALL), { segments: 0, carried: 0 });
  t.is(entries.size, 200);
  t.true(log.segments.length <= segments + 1);
});

test('the newest segment never goes, and a log that has nothing to give is not written to unless it must be', (t) => {
  const { log } = openOn(new SimulatedDisk());
  log.append([inbox(1)]);
  const entries = new Entries(log);
  t.is(droppable(log.segments, ALL), 0);
  const { nextLsn } = log;
  t.like(compactLog(log, entries, NEEDS, ALL), { segments: 0 });
  t.is(log.nextLsn, nextLsn);
  t.like(compactLog(log, entries, NEEDS, ALL, true), { segments: 0 });
  t.is(log.nextLsn, nextLsn + 1);
});

test('ST-2: no room while compacting: nothing is dropped, nothing is lost, and it works once there is room', (t) => {
  const disk = new SimulatedDisk();
  const { log, entries } = filled(disk);
  const before = unsettledOf(entries);
  disk.refuse = (operation, path) => (operation === 'write' && /tmp$/.test(path) ? 'ENOSPC' : null);
  const { firstLsn } = log.segments[0]!;
  t.throws(() => compactLog(log, entries, NEEDS, ALL), { instanceOf: LogFull });
  t.is(log.segments[0]!.firstLsn, firstLsn);
  t.deepEqual(unsettledOf(entries), before);
  disk.refuse = () => null;
  t.true(compactLog(log, entries, NEEDS, ALL).segments > 0);
  t.deepEqual(unsettledOf(entries), before);
});

test('ST-2: power cut or kill before every change that a compaction makes: no unsettled entry is lost or moves', (t) => {
  const prepared = new SimulatedDisk();
  const { entries: original } = filled(prepared, 10);
  const expected = unsettledOf(original);
  const run = (disk: SimulatedDisk) => {
    const { log } = openOn(disk);
    const opened = disk.changes;
    const compact = () => compactLog(log, new Entries(log), NEEDS, ALL);
    return { opened, compact };
  };
  const rehearsal = prepared.clone();
  const { opened, compact } = run(rehearsal);
  t.true(compact().carried > 0);
  const steps = rehearsal.changes;
  t.true(steps - opened > 10);
  const wrong: string[] = [];
  for (let step = opened; step < steps; step += 1) {
    const disk = prepared.clone();
    const crashing = run(disk);
    disk.cutBefore = step;
    t.true(isPowerCut(t.throws(() => crashing.compact())));
    const outcomes = [KEEP_ALL, LOSE_ALL, tossed(1), tossed(2), tossed(3)].map((choices) =>
      disk.afterPowerCut(choices),
    );
    for (const [index, next] of [disk.afterKill(), ...outcomes].entries()) {
      const { log, verdict } = openOn(next, { random: seeded(9).bytes });
      const found = unsettledOf(new Entries(log));
      const isSame = found.size === expected.size && [...expected].every(([lsn, data]) => found.get(lsn) === data);
      if (verdict.damage?.reason !== undefined && verdict.state !== 'torn')
        wrong.push(`${step}/${index}: ${verdict.state}`);
      else if (!isSame)
        wrong.push(`before change ${step}, outcome ${index}: ${found.size} of ${expected.size} entries`);
      else compactLog(log, new Entries(log), NEEDS, ALL);
    }
  }
  t.deepEqual(wrong, []);
});

test('ST-2: random appends, settlements, compactions and crashes: what is unsettled is always what it should be', (t) => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const random = seeded(seed);
      let disk = new SimulatedDisk();
      let { log } = openOn(disk, { random: random.bytes });
      let entries = new Entries(log);
      const expected = new Map<number, string>();
      for (let turn = 0; turn < 60; turn += 1) {
        const what = random.below(10);
        if (what < 5) {
          const added = inbox(turn, 50 + random.below(800));
          const lsn = log.append([added]);
          entries.add(lsn);
          expected.set(lsn, Buffer.from(added.data).toString('latin1'));
        } else if (what < 8) {
          const open = [...expected.keys()];
          const done = open.filter(() => random.below(3) > 0);
          if (done.length === 0) continue;
          log.append([settled(done)]);
          for (const lsn of done) {
            entries.settle(lsn);
            expected.delete(lsn);
          }
        } else if (what === 8) compactLog(log, entries, NEEDS, ALL);
        else {
          disk = random.below(2) === 0 ? disk.afterKill() : disk.afterPowerCut(tossed(random.below(1 << 30)));
          log = openOn(disk, { random: random.bytes }).log;
          entries = new Entries(log);
        }
        t.deepEqual(unsettledOf(entries), expected);
      }
    }),
    { numRuns: 30 },
  );
});

test('the age of the oldest unsettled entry follows it', (t) => {
  const { log } = openOn(new SimulatedDisk());
  const entries = new Entries(log);
  t.is(entries.oldestReceivedAtMs(), null);
  for (const id of [70, 80]) entries.add(log.append([inbox(id)]));
  t.is(entries.oldestReceivedAtMs(), 70);
  entries.settle(1);
  t.is(entries.oldestReceivedAtMs(), 80);
});
