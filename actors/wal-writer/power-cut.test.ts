import test from 'ava';
import fc from 'fast-check';
import type { LogRecord } from '../../protocol/wal-record.js';
import { contents, openOn, seeded, shown, someRecords, tossed } from './log-fixture.js';
import { type CrashChoices, KEEP_ALL, LOSE_ALL, PowerCut, SimulatedDisk } from './simulated-disk.js';

interface Run {
  /** Acknowledged, in order. */
  readonly acknowledged: string[];
  /** The batch that was in flight when the power went. */
  inFlight: string[];
}

/** Appends batches to a fresh log, with spares and a restart in between, until done or the power goes. */
async function work(disk: SimulatedDisk, batches: readonly (readonly LogRecord[])[]): Promise<Run> {
  const run: Run = { acknowledged: [], inFlight: [] };
  try {
    let { log } = openOn(disk, { random: seeded(2).bytes });
    for (const [index, batch] of batches.entries()) {
      if (index % 5 === 2) await log.prepareSpare();
      if (index === 7) {
        await log.close();
        log = openOn(disk, { random: seeded(3).bytes }).log;
      }
      run.inFlight = shown(batch);
      log.append(batch);
      run.acknowledged.push(...run.inFlight);
      run.inFlight = [];
    }
  } catch (error) {
    if (!isPowerCut(error)) throw error;
  }
  return run;
}

function isPowerCut(error: unknown): boolean {
  return error instanceof PowerCut || (error instanceof Error && isPowerCut(error.cause));
}

/** What must hold at the start after a crash: all that was acknowledged, then at most the whole batch in flight. */
function survivors(disk: SimulatedDisk, run: Run): string | null {
  const { log, verdict } = openOn(disk, { random: seeded(4).bytes });
  if (verdict.state !== 'clean' && verdict.state !== 'torn') return `${verdict.state}: ${verdict.damage!.reason}`;
  const found = contents(log).join();
  const whole = [...run.acknowledged, ...run.inFlight].join();
  return found === run.acknowledged.join() || found === whole ? null : `${found.length} characters of records`;
}

const outcomes: Array<[string, CrashChoices]> = [
  ['all kept', KEEP_ALL],
  ['all lost', LOSE_ALL],
  ...[11, 12, 13, 14, 15, 16].map((seed): [string, CrashChoices] => [`tossed ${seed}`, tossed(seed)]),
];

test('ST-1: power cut before every change to the disk, rotations and spares included: acknowledged batches survive', async (t) => {
  const random = seeded(21);
  const batches = Array.from({ length: 14 }, () => someRecords(random, 700));
  const rehearsal = new SimulatedDisk();
  await work(rehearsal, batches);
  const steps = rehearsal.changes;
  t.true(rehearsal.readdirSync('/data/wal').filter((name) => name.endsWith('.seg')).length >= 3);
  const wrong: string[] = [];
  for (let step = 0; step < steps; step += 1) {
    const disk = new SimulatedDisk();
    disk.cutBefore = step;
    const run = await work(disk, batches);
    for (const [name, choices] of outcomes) {
      const fault = survivors(disk.afterPowerCut(choices), run);
      if (fault !== null) wrong.push(`before change ${step}, ${name}: ${fault}`);
    }
    const fault = survivors(disk.afterKill(), run);
    if (fault !== null) wrong.push(`before change ${step}, process killed: ${fault}`);
  }
  t.deepEqual(wrong, []);
});

test('ST-1: power cut at every step of the recovery itself: nothing it may count on is lost', async (t) => {
  const random = seeded(5);
  const batches = Array.from({ length: 5 }, () => someRecords(random, 600));
  const rehearsal = new SimulatedDisk();
  await work(rehearsal, batches);
  const disk = new SimulatedDisk();
  disk.cutBefore = rehearsal.changes - 1;
  const run = await work(disk, batches);
  t.true(run.inFlight.length > 0);
  const wrong: string[] = [];
  for (const [first, torn] of outcomes) {
    const crashed = disk.afterPowerCut(torn);
    const steps = stepsToOpen(crashed.clone());
    t.true(steps > 4);
    for (let step = 0; step < steps; step += 1) {
      const recovering = crashed.clone();
      recovering.cutBefore = step;
      const error = t.throws(() => openOn(recovering));
      t.true(isPowerCut(error));
      for (const [second, choices] of outcomes) {
        const fault = survivors(recovering.afterPowerCut(choices), run);
        if (fault !== null) wrong.push(`${first}, then before change ${step} of recovery, ${second}: ${fault}`);
      }
    }
  }
  t.deepEqual(wrong, []);
});

function stepsToOpen(disk: SimulatedDisk): number {
  openOn(disk);
  return disk.changes;
}

test('what a start serves survives a power cut, though it was only page cache when the process before it died', (t) => {
  const disk = new SimulatedDisk();
  const { log } = openOn(disk);
  const batch: LogRecord[] = [{ type: 1, data: seeded(9).bytes(900) }];
  log.append(batch);
  disk.refuse = (operation) => (operation === 'fdatasync' ? 'EIO' : null);
  t.throws(() => log.append(batch));
  const restarted = disk.afterKill();
  const served = contents(openOn(restarted).log);
  t.is(served.length, 2, 'the page cache still shows the batch whose sync failed');
  t.deepEqual(contents(openOn(restarted.afterPowerCut(LOSE_ALL)).log), served);
});

test('ST-1: random appends and restarts, cut at a random change with a random outcome, over and over', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 6 }), async (seed, lives) => {
      const random = seeded(seed);
      let disk = new SimulatedDisk();
      let expected: string[] = [];
      for (let life = 0; life < lives; life += 1) {
        disk.cutBefore = disk.changes + random.below(60);
        let inFlight: string[] = [];
        try {
          const { log } = openOn(disk, { random: random.bytes });
          for (;;) {
            if (random.below(4) === 0) await log.prepareSpare();
            const batch = someRecords(random, 900);
            inFlight = shown(batch);
            log.append(batch);
            expected.push(...inFlight);
            inFlight = [];
          }
        } catch (error) {
          if (!isPowerCut(error)) throw error;
        }
        disk = random.below(4) === 0 ? disk.afterKill() : disk.afterPowerCut(tossed(random.below(1 << 30)));
        const { log, verdict } = openOn(disk, { random: random.bytes });
        t.true(verdict.state === 'clean' || verdict.state === 'torn');
        const found = contents(log);
        t.deepEqual(found.slice(0, expected.length), expected);
        t.true(found.length === expected.length || found.join() === [...expected, ...inFlight].join());
        expected = found;
      }
    }),
    { numRuns: 150 },
  );
});
