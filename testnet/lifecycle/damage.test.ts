// Files that are old, damaged, or of somebody else: each start either mends it, or ends with the file, the cause, the
// remedy and 78, never in a loop of restarts.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { ClientKey } from '../../client/sign.js';
import { readAudit } from '../../config/audit-file.js';
import { auditRecords, checkAudit } from '../../protocol/audit-check.js';
import type { JsonObject } from '../../protocol/json.js';
import { copyDirectory } from '../local/copy.js';
import { LocalNode } from '../local/node.js';
import { command, http, post, put, quorate, readClientKey, signer, temporaryDirectory, until } from './support.js';

const ANY_PORT = ['--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0'];

async function start(t: ExecutionContext, dataDir: string, ...args: string[]): Promise<LocalNode> {
  const node = new LocalNode({ dataDir, args });
  t.teardown(() => node.dispose());
  await node.ready();
  return node;
}

/** A start that must end by itself; its standard error. */
async function refused(t: ExecutionContext, dataDir: string, code = 78, args: string[] = []): Promise<string> {
  const ran = await quorate([...ANY_PORT, '--data-dir', dataDir, ...args]);
  t.is(ran.code, code, `${ran.stdout}${ran.stderr}`);
  t.notRegex(ran.stderr, /\n\s+at /, 'no stack');
  t.notRegex(ran.stdout, /"action":"(?:backoff|restart)"/, 'no restart was tried');
  return ran.stderr;
}

const V1 = { system_state: 'configured', last_boot_time: '2025-01-01T00:00:00Z', configuration_hash: null, extra: 1 };

/** The audited migrations; and the log must hold together. */
function auditOf(dataDir: string): JsonObject[] {
  const { fault } = checkAudit(readAudit(dataDir).files);
  if (fault !== null) throw new Error(`${fault.file} line ${fault.line}: ${fault.reason}`);
  return [...readAudit(dataDir).files]
    .flatMap(({ bytes }) => auditRecords(bytes).map(({ line }) => line))
    .filter(({ event }) => String(event).startsWith('state_') || event === 'node_failed');
}

test('ST-3: state.json of layout 1 is migrated at start: backup, checksum, audit; then it is kept live', async (t) => {
  const dataDir = temporaryDirectory(t);
  const old = `${JSON.stringify(V1)}\n`;
  put(join(dataDir, 'state.json'), old, 0o644);
  const node = await start(t, dataDir);
  t.is(readFileSync(join(dataDir, 'state.backup.v1'), 'utf8'), old);
  const check = spawnSync('sha256sum', ['-c', 'state.backup.v1.sha256'], { cwd: dataDir, encoding: 'utf8' });
  t.deepEqual([check.status, check.stdout], [0, 'state.backup.v1: OK\n']);
  t.deepEqual(
    auditOf(dataDir).map(({ event, result, from_version: from, to_version: to }) => [event, result, from, to]),
    [
      ['state_migration', 'started', 1, 2],
      ['state_migration', 'success', 1, 2],
    ],
  );
  t.true(node.logs().some(({ event }) => event === 'state.migration_succeeded'));
  const state = () => JSON.parse(readFileSync(join(dataDir, 'state.json'), 'utf8')) as JsonObject;
  t.like(state(), {
    schema_version: 2,
    system_state: 'configured',
    node_id: node.endpoints.nodeId,
    validator_count: 1,
    height: 0,
    tls_enabled: false,
    quorum: { needed: 1, reached: 1 },
    peers: [],
  });
  t.not(state().last_boot_time, V1.last_boot_time);

  const devKey = readClientKey(join(dataDir, 'keys', 'dev-client.json'));
  t.is((await post(node.endpoints.api, sign(devKey, {}))).status, 200);
  await until('the height in the state file while the node runs', () => state().height === 1);
  t.is(state().last_finalized_hash, (await http(`${node.endpoints.api}/v1/status`)).body.hash ?? null);
  t.is((await node.stop()).code, 0);
  const again = await command(['migrate-state', '--data-dir', dataDir, '--json']);
  t.is((JSON.parse(again.stdout) as JsonObject).result, 'current');
  t.is(auditOf(dataDir).length, 2, 'one migration, one success');
});

test('ST-3: a migration that fails is rolled back, audited and 78', async (t) => {
  const dataDir = temporaryDirectory(t);
  const old = `${JSON.stringify(V1)}\n`;
  put(join(dataDir, 'state.json'), old, 0o644);
  // Where the checksum goes: it cannot be written there.
  mkdirSync(join(dataDir, 'state.backup.v1.sha256'));
  const stderr = await refused(t, dataDir);
  t.regex(stderr, /state\.json: migration to version 2 failed .*version 1 is back in place.*quorate migrate-state/);
  t.is(readFileSync(join(dataDir, 'state.json'), 'utf8'), old);
  t.like(auditOf(dataDir).at(-2), { event: 'state_rollback', result: 'rolled_back', from_version: 2, to_version: 1 });
  t.like(auditOf(dataDir).at(-1), { event: 'node_failed', exit_code: 78 });
  rmSync(join(dataDir, 'state.backup.v1.sha256'), { recursive: true });
  t.is((await command(['migrate-state', '--data-dir', dataDir])).code, 0, 'once the cause is mended');
  t.is((JSON.parse(readFileSync(join(dataDir, 'state.json'), 'utf8')) as JsonObject).schema_version, 2);
});

// A node that ran, has one submission and was stopped; each test damages a copy of it. And another of its own chain.
const root = mkdtempSync(join(tmpdir(), 'quorate-damage-'));
const template = join(root, 'template');
const other = join(root, 'other');
let key: ClientKey;
let sign: Awaited<ReturnType<typeof signer>>;
let digest: string;

