// Starts what is measured, the node or the floor, as a real process and stops it by its pid. Called by the scenarios.
// It must never measure, and never leave a process or a data directory behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import type { ClientKey } from './submissions.js';

export type SubjectName = 'node' | 'floor';

export interface Subject {
  readonly name: SubjectName;
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  readonly key: ClientKey;
  /** What a body must contain so that the answer says what this server promises. */
  readonly marker: string;
  /** Actor by thread id, as far as the server tells. */
  actors(): Promise<Map<number, string>>;
  /** Ends the process, removes its data. Rejects when it had to be killed or did not end with 0. */
  stop(): Promise<void>;
}

interface Endpoints {
  readonly api: string;
  readonly ops: string | null;
}

export interface StartOptions {
  readonly name: SubjectName;
  /** The directory that gets the data directory and the log of this process. */
  readonly directory: string;
  /** The floor takes this key; the node makes its own on its first start. */
  readonly key?: ClientKey;
  /** Instead of the node's own entry point: [script, …arguments]. */
  readonly nodeCommand?: readonly string[];
}

const NODE_ENTRY = fileURLToPath(new URL('../../runtime/main.js', import.meta.url));
const FLOOR_ENTRY = fileURLToPath(new URL('./floor.js', import.meta.url));
const READY_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 20_000;
const POLL_MS = 20;

export async function newKey(issuer: string): Promise<ClientKey> {
  const seed = randomBytes(32);
  const { publicKey } = (await loadEd25519()).keyPair(seed);
  return { issuer, public_key: Buffer.from(publicKey).toString('hex'), seed: seed.toString('hex') };
}

/** Resolves when the process is ready: its run/endpoints.json is there. Rejects with the end of its log otherwise. */
export async function startSubject(options: StartOptions): Promise<Subject> {
  const dataDir = join(options.directory, `${options.name}-data`);
  rmSync(dataDir, { recursive: true, force: true });
  mkdirSync(options.directory, { recursive: true });
  const floorKey = options.name === 'floor' ? (options.key ?? (await newKey('bench'))) : null;
  const command =
    floorKey !== null
      ? [FLOOR_ENTRY, dataDir, floorKey.issuer, floorKey.public_key]
      : [...(options.nodeCommand ?? [NODE_ENTRY]), ...nodeArguments(dataDir)];
  const logPath = join(options.directory, `${options.name}.log`);
  const child = launch(command, logPath);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('exit', (code, signal) => resolve(signal ?? String(code)));
  });
  try {
    const endpoints = await ready(dataDir, ended);
    const { hostname, port } = new URL(endpoints.api);
    return {
      name: options.name,
      pid: child.pid ?? -1,
      host: hostname,
      port: Number(port),
      key: floorKey ?? JSON.parse(readFileSync(join(dataDir, 'keys', 'dev-client.json'), 'utf8')),
      marker: options.name === 'floor' ? '"state":"durable"' : '"state":"final"',
      actors: () => actorsByThread(endpoints.ops, dataDir),
      stop: () => stop(child, ended, logPath, dataDir),
    };
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    rmSync(dataDir, { recursive: true, force: true });
    throw new Error(`${command.join(' ')}: ${String(error)}\n${tail(logPath)}`);
  }
}

const nodeArguments = (dataDir: string): string[] => [
  '--data-dir',
  dataDir,
  '--listen',
  '127.0.0.1:0',
  '--ops-listen',
  '127.0.0.1:0',
];

/** Output goes to a file, as an operator's would: a pipe to this process would cost both. */
function launch(command: readonly string[], logPath: string): ChildProcess {
  const log = openSync(logPath, 'w');
  try {
    return spawn(process.execPath, command, { stdio: ['ignore', log, log] });
  } finally {
    closeSync(log);
  }
}

async function ready(dataDir: string, ended: Promise<string>): Promise<Endpoints> {
  const path = join(dataDir, 'run', 'endpoints.json');
  let end: string | null = null;
  void ended.then((reason) => {
    end = reason;
  });
  const limit = Date.now() + READY_LIMIT_MS;
  while (Date.now() < limit) {
    if (end !== null) throw new Error(`ended with ${end} before it was ready`);
    const endpoints = existsSync(path) ? parseEndpoints(readFileSync(path, 'utf8')) : null;
    if (endpoints !== null) return endpoints;
    await delay(POLL_MS);
  }
  throw new Error(`not ready within ${READY_LIMIT_MS} ms: no ${path}`);
}

/** Null while the file is only half written. */
function parseEndpoints(text: string): Endpoints | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function stop(child: ChildProcess, ended: Promise<string>, logPath: string, dataDir: string): Promise<void> {
  child.kill('SIGTERM');
  const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  const end = await ended;
  clearTimeout(limit);
  rmSync(dataDir, { recursive: true, force: true });
  if (end !== '0') throw new Error(`ended with ${end} after SIGTERM (limit ${STOP_LIMIT_MS} ms)\n${tail(logPath)}`);
}

function tail(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').slice(-2000) : '';
}

/** Empty when the process has no ops port or does not tell the threads of its actors. */
async function actorsByThread(ops: string | null, dataDir: string): Promise<Map<number, string>> {
  const tokenPath = join(dataDir, 'run', 'admin.token');
  if (ops === null || !existsSync(tokenPath)) return new Map();
  const authorization = `Bearer ${readFileSync(tokenPath, 'utf8').trim()}`;
  const response = await fetch(`${ops}/v1/admin/actors`, { headers: { authorization } });
  if (!response.ok) return new Map();
  return parseActors(await response.json());
}

/** A list of actors, bare or as the member `actors`, each with `name` or `id` and, perhaps, the number `threadTid`. */
export function parseActors(answer: unknown): Map<number, string> {
  const list = isRecord(answer) ? answer.actors : answer;
  const found = new Map<number, string>();
  for (const actor of Array.isArray(list) ? list : []) {
    if (!isRecord(actor) || typeof actor.threadTid !== 'number') continue;
    found.set(actor.threadTid, String(actor.name ?? actor.id));
  }
  return found;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
