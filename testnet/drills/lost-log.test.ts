import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { loadEd25519 } from '../../protocol/crypto/ed25519.js';
import { type JsonObject, type JsonValue, parseStrict } from '../../protocol/json.js';
import { verifyReceipt } from '../../protocol/receipt-verify.js';
import { command, temporaryDirectory } from '../lifecycle/support.js';
import { copyDirectory } from '../local/copy.js';
import type { LocalNode } from '../local/node.js';
import { DrillClient, type Promised } from './client.js';
import { Connections } from './exchange.js';
import { checkAnswers, checkLedger } from './ledger-check.js';
import { Random } from './random.js';
import { drillNode, initialised, up } from './subject.js';

const ASKED = 50;

/** A client that works on the directory; ids differ by prefix. */
async function newClient(t: ExecutionContext, dataDir: string, prefix: string): Promise<DrillClient> {
  const key = JSON.parse(readFileSync(join(dataDir, 'keys', 'dev-client.json'), 'utf8'));
  const client = await DrillClient.create({ key, connections: 16, seed: 1, prefix, bodyBytes: 12_000 });
  t.teardown(() => client.abandon());
  return client;
}

async function start(t: ExecutionContext, dataDir: string): Promise<LocalNode> {
  const node = drillNode(dataDir);
  t.teardown(() => node.dispose());
  await node.ready();
  return node;
}

function segments(dataDir: string): string[] {
  const names = readdirSync(join(dataDir, 'wal')).filter((name) => name.endsWith('.seg'));
  return names.sort().map((name) => join(dataDir, 'wal', name));
}

/** Submits until the log has this many segments, then stops the node in order; the receipt that was given last. */
async function work(
  t: ExecutionContext,
  dataDir: string,
  client: DrillClient,
  segmentCount: number,
): Promise<JsonObject> {
  const node = await start(t, dataDir);
  await up(node, client);
  client.start();
  while (segments(dataDir).length < segmentCount) await new Promise((resolve) => setTimeout(resolve, 5));
  await client.finish();
  const connections = new Connections(node.endpoints.api, 1);
  const last = [...client.promises.values()].at(-1)!;
  const { receipt } = parseStrict(Buffer.from((await connections.get(`/v1/submissions/${last.digest}`)).text)) as {
    receipt: JsonObject;
  };
  connections.close();
  t.is((await node.stop()).code, 0);
  t.deepEqual(client.faults, []);
  return receipt;
}

interface Worked {
  readonly dataDir: string;
  /** The log as it was when the node was stopped with two segments. */
  readonly oldLog: string;
  readonly promises: Map<string, Promised>;
  /** As it was acknowledged last. */
  readonly receipt: JsonObject;
}

