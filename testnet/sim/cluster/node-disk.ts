// The log of one simulated node: the production log on the simulated disk, as it survives kills, power cuts and failed
// syncs. Owned by the node model, which decides when a write takes place. It must never be kinder than SimulatedDisk.

import { type Log, openLog } from '../../../actors/wal-writer/log.js';
import type { LogVerdict } from '../../../actors/wal-writer/recovery.js';
import { type CrashChoices, SimulatedDisk } from '../../../actors/wal-writer/simulated-disk.js';
import type { LogRecord, PlacedRecord } from '../../../protocol/wal-record.js';
import { CHAIN_ID } from './keys.js';
import type { Chance } from './schedule.js';

const SEGMENT_BYTES = 32 * 1024;
/** A batch takes at most half a segment; what is more waits for the next one. */
export const BATCH_BYTES_MAX = 16 * 1024;
const PAGE_BYTES = 1024 * 1024;

export type Ending = 'kill' | 'power-cut';

export class NodeDisk {
  readonly #chance: Chance;
  readonly #identity;
  #disk = new SimulatedDisk();
  #log: Log | null = null;

  constructor(chance: Chance, publicKey: Uint8Array) {
    this.#chance = chance;
    this.#identity = { chainId: CHAIN_ID, publicKey };
  }

  open(): LogVerdict {
    const { log, verdict } = openLog({
      directory: '/data/wal',
      identity: this.#identity,
      segmentBytes: SEGMENT_BYTES,
      native: (section) => section(),
      random: (sizeBytes) => this.#chance.bytes(sizeBytes),
      files: this.#disk,
    });
    this.#log = log;
    return verdict;
  }

  /** Durable when it returns; the position of the first record. */
  append(records: readonly LogRecord[]): number {
    return this.#log!.append(records);
  }

  /** From here on every sync fails, and marks its pages clean all the same. */
  failSyncs(): void {
    this.#disk.refuse = (operation) => (operation === 'fdatasync' || operation === 'fsync' ? 'EIO' : null);
  }

  *records(): Generator<PlacedRecord> {
    for (let from: number | null = 1; from !== null; ) {
      const page = this.#log!.records({ from, maxBytes: PAGE_BYTES });
      yield* page.records;
      from = page.next;
    }
  }

  get segments(): number {
    return this.#log!.segments.length;
  }

  /** Lets go of the segments that hold nothing from this position on. */
  dropBelow(lsn: number): boolean {
    const keep = this.#log!.segments.findLast(({ firstLsn }) => firstLsn <= lsn);
    return keep !== undefined && this.#log!.dropBefore(keep.seq).segments > 0;
  }

  /** The node ends. `inFlight` was being written: none of it, some of it or all of it is found by the next start. */
  end(ending: Ending, inFlight: readonly LogRecord[]): void {
    if (inFlight.length > 0) {
      this.#disk.cutBefore = this.#disk.changes + this.#chance.between(0, 3);
      try {
        this.#log!.append(inFlight);
      } catch {
        // The power is off, or the sync failed: the disk below is what is left.
      }
    }
    this.#log = null;
    this.#disk = ending === 'kill' ? this.#disk.afterKill() : this.#disk.afterPowerCut(this.#tossed());
  }

  /** As it is now, to come back to it (a restored backup). */
  snapshot(): SimulatedDisk {
    return this.#disk.clone();
  }

  /** Only while the node is down. */
  replace(disk: SimulatedDisk): void {
    this.#disk = disk.clone();
  }

  /** The whole log is gone. Only while the node is down. */
  lose(): void {
    this.#disk = new SimulatedDisk();
  }

  #tossed(): CrashChoices {
    const chance = this.#chance;
    return { sector: () => chance.happens(0.5), names: (pending) => chance.between(0, pending) };
  }
}
