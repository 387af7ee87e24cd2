import test from 'ava';
import { decodeEpoch, RecordType } from '../../protocol/wal-record.js';
import { LogRefused } from './errors.js';
import { inspectLog, verifyLog } from './inspect.js';
import { contents, DIRECTORY, IDENTITY, openOn, optionsOn, record, seeded, snapshot, writeLog } from './log-fixture.js';
import { type RepairReport, repairLog } from './repair.js';
import { KEEP_ALL, LOSE_ALL, PowerCut, SimulatedDisk } from './simulated-disk.js';

const path = (seq: number): string => `${DIRECTORY}/${seq.toString(16).padStart(16, '0')}.seg`;
const batches = Array.from({ length: 8 }, (_, index) => [{ type: 1, data: seeded(index).bytes(1500) }]);

async function fourSegments(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await writeLog(disk, batches);
  return disk;
}

function flip(disk: SimulatedDisk, seq: number, offset: number): void {
  disk.damage(path(seq), (bytes) => {
    bytes[offset]! ^= 0x10;
    return undefined;
  });
}

function repair(disk: SimulatedDisk, acceptLoss: boolean, nowMs = 1_795_190_400_000): Promise<RepairReport> {
  return repairLog({
    ...optionsOn(disk),
    acceptLoss,
    nowMs,
    lastTrustedHeight: (log) => log.records({ from: 1, maxBytes: 1e6 }).records.length,
  });
}

const damages: Array<[string, (disk: SimulatedDisk) => void, number]> = [
  ['a flipped bit in the middle of a sealed segment', (disk) => flip(disk, 2, 900), 2],
  ['a flipped bit in the first of two batches of the newest segment', (disk) => flip(disk, 4, 900), 6],
  ['a flipped bit in the very last batch', (disk) => flip(disk, 4, 512 + 1576), 7],
  ['a lost header block', (disk) => flip(disk, 3, 3), 4],
  ['a lost first header block', (disk) => flip(disk, 1, 3), 0],
  ['a missing segment', (disk) => disk.unlinkSync(path(3)), 4],
];
for (const [name, harm, kept] of damages) {
  test(`repair after ${name}: refused without the word, then cut, kept aside, and a new epoch says so`, async (t) => {
    const disk = await fourSegments();
    const whole = contents(openOn(disk.clone()).log);
    harm(disk);
    const found = snapshot(disk);
    const asked = await repair(disk, false);
    t.is(asked.result, 'needs-accept-loss');
    t.is(asked.lastLsn, kept);
    t.deepEqual(snapshot(disk), found, 'nothing was changed');

    const report = await repair(disk, true);
    t.is(report.result, 'repaired');
    t.deepEqual(report.newEpoch, { epoch: 1, lastTrustedHeight: kept });
    const { log, verdict } = openOn(disk);
    t.is(verdict.state, 'clean');
    const now = contents(log);
    t.deepEqual(now.slice(0, -1), whole.slice(0, kept));
    const last = log.records({ from: kept + 1, maxBytes: 1 }).records[0]!;
    t.is(last.type, RecordType.epoch);
    t.like(decodeEpoch(last.data), { epoch: 1, lastTrustedHeight: kept });
    t.is(log.append([record('goes on')]), kept + 2);

    const keptFiles = Object.values(snapshot(disk, report.keptIn!));
    for (const [file, bytes] of Object.entries(found)) {
      const still = snapshot(disk)[file] === bytes || keptFiles.includes(bytes);
      const untouched = file.endsWith('.seg') && Number.parseInt(file, 16) * 2 <= kept;
      t.true(still || untouched, `${file} is kept`);
    }
  });
}

test('a repair interrupted at every step leaves the log in doubt, and the same command finishes it', async (t) => {
  const pristine = await fourSegments();
  flip(pristine, 2, 900);
  const rehearsal = pristine.clone();
  await repair(rehearsal, true);
  const steps = rehearsal.changes;
  t.true(steps > 20);
  for (let step = 0; step < steps; step += 1) {
    for (const choices of [KEEP_ALL, LOSE_ALL]) {
      const disk = pristine.clone();
      disk.cutBefore = step;
      const error = await t.throwsAsync(repair(disk, true));
      t.true(error instanceof PowerCut || error?.cause instanceof PowerCut, String(error));
      const crashed = disk.afterPowerCut(choices);
      const { state, lastLsn } = verifyLog(DIRECTORY, { files: crashed });
      const finished = state === 'clean' && lastLsn === 3;
      t.true(state === 'corrupt' || state === 'suspect' || finished, `before change ${step}: ${state}`);
      if (finished) continue;
      const report = await repair(crashed, true, 1_795_190_500_000);
      t.is(report.result, 'repaired');
      const { log, verdict } = openOn(crashed);
      t.is(verdict.state, 'clean', `before change ${step}`);
      t.is(contents(log)[1], contents(openOn(pristine.clone()).log)[1]);
      t.is(log.records({ from: 3, maxBytes: 1 }).records[0]!.type, RecordType.epoch);
    }
  }
});

