// The drill of the full disk: a node works on a small file system that somebody else fills. It must stop admitting before the
// end, with 507, keep what it promised, live through a disk with no byte left, also a start on it, and go on by itself when
// there is room. Called by main.ts and by a test. It needs to be root, to mount a tmpfs of its own.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PRESSURE_VALUES, PRESSURE_WORDING } from '../../actors/wal-writer/pressure.js';
import type { LocalNode } from '../local/node.js';
import { type ClientFigures, DrillClient } from './client.js';
import { checkLedger, type LedgerReport } from './ledger-check.js';
import { metric, readiness, within } from './observe.js';
import { drillNode, initialised, lastWords, up } from './subject.js';

export interface FullDiskOptions {
  /** How often the disk is filled to the last byte. */
  readonly times: number;
  readonly connections: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

export interface FullDiskReport {
  readonly client: ClientFigures;
  readonly ledger: LedgerReport;
  /** From the room being back to the next acknowledged submission. */
  readonly recoveryMs: readonly (number | null)[];
  readonly faults: readonly string[];
}

/** How often a disk that is to stay full is filled up. */
const TOPPING_MS = 100;
const MIB = 2 ** 20;
const DISK_BYTES = 64 * MIB;
const STOP_BYTES = 8 * MIB;
const BALLAST_BYTES = 4 * MIB;
const ENV = {
  QUORATE_DISK_WARN_FREE_BYTES: String(16 * MIB),
  QUORATE_DISK_ERROR_FREE_BYTES: String(12 * MIB),
  QUORATE_DISK_STOP_FREE_BYTES: String(STOP_BYTES),
  QUORATE_DISK_BALLAST_BYTES: String(BALLAST_BYTES),
  QUORATE_WAL_RETENTION_BYTES: String(2 * MIB),
};
const DISK_CHECK = 'wal-writer:disk';
/** The disk is looked at once a second. */
const NOTICED_MS = 5_000;
const RECOVERED_MS = 15_000;
const START_MS = 20_000;

export function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  const place = mkdtempSync(join(tmpdir(), 'quorate-mount-'));
  try {
    if (!mount(place, MIB)) return false;
    unmount(place);
    return true;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

export async function fullDiskDrill(options: FullDiskOptions): Promise<FullDiskReport> {
  const place = mkdtempSync(join(tmpdir(), 'quorate-full-disk-'));
  if (!mount(place, DISK_BYTES)) throw new Error('no tmpfs could be mounted: run this as root');
  try {
    return await new FullDisk(place, options).run();
  } finally {
    unmount(place);
    rmSync(place, { recursive: true, force: true });
  }
}

class FullDisk {
  readonly #place: string;
  readonly #dataDir: string;
  readonly #options: FullDiskOptions;
  readonly #faults: string[] = [];
  readonly #recoveryMs: (number | null)[] = [];
  #node: LocalNode | null = null;

  constructor(place: string, options: FullDiskOptions) {
    this.#place = place;
    this.#dataDir = join(place, 'data');
    this.#options = options;
  }

  async run(): Promise<FullDiskReport> {
    const { connections, seed, times } = this.#options;
    mkdirSync(this.#dataDir, { mode: 0o700 });
    const key = await initialised(this.#dataDir);
    const client = await DrillClient.create({ key, connections, seed, prefix: `d${seed}` });
    try {
      client.start();
      await up(this.#newNode(), client);
      await within(NOTICED_MS, 'the ballast is made', this.#faults, () => this.#hasBallast());
      await this.#nearlyFull(client);
      for (let time = 1; time <= times; time++) await this.#full(client, () => undefined);
      await this.#full(client, async () => {
        await this.#running.kill();
        client.pointAt(null);
        // It may wait for room before it is ready: what was final at the kill has to go to the ledger.
        const node = this.#newNode();
        const says = 'a start on a full disk says so, and stays';
        await within(START_MS, says, this.#faults, () => /"event":"disk.stopped"/.test(node.output) && !node.hasExited);
      });
      await client.finish();
      const { code } = await this.#running.stop();
      if (code !== 0) this.#faults.push(`the node ended with ${code}:\n${lastWords(this.#running)}`);
    } finally {
      await client.abandon();
      await this.#node?.dispose();
    }
    const ledger = await checkLedger(this.#dataDir, client.promises);
    const faults = [...this.#faults, ...client.faults.slice(0, 20), ...ledger.faults];
    return { client: client.figures, ledger, recoveryMs: this.#recoveryMs, faults };
  }

  get #running(): LocalNode {
    return this.#node!;
  }

  #newNode(): LocalNode {
    this.#node = drillNode(this.#dataDir, [], ENV);
    return this.#node;
  }

  async #hasBallast(): Promise<boolean> {
    return (await metric(this.#running, 'quorate_disk_ballast_bytes')) === BALLAST_BYTES;
  }

  /** Below the stop mark and above nothing: everything says so, what is final can be read, and nothing else happens. */
  async #nearlyFull(client: DrillClient): Promise<void> {
    const node = this.#running;
    const before = client.figures.acknowledged;
    await within(NOTICED_MS, 'submissions are acknowledged', this.#faults, () => client.figures.acknowledged > before);
    const fill = () => this.#fill(STOP_BYTES - MIB);
    fill();
    // What the log lets go under pressure makes room again.
    const topping = setInterval(fill, TOPPING_MS);
    await this.#expectStopped(client);
    await within(NOTICED_MS, 'the metric says that admission is stopped', this.#faults, async () => {
      return (await metric(node, 'quorate_disk_pressure')) === PRESSURE_VALUES.stopped;
    });
    await within(NOTICED_MS, `readiness says "${PRESSURE_WORDING.stopped}"`, this.#faults, async () => {
      return (await readiness(node)).failing.get(DISK_CHECK) === PRESSURE_WORDING.stopped;
    });
    clearInterval(topping);
    const final = [...client.promises.values()].find(({ answer }) => answer !== null)!;
    const read = await fetch(`${node.endpoints.api}/v1/submissions/${final.digest}`);
    if (read.status !== 200) this.#faults.push(`what is final is answered ${read.status} on a full disk`);
    await this.#expectRecovery(client);
  }

  /** Filled to the last byte at once, the ballast's space included, while submissions are under way. */
  async #full(client: DrillClient, meanwhile: () => unknown): Promise<void> {
    this.#fill(0);
    await this.#expectStopped(client);
    for (let look = 0; look < 15; look++) {
      this.#fill(0);
      await delay(50);
    }
    if (freeOn(this.#place) > MIB) this.#faults.push('the disk is not full: this proves nothing');
    await meanwhile();
    await this.#expectRecovery(client);
  }

  async #expectStopped(client: DrillClient): Promise<void> {
    const node = this.#running;
    const refused = client.figures.refusedFull;
    await within(NOTICED_MS, 'submissions get 507', this.#faults, () => client.figures.refusedFull > refused);
    await within(NOTICED_MS, `readiness fails for ${DISK_CHECK}`, this.#faults, async () =>
      (await readiness(node)).failing.has(DISK_CHECK),
    );
    if (node.hasExited) this.#faults.push(`the node ended on a full disk:\n${lastWords(node)}`);
  }

  async #expectRecovery(client: DrillClient): Promise<void> {
    const node = this.#running;
    rmSync(this.#filler);
    await up(node, client);
    const before = client.figures.acknowledged;
    const recoveryMs = await within(
      RECOVERED_MS,
      'submissions are acknowledged again',
      this.#faults,
      () => client.figures.acknowledged > before,
    );
    this.#recoveryMs.push(recoveryMs);
    await within(NOTICED_MS, 'the node is ready again', this.#faults, async () => (await readiness(node)).ready);
    await within(NOTICED_MS, 'the ballast is made again', this.#faults, () => this.#hasBallast());
    this.#options.log(`room again: acknowledged after ${recoveryMs} ms`);
  }

  get #filler(): string {
    return join(this.#place, 'filler');
  }

  /** Until so much is free, or nothing. */
  #fill(leaveBytes: number): void {
    const fd = openSync(this.#filler, 'a');
    const chunk = Buffer.alloc(MIB / 4, 1);
    try {
      for (let free = freeOn(this.#place); free > leaveBytes; free = freeOn(this.#place)) {
        writeSync(fd, chunk, 0, Math.min(chunk.length, free - leaveBytes));
      }
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(fd);
    }
  }
}

function freeOn(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

function mount(place: string, sizeBytes: number): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', place]).status === 0;
}

/** Lazily: a process that is just ending may still hold a file. */
function unmount(place: string): void {
  spawnSync('umount', ['-l', place]);
}
