#!/usr/bin/env node
// Launcher: checks what must hold before compiled code can be loaded, then starts the daemon, or the CLI when the
// first word is a command. Plain JavaScript with syntax old enough to be parsed by any Node that it has to refuse.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { staleness } from './freshness.js';

// Else Node would open its inspector on it, for whoever reaches the port.
process.on('SIGUSR1', function ignore() {});

const EXIT_CONFIG = 78;
const root = dirname(dirname(fileURLToPath(import.meta.url)));

function refuse(line) {
  process.stderr.write(`quorate: ${line}\n`);
  process.exit(EXIT_CONFIG);
}

const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node;
const minimum = wanted.replace('>=', '').split('.').map(Number);
const found = process.versions.node.split('.').map(Number);
if (found[0] < minimum[0] || (found[0] === minimum[0] && found[1] < minimum[1])) {
  refuse(`found Node ${process.versions.node}, needs ${wanted}. Install a newer Node and start again.`);
}

const stale = staleness(root);
if (stale !== null) refuse(`${stale}. Run "npm ci" (or "npm run build") first.`);

const first = process.argv[2];
const entry = first === undefined || first.startsWith('-') ? 'runtime/daemon.js' : 'cli/main.js';
await import(pathToFileURL(join(root, 'dist', entry)).href);
