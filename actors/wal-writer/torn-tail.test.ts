import test from 'ava';
import type { LogRecord } from '../../protocol/wal-record.js';
import { contents, DIRECTORY, openOn, record, shown, writeLog } from './log-fixture.js';
import { type BatchHeader, readBatchHeader } from './segment.js';
import { SimulatedDisk } from './simulated-disk.js';

const SEGMENT = `${DIRECTORY}/0000000000000001.seg`;
const before: LogRecord[][] = [[record('one'), record('two', 3)], [record('three')]];
const small = [record('the last'), record('batch', 4)];
const large: LogRecord[] = [
  { type: 1, data: new Uint8Array(900).fill(0x61) },
  { type: 1, data: new Uint8Array(1200) },
];

/** A closed log, its last batch's place, and what stood before that batch. */
async function logEndingIn(last: LogRecord[]): Promise<{ disk: SimulatedDisk; offset: number; batch: BatchHeader }> {
  const disk = new SimulatedDisk();
  await writeLog(disk, [...before, last]);
  let offset = 512;
  let batch: BatchHeader | null = null;
  disk.damage(SEGMENT, (bytes) => {
    for (let at = offset; ; ) {
      const header = readBatchHeader(bytes, at);
      if (header === null) break;
      batch = header;
      offset = at;
      at += header.length;
    }
    return undefined;
  });
  return { disk, offset, batch: batch! };
}

for (const [name, last] of Object.entries({ small, large })) {
  test(`ST-1: a ${name} last batch cut at every byte, zeros after it, is set aside and the log goes on`, async (t) => {
    const { disk, offset, batch } = await logEndingIn(last);
    for (let kept = 0; kept < batch.length; kept += 1) {
      const crashed = disk.clone();
      let visible = 0;
      crashed.damage(SEGMENT, (bytes) => {
        bytes.fill(0, offset + kept, offset + batch.length);
        visible = bytes.subarray(offset, offset + batch.length).findIndex((byte) => byte !== 0);
        return undefined;
      });
      const { log, verdict } = openOn(crashed);
      t.is(verdict.state, visible === -1 ? 'clean' : 'torn', `${kept} bytes kept`);
      t.is(verdict.aside.length, visible === -1 ? 0 : 1);
      t.deepEqual(contents(log), shown(before.flat()));
      t.is(log.append([record('after')]), before.flat().length + 1);
      await log.close();
      const again = openOn(crashed);
      t.is(again.verdict.state, 'clean');
      t.deepEqual(contents(again.log), shown([...before.flat(), record('after')]));
    }
  });

  test(`ST-1: a file that ends at every byte of a ${name} last batch is torn, and nothing before it is lost`, async (t) => {
    const { disk, offset, batch } = await logEndingIn(last);
    for (let kept = 0; kept < batch.length; kept += 1) {
      const crashed = disk.clone();
      crashed.damage(SEGMENT, (bytes) => bytes.subarray(0, offset + kept));
      const { log, verdict } = openOn(crashed);
      t.is(verdict.state, 'torn', `${kept} bytes kept`);
      t.deepEqual(contents(log), shown(before.flat()));
    }
  });
}

test('ST-1: whichever sectors of the last batch were never written, it is torn and never half there', async (t) => {
  const { disk, offset, batch } = await logEndingIn(large);
  const first = Math.floor(offset / 512);
  const sectors = Math.ceil((offset + batch.length) / 512) - first;
  t.true(sectors >= 5);
  for (let lost = 1; lost < 2 ** sectors; lost += 1) {
    const crashed = disk.clone();
    crashed.damage(SEGMENT, (bytes) => {
      for (let sector = 0; sector < sectors; sector += 1) {
        const from = Math.max(offset, (first + sector) * 512);
        if ((lost >> sector) & 1) bytes.fill(0, from, Math.min(offset + batch.length, (first + sector + 1) * 512));
      }
      return undefined;
    });
    const { log, verdict } = openOn(crashed);
    t.is(verdict.state, lost === 2 ** sectors - 1 ? 'clean' : 'torn', `lost ${lost.toString(2)}`);
    t.deepEqual(contents(log), shown(before.flat()));
  }
});

test('ST-1: bodies of zeros are no torn sectors', async (t) => {
  const disk = new SimulatedDisk();
  const zeros = [{ type: 1, data: new Uint8Array(3000) }];
  await writeLog(disk, [zeros, zeros]);
  const { log, verdict } = openOn(disk);
  t.is(verdict.state, 'clean');
  t.deepEqual(contents(log), shown([...zeros, ...zeros]));
});

test('what is set aside holds the header block and the torn bytes, and only the newest copies are kept', async (t) => {
  const disk = new SimulatedDisk();
  await writeLog(disk, [[record('kept')]]);
  for (let crash = 0; crash < 20; crash += 1) {
    const { log } = openOn(disk);
    const offset = log.stats().usedBytes;
    log.append([record(`torn ${crash}`)]);
    await log.close();
    let block = '';
    disk.damage(SEGMENT, (bytes) => {
      block = bytes.toString('hex', 0, 512);
      bytes.fill(0, offset + 60);
      return undefined;
    });
    const { log: next, verdict } = openOn(disk);
    t.is(verdict.state, 'torn');
    disk.damage(`${DIRECTORY}/${verdict.aside.at(-1)!}`, (bytes) => {
      t.is(bytes.toString('hex', 0, 512), block);
      t.true(bytes.length > 512 && bytes.length <= 512 + 60);
      return undefined;
    });
    next.append([record(`whole ${crash}`)]);
    await next.close();
  }
  const { verdict, log } = openOn(disk);
  t.is(verdict.aside.length, 16);
  t.is(log.nextLsn, 22);
});
