// The commands that work on files while no node runs: init, keys, wal, migrate-state; on real directories.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { openLog } from '../actors/wal-writer/log.js';
import { BATCH_HEADER_BYTES, readBatchHeader, SEGMENT_HEADER_BYTES } from '../actors/wal-writer/segment.js';
import { readAudit } from '../config/audit-file.js';
import { loadClients } from '../config/clients.js';
import { lockDataDirectory } from '../config/data-lock.js';
import { auditRecords, checkAudit } from '../protocol/audit-check.js';
import type { Certificate } from '../protocol/consensus/certificate.js';
import { encodeJournal } from '../protocol/consensus/journal.js';
import { FINALIZE } from '../protocol/consensus/vote.js';
import { loadEd25519 } from '../protocol/crypto/ed25519.js';
import { sha256Hex } from '../protocol/crypto/hash.js';
import type { JsonObject } from '../protocol/json.js';
import { decodeInit, initSignBytes, RecordType } from '../protocol/wal-record.js';
import { CLIENT_KEY, emptyDirectory, removeDirectory, run } from './testkit.js';

/** The lines of the audit log, as objects; it must hold together. */
function audited(directory: string): JsonObject[] {
  const audit = readAudit(directory);
  const files = [...audit.files];
  const { fault } = checkAudit(files);
  if (fault !== null) throw new Error(`${fault.file} line ${fault.line}: ${fault.reason}`);
  return files.flatMap(({ bytes }) => auditRecords(bytes).map(({ line }) => line));
}

test('init makes key, genesis and signed log; run again it changes nothing', async (t) => {
  const directory = directoryOf(t);
  const made = await run(['init', '--data-dir', directory, '--dev-client', '--json']);
  t.is(made.code, 0, made.err);
  const facts = JSON.parse(made.out);
  t.like(facts, { created: true, genesis: join(directory, 'genesis.json') });
  t.is(modeOf(join(directory, 'keys')), 0o700);
  t.is(modeOf(join(directory, 'keys', 'node.key')), 0o600);
  t.is(modeOf(join(directory, 'keys', 'dev-client.json')), 0o600);
  const genesis = JSON.parse(readFileSync(facts.genesis, 'utf8'));
  t.deepEqual(genesis.validators, [{ node_id: facts.node_id, public_key: facts.public_key }]);
  t.is(genesis.clients[0].issuer, 'dev');

  const log = openNodeLog(directory, facts);
  const record = log.records({ from: 1, maxBytes: 1000 }).records[0]!;
  await log.close();
  t.is(record.type, RecordType.init);
  const { chainId, publicKey, signature } = decodeInit(record.data);
  t.is(Buffer.from(chainId).toString('hex'), facts.chain_id);
  t.true(
    (await loadEd25519()).verify(signature, initSignBytes(chainId, publicKey), Buffer.from(facts.public_key, 'hex')),
  );

  const before = snapshot(directory);
  const again = await run(['init', '--data-dir', directory, '--json']);
  t.deepEqual(JSON.parse(again.out), { ...facts, created: false });
  t.deepEqual(snapshot(directory), before);
});

