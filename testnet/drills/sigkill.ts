// The drill of sudden death: a node under load is killed at random moments and started again on the same data, many
// times; afterwards it is held to everything that it acknowledged. Called by main.ts and by a test with a small count.
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientFigures, DrillClient } from './client.js';
import { type AnswersReport, checkAnswers, checkLedger, type LedgerReport } from './ledger-check.js';
import { Random } from './random.js';
import { drillNode, inDirectory, initialised, lastWords, up } from './subject.js';

export interface SigkillOptions {
  readonly times: number;
  readonly connections: number;
  readonly seed: number;
  /** Longest time that a node lives after it became ready. */
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
const ANSWERS_ASKED = 500;
/** So that the log is compacted in nearly every life, and kills meet that too. */
const ENV = { QUORATE_WAL_RETENTION_BYTES: '0' };

export function sigkillDrill(options: SigkillOptions): Promise<SigkillReport> {
  return inDirectory('sigkill', options.log, (dataDir) => run(dataDir, options));
}

async function run(dataDir: string, { times, connections, seed, lifeMs, log }: SigkillOptions): Promise<SigkillReport> {
  const faults: string[] = [];
  const random = new Random(seed);
  const key = await initialised(dataDir);
  const client = await DrillClient.create({ key, connections, seed, prefix: `k${seed}` });
  client.start();
  let inStart = 0;
  let slowestStartMs = 0;
  for (let kill = 1; kill <= times; kill++) {
    const node = drillNode(dataDir, [], ENV);
    if (random.between(1, IN_START_EVERY) === 1) {
      await delay(random.between(1, START_MS));
      inStart += 1;
    } else {
      slowestStartMs = Math.max(slowestStartMs, await up(node, client));
      await delay(random.between(1, lifeMs));
    }
    node.process.kill('SIGKILL');
    const { signal } = await node.exited;
    client.pointAt(null);
    if (signal !== 'SIGKILL') faults.push(`before kill ${kill} the node ended by itself:\n${lastWords(node)}`);
    if (kill % 10 === 0) log(`${kill} kills, ${client.figures.acknowledged} submissions acknowledged`);
  }
  const last = drillNode(dataDir, [], ENV);
  slowestStartMs = Math.max(slowestStartMs, await up(last, client));
  await client.finish();
  const answers = await checkAnswers(last.endpoints.api, client.promises, ANSWERS_ASKED);
  const { code } = await last.stop();
  if (code !== 0) faults.push(`the last process ended with ${code}:\n${lastWords(last)}`);
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
