// The drill of sudden death: a node under load is killed at random moments and started again on the same data, many
// times; afterwards it is held to everything that it acknowledged. Called by main.ts and by a test with a small count.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LocalNode } from '../local/node.js';
import { type ClientFigures, DrillClient } from './client.js';
import { type AnswersReport, checkAnswers, checkLedger, type LedgerReport } from './ledger-check.js';
import { Random } from './random.js';

export interface SigkillOptions {
  readonly times: number;
  readonly connections: number;
  readonly seed: number;
  /** Longest life of one process, from its spawn on: some kills fall into the start itself. */
  readonly lifeMs: number;
  readonly log: (line: string) => void;
}

export interface SigkillReport {
  readonly kills: number;
  /** Kills that met the process before it was ready. */
  readonly inStart: number;
  readonly slowestStartMs: number;
  readonly client: ClientFigures;
  readonly ledger: LedgerReport;
  readonly answers: AnswersReport;
  readonly faults: readonly string[];
}

/** One in so many kills falls into the start: recovery must itself be fit to be killed. */
const IN_START_EVERY = 5;
const START_MS = 700;

export async function sigkillDrill(options: SigkillOptions): Promise<SigkillReport> {
  const dataDir = mkdtempSync(join(tmpdir(), 'quorate-sigkill-'));
  const faults: string[] = [];
  let kept = false;
  try {
    const report = await run(dataDir, options, faults);
    kept = report.faults.length > 0;
    return report;
  } catch (error) {
    kept = true;
    throw error;
  } finally {
    if (kept) options.log(`the data directory is kept: ${dataDir}`);
    else rmSync(dataDir, { recursive: true, force: true });
  }
}

async function run(dataDir: string, options: SigkillOptions, faults: string[]): Promise<SigkillReport> {
  const { times, connections, seed, lifeMs, log } = options;
  const random = new Random(seed);
  // The first start makes key, genesis and client; from then on no start may be the last.
  const first = await LocalNode.start({ dataDir });
  await first.kill();
  const client = await DrillClient.create({ key: drillKey(dataDir), connections, seed, prefix: `k${seed}` });
  client.start();
  let inStart = 0;
  let slowestStartMs = 0;
  for (let kill = 1; kill <= times; kill++) {
    const node = new LocalNode({ dataDir });
    if (random.between(1, IN_START_EVERY) === 1) {
      await delay(random.between(1, START_MS));
      node.process.kill('SIGKILL');
      inStart += 1;
    } else {
      slowestStartMs = Math.max(slowestStartMs, await up(node, client));
      await delay(random.between(1, lifeMs));
      node.process.kill('SIGKILL');
    }
    const { signal } = await node.exited;
    client.pointAt(null);
    if (signal !== 'SIGKILL')
      faults.push(`before kill ${kill} the node ended by itself:\n${node.output.slice(-4_000)}`);
    if (kill % 10 === 0) log(`${kill} kills, ${client.figures.acknowledged} submissions acknowledged`);
  }
  const last = new LocalNode({ dataDir });
  slowestStartMs = Math.max(slowestStartMs, await up(last, client));
  await client.finish();
  const answers = await checkAnswers(last.endpoints.api, client.promises, ANSWERS_ASKED);
  const { code } = await last.stop();
  if (code !== 0) faults.push(`the last process ended with ${code}:\n${last.output.slice(-4_000)}`);
  const ledger = await checkLedger(dataDir, client.promises);
  return {
    kills: times,
    inStart,
    slowestStartMs,
    client: client.figures,
    ledger,
    answers,
    faults: [...faults, ...client.faults.slice(0, 20), ...answers.faults, ...ledger.faults],
  };
}

const ANSWERS_ASKED = 500;

/** Milliseconds from the spawn until the node was ready. */
export async function up(node: LocalNode, client: DrillClient): Promise<number> {
  const startMs = performance.now();
  const { api } = await node.ready();
  client.pointAt(api);
  return Math.round(performance.now() - startMs);
}

export function drillKey(dataDir: string) {
  return JSON.parse(readFileSync(join(dataDir, 'keys', 'dev-client.json'), 'utf8')) as {
    issuer: string;
    public_key: string;
    seed: string;
  };
}