test.before(async () => {
  sign = await signer();
  const [own] = await Promise.all([made(template), made(other)]);
  key = own.key;
  digest = own.digest;
});

/** Runs a node for one submission. */
async function made(dataDir: string): Promise<{ key: ClientKey; digest: string }> {
  const node = await LocalNode.start({ dataDir });
  try {
    const client = readClientKey(join(dataDir, 'keys', 'dev-client.json'));
    const signed = sign(client, {});
    await post(node.endpoints.api, signed);
    await node.stop();
    return { key: client, digest: signed.digest };
  } finally {
    await node.dispose();
  }
}

test.after.always(() => rmSync(root, { recursive: true, force: true }));

/** A path in a fresh copy of the node's data. */
function copy(t: ExecutionContext): { dataDir: string; at: (name: string) => string } {
  const dataDir = join(temporaryDirectory(t), 'data');
  copyDirectory(template, dataDir);
  return { dataDir, at: (name) => join(dataDir, name) };
}

const DAMAGED: [name: string, content: () => string, line: RegExp][] = [
  ['genesis.json', () => '{"version":1,', /genesis\.json.*found/],
  ['genesis.json', () => '{"version":1}', /genesis\.json: .*(?:chain|validators).*found/],
  [
    'genesis.json',
    () => readFileSync(join(other, 'genesis.json'), 'utf8'),
    /genesis\.json: found the key of node_.*allowed: the key of the validator that it names/,
  ],
  ['state.json', () => 'no json', /state\.json: not JSON.*Restore it from a backup, or remove it/],
  ['state.json', () => '{"schema_version":9}', /state\.json: schema_version is 9.*newer version/],
  ['node.pub', () => 'x', /node\.pub: found something that is no public key/],
  ['keys/node.key', () => 'x', /node\.key: found .*allowed: 64 hex digits/],
];
test('CF-8, CF-9: a damaged file refuses the start with its name, and is left for whoever mends it', async (t) => {
  const { dataDir, at } = copy(t);
  for (const [name, content, line] of DAMAGED) {
    const good = readFileSync(at(name));
    writeFileSync(at(name), content());
    t.regex(await refused(t, dataDir), line);
    t.is(readFileSync(at(name), 'utf8'), content());
    writeFileSync(at(name), good);
  }
});

test('CF-9: genesis and log, genesis and ledger must be of one chain, and no new one is made over an old log', async (t) => {
  const { dataDir, at } = copy(t);
  const good = readFileSync(at('genesis.json'), 'utf8');
  writeFileSync(at('genesis.json'), good.replace(/"future_ms": \d+/, '"future_ms": 59000'));
  t.regex(await refused(t, dataDir), /ledger belongs to chain [0-9a-f]{64}, genesis\.json makes chain/);
  rmSync(at('ledger'), { recursive: true });
  t.regex(await refused(t, dataDir), /wal: .*the log belongs to chain [0-9a-f]{64}; this node's is [0-9a-f]{64}/);
  rmSync(at('genesis.json'));
  t.regex(
    await refused(t, dataDir),
    /genesis\.json: found no such file; allowed: the genesis that the log .* was made with/,
  );
  t.false(existsSync(at('genesis.json')));
  writeFileSync(at('genesis.json'), good);
  const own = await start(t, dataDir);
  t.is(
    (await http(`${own.endpoints.api}/v1/submissions/${digest}`)).body.state,
    'final',
    'no wrong start has claimed it',
  );
  await own.stop();
  rmSync(at('ledger'), { recursive: true });
  copyDirectory(join(other, 'ledger'), at('ledger'));
  t.regex(await refused(t, dataDir), /ledger belongs to chain [0-9a-f]{64}, genesis\.json makes chain/);
});

test('CF-8, CF-9: a ledger that is no database is refused; moved away, it is made again from the log', async (t) => {
  const { dataDir, at } = copy(t);
  const damaged = [
    ['bodies', 'x'.repeat(100_000)],
    ['index', 'x'],
  ] as const;
  for (const [part, content] of damaged) {
    const good = readFileSync(at(`ledger/${part}/data.mdb`));
    writeFileSync(at(`ledger/${part}/data.mdb`), content);
    const line = await refused(t, dataDir, 65);
    t.regex(line, new RegExp(`ledger is no usable database: ${part}: .*Move it away: the start makes it again`));
    writeFileSync(at(`ledger/${part}/data.mdb`), good);
  }
  rmSync(at('ledger'), { recursive: true });
  // Files that every start makes anew, and one that the daemon does not need.
  put(at('run/admin.token'), 'garbage', 0o644);
  put(at('run/endpoints.json'), 'garbage', 0o644);
  put(at('keys/dev-client.json'), '{"issuer":');
  const node = await start(t, dataDir);
  t.regex(node.adminToken, /^[0-9a-f]{64}$/);
  t.is(statSync(at('run/admin.token')).mode & 0o777, 0o600);
  t.is((await http(`${node.endpoints.api}/v1/submissions/${digest}`)).body.state, 'final', 'the ledger is whole');
  t.is((await post(node.endpoints.api, sign(key, {}))).status, 200);
  const submit = await command(['submit', '--data-dir', dataDir, '--data', '{"text":"x"}']);
  t.is(submit.code, 65);
  t.regex(submit.stderr, /dev-client\.json: not JSON/);
  t.is((await node.stop()).code, 0);
  mkdirSync(at('kinds'));
  t.regex(await refused(t, dataDir, 78, ['--kinds-dir', at('kinds')]), /dev-client\.json: found .*; allowed: /);
});