test('several validators: one makes the genesis, the others join it, each with a log of its own', async (t) => {
  const [first, second, stranger] = [directoryOf(t), directoryOf(t), directoryOf(t)];
  const keyOf = async (directory: string) => {
    const { out } = await run(['keys', 'init', '--data-dir', directory, '--json']);
    const { node_id, public_key } = JSON.parse(out) as { node_id: string; public_key: string };
    return { node_id, public_key };
  };
  const validators = [await keyOf(first), await keyOf(second)];
  const list = join(first, 'validators.json');
  writeFileSync(list, JSON.stringify(validators));
  const refused = await run(['init', '--data-dir', stranger, '--validators', list]);
  t.is(refused.code, 78);
  t.regex(refused.err, /does not name this node[\s\S]*Add \{"node_id":"node_/);
  t.is((await run(['init', '--data-dir', first, '--validators', list, '--operator', 'ab'])).code, 64);
  const made = await run(['init', '--data-dir', first, '--validators', list, '--dev-client', '--json']);
  t.is(made.code, 0, made.err);
  const genesis = join(first, 'genesis.json');
  const joined = await run(['init', '--data-dir', second, '--join', genesis, '--json']);
  t.is(joined.code, 0, joined.err);
  t.is(JSON.parse(joined.out).chain_id, JSON.parse(made.out).chain_id);
  t.is(readFileSync(join(second, 'genesis.json'), 'utf8'), readFileSync(genesis, 'utf8'));
  t.is((await run(['wal', 'verify', '--data-dir', second])).code, 0);
  t.is((await run(['init', '--data-dir', stranger, '--join', genesis])).code, 65);
});

test('init takes an interrupted run up again, and refuses what it cannot finish', async (t) => {
  const directory = directoryOf(t);
  const made = async () => JSON.parse((await run(['init', '--data-dir', directory, '--json'])).out);
  const facts = await made();
  const wal = join(directory, 'wal');
  rmSync(wal, { recursive: true });
  writeFileSync(join(directory, 'initialising'), '');
  t.deepEqual(await made(), facts, 'stopped before the log');
  writeFileSync(join(directory, 'initialising'), '');
  t.deepEqual(await made(), facts, 'stopped after the log');
  t.like(await made(), { created: false, chain_id: facts.chain_id });

  rmSync(wal, { recursive: true });
  const lost = await run(['init', '--data-dir', directory]);
  t.is(lost.code, 65);
  t.regex(lost.err, /no log segments in /);
  t.false(existsSync(wal));

  const other = directoryOf(t);
  await run(['init', '--data-dir', other]);
  const genesis = join(directory, 'genesis.json');
  writeFileSync(genesis, readFileSync(join(other, 'genesis.json')));
  const foreign = await run(['init', '--data-dir', directory]);
  t.is(foreign.code, 65);
  t.regex(foreign.err, /does not name the key of this node/);
  writeFileSync(genesis, '{"version":1}');
  t.is((await run(['init', '--data-dir', directory])).code, 78);
});

test('ID-1: keys init writes 0600 in 0700, keeps an existing key, takes one over, refuses open modes', async (t) => {
  const directory = directoryOf(t);
  const keys = join(directory, 'keys');
  const made = JSON.parse((await run(['keys', 'init', '--data-dir', directory, '--json'])).out);
  t.is(made.created, true);
  t.is(made.node_id, `node_${made.public_key.slice(0, 16)}`);
  t.is(modeOf(keys), 0o700);
  t.is(modeOf(made.file), 0o600);
  const again = await run(['keys', 'init', '--keys-dir', keys, '--json']);
  t.is(again.code, 0);
  t.deepEqual(JSON.parse(again.out), { ...made, created: false });
  t.regex(again.err, /is there already and stays as it is/);

  const shown = await run(['keys', 'show', '--data-dir', directory, '--json']);
  t.is(JSON.parse(shown.out).public_key, made.public_key);
  chmodSync(made.file, 0o644);
  const open = await run(['keys', 'show', '--data-dir', directory]);
  t.is(open.code, 78);
  t.regex(open.err, /found mode 0644; allowed: 0600 or 0400\. Fix it: chmod 0600 /);

  const taken = join(directory, 'taken');
  const { out } = await run(['keys', 'init', '--keys-dir', taken, '--from', '-', '--json'], {
    stdin: `${CLIENT_KEY.seed}\n`,
  });
  t.is(JSON.parse(out).public_key, CLIENT_KEY.public_key);
  const equal = await run(['keys', 'init', '--keys-dir', join(directory, 'w'), '--from', '-'], {
    stdin: '11'.repeat(32),
  });
  t.is(equal.code, 78);
  t.regex(equal.err, /32 equal bytes/);
  t.is((await run(['keys', 'show', '--keys-dir', join(directory, 'none')])).code, 78);
  const fromEnvironment = await run(['keys', 'show', '--data-dir', directory, '--json'], {
    env: { QUORATE_SIGNING_KEY: CLIENT_KEY.seed, QUORATE_KEYS_DIR: taken },
  });
  t.like(JSON.parse(fromEnvironment.out), { public_key: CLIENT_KEY.public_key, file: null });
});

test('keys client writes a key file that submit takes, and lines that clients.yml takes', async (t) => {
  const directory = directoryOf(t);
  const made = await run(['keys', 'client', 'shop', '--data-dir', directory]);
  t.is(made.code, 0, made.err);
  const file = join(directory, 'keys', 'shop-client.json');
  t.is(modeOf(file), 0o600);
  const key = JSON.parse(readFileSync(file, 'utf8'));
  t.false(made.out.includes(key.seed));
  const clients = join(directory, 'clients.yml');
  writeFileSync(clients, made.out.slice(made.out.indexOf('clients:')));
  const registered = loadClients(clients, { nodeId: 'node_a', hmacForm: 'direct', nowMs: 0 });
  t.deepEqual(registered.clients, [
    { issuer: 'shop', roles: ['submit'], keys: [{ key_id: 'shop', alg: 'ed25519', public_key: key.public_key }] },
  ]);
  t.is((await run(['keys', 'client', 'shop', '--data-dir', directory])).code, 78, 'an existing key is not replaced');
  t.is((await run(['keys', 'client', '../x', '--data-dir', directory])).code, 64);
});

test('what changes a data directory refuses with 75 while a node holds it; inspect does not', async (t) => {
  const directory = directoryOf(t);
  await run(['init', '--data-dir', directory]);
  const lock = await lockDataDirectory(directory);
  mkdirSync(join(directory, 'run'));
  writeFileSync(join(directory, 'run', 'node.pid'), '4711\n');
  for (const argv of [['wal', 'verify'], ['wal', 'repair'], ['migrate-state'], ['init']]) {
    const { code, err } = await run([...argv, '--data-dir', directory]);
    t.is(code, 75, argv.join(' '));
    t.regex(err, /is in use by process 4711\.\n {2}Stop the node first/);
  }
  t.is((await run(['wal', 'inspect', '--data-dir', directory])).code, 0);
  await lock.release();
  t.is((await run(['wal', 'verify', '--data-dir', directory])).code, 0);
  t.is((await run(['wal', 'verify', '--data-dir', join(directory, 'none')])).code, 65);
});

test('ST-1: a log damaged in the middle: verify and repair say so, --accept-loss begins an epoch', async (t) => {
  const directory = directoryOf(t);
  const facts = JSON.parse((await run(['init', '--data-dir', directory, '--json'])).out);
  const path = appendFinalizations(directory, facts, [1, 2, 3]);
  const whole = await run(['wal', 'verify', '--data-dir', directory]);
  t.is(whole.code, 0, whole.err);
  t.regex(whole.out, /^clean: whole\n7 records in 4 batches, last position 7\n/);
  const nothing = await run(['wal', 'repair', '--data-dir', directory, '--accept-loss']);
  t.is(nothing.code, 0);
  t.regex(nothing.out, /nothing to do/);
  t.deepEqual(
    audited(directory).map(({ event }) => event),
    ['audit_began', 'key_generated', 'genesis_created'],
  );

  damageBatch(path, 3);
  const verified = await run(['wal', 'verify', '--data-dir', directory]);
  t.is(verified.code, 65);
  t.regex(verified.out, /^corrupt: .*\n {2}0000000000000001\.seg at offset \d+: /);
  t.regex(verified.err, /quorate wal repair --accept-loss/);
  const inspected = await run(['wal', 'inspect', '--data-dir', directory]);
  t.is(inspected.code, 0);
  t.regex(inspected.out, /^corrupt/);

  const before = snapshot(directory);
  const refused = await run(['wal', 'repair', '--data-dir', directory]);
  t.is(refused.code, 65);
  t.regex(refused.err, /nothing was changed/);
  t.deepEqual(snapshot(directory), before);

  const repaired = await run(['wal', 'repair', '--data-dir', directory, '--accept-loss', '--json']);
  t.is(repaired.code, 0, repaired.err);
  const report = JSON.parse(repaired.out);
  t.deepEqual(report.newEpoch, { epoch: 1, lastTrustedHeight: 1 });
  t.true(existsSync(report.keptIn));
  const lines = audited(directory).slice(3);
  t.deepEqual(
    lines.map(({ event, result }) => [event, result]),
    [
      ['wal_repair', 'started'],
      ['wal_repair', 'repaired'],
    ],
  );
  t.like(lines[1], { epoch: 1, last_trusted_height: 1, accept_loss: true, state: 'corrupt', kept_in: report.keptIn });
  t.is((await run(['wal', 'verify', '--data-dir', directory])).code, 0);
});

test('ST-2: a pruned log that calls a height final without its blocks gives no loss back: repair refuses', async (t) => {
  const directory = directoryOf(t);
  const facts = JSON.parse((await run(['init', '--data-dir', directory, '--json'])).out);
  damageBatch(appendFinalizations(directory, facts, [7, 8, 9], false), 3);
  const { code, err } = await run(['wal', 'repair', '--data-dir', directory, '--accept-loss']);
  t.is(code, 65);
  t.regex(err, /the ledger ends at height 0, and the log has none before 8: the blocks between are nowhere/);
  t.regex(err, /Restore a backup/);
});

test('ST-2: wal compact on a stopped node: without a log, in doubt, and without a checkpoint nothing is changed', async (t) => {
  const directory = directoryOf(t);
  t.is((await run(['wal', 'compact', '--data-dir', join(directory, 'none')])).code, 65);
  const facts = JSON.parse((await run(['init', '--data-dir', directory, '--json'])).out);
  const path = appendFinalizations(directory, facts, [1, 2]);
  const early = await run(['wal', 'compact', '--data-dir', directory, '--all', '--json']);
  t.is(early.code, 69);
  t.like(JSON.parse(early.out), { segments: 0, skipped: 'the log holds no checkpoint: start and stop the node once' });
  damageBatch(path, 1);
  const before = snapshot(directory);
  const damaged = await run(['wal', 'compact', '--data-dir', directory, '--all']);
  t.is(damaged.code, 65);
  t.regex(damaged.err, /the log is corrupt: .*Nothing was changed/);
  t.deepEqual(snapshot(directory), before);
});

test('DECISIONS 27: loss is accepted by the single validator of the same chain only', async (t) => {
  const directory = directoryOf(t);
  const facts = JSON.parse((await run(['init', '--data-dir', directory, '--json'])).out);
  damageBatch(appendFinalizations(directory, facts, [1, 2, 3]), 3);
  const genesisFile = join(directory, 'genesis.json');
  const genesis = JSON.parse(readFileSync(genesisFile, 'utf8'));
  const before = snapshot(join(directory, 'wal'));
  const two = {
    ...genesis,
    validators: [...genesis.validators, { node_id: 'node_b', public_key: CLIENT_KEY.public_key }],
  };
  const stories: [string, RegExp][] = [
    [JSON.stringify(two), /this chain has 2 validators/],
    [JSON.stringify({ ...genesis, created_at: '2020-01-01T00:00:00Z' }), /is chain [0-9a-f]{64}, the log is of chain/],
  ];
  for (const [text, expected] of stories) {
    const file = join(directory, 'other.json');
    writeFileSync(file, text);
    const { code, err } = await run(['wal', 'repair', '--accept-loss', '--data-dir', directory, '--genesis', file]);
    t.is(code, 65);
    t.regex(err, expected);
    t.deepEqual(snapshot(join(directory, 'wal')), before);
  }
});

test('a torn end is whole for verify, and repair sets it aside', async (t) => {
  const directory = directoryOf(t);
  const facts = JSON.parse((await run(['init', '--data-dir', directory, '--json'])).out);
  const path = appendFinalizations(directory, facts, [1, 2]);
  truncateSync(path, batchOffsets(directory)[2]! + 20);
  const verified = await run(['wal', 'verify', '--data-dir', directory]);
  t.is(verified.code, 0);
  t.regex(verified.out, /^torn: /);
  const repaired = await run(['wal', 'repair', '--data-dir', directory]);
  t.is(repaired.code, 0, repaired.err);
  t.regex(repaired.out, /the torn end is set aside, the log ends at position 3/);
  t.regex((await run(['wal', 'verify', '--data-dir', directory])).out, /^clean/);
});

test('ST-3: migrate-state migrates once, names what it dropped, and ends with 78 on a damaged file', async (t) => {
  const directory = directoryOf(t);
  t.regex((await run(['migrate-state', '--data-dir', directory])).out, /nothing to do: there is no state\.json/);
  const path = join(directory, 'state.json');
  writeFileSync(path, '{"system_state":"configured","voice":1}');
  const migrated = await run(['migrate-state', '--data-dir', directory, '--json']);
  t.is(migrated.code, 0, migrated.err);
  t.like(JSON.parse(migrated.out), { result: 'migrated', version: 2, dropped: ['voice'] });
  t.regex((await run(['migrate-state', '--data-dir', directory])).out, /nothing to do: state\.json has version 2/);
  writeFileSync(path, '{"schema_version":2');
  const damaged = await run(['migrate-state', '--data-dir', directory]);
  t.is(damaged.code, 78);
  t.regex(damaged.err, /state\.json: not JSON/);
});

function directoryOf(t: ExecutionContext): string {
  const directory = emptyDirectory();
  t.teardown(() => removeDirectory(directory));
  return directory;
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o777;
}

/** Names and contents of all files below. */
function snapshot(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(
    files.flatMap((name) => {
      const path = join(directory, name);
      return statSync(path).isFile() ? [[name, sha256Hex(readFileSync(path))]] : [];
    }),
  );
}

interface Facts {
  readonly chain_id: string;
  readonly public_key: string;
}

const SIGNATURE = new Uint8Array(64);

function openNodeLog(directory: string, facts: Facts) {
  const identity = { chainId: Buffer.from(facts.chain_id, 'hex'), publicKey: Buffer.from(facts.public_key, 'hex') };
  const options = {
    segmentBytes: 65_536,
    native: <T>(section: () => T) => section(),
    random: (size: number) => Buffer.alloc(size, 7),
  };
  return openLog({ directory: join(directory, 'wal'), identity, ...options }).log;
}

/** One batch a finalization. @returns the segment's path */
function appendFinalizations(directory: string, facts: Facts, heights: readonly number[], withBlocks = true): string {
  const log = openNodeLog(directory, facts);
  for (const height of heights) {
    const certificate: Certificate = {
      kind: FINALIZE,
      view: height,
      hash: 'ab'.repeat(32),
      signers: [0],
      signatures: [SIGNATURE],
    };
    const data = encodeJournal({ type: 'finalization', epoch: 0, height, certificate });
    const block = Buffer.from(JSON.stringify({ version: 1, header: { height, epoch: 0 }, entries: [] }));
    const blocks = withBlocks ? [{ type: RecordType.block, data: block }] : [];
    log.append([...blocks, { type: RecordType.journal, data }]);
  }
  void log.close();
  return join(directory, 'wal', '0000000000000001.seg');
}

/** Where each batch of the first segment begins. */
function batchOffsets(directory: string): number[] {
  const bytes = readFileSync(join(directory, 'wal', '0000000000000001.seg'));
  const offsets: number[] = [];
  let offset = SEGMENT_HEADER_BYTES;
  for (let header = readBatchHeader(bytes, offset); header !== null; header = readBatchHeader(bytes, offset)) {
    offsets.push(offset);
    offset += header.length;
  }
  return offsets;
}

/** Flips a bit in the payload of the n-th batch, from 1. */
function damageBatch(path: string, number: number): void {
  const at = batchOffsets(join(dirname(path), '..'))[number - 1]! + BATCH_HEADER_BYTES + 1;
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}
