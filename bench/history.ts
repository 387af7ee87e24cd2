// Keeps results: one JSON line a result in bench/history.ndjson, written only when asked for. Called by main.ts.
// It must never rewrite a line that is there.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './environment.js';

export const HISTORY_PATH = join(ROOT, 'bench', 'history.ndjson');

export function saveResult(scenario: string, result: object): void {
  appendFileSync(HISTORY_PATH, `${JSON.stringify({ scenario, ...result })}\n`);
}
