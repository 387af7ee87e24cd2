// The files by which a running node is found: run/node.pid, run/endpoints.json, run/admin.token. Written by the daemon,
// read by the CLI. They are hints, never locks: a kill leaves them behind.
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { diskSteps, replaceFile } from '../config/durable-file.js';

export interface Endpoints {
  readonly api: string;
  readonly ops: string;
  readonly peer: string | null;
  readonly nodeId: string;
  readonly publicKey: string;
}

/** Before anything starts: who holds the directory, and no addresses of an earlier process. */
export function claimRunFiles(run: string): void {
  rmSync(join(run, 'endpoints.json'), { force: true });
  replaceFile(diskSteps, join(run, 'node.pid'), Buffer.from(`${process.pid}\n`), 0o644);
}

/** A token for this process alone: whoever may read the file may operate the node. */
export function writeAdminToken(run: string): string {
  const token = randomBytes(32).toString('hex');
  replaceFile(diskSteps, join(run, 'admin.token'), Buffer.from(`${token}\n`), 0o600);
  return token;
}

export function writeEndpoints(run: string, endpoints: Endpoints): void {
  replaceFile(diskSteps, join(run, 'endpoints.json'), Buffer.from(`${JSON.stringify(endpoints)}\n`), 0o644);
}

export function removeRunFiles(run: string): void {
  for (const name of ['endpoints.json', 'node.pid', 'admin.token']) rmSync(join(run, name), { force: true });
}
