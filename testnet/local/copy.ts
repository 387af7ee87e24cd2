// Copies of data directories, modes included. Called by tests. Not fs.cpSync: from Node 24 on it gives directories the
// default mode, and a node refuses keys that others can read.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/** What is in `from` comes into `to`, which is made when it is not there. */
export function copyDirectory(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  execFileSync('cp', ['-a', `${from}/.`, to]);
}
