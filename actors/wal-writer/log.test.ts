import { Buffer } from 'node:buffer';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { encodeEpoch, type LogRecord, RecordType, WalRecordError } from '../../protocol/wal-record.js';
import { LogRefused } from './errors.js';
import { nodeFiles } from './files.js';
import { openLog } from './log.js';
import {
  contents,
  DIRECTORY,
  openOn,
  optionsOn,
  record,
  SEGMENT_BYTES,
  seeded,
  shown,
  someRecords,
} from './log-fixture.js';
import { SimulatedDisk } from './simulated-disk.js';

test('on a real disk: what is appended is there after a restart, files 0600, directory 0700, spare used', async (t) => {
  const parent = mkdtempSync(join(tmpdir(), 'quorate-log-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  chmodSync(parent, 0o755);
  const directory = join(parent, 'wal');
  const options = { ...optionsOn(new SimulatedDisk()), directory, files: nodeFiles, segmentBytes: 1024 * 1024 };
  const { log, verdict } = openLog(options);
  t.deepEqual(verdict, { state: 'clean', damage: null, created: true, lastLsn: 0, aside: [] });
  const random = seeded(3);
  const written: LogRecord[] = [];
  for (let batch = 0; batch < 40; batch += 1) {
    if (batch % 10 === 0) await log.prepareSpare();
    const records = [
      { type: 1, data: random.bytes(40_000) },
      { type: 3, data: random.bytes(40_000) },
    ];
    t.is(log.append(records), written.length + 1);
    written.push(...records);
  }
  t.true(log.stats().rotations >= 3);
  t.deepEqual(contents(log, 100_000), shown(written));
  await log.close();
  t.is(statSync(directory).mode & 0o777, 0o700);
  for (const name of readdirSync(directory)) t.is(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  const again = openLog({ ...options, create: false });
  t.deepEqual(again.verdict, { state: 'clean', damage: null, created: false, lastLsn: 80, aside: [] });
  t.deepEqual(contents(again.log, 100_000), shown(written));
  t.deepEqual(
    readdirSync(directory).filter((name) => name.endsWith('.tmp')),
    [],
    'leftover spares are removed',
  );
  await again.log.close();
});

test('any batches come back in order over rotations, restarts and page sizes', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 3000 }), async (seed, maxBytes) => {
      const random = seeded(seed);
      const disk = new SimulatedDisk();
      const written: LogRecord[] = [];
      for (let life = 0; life < 3; life += 1) {
        const { log, verdict } = openOn(disk, { random: random.bytes });
        t.is(verdict.lastLsn, written.length);
        for (let batch = random.below(12); batch > 0; batch -= 1) {
          if (random.below(3) === 0) await log.prepareSpare();
          const records = someRecords(random, 800);
          t.is(log.append(records), written.length + 1);
          written.push(...records);
          if (random.below(4) === 0) t.deepEqual(contents(log, maxBytes), shown(written));
        }
        t.deepEqual(contents(log, maxBytes), shown(written));
        await log.close();
      }
    }),
    { numRuns: 60 },
  );
});

test('records: from any position, of the types asked for, in pages that always get on', async (t) => {
  const { log } = openOn(new SimulatedDisk());
  const written = Array.from({ length: 60 }, (_, index) => record(`record ${index + 1}`, (index % 3) + 1));
  for (let at = 0; at < written.length; at += 4) log.append(written.slice(at, at + 4));
  const found: number[] = [];
  for (let from: number | null = 11; from !== null; ) {
    const page = log.records({ from, types: [2], maxBytes: 0 });
    t.true(page.records.length <= 1);
    found.push(...page.records.map(({ lsn }) => lsn));
    from = page.next;
  }
  t.deepEqual(found, [11, 14, 17, 20, 23, 26, 29, 32, 35, 38, 41, 44, 47, 50, 53, 56, 59]);
  t.deepEqual(log.records({ from: 61, maxBytes: 100 }), { records: [], next: null });
  t.deepEqual(
    log.records({ from: -5, maxBytes: 1 }).records.map(({ lsn }) => lsn),
    [1],
  );
  log.append([record('followed')]);
  t.deepEqual(shown(log.records({ from: 61, maxBytes: 100 }).records), shown([record('followed')]));
});

test('a page that finds nothing of its types ends after a bounded stretch of log', (t) => {
  const { log } = openOn(new SimulatedDisk(), { segmentBytes: 1024 * 1024 });
  for (let batch = 0; batch < 12; batch += 1) log.append([{ type: 1, data: new Uint8Array(600_000) }]);
  const page = log.records({ from: 1, types: [9], maxBytes: 1000 });
  t.deepEqual(page.records, []);
  t.is(page.next, 8, 'seven batches of 600 kB pass 4 MiB');
});

