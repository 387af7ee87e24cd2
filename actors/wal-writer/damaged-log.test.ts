import { Buffer } from 'node:buffer';
import test from 'ava';
import { encodeEpoch, type LogRecord } from '../../protocol/wal-record.js';
import { LogDamaged, LogQuarantined, LogRefused } from './errors.js';
import { contents, DIRECTORY, IDENTITY, openOn, record, seeded, shown, snapshot, writeLog } from './log-fixture.js';
import {
  batchLength,
  createImage,
  decodeSegmentHeader,
  encodeBatch,
  encodeSegmentHeader,
  NO_HASH,
  sealOf,
} from './segment.js';
import { SimulatedDisk } from './simulated-disk.js';

const path = (seq: number): string => `${DIRECTORY}/${seq.toString(16).padStart(16, '0')}.seg`;

/** A batch takes 1 576 bytes, so a segment holds two: eight fill four segments. */
const LAST_BATCH_AT = 512 + 1576;

function batches(): LogRecord[][] {
  const random = seeded(7);
  return Array.from({ length: 9 }, () => [
    { type: 1, data: random.bytes(700) },
    { type: 3, data: random.bytes(800) },
  ]);
}

async function fourSegments(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await writeLog(disk, batches().slice(0, 8));
  return disk;
}

test('ST-1: a flipped bit anywhere in a short log is found, and takes with it nothing that stands before it', async (t) => {
  const disk = new SimulatedDisk();
  const written = [[record('a'), record('b', 3)], [record('c')], [record('d', 4), record('e')]];
  const ends: number[] = [];
  const { log } = openOn(disk);
  for (const batch of written) {
    log.append(batch);
    ends.push(log.stats().usedBytes);
  }
  await log.close();
  const wrong: string[] = [];
  for (let bit = 0; bit < ends.at(-1)! * 8; bit += 1) {
    const damaged = disk.clone();
    damaged.damage(path(1), (bytes) => {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      return undefined;
    });
    const hit = bit < 512 * 8 ? -1 : ends.findIndex((end) => bit < end * 8);
    const expected = hit === written.length - 1 ? 'suspect' : 'corrupt';
    const { verdict, log: opened } = openOn(damaged);
    const kept = shown(written.slice(0, Math.max(hit, 0)).flat());
    const good = verdict.state === expected && contents(opened).join() === kept.join();
    if (!good) wrong.push(`bit ${bit}: ${verdict.state} with ${contents(opened).length} records`);
  }
  t.deepEqual(wrong, []);
});

test('ST-1: every sector lost: in an older batch it is damage, in the last one a torn end, in free space nothing', async (t) => {
  const disk = await fourSegments();
  const all = batches().slice(0, 8);
  for (let seq = 1; seq <= 4; seq += 1) {
    for (let sector = 0; sector < 8; sector += 1) {
      const damaged = disk.clone();
      let used = false;
      damaged.damage(path(seq), (bytes) => {
        const part = bytes.subarray(sector * 512, (sector + 1) * 512);
        used = part.some((byte) => byte !== 0);
        part.fill(0);
        return undefined;
      });
      const untouched = snapshot(damaged);
      const { verdict, log: opened } = openOn(damaged);
      const where = `segment ${seq}, sector ${sector}`;
      if (!used) {
        t.is(verdict.state, 'clean', where);
        continue;
      }
      const inLast = seq === 4 && sector * 512 >= LAST_BATCH_AT;
      t.is(verdict.state, inLast ? 'torn' : 'corrupt', where);
      const found = contents(opened);
      t.deepEqual(found, shown(all.flat()).slice(0, found.length), where);
      t.is(verdict.lastLsn, found.length);
      t.true(found.length >= (seq - 1) * 4, where);
      if (inLast) continue;
      t.is(verdict.damage!.segment, path(seq).slice(DIRECTORY.length + 1), where);
      t.deepEqual(snapshot(damaged), untouched, 'damage before the end is only read');
      const refused = t.throws(() => opened.append([record('more')]), { instanceOf: LogQuarantined });
      t.regex(refused.message, /offset \d+: .*quorate wal repair/);
    }
  }
});

