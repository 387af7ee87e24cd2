// The floor: the least that a durable, verifying HTTP server in Node can do, in one file: node:http, libsodium, append
// with group commit. Started by the benches as `node floor.js <data-dir> <issuer> <public key hex>`; ended by SIGTERM.
// It must never gain a feature, nor a shortcut: what it answers 200 is verified and on the disk.
import { closeSync, fdatasync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import sodium from 'sodium-native';

const [dataDir, issuer, publicKeyHex] = process.argv.slice(2);
if (dataDir === undefined || issuer === undefined || !/^[0-9a-f]{64}$/.test(publicKeyHex ?? '')) {
  process.stderr.write('usage: node floor.js <data-dir> <issuer> <public key, 64 hex digits>\n');
  process.exit(64);
}
const keys = new Map([[issuer, Buffer.from(publicKeyHex ?? '', 'hex')]]);

interface Item {
  readonly body: Buffer;
  readonly response: ServerResponse;
  status: number;
}

mkdirSync(join(dataDir, 'run'), { recursive: true });
const file = openSync(join(dataDir, 'floor.log'), 'a');

/** Bodies of this turn; all of them go to the disk together and are verified while it works. */
let arrived: Item[] = [];
/** Bodies that wait for the running fdatasync; the next write takes them all. */
let waiting: Item[] = [];
let syncing = false;

const server = createServer((request, response) => {
  if (request.method !== 'POST' || request.url !== '/v1/submissions') return answer(response, 404, '{"error":"path"}');
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    if (arrived.length === 0) setImmediate(turn);
    arrived.push({ body, response, status: 0 });
  });
});

function turn(): void {
  const items = arrived;
  arrived = [];
  waiting.push(...items);
  commit();
  for (const item of items) item.status = judge(item.body);
}

/** Group commit: one write and one fdatasync for all that came while the last fdatasync ran in the thread pool. */
function commit(): void {
  if (syncing || waiting.length === 0) return;
  const group = waiting;
  waiting = [];
  syncing = true;
  writeAll(pack(group));
  fdatasync(file, (error) => {
    if (error !== null) throw error; // What the page cache holds after a failed sync is unknown: stop.
    syncing = false;
    commit();
    for (const item of group) {
      if (item.status === 200) answer(item.response, 200, '{"state":"durable"}');
      else answer(item.response, item.status, '{"error":"refused"}');
    }
  });
}

/** Each body behind its length (u32, big-endian), so that the file could be read back. */
function pack(group: readonly Item[]): Buffer {
  const packed = Buffer.allocUnsafe(group.reduce((sum, item) => sum + 4 + item.body.length, 0));
  let at = 0;
  for (const { body } of group) {
    at = packed.writeUInt32BE(body.length, at);
    at += body.copy(packed, at);
  }
  return packed;
}

function writeAll(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}

function judge(body: Buffer): number {
  try {
    const { sig, ...signed }: Record<string, unknown> = JSON.parse(body.toString('utf8'));
    const key = keys.get(String(signed.issuer));
    const signature = Buffer.from(String(sig), 'base64');
    if (key === undefined || signature.length !== 64) return 401;
    const message = Buffer.from(`quorate/envelope/1\n${canonical(signed)}`, 'utf8');
    return sodium.crypto_sign_verify_detached(signature, message, key) ? 200 : 401;
  } catch {
    return 400;
  }
}

/** RFC 8785: JSON.stringify already writes strings and numbers as it wants; the keys are sorted by UTF-16 units. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  let text = '';
  for (const [name, member] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
    text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${canonical(member)}`;
  }
  return `{${text}}`;
}

function answer(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

const endpoints = join(dataDir, 'run', 'endpoints.json');
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  writeFileSync(endpoints, JSON.stringify({ api: `http://127.0.0.1:${port}`, ops: null }));
});
process.on('SIGTERM', () => {
  rmSync(endpoints, { force: true });
  server.close(() => closeSync(file));
  server.closeIdleConnections();
});
