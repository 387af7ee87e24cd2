#!/usr/bin/env node
// Compiles the tree into dist/. Called by npm (prepare, prestart, build); never imported.
// Only what changed is compiled again; what a deleted source has left in dist/ goes, so that no stale module or test stays.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { staleness } from './runtime/freshness.js';

const root = dirname(fileURLToPath(import.meta.url));
if (process.argv.includes('--if-stale') && staleness(root) === null) process.exit(0);

// Until it is complete it counts as not built.
rmSync(join(root, 'dist', '.built'), { force: true });
const run = spawnSync(process.execPath, [compiler(), '-p', join(root, 'tsconfig.json')], { stdio: 'inherit' });
if (run.status !== 0) process.exit(run.status ?? 1);
for (const name of readdirSync(join(root, 'dist'), { recursive: true })) {
  const source = name.replace(/(?:\.d\.ts|\.js|\.js\.map)$/, '.ts');
  if (source !== name && !existsSync(join(root, source))) rmSync(join(root, 'dist', name));
}
writeFileSync(join(root, 'dist', '.built'), `${new Date().toISOString()}\n`);

/** The native compiler takes a quarter of the time, and writes the same; where it has no program for the platform, the other one. */
function compiler() {
  const require = createRequire(import.meta.url);
  try {
    const native = require.resolve('typescript-native/package.json');
    createRequire(native).resolve(`@typescript/typescript-${process.platform}-${process.arch}/package.json`);
    return join(dirname(native), 'bin', 'tsc');
  } catch {
    return require.resolve('typescript/lib/tsc.js');
  }
}