test('a doubtful last batch is cut off and kept, and the doubt stays until a repair', async (t) => {
  const disk = new SimulatedDisk();
  await writeLog(disk, [[record('good')], [record('flipped')]]);
  disk.damage(path(1), (bytes) => {
    bytes[512 + 72 + 60]! ^= 4;
    return undefined;
  });
  const first = openOn(disk);
  t.is(first.verdict.state, 'suspect');
  t.is(first.verdict.damage!.offset, 512 + 80);
  t.deepEqual(contents(first.log), shown([record('good')]));
  t.is(first.log.append([record('appended in doubt')]), 2);
  await first.log.close();
  const second = openOn(disk);
  t.is(second.verdict.state, 'suspect');
  t.deepEqual(second.verdict.aside, ['0000000000000001-00000250.suspect']);
  t.deepEqual(contents(second.log), shown([record('good'), record('appended in doubt')]));
});

test('ST-1: a missing segment is damage at its place, with what stands before it served', async (t) => {
  const disk = await fourSegments();
  for (let seq = 1; seq <= 3; seq += 1) {
    const damaged = disk.clone();
    damaged.unlinkSync(path(seq));
    const { verdict, log } = openOn(damaged);
    t.is(verdict.state, 'corrupt');
    t.is(`${DIRECTORY}/${verdict.damage!.segment}`, path(seq));
    t.regex(verdict.damage!.reason, /missing/);
    t.is(contents(log).length, (seq - 1) * 4);
  }
});

test('a segment in the place of another, or from another log, is damage', async (t) => {
  const disk = await fourSegments();
  const other = new SimulatedDisk();
  await writeLog(other, batches().slice(1, 9));
  const stranger = new SimulatedDisk();
  await writeLog(stranger, batches().slice(0, 8), { identity: { ...IDENTITY, chainId: new Uint8Array(32).fill(9) } });
  const cases: Array<[SimulatedDisk, number, RegExp]> = [
    [disk, 2, /says that it is 0000000000000002.seg/],
    [other, 3, /not written after/],
    [stranger, 3, /another chain/],
  ];
  for (const [source, seq, reason] of cases) {
    const damaged = disk.clone();
    let bytes = Buffer.alloc(0);
    source.damage(path(seq), (found) => {
      bytes = Buffer.from(found);
      return undefined;
    });
    damaged.damage(path(3), () => bytes);
    const { verdict, log } = openOn(damaged);
    t.is(verdict.state, 'corrupt');
    t.regex(verdict.damage!.reason, reason);
    t.is(contents(log).length, 8);
  }
});

test('ID-2: a log of another chain or key is refused, naming both, and not touched', async (t) => {
  const disk = await fourSegments();
  const untouched = snapshot(disk);
  for (const part of ['chainId', 'publicKey'] as const) {
    const identity = { ...IDENTITY, [part]: new Uint8Array(32).fill(0xee) };
    const error = t.throws(() => openOn(disk, { identity }), { instanceOf: LogRefused });
    t.is((error as LogRefused).code, 'foreign');
    t.regex(error.message, /(11|22){32}.*(ee){32}/);
  }
  t.deepEqual(snapshot(disk), untouched);
});

test('a log of a later format is refused, not called damaged', async (t) => {
  const disk = await fourSegments();
  disk.damage(path(2), (bytes) => {
    const found = decodeSegmentHeader(bytes.subarray(0, 512));
    t.true(found.ok);
    const block = found.ok ? encodeSegmentHeader(found.header, 2) : Buffer.alloc(0);
    bytes.set(block, 0);
    return undefined;
  });
  const error = t.throws(() => openOn(disk), { instanceOf: LogRefused });
  t.is((error as LogRefused).code, 'version');
});

