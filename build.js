#!/usr/bin/env node
// Compiles the tree into dist/. Called by npm (prepare, prestart, build); never imported.
// A full build starts from an empty dist, so a deleted source leaves no stale module or test behind.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { staleness } from './runtime/freshness.js';

const root = dirname(fileURLToPath(import.meta.url));
if (process.argv.includes('--if-stale') && staleness(root) === null) process.exit(0);

rmSync(join(root, 'dist'), { recursive: true, force: true });
const compiler = createRequire(import.meta.url).resolve('typescript/lib/tsc.js');
const run = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.json')], { stdio: 'inherit' });
if (run.status !== 0) process.exit(run.status ?? 1);
writeFileSync(join(root, 'dist', '.built'), `${new Date().toISOString()}\n`);