let made: Promise<Worked> | null = null;
const folders: string[] = [];
test.after.always(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A stopped node's directory with three segments of log, and what it promised: made once, a copy for each test. */
async function prepared(t: ExecutionContext): Promise<Worked> {
  made ??= make(t);
  const { dataDir: original, ...others } = await made;
  const dataDir = join(temporaryDirectory(t), 'data');
  copyDirectory(original, dataDir);
  return { dataDir, ...others };
}

async function make(t: ExecutionContext): Promise<Worked> {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-lost-log-'));
  folders.push(folder);
  const dataDir = join(folder, 'data');
  const oldLog = join(folder, 'old');
  await initialised(dataDir);
  const first = await newClient(t, dataDir, 'first');
  await work(t, dataDir, first, 2);
  copyDirectory(join(dataDir, 'wal'), oldLog);
  const second = await newClient(t, dataDir, 'second');
  const receipt = await work(t, dataDir, second, 3);
  return { dataDir, oldLog, promises: new Map([...first.promises, ...second.promises]), receipt };
}

/** Nothing is admitted, everything final is served, and readiness says which command helps. */
async function isQuarantined(t: ExecutionContext, dataDir: string, promises: Map<string, Promised>, why: RegExp) {
  const node = await start(t, dataDir);
  const { api, ops } = node.endpoints;
  const ready = await fetch(`${ops}/readyz`);
  t.is(ready.status, 503);
  const text = await ready.text();
  t.regex(text, why);
  t.regex(text, /quarantined: .*run \\"quorate wal verify\\", then \\"quorate wal repair\\"/);
  const connections = new Connections(api, 1);
  const refused = await connections.post('/v1/submissions', Buffer.from('{}'));
  connections.close();
  t.is(refused.status, 503);
  t.regex(refused.text, /urn:problem-type:quorate:quarantined/);
  t.deepEqual((await checkAnswers(api, promises, ASKED)).faults, [], 'what is final is served');
  t.is((await node.stop()).code, 0);
}

/** `wal verify` says 65, `wal repair` alone changes nothing, `--accept-loss` mends; the last height that stays. */
async function repair(t: ExecutionContext, dataDir: string, epoch: number): Promise<number> {
  t.is((await command(['wal', 'verify', '--data-dir', dataDir])).code, 65);
  t.is((await command(['wal', 'repair', '--data-dir', dataDir])).code, 65);
  const repaired = await command(['wal', 'repair', '--accept-loss', '--data-dir', dataDir, '--json']);
  t.is(repaired.code, 0, repaired.stderr);
  t.is((await command(['wal', 'verify', '--data-dir', dataDir])).code, 0);
  const { newEpoch } = parseStrict(Buffer.from(repaired.stdout)) as { newEpoch: JsonObject };
  t.is(newEpoch.epoch, epoch);
  return newEpoch.lastTrustedHeight as number;
}

interface Life {
  /** What is looked at before the node works. */
  readonly first?: (node: LocalNode) => Promise<void>;
  /** Whether it is killed at work and started once more; default true. */
  readonly dies?: boolean;
}

/** The node works in its new epoch, also after one more death; the whole ledger and all promises hold. */
async function goesOn(
  t: ExecutionContext,
  dataDir: string,
  epoch: number,
  earlier: Map<string, Promised>,
  { first = async () => {}, dies = true }: Life = {},
): Promise<void> {
  const client = await newClient(t, dataDir, `epoch-${epoch}`);
  let node = await start(t, dataDir);
  t.is((await fetch(`${node.endpoints.ops}/readyz`)).status, 200);
  await first(node);
  await up(node, client);
  client.start();
  while (client.figures.acknowledged < 50) await new Promise((resolve) => setTimeout(resolve, 5));
  if (dies) {
    await node.kill();
    client.pointAt(null);
    node = await start(t, dataDir);
    await up(node, client);
  }
  await client.finish();
  const promises = new Map([...earlier, ...client.promises]);
  t.deepEqual((await checkAnswers(node.endpoints.api, promises, ASKED)).faults, []);
  const set = (await (await fetch(`${node.endpoints.api}/v1/validators`)).json()) as { epoch: number };
  t.is(set.epoch, epoch);
  t.is((await node.stop()).code, 0);
  t.deepEqual((await checkLedger(dataDir, promises)).faults, []);
}

test.serial(
  'ST-1: a damaged middle costs nothing that the ledger proves: repaired, every receipt still holds in a new epoch',
  async (t) => {
    t.timeout(120_000);
    const { dataDir, promises } = await prepared(t);
    const before = await checkLedger(dataDir, promises);
    const middle = segments(dataDir)[1]!;
    const bytes = readFileSync(middle);
    bytes[600_000]! ^= 1;
    writeFileSync(middle, bytes);
    await isQuarantined(t, dataDir, promises, /0000000000000002\.seg at byte \d+/);
    t.is(await repair(t, dataDir, 1), before.height);
    await goesOn(t, dataDir, 1, promises, { dies: false });

    // The same again, on a log that begins with a lost part and an epoch.
    rmSync(join(dataDir, 'wal'), { recursive: true });
    const after = await checkLedger(dataDir, promises);
    await isQuarantined(t, dataDir, promises, /holds no log for this validator key/);
    t.is(await repair(t, dataDir, 2), after.height);
    await goesOn(t, dataDir, 2, promises);
  },
);

test.serial(
  'DECISIONS 27: with the ledger gone too, what the rest of the log proves stays, and receipts above it are void',
  async (t) => {
    t.timeout(120_000);
    const { dataDir, receipt } = await prepared(t);
    const middle = segments(dataDir)[1]!;
    const bytes = readFileSync(middle);
    bytes[600_000]! ^= 1;
    writeFileSync(middle, bytes);
    rmSync(join(dataDir, 'ledger'), { recursive: true });
    const trusted = await repair(t, dataDir, 1);
    t.true(trusted > 0 && trusted < Number(receipt.height), `${trusted} of ${receipt.height}`);

    const first = async ({ endpoints }: LocalNode): Promise<void> => {
      const again = new Connections(endpoints.api, 2);
      const validators = parseStrict(Buffer.from((await again.get('/v1/validators')).text));
      const verdict = verifyReceipt(receipt as JsonValue, validators, await loadEd25519());
      t.false(verdict.valid);
      t.regex(JSON.stringify(verdict.checks), /of epoch 0 is void: epoch 1 begins at height/);
      const { status } = await again.get(`/v1/submissions/${receipt.digest}`);
      t.is(status, 404, 'it may be submitted again under its id');
      const { height } = parseStrict(Buffer.from((await again.get('/v1/status')).text)) as { height: number };
      t.true(height >= trusted, `${height} of ${trusted}`);
      again.close();
    };
    await goesOn(t, dataDir, 1, new Map(), { first });
  },
);

test.serial(
  'DECISIONS 15: a log that was put back from an older copy is noticed: the ledger knows more than it does',
  async (t) => {
    t.timeout(120_000);
    const { dataDir, oldLog, promises } = await prepared(t);
    rmSync(join(dataDir, 'wal'), { recursive: true });
    copyDirectory(oldLog, join(dataDir, 'wal'));
    const { height } = await checkLedger(dataDir, promises);
    await isQuarantined(t, dataDir, promises, /the ledger is at height \d+, and the log proves no more than \d+/);
    t.is(await repair(t, dataDir, 1), height);
    await goesOn(t, dataDir, 1, promises, { dies: false });
  },
);

test.serial(
  'ST-1: an end that a crash tore is set aside by the next start, and nothing acknowledged is lost',
  async (t) => {
    t.timeout(120_000);
    const dataDir = join(temporaryDirectory(t), 'data');
    await initialised(dataDir);
    const client = await newClient(t, dataDir, 'torn');
    client.start();
    const random = new Random(4);
    const garbage = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => random.between(1, 255)));
    const tears: [string, (path: string, image: Buffer, end: number) => void][] = [
      ['the zeros behind the last batch are gone', (path, image, end) => writeFileSync(path, image.subarray(0, end))],
      ['a header and nothing after it', (path, image, end) => write(path, image, end, image.subarray(512, 552))],
      [
        'garbage with sectors that were never written',
        (path, image, end) => write(path, image, end, garbage(700), 2_048, garbage(700)),
      ],
    ];
    for (const [what, tear] of tears) {
      const node = await start(t, dataDir);
      await up(node, client);
      const goal = client.figures.acknowledged + 40;
      while (client.figures.acknowledged < goal) await new Promise((resolve) => setTimeout(resolve, 5));
      await node.kill();
      client.pointAt(null);
      const path = segments(dataDir).at(-1)!;
      const image = readFileSync(path);
      // Batches begin at multiples of eight, and end in a byte that is not zero.
      tear(path, image, 8 * Math.ceil((image.findLastIndex((byte) => byte !== 0) + 1) / 8));
      t.is((await command(['wal', 'verify', '--data-dir', dataDir])).code, 0, what);
    }
    const node = await start(t, dataDir);
    t.is((await fetch(`${node.endpoints.ops}/readyz`)).status, 200);
    const aside = readdirSync(join(dataDir, 'wal')).filter((name) => name.endsWith('.torn'));
    t.true(aside.length >= 3, 'kept for whoever asks');
    await up(node, client);
    await client.finish();
    t.deepEqual(client.faults, []);
    t.is((await node.stop()).code, 0);
    t.deepEqual((await checkLedger(dataDir, client.promises)).faults, []);
  },
);

/** Writes parts over the zeros from `at` on; a number skips as many. */
function write(path: string, image: Buffer, at: number, ...parts: (Buffer | number)[]): void {
  for (const part of parts) {
    if (typeof part !== 'number') part.copy(image, at);
    at += typeof part === 'number' ? part : part.length;
  }
  writeFileSync(path, image);
}