test('a second repair does not overwrite what the first one kept', async (t) => {
  const disk = await fourSegments();
  flip(disk, 4, 900);
  const first = await repair(disk, true);
  const kept = Object.keys(snapshot(disk, first.keptIn!)).length;
  flip(disk, 4, 530);
  const second = await repair(disk, true);
  t.is(second.keptIn, first.keptIn);
  t.is(second.newEpoch?.epoch, 2, 'no epoch begins twice, although its record was in what was cut');
  t.true(Object.keys(snapshot(disk, second.keptIn!)).length > kept);
});

test('a whole log needs no repair, and a torn end is repaired without accepting any loss', async (t) => {
  const disk = await fourSegments();
  t.like(await repair(disk, true), { result: 'nothing-to-do', newEpoch: null, keptIn: null });
  disk.damage(path(4), (bytes) => {
    bytes.fill(0, 3000);
    return undefined;
  });
  t.like(await repair(disk, false), { result: 'repaired', newEpoch: null, lastLsn: 7 });
  t.is(openOn(disk).verdict.state, 'clean');
});

test('what cannot be read from a failing disk is kept as a copy with holes', async (t) => {
  const disk = await fourSegments();
  disk.refuse = (operation, file) => (operation === 'read' && file === path(2) ? 'EIO' : null);
  const report = await repair(disk, true);
  t.is(report.result, 'repaired');
  t.is(report.lastLsn, 2);
  disk.refuse = () => null;
  t.is(openOn(disk).verdict.state, 'clean');
});

test("ID-2: another node's log is not repaired", async (t) => {
  const disk = new SimulatedDisk();
  await writeLog(disk, batches, { identity: { ...IDENTITY, publicKey: new Uint8Array(32) } });
  await t.throwsAsync(repair(disk, true), { instanceOf: LogRefused });
});

test('inspection counts everything, reads only, and needs no identity', async (t) => {
  const disk = await fourSegments();
  const { log } = openOn(disk);
  log.append([record('a', RecordType.journal), record('b', RecordType.settled)]);
  await log.close();
  disk.damage(path(3), (bytes) => {
    bytes[600]! ^= 1;
    return undefined;
  });
  const files = snapshot(disk);
  const seen: number[] = [];
  const broken = inspectLog(DIRECTORY, { files: disk, onRecord: ({ lsn }) => seen.push(lsn) });
  t.like(broken, {
    state: 'corrupt',
    lastLsn: 4,
    batches: 4,
    records: 4,
    chainId: '11'.repeat(32),
    publicKey: '22'.repeat(32),
  });
  t.deepEqual(seen, [1, 2, 3, 4]);
  t.deepEqual(broken.unread, ['0000000000000004.seg']);
  t.like(verifyLog(DIRECTORY, { files: disk }), { ok: false, state: 'corrupt', damage: { offset: 512 } });
  t.deepEqual(snapshot(disk), files);
  disk.damage(path(3), (bytes) => {
    bytes[600]! ^= 1;
    return undefined;
  });
  const whole = inspectLog(DIRECTORY, { files: disk });
  t.deepEqual(whole.recordsByType, { inbox: 8, settled: 1, journal: 1 });
  t.deepEqual(
    whole.segments.map(({ firstLsn, lastLsn, batches: count }) => [firstLsn, lastLsn, count]),
    [
      [1, 2, 2],
      [3, 4, 2],
      [5, 6, 2],
      [7, 10, 3],
    ],
  );
  t.true(verifyLog(DIRECTORY, { files: disk }).ok);
  t.throws(() => inspectLog('/data', { files: disk }), { instanceOf: LogRefused, message: /no log segments/ });
});
