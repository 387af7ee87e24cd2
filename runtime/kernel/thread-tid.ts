// The number that the kernel has given to this thread. Read once by entry.ts; status shows it beside the actor.
import { readlinkSync } from 'node:fs';

/** The thread it is called in, as /proc, `top -H` and `strace -p` know it; null where there is no such file: off Linux. */
export function threadTid(): number | null {
  try {
    // PID/task/TID. A synchronous call runs in the thread that makes it.
    const match = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'));
    return match === null ? null : Number(match[1]);
  } catch {
    return null;
  }
}
