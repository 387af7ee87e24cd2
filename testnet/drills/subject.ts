// The node that the drills torment: small log segments, so that a short run crosses many. Called by every drill.
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientKey } from '../../bench/submissions.js';
import { createChain } from '../../config/chain-files.js';
import { openNodeKey } from '../../config/key-files.js';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { LocalNode } from '../local/node.js';
import type { DrillClient } from './client.js';

/** These drills end whole processes: no actor dies that a standby could take the place of. */
const ENV = { QUORATE_WAL_SEGMENT_BYTES: String(2 ** 20), QUORATE_SUPERVISION_STANDBY: 'false' };

type Env = Readonly<Record<string, string>>;

export function drillNode(dataDir: string, wrapper: readonly string[] = [], env: Env = {}): LocalNode {
  return new LocalNode({ dataDir, wrapper, env: { ...ENV, ...env } });
}

/** Makes key, genesis and client, as a first start does; the log is left to the node. */
export async function initialised(dataDir: string): Promise<ClientKey> {
  const ed25519 = await loadEd25519();
  const keysDir = join(dataDir, 'keys');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  createChain({
    places: { dataDir, keysDir, genesis: join(dataDir, 'genesis.json') },
    key: openNodeKey({ mode: 'development', keysDir, dataDir, env: {} }, ed25519),
    ed25519,
    random: () => randomBytes(32),
    nowMs: Date.now(),
    devClient: true,
  });
  return JSON.parse(readFileSync(join(dataDir, 'keys', 'dev-client.json'), 'utf8')) as ClientKey;
}

/** Waits until the node is ready and sends the client there. Milliseconds from now. */
export async function up(node: LocalNode, client: DrillClient): Promise<number> {
  const startMs = performance.now();
  const { api } = await node.ready();
  client.pointAt(api);
  return Math.round(performance.now() - startMs);
}

/** Runs a drill on a directory of its own, which is kept when there is something to look at. */
export async function inDirectory<T extends { readonly faults: readonly string[] }>(
  name: string,
  log: (line: string) => void,
  drill: (dataDir: string) => Promise<T>,
): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), `quorate-${name}-`));
  let isKept = true;
  try {
    const report = await drill(dataDir);
    isKept = report.faults.length > 0;
    return report;
  } finally {
    if (isKept) log(`the data directory is kept: ${dataDir}`);
    else rmSync(dataDir, { recursive: true, force: true });
  }
}

/** How a node ended that should have gone on, with the end of what it said. */
export function lastWords(node: LocalNode): string {
  return node.output.slice(-4_000);
}