test('fetch gives the records asked for, from every segment, in memory of their own', (t) => {
  const random = seeded(8);
  const { log } = openOn(new SimulatedDisk());
  const written: LogRecord[] = [];
  for (let batch = 0; batch < 20; batch += 1) {
    const records = someRecords(random, 900);
    log.append(records);
    written.push(...records);
  }
  const last = written.length;
  t.true(log.stats().segments > 3);
  const found = log.fetch([last, 1, 7, 7, 0, last + 1, -3, 1.5]);
  t.deepEqual([...found.keys()], [1, 7, last]);
  for (const [lsn, { type, data }] of found) {
    t.deepEqual(shown([{ type, data }]), shown([written[lsn - 1]!]));
    t.is(data.buffer.byteLength, data.length);
  }
  const every = log.fetch(written.map((_, index) => index + 1));
  t.deepEqual(shown([...every.values()]), shown(written));
});

test('reading never runs ahead into a batch that is written but not yet read', (t) => {
  const { log } = openOn(new SimulatedDisk());
  for (let round = 1; round <= 30; round += 1) {
    log.append([record(`round ${round}`)]);
    t.deepEqual(shown([...log.fetch([round]).values()]), shown([record(`round ${round}`)]));
  }
});

test('what cannot be a batch or an option is refused, and the log goes on', async (t) => {
  const disk = new SimulatedDisk();
  for (const segmentBytes of [0, 2048, 4097, 2 ** 31]) {
    t.is(t.throws(() => openOn(disk, { segmentBytes }), { instanceOf: LogRefused })?.code, 'option');
  }
  t.is(t.throws(() => openOn(disk, { create: false }), { instanceOf: LogRefused })?.code, 'missing');
  const { log } = openOn(disk);
  const room = SEGMENT_BYTES - 512 - 64 - 5;
  t.is(log.append([]), 1);
  t.is(log.append([{ type: 1, data: new Uint8Array(room - 3) }]), 1);
  const oversize = t.throws(() => log.append([{ type: 1, data: new Uint8Array(room + 1) }]), {
    instanceOf: LogRefused,
  });
  t.is(oversize?.code, 'oversize');
  t.throws(() => log.append([{ type: 256, data: new Uint8Array(1) }]), { instanceOf: RangeError });
  t.throws(() => log.append([{ type: RecordType.epoch, data: Buffer.from('no') }]), { instanceOf: WalRecordError });
  t.is(log.append([record('still here')]), 2);
  await log.close();
  await log.close();
  t.is(t.throws(() => log.append([record('x')]), { instanceOf: LogRefused })?.code, 'closed');
  t.is(t.throws(() => log.records({ from: 1, maxBytes: 1 }), { instanceOf: LogRefused })?.code, 'closed');
});

test('an epoch record raises the epoch of the log, of its next segments and of the next start', async (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk, { epoch: 1 });
  t.is(log.epoch, 1);
  log.append([{ type: RecordType.epoch, data: encodeEpoch({ epoch: 4, lastTrustedHeight: 9, reason: 'test' }) }]);
  t.is(log.epoch, 4);
  await log.close();
  t.is(openOn(disk).log.epoch, 4);
  t.is(openOn(disk, { epoch: 6 }).log.epoch, 6);
});

test('every wait for the disk is declared: no sync happens outside a native section', (t) => {
  const disk = new SimulatedDisk();
  let inside = 0;
  let syncs = 0;
  disk.refuse = (operation) => {
    if (/sync/.test(operation)) {
      t.is(inside, 1, operation);
      syncs += 1;
    }
    return null;
  };
  const native = <T>(section: () => T): T => {
    inside += 1;
    try {
      return section();
    } finally {
      inside -= 1;
    }
  };
  const { log } = openOn(disk, { native });
  for (let batch = 0; batch < 4; batch += 1) log.append([{ type: 1, data: new Uint8Array(1500) }]);
  t.true(syncs > 8);
});

test('a spare in the making is joined by a second call, does not hinder rotation, and stops when the log is closed', async (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk);
  const making = log.prepareSpare();
  t.is(log.prepareSpare(), making);
  for (let batch = 0; batch < 4; batch += 1) log.append([{ type: 1, data: new Uint8Array(1500) }]);
  await making;
  t.true(log.stats().spareReady);
  t.is(log.stats().rotations, 1);
  for (let batch = 0; batch < 2; batch += 1) log.append([{ type: 1, data: new Uint8Array(1500) }]);
  t.false(log.stats().spareReady);
  const abandoned = log.prepareSpare();
  await log.close();
  await t.notThrowsAsync(abandoned);
  t.is(openOn(disk).verdict.lastLsn, 6);
  t.deepEqual(
    disk.readdirSync(DIRECTORY).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('a smaller segment size in the configuration keeps what the older, larger tail holds', async (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk, { segmentBytes: 16_384 });
  for (let batch = 0; batch < 5; batch += 1) log.append([{ type: 1, data: seeded(batch).bytes(2500) }]);
  const written = contents(log);
  await log.close();
  const { log: again, verdict } = openOn(disk);
  t.is(verdict.state, 'clean');
  t.deepEqual(contents(again), written);
  t.is(again.append([{ type: 1, data: new Uint8Array(600) }]), 6);
  t.is(again.stats().segments, 2);
});
