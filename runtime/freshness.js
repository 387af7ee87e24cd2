// Is dist/ newer than the sources it was built from? Called by the launcher and by build.js; plain JavaScript,
// because it runs before anything is compiled. It must never write.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SOURCE_FOLDERS = [
  'protocol',
  'runtime',
  'actors',
  'config',
  'observability',
  'testnet',
  'bench',
  'cli',
  'client',
];

/**
 * @param {string} root folder that holds package.json
 * @returns {string | null} why dist/ cannot be used, or null when it can. An installed package carries no sources:
 *   there dist/ only has to exist.
 */
export function staleness(root) {
  const stamp = join(root, 'dist', '.built');
  if (!existsSync(stamp)) return 'dist/ is missing';
  const builtMs = statSync(stamp).mtimeMs;
  for (const folder of SOURCE_FOLDERS) {
    const newer = newestSource(join(root, folder), builtMs);
    if (newer !== null) return `${newer.slice(root.length + 1)} is newer than dist/`;
  }
  return null;
}

function newestSource(folder, builtMs) {
  if (!existsSync(folder)) return null;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const inner = newestSource(path, builtMs);
      if (inner !== null) return inner;
    } else if (entry.name.endsWith('.ts') && statSync(path).mtimeMs > builtMs) return path;
  }
  return null;
}
