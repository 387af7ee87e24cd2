// Reads what Linux knows of a process: CPU time of each thread, resident memory, and CPU time of the whole host.
// Called by the load generator at the edges of a measured window. It must never signal or change the process it reads.
import { readdirSync, readFileSync } from 'node:fs';

export interface ThreadSample {
  readonly tid: number;
  /** The kernel's name of the thread; Node 20 leaves 'node' on most, newer versions name their own. */
  readonly name: string;
  readonly cpuUs: number;
}

export interface ProcessSample {
  readonly threads: readonly ThreadSample[];
  readonly rssBytes: number;
}

/** CPU time of all cores since boot, in µs. */
export interface HostSample {
  readonly busyUs: number;
  /** Time the hypervisor gave to others while this machine wanted to run. */
  readonly stealUs: number;
}

/** Linux reports times of /proc in ticks of 10 ms on every architecture that Node runs on (USER_HZ = 100). */
const TICK_US = 10_000;

/** Threads that end between the listing and the reading are left out. Throws when the process is gone. */
export function sampleProcess(pid: number): ProcessSample {
  const threads: ThreadSample[] = [];
  for (const entry of readdirSync(`/proc/${pid}/task`)) {
    const sample = sampleThread(`/proc/${pid}/task/${entry}`, Number(entry));
    if (sample !== null) threads.push(sample);
  }
  return { threads: threads.sort((a, b) => a.tid - b.tid), rssBytes: rssBytes(pid) };
}

function sampleThread(directory: string, tid: number): ThreadSample | null {
  try {
    const name = readFileSync(`${directory}/comm`, 'utf8').trim();
    return { tid, name, cpuUs: threadCpuUs(directory) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

/** schedstat counts nanoseconds but is absent on some kernels; stat counts 10 ms ticks and is always there. */
function threadCpuUs(directory: string): number {
  const nanoseconds = Number(readIfThere(`${directory}/schedstat`)?.split(' ')[0]);
  if (nanoseconds > 0) return nanoseconds / 1000;
  const fields = statFields(readFileSync(`${directory}/stat`, 'utf8'));
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** The fields behind the parenthesised name, which may itself hold blanks and parentheses (proc_pid_stat(5)). */
export function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

export function rssBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kib === undefined) throw new Error(`/proc/${pid}/status has no VmRSS: the process has ended`);
  return Number(kib) * 1024;
}

export function sampleHost(): HostSample {
  const line = readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .replace(/^cpu +/, '')
    .split(' ')
    .map(Number);
  return { busyUs: (user + nice + system + irq + softirq) * TICK_US, stealUs: steal * TICK_US };
}
