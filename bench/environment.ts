// What a result was measured on: processor, kernel, Node, disk, commit, and what one fdatasync costs here and now.
// Called by every scenario before and after it measures. It must never judge a result.
import { execFileSync } from 'node:child_process';
import { closeSync, fdatasyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Environment {
  readonly at: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly fileSystem: string;
  /** Short hash, with `+` when the tree holds changes; `unknown` outside a repository. */
  readonly commit: string;
  readonly loadAverage1Min: number;
}

export interface DiskCost {
  readonly medianMs: number;
  readonly p99Ms: number;
}

export function describeEnvironment(directory: string): Environment {
  const processors = cpus();
  return {
    at: new Date().toISOString(),
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
    fileSystem: fileSystemOf(resolve(directory)),
    commit: commit(),
    loadAverage1Min: loadavg()[0] ?? 0,
  };
}

/** The type of the deepest mount that holds `path`; a tmpfs makes fdatasync free and a result worthless. */
function fileSystemOf(path: string): string {
  let best = { point: '', type: 'unknown' };
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) {
    const [, point, type] = line.split(' ');
    if (point === undefined || type === undefined || point.length < best.point.length) continue;
    if (point === '/' || path === point || path.startsWith(`${point}/`)) best = { point, type };
  }
  return best.type;
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return git('rev-parse', '--short', 'HEAD') + (changed ? '+' : '');
  } catch {
    return 'unknown';
  }
}

const PROBES = 200;
const PROBE_BYTES = 4096;

/** Appends 4 KiB and syncs, 200 times, in `directory`: the price that every durable answer pays at least once. */
export function measureDisk(directory: string): DiskCost {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'disk-probe');
  const file = openSync(path, 'w');
  const block = Buffer.alloc(PROBE_BYTES, 0x5a);
  const timesMs: number[] = [];
  try {
    for (let probe = 0; probe < PROBES; probe += 1) {
      const begin = performance.now();
      writeSync(file, block);
      fdatasyncSync(file);
      timesMs.push(performance.now() - begin);
    }
  } finally {
    closeSync(file);
    rmSync(path);
  }
  timesMs.sort((a, b) => a - b);
  return { medianMs: timesMs[PROBES >> 1] ?? 0, p99Ms: timesMs[Math.floor(PROBES * 0.99)] ?? 0 };
}
