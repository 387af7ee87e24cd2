// A log that cannot be trusted: what a node does about it, and the way back that docs/OPERATIONS.md describes.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { command } from './lifecycle/support.js';
import { copyDirectory } from './local/copy.js';
import { LocalNode } from './local/node.js';

const SEGMENT = '0000000000000001.seg';
/** The header block of a segment; batches begin behind it. */
const HEADER_BYTES = 512;

function dataDirectory(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-quarantine-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'data');
}

async function start(t: ExecutionContext, dataDir: string): Promise<LocalNode> {
  const node = await LocalNode.start({ dataDir });
  t.teardown(() => node.dispose());
  return node;
}

const template = mkdtempSync(join(tmpdir(), 'quorate-quarantine-'));
let made: Promise<string> | null = null;
test.after.always(() => rmSync(template, { recursive: true, force: true }));

/** A stopped node's directory with a few final submissions: made once, a copy for each test. Returns the digest of the first. */
async function used(t: ExecutionContext, dataDir: string): Promise<string> {
  const original = join(template, 'data');
  made ??= make(t, original);
  const digest = await made;
  copyDirectory(original, dataDir);
  return digest;
}

async function make(t: ExecutionContext, dataDir: string): Promise<string> {
  const node = await start(t, dataDir);
  const digests: string[] = [];
  for (const id of ['a', 'b', 'c']) {
    const words = ['submit', '--data-dir', dataDir, '--data', '{"text":"hi"}', '--id', id, '--json'];
    digests.push((JSON.parse((await command(words)).stdout) as { digest: string }).digest);
  }
  t.is((await node.stop()).code, 0);
  return digests[0]!;
}

function flipByte(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}

async function lookAt(node: LocalNode): Promise<{ ready: number; why: string; submission: number; type: string }> {
  const readiness = await fetch(`${node.endpoints.ops}/readyz`);
  const answer = await fetch(`${node.endpoints.api}/v1/submissions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  const { type } = (await answer.json()) as { type: string };
  return { ready: readiness.status, why: await readiness.text(), submission: answer.status, type };
}

test.serial(
  'ST-1: a damaged middle: final data is served, nothing is admitted, the command that helps is named, and it helps',
  async (t) => {
    t.timeout(120_000);
    const dataDir = dataDirectory(t);
    const digest = await used(t, dataDir);
    const segment = join(dataDir, 'wal', SEGMENT);
    const whole = join(dataDir, '..', 'whole');
    copyDirectory(dataDir, whole);
    flipByte(segment, HEADER_BYTES + 400);

    const verified = await command(['wal', 'verify', '--data-dir', dataDir]);
    t.is(verified.code, 65);
    t.regex(verified.stderr, /quorate wal repair --accept-loss/);

    const node = await start(t, dataDir);
    const { ready, why, submission, type } = await lookAt(node);
    t.is(ready, 503);
    t.regex(why, /quarantined: .*run \\"quorate wal verify\\", then \\"quorate wal repair\\"/);
    t.is(submission, 503);
    t.regex(type, /:quarantined$/);
    t.is((await fetch(`${node.endpoints.api}/v1/submissions/${digest}`)).status, 200, 'what is final can be read');
    t.is((await fetch(`${node.endpoints.ops}/livez`)).status, 200, 'the process is not to be restarted for it');
    t.is((await node.stop()).code, 0);

    t.is((await command(['wal', 'repair', '--data-dir', dataDir])).code, 65, 'without consent nothing is given up');
    rmSync(dataDir, { recursive: true });
    copyDirectory(whole, dataDir);
    const restored = await start(t, dataDir);
    t.is((await fetch(`${restored.endpoints.ops}/readyz`)).status, 200, 'the copy of a stopped node is a backup');
    t.is((await fetch(`${restored.endpoints.api}/v1/submissions/${digest}`)).status, 200);
  },
);

test.serial('ST-1: a torn end is set aside by the start, and the node goes on', async (t) => {
  const dataDir = dataDirectory(t);
  const digest = await used(t, dataDir);
  const segment = join(dataDir, 'wal', SEGMENT);
  const bytes = readFileSync(segment);
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  // Half a header and nothing behind it: what a power cut leaves of a batch in flight.
  bytes.fill(0x5a, end, end + 20);
  writeFileSync(segment, bytes);
  const node = await start(t, dataDir);
  const readiness = await fetch(`${node.endpoints.ops}/readyz`);
  t.is(readiness.status, 200, await readiness.text());
  t.is((await fetch(`${node.endpoints.api}/v1/submissions/${digest}`)).status, 200);
  t.is(readdirSync(join(dataDir, 'wal')).filter((name) => name.endsWith('.torn')).length, 1);
});

test.serial('ST-1: a key whose log is gone signs nothing', async (t) => {
  const dataDir = dataDirectory(t);
  await used(t, dataDir);
  rmSync(join(dataDir, 'wal'), { recursive: true });
  const node = await start(t, dataDir);
  const { ready, why, submission, type } = await lookAt(node);
  t.is(ready, 503);
  t.regex(why, /holds no log for this validator key/);
  t.is(submission, 503);
  t.regex(type, /:quarantined$/);
  t.true(existsSync(join(dataDir, 'genesis.json')));
});
