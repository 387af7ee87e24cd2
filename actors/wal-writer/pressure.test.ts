import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { BALLAST_NAME, Ballast } from './ballast.js';
import { ballastMove, type DiskLimits, type Pressure, pressureOf } from './pressure.js';

const limits: DiskLimits = { warnBytes: 1000, errorBytes: 100, stopBytes: 60, ballastBytes: 16 };

test('ST-2: warning, error and stop at the marks, not a byte before', (t) => {
  const at = (free: number): Pressure => pressureOf(free, limits, 'ok', true);
  t.deepEqual(
    [at(1000), at(999), at(100), at(99), at(60), at(59), at(0)],
    ['ok', 'warn', 'warn', 'error', 'error', 'stopped', 'stopped'],
  );
});

test('ST-2: once stopped it takes a ballast more to go on, and the ballast itself', (t) => {
  t.is(pressureOf(75, limits, 'stopped', true), 'stopped');
  t.is(pressureOf(76, limits, 'stopped', true), 'error');
  t.is(pressureOf(5000, limits, 'stopped', false), 'stopped');
  t.is(pressureOf(5000, limits, 'stopped', true), 'ok');
});

test('ST-2: the ballast is given away before the disk is full, and is not made where it would stop admission', (t) => {
  t.is(ballastMove(16, limits, true), null);
  t.is(ballastMove(15, limits, true), 'release');
  t.is(ballastMove(91, limits, false), null);
  t.is(ballastMove(92, limits, false), 'make');
});

test('whatever the marks, with much room everything comes back, and with none everything stops', (t) => {
  const sizes = fc.tuple(fc.nat(1e6), fc.nat(1e6), fc.nat(1e6), fc.nat(1e6));
  const before = fc.constantFrom<Pressure>('ok', 'warn', 'error', 'stopped');
  fc.assert(
    fc.property(sizes, before, fc.boolean(), ([stop, error, warn, ballastBytes], state, present) => {
      const any = {
        stopBytes: stop + 1,
        errorBytes: stop + 1 + error,
        warnBytes: stop + 1 + error + warn,
        ballastBytes,
      };
      t.is(pressureOf(0, any, state, present), 'stopped');
      const plenty = 1e8;
      if (!present) t.is(ballastMove(plenty, any, false), 'make');
      t.is(pressureOf(plenty, any, state, true), 'ok');
    }),
  );
});

test('ST-2: the ballast takes its space, gives it once, and what an earlier process left counts', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-ballast-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, BALLAST_NAME);
  const ballast = new Ballast(directory, 600_000);
  t.false(ballast.release());
  await ballast.make();
  t.is(statSync(path).size, 600_000);
  t.true(statSync(path).blocks * 512 >= 600_000, 'it really takes the space');
  t.true(new Ballast(directory, 600_000).present);
  t.true(ballast.release());
  t.false(ballast.present);
  t.false(existsSync(path));
  t.false(ballast.release());
  writeFileSync(path, 'half of one');
  t.false(new Ballast(directory, 600_000).present);
  t.false(existsSync(path), 'a part of one holds nothing that is worth it');
  const nowhere = new Ballast(join(directory, 'missing'), 100);
  await nowhere.make();
  t.false(nowhere.present);
});