test('a disk that cannot read is damage at open, from the byte on that it cannot give', async (t) => {
  const disk = await fourSegments();
  disk.refuse = (operation, file) => (operation === 'read' && file === path(3) ? 'EIO' : null);
  const { verdict, log } = openOn(disk);
  t.is(verdict.state, 'corrupt');
  t.regex(verdict.damage!.reason, /EIO/);
  t.is(contents(log).length, 8);
  disk.refuse = (operation) => (operation === 'open' ? 'EACCES' : null);
  t.throws(() => openOn(disk), { message: /EACCES/ }, 'a permission says nothing about the log');
});

test('bytes that go bad after the open are never served', async (t) => {
  const disk = await fourSegments();
  const { log } = openOn(disk);
  disk.damage(path(2), (bytes) => {
    bytes[700]! ^= 1;
    return undefined;
  });
  t.is(log.records({ from: 1, maxBytes: 1 }).records.length, 1);
  t.throws(() => log.records({ from: 5, maxBytes: 1 }), { instanceOf: LogDamaged, message: /0002.seg/ });
  t.throws(() => log.fetch([1, 6]), { instanceOf: LogDamaged });
  disk.refuse = (operation) => (operation === 'read' ? 'EIO' : null);
  t.throws(() => log.fetch([9]), { instanceOf: LogDamaged, message: /EIO/ });
});

test('a batch whose header and end are both gone is damage, as long as a later batch still stands', async (t) => {
  const disk = new SimulatedDisk();
  await writeLog(disk, [[record('first')], [record('second')], [record('third')]]);
  disk.damage(path(1), (bytes) => {
    const second = 512 + bytes.readUInt32LE(512);
    bytes.fill(0, second, second + bytes.readUInt32LE(second));
    return undefined;
  });
  const { verdict, log } = openOn(disk);
  t.is(verdict.state, 'corrupt');
  t.regex(verdict.damage!.reason, /a later batch stands/);
  t.deepEqual(contents(log), shown([record('first')]));
});

test('a last batch that does not follow the one before it is doubtful, with its end or without', async (t) => {
  for (const cut of [0, 8]) {
    const [disk, other] = [new SimulatedDisk(), new SimulatedDisk()];
    await writeLog(disk, [[record('mine')], [record('mine')]]);
    await writeLog(other, [[record('else')], [record('else')]]);
    let strange = Buffer.alloc(0);
    other.damage(path(1), (bytes) => {
      strange = Buffer.from(bytes);
      return undefined;
    });
    disk.damage(path(1), (bytes) => {
      const second = 512 + bytes.readUInt32LE(512);
      const end = second + bytes.readUInt32LE(second);
      strange.copy(bytes, second, second, end);
      bytes.fill(0, end - cut);
      return undefined;
    });
    const { verdict, log } = openOn(disk);
    t.is(verdict.state, 'suspect', `${cut} bytes cut`);
    t.regex(verdict.damage!.reason, /names another batch before it/);
    t.deepEqual(contents(log), shown([record('mine')]));
  }
});

test('a file that lost its end after the open is damage when it is read', async (t) => {
  const disk = await fourSegments();
  const { log } = openOn(disk);
  disk.damage(path(2), (bytes) => bytes.subarray(0, 1000));
  t.throws(() => log.fetch([5]), { instanceOf: LogDamaged, message: /gone/ });
});

test('an epoch record that this release cannot read is refused by name, not called damaged', async (t) => {
  const disk = new SimulatedDisk();
  const data = encodeEpoch({ epoch: 2, lastTrustedHeight: 1, reason: '' });
  await writeLog(disk, [[{ type: 5, data }]]);
  disk.damage(path(1), (bytes) => {
    const found = decodeSegmentHeader(bytes.subarray(0, 512));
    if (!found.ok) return undefined;
    const later = Uint8Array.from(data);
    later[0] = 2;
    const image = createImage(batchLength([{ type: 5, data: later }]));
    encodeBatch(image, [{ type: 5, data: later }], 1, NO_HASH, sealOf(found.header));
    image.bytes.copy(bytes, 512, 0, batchLength([{ type: 5, data: later }]));
    return undefined;
  });
  const error = t.throws(() => openOn(disk), { instanceOf: LogRefused, message: /epoch record: version 2/ });
  t.is(error?.code, 'version');
});
