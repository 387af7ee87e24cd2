// One process per data directory: a lock that the kernel frees when its holder dies, however it dies. Called by the daemon
// at start and by commands that change a data directory offline. It never waits and never breaks a lock.
//
// On Linux the lock is a socket in the abstract namespace, named after device and inode of the directory: two paths to
// one directory meet, two directories never do, and no file can be left behind. The namespace belongs to the network
// namespace, so two containers over one volume do not see each other; there, and on other systems, the process id in
// run/node.pid has to do, which only tells of a process that this one can see.
import { readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';

export interface DataLock {
  release(): Promise<void>;
}

/** Another process holds the directory: exit code 75. */
export class DataDirectoryHeld extends Error {
  override readonly name = 'DataDirectoryHeld';
  /** Of the holder, as far as run/node.pid says. */
  readonly pid: number | null;

  constructor(directory: string, pid: number | null) {
    super(`${directory} is in use by ${pid === null ? 'another process' : `process ${pid}`}`);
    this.pid = pid;
  }
}

/** The process id in `run/node.pid`, or null. It may be of a process that is gone. */
export function nodePid(directory: string): number | null {
  try {
    const text = readFileSync(join(directory, 'run', 'node.pid'), 'utf8').trim();
    return /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
}

/** @throws DataDirectoryHeld; and what stat throws when the directory is absent. */
export async function lockDataDirectory(directory: string): Promise<DataLock> {
  const { dev, ino } = statSync(directory, { bigint: true });
  if (process.platform !== 'linux') {
    const pid = nodePid(directory);
    if (pid !== null && pid !== process.pid && isAlive(pid)) throw new DataDirectoryHeld(directory, pid);
    return { release: async () => {} };
  }
  const server = createServer((socket) => socket.destroy());
  if (!(await listens(server, `\0quorate-data-${dev.toString(16)}-${ino.toString(16)}`))) {
    throw new DataDirectoryHeld(directory, nodePid(directory));
  }
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** @returns false when the name is taken. */
function listens(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('listening', () => resolve(true));
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen({ path, exclusive: true });
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
