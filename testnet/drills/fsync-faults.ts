// The drill of the lying disk: under strace the k-th sync of a thread fails with EIO, or the process is killed in it; the
// next start must find everything that was acknowledged. Called by main.ts and by a test with small counts.
// strace counts `when=k` for each thread on its own: whichever thread comes to its k-th sync first meets the fault.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT, SELF_KILLED } from '../../runtime/exit-codes.js';
import type { Exit, LocalNode } from '../local/node.js';
import { type ClientFigures, DrillClient } from './client.js';
import { type AnswersReport, checkAnswers, checkLedger, type LedgerReport } from './ledger-check.js';
import { drillNode, inDirectory, initialised, lastWords, up } from './subject.js';

export type Syscall = 'fsync' | 'fdatasync';

export interface Fault {
  readonly syscall: Syscall;
  readonly kind: 'eio' | 'kill';
  readonly k: number;
  /** On a directory of its own that does not exist yet: the fault meets the making of key, genesis and log. */
  readonly fresh: boolean;
}

export interface FsyncFaultsOptions {
  readonly faults: readonly Fault[];
  readonly connections: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

export interface FsyncFaultsReport {
  readonly done: number;
  /** Faults whose k-th sync never came: they prove nothing. */
  readonly missed: readonly Fault[];
  readonly client: ClientFigures;
  readonly ledger: LedgerReport;
  readonly answers: AnswersReport;
  readonly faults: readonly string[];
}

/** With 64 clients a thread syncs some hundred times in this. */
const FAULT_LIMIT_MS = 60_000;
const ANSWERS_ASKED = 200;

export function hasStrace(): boolean {
  return spawnSync('strace', ['--version']).status === 0;
}

export function fsyncFaultsDrill(options: FsyncFaultsOptions): Promise<FsyncFaultsReport> {
  return inDirectory('fsync', options.log, (dataDir) => run(dataDir, options));
}

async function run(dataDir: string, options: FsyncFaultsOptions): Promise<FsyncFaultsReport> {
  const { connections, seed, log } = options;
  const faults: string[] = [];
  const key = await initialised(dataDir);
  // The faults under load meet a node that has its files.
  const first = drillNode(dataDir);
  await first.ready();
  await first.kill();
  const client = await DrillClient.create({ key, connections, seed, prefix: `f${seed}` });
  client.start();
  const missed: Fault[] = [];
  for (const fault of options.faults) {
    const found = fault.fresh ? await faultFirstStart(fault) : await faultUnderLoad(dataDir, fault, client);
    if (found === 'missed') missed.push(fault);
    else faults.push(...found.map((text) => `${nameOf(fault)}: ${text}`));
    log(`${nameOf(fault)}: ${found === 'missed' ? 'never came' : found.length === 0 ? 'ok' : found.join('\n')}`);
  }
  const last = drillNode(dataDir);
  await up(last, client);
  await client.finish();
  const answers = await checkAnswers(last.endpoints.api, client.promises, ANSWERS_ASKED);
  const { code } = await last.stop();
  if (code !== 0) faults.push(`the last process ended with ${code}:\n${lastWords(last)}`);
  const ledger = await checkLedger(dataDir, client.promises);
  return {
    done: options.faults.length - missed.length,
    missed,
    client: client.figures,
    ledger,
    answers,
    faults: [...faults, ...client.faults.slice(0, 20), ...answers.faults, ...ledger.faults],
  };
}

/** The node under load meets the fault; the start after it must be clean. */
async function faultUnderLoad(dataDir: string, fault: Fault, client: DrillClient): Promise<string[] | 'missed'> {
  const node = drillNode(dataDir, strace(fault));
  node.ready().then(
    ({ api }) => client.pointAt(api),
    () => undefined,
  );
  const exit = await endOf(node);
  client.pointAt(null);
  if (exit === 'missed') return 'missed';
  const wrong = wrongEnd(fault, exit, dataDir);
  if (wrong !== null) return [`${wrong}\n${lastWords(node)}`];
  return cleanStart(dataDir, client);
}

/** The very first start on a directory meets the fault; the second one must bring up a node that works. */
async function faultFirstStart(fault: Fault): Promise<string[] | 'missed'> {
  const dataDir = mkdtempSync(join(tmpdir(), 'quorate-fsync-first-'));
  try {
    const node = drillNode(dataDir, strace(fault));
    const exit = await Promise.race([
      node.exited,
      node.ready().then(
        () => delay(500, 'missed' as const),
        () => node.exited,
      ),
    ]);
    if (exit === 'missed') {
      await node.kill();
      return 'missed';
    }
    const wrong = wrongEnd(fault, exit, dataDir);
    return wrong === null ? await cleanStart(dataDir, null) : [`${wrong}\n${lastWords(node)}`];
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function cleanStart(dataDir: string, client: DrillClient | null): Promise<string[]> {
  const node = drillNode(dataDir);
  try {
    const { api, ops } = await node.ready();
    client?.pointAt(api);
    const ready = await fetch(`${ops}/readyz`);
    const text = await ready.text();
    if (ready.status !== 200) return [`after it the node is not ready: ${text}`];
    // Some work on what was recovered, so that the next fault meets a log that this start has written.
    await delay(client === null ? 0 : 150);
    client?.pointAt(null);
    const { code } = await node.stop();
    return code === 0 ? [] : [`the start after it ended with ${code}:\n${lastWords(node)}`];
  } catch (error) {
    await node.dispose();
    return [`the node does not start after it: ${String(error).slice(-4_000)}`];
  }
}

async function endOf(node: LocalNode): Promise<Exit | 'missed'> {
  const limit = new AbortController();
  const late = delay(FAULT_LIMIT_MS, 'missed' as const, { signal: limit.signal }).catch(() => node.exited);
  const end = await Promise.race([node.exited, late]);
  limit.abort();
  if (end === 'missed') await node.kill();
  return end;
}

function wrongEnd(fault: Fault, { code, signal }: Exit, dataDir: string): string | null {
  const isKilled = signal === 'SIGKILL' || code === SELF_KILLED;
  if (fault.kind === 'kill') return isKilled ? null : `ended with ${code ?? signal}, not by the kill`;
  if (code === EXIT.io.code) return null;
  if (!isKilled) return `ended with ${code ?? signal}, not ${EXIT.io.code}`;
  const path = join(dataDir, 'run', 'last-exit.json');
  if (!existsSync(path)) return 'was killed, and left no last-exit.json';
  const last = JSON.parse(readFileSync(path, 'utf8')) as { code: number };
  return last.code === EXIT.io.code ? null : `killed itself, and last-exit.json says ${last.code}`;
}

function strace({ syscall, kind, k }: Fault): string[] {
  const what = kind === 'eio' ? 'error=EIO' : 'signal=SIGKILL';
  // The filter spares the other system calls a stop each; with it strace 6.1 never injects a signal past the first call.
  const quiet = ['-f', ...(kind === 'eio' || k === 1 ? ['--seccomp-bpf'] : []), '-qq', '-o', '/dev/null'];
  return ['strace', ...quiet, '-e', `trace=${syscall}`, '-e', `inject=${syscall}:${what}:when=${k}`];
}

function nameOf({ syscall, kind, k, fresh }: Fault): string {
  const place = fresh ? ', first start' : '';
  return `${kind === 'eio' ? 'EIO at' : 'SIGKILL at'} ${syscall} ${k}${place}`;
}
