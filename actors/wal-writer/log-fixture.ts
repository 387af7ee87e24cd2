// Small logs on a simulated disk, and what tests ask of them.
// Called by the tests of the log only.
// Everything here is a function of its arguments and a seed: a failing case can be run again.
import { Buffer } from 'node:buffer';
import type { LogRecord } from '../../protocol/wal-record.js';
import { type Log, type LogOptions, openLog } from './log.js';
import type { LogVerdict } from './recovery.js';
import type { CrashChoices, SimulatedDisk } from './simulated-disk.js';

export const DIRECTORY = '/data/wal';
export const IDENTITY = { chainId: new Uint8Array(32).fill(0x11), publicKey: new Uint8Array(32).fill(0x22) };
/** Eight sectors: rotation after a few batches. */
export const SEGMENT_BYTES = 4096;

export interface Seeded {
  /** 0 ≤ n < bound. */
  below(bound: number): number;
  bytes(sizeBytes: number): Uint8Array;
}

/** SplitMix32. */
export function seeded(seed: number): Seeded {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  return {
    below: (bound) => next() % bound,
    bytes: (sizeBytes) => Uint8Array.from({ length: sizeBytes }, () => next() & 0xff),
  };
}

/** Keeps or loses each unsynced sector and name by the toss of a seeded coin. */
export function tossed(seed: number): CrashChoices {
  const coin = seeded(seed);
  return { sector: () => coin.below(2) === 0, names: (pending) => coin.below(pending + 1) };
}

export function optionsOn(disk: SimulatedDisk, overrides: Partial<LogOptions> = {}): LogOptions {
  return {
    directory: DIRECTORY,
    identity: IDENTITY,
    segmentBytes: SEGMENT_BYTES,
    native: (section) => section(),
    random: seeded(1).bytes,
    files: disk,
    ...overrides,
  };
}

export function openOn(disk: SimulatedDisk, overrides: Partial<LogOptions> = {}): { log: Log; verdict: LogVerdict } {
  return openLog(optionsOn(disk, overrides));
}

export function record(text: string, type = 1): LogRecord {
  return { type, data: Buffer.from(text) };
}

/** Records of any bytes, zeros included, that a seed decides. */
export function someRecords(random: Seeded, largest = 300): LogRecord[] {
  return Array.from({ length: 1 + random.below(4) }, () => ({
    type: random.below(5),
    data: random.below(3) === 0 ? new Uint8Array(random.below(largest)) : random.bytes(random.below(largest)),
  }));
}

/** Every record as `type:hex`, read in small pages; checks that positions are consecutive from 1. */
export function contents(log: Pick<Log, 'records'>, maxBytes = 700): string[] {
  const found: string[] = [];
  for (let from: number | null = 1; from !== null; ) {
    const page = log.records({ from, maxBytes });
    for (const { lsn, type, data } of page.records) {
      if (lsn !== found.length + 1) throw new Error(`position ${lsn} after ${found.length} records`);
      found.push(`${type}:${Buffer.from(data).toString('hex')}`);
    }
    from = page.next;
  }
  return found;
}

export function shown(records: readonly LogRecord[]): string[] {
  return records.map(({ type, data }) => `${type}:${Buffer.from(data).toString('hex')}`);
}

/** Writes these batches to a new log and closes it. */
export async function writeLog(
  disk: SimulatedDisk,
  batches: readonly (readonly LogRecord[])[],
  overrides: Partial<LogOptions> = {},
): Promise<void> {
  const { log } = openOn(disk, overrides);
  for (const batch of batches) log.append(batch);
  await log.close();
}

/** Name → hex of every file, to show that nothing was touched. */
export function snapshot(disk: SimulatedDisk, directory = DIRECTORY): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of disk.readdirSync(directory).sort()) {
    if (name.startsWith('broken-')) continue;
    disk.damage(`${directory}/${name}`, (bytes) => {
      files[name] = bytes.toString('hex');
      return undefined;
    });
  }
  return files;
}
