// ST-8 with real nodes: every auditable action that can be done from outside is done once and its line is found, over
// three lives of one node; and a node whose audit log cannot be written does nothing that has to be recorded.
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { AUDIT_EVENT_NAMES, type AuditEventName } from '../../config/audit-events.js';
import { AUDIT_FILE, readAudit } from '../../config/audit-file.js';
import { type AuditVerdict, auditRecords } from '../../protocol/audit-check.js';
import type { JsonObject } from '../../protocol/json.js';
import { LocalNode } from '../local/node.js';
import {
  admin,
  command,
  http,
  metric,
  post,
  put,
  quorate,
  readClientKey,
  signer,
  temporaryDirectory,
  until,
} from './support.js';

/** Proven by other tests: they end the process, need peers, or take a log of many thousand lines. */
const ELSEWHERE: readonly AuditEventName[] = [
  'pin_violation', // peers.test.ts
  'audit_continued', // config/audit-file.test.ts
  'audit_removed', // config/audit-file.test.ts
  'node_failed', // damage.test.ts
  'state_rollback', // damage.test.ts
  'restart_budget_spent', // runtime/ops/audit-story.test.ts
  'consensus_halted', // runtime/ops/audit-story.test.ts
  'wal_compact', // compaction.test.ts
  'evidence_found', // runtime/ops/audit-story.test.ts
  'observer_excluded', // testnet/e2e/rounds.test.ts
  'bad_observation', // runtime/ops/audit-story.test.ts
];

/** RFC 8032 section 7.1, test 1. */
const SHOP_KEY = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
const SEGMENT = join('wal', '0000000000000001.seg');

function recordsOf(dataDir: string): JsonObject[] {
  return [...readAudit(dataDir).files].flatMap(({ bytes }) => auditRecords(bytes).map(({ line }) => line));
}

async function verified(dataDir: string): Promise<AuditVerdict & { readonly ok: boolean }> {
  const { stdout } = await command(['audit', 'verify', '--data-dir', dataDir, '--json']);
  return JSON.parse(stdout) as AuditVerdict & { readonly ok: boolean };
}

test('ST-8: each auditable action is done once, and its line is found in one chain over kills and repairs', async (t) => {
  const directory = temporaryDirectory(t);
  const dataDir = join(directory, 'data');
  const config = join(directory, 'quorate.yaml');
  const clients = join(directory, 'clients.yml');
  const settings = (bodyBytes: number) =>
    `clients_file: clients.yml\nlimits: { body_bytes: ${bodyBytes} }\nsupervision: { breaker: { failures: 1 } }\n`;
  const client = (name: string, key: string) =>
    `clients:\n  - issuer: ${name}\n    keys: [{ key_id: ${name}, alg: ed25519, public_key: "${key}" }]\n`;
  put(config, settings(65_536));
  put(clients, 'clients: []\n');
  put(join(dataDir, 'state.json'), '{"system_state":"configured"}\n', 0o644);
  const lives = () => new LocalNode({ dataDir, args: ['--config', config] });
  const found = (event: AuditEventName, fields: object = {}) =>
    recordsOf(dataDir).some((line) => {
      return line.event === event && Object.entries(fields).every(([name, value]) => line[name] === value);
    });
  const has = (event: AuditEventName, fields: object = {}) => {
    t.true(found(event, fields), `${event} ${JSON.stringify(fields)}`);
  };

  // The first life: what a node makes, and what an operator does to it.
  let node = lives();
  t.teardown(() => node.dispose());
  await node.ready();
  const { nodeId, ops } = node.endpoints;
  const token = node.adminToken;
  has('audit_began');
  has('key_generated', { by: 'node', node_id: nodeId });
  has('genesis_created', { dev_client: true });
  has('node_started', { by: 'node', node_id: nodeId, mode: 'development', pid: node.pid });
  has('state_migration', { result: 'started', from_version: 1, to_version: 2 });
  has('state_migration', { result: 'success' });
  const isReady = async () => (await http(`${ops}/readyz`)).status === 200;
  await until('a ready node', isReady);

  for (const action of ['kill', 'restart'] as const) {
    t.is((await admin(node, `/v1/admin/actors/gossip/${action}`)).status, 200);
    const by = 'operator at 127.0.0.1';
    has(`actor_${action}`, { by, actor: 'gossip', result: 'started' });
    has(`actor_${action}`, { by, actor: 'gossip', result: 'done' });
  }
  t.is((await admin(node, '/v1/admin/actors/nobody/kill')).status, 404);
  t.false(found('actor_kill', { actor: 'nobody' }), 'no such actor, no such action');

  // An actor that dies of a defect, behind a breaker that opens at once.
  // It may be gone before it has answered.
  await admin(node, '/v1/admin/actors/gossip/drill/throw');
  has('actor_drill', { actor: 'gossip', misdeed: 'throw', result: 'started' });
  await until('a dead actor', () => found('actor_died', { actor: 'gossip', reason: 'crashed' }));
  await until('an open breaker', () => found('breaker_opened', { actor: 'gossip' }));
  t.is((await admin(node, '/v1/admin/actors/gossip/reset')).status, 200);
  has('actor_reset', { actor: 'gossip', result: 'done' });
  await until('a closed breaker', () => found('breaker_closed', { actor: 'gossip' }));
  await until('a ready node', isReady);

  const key = readClientKey(join(dataDir, 'keys', 'dev-client.json'));
  put(config, settings(32_768));
  put(clients, client('shop', SHOP_KEY));
  const reloaded = await admin(node, '/v1/admin/reload');
  t.is(reloaded.status, 200, JSON.stringify(reloaded.body));
  has('config_reload', { by: 'operator at 127.0.0.1', result: 'started' });
  const applied = recordsOf(dataDir).find(({ result }) => result === 'applied');
  t.deepEqual(applied?.changed, ['limits.body_bytes', 'clients and kinds']);
  await until('a changed registry', () => found('registry_changed', { by: 'node', clients: 2 }));
  put(config, 'no_such_setting: 1\n');
  node.signal('SIGHUP');
  await until('a refused reload', () => found('config_reload', { by: 'signal SIGHUP', result: 'refused' }));
  put(config, settings(32_768));
  await admin(node, '/v1/admin/reload');
  has('config_reload', { result: 'unchanged' });

  // A directory where the log belongs: nothing is done that could not be recorded, and the node says so.
  const path = join(dataDir, AUDIT_FILE);
  renameSync(path, `${path}.away`);
  mkdirSync(path);
  const refused = await admin(node, '/v1/admin/actors/gossip/kill');
  t.is(refused.status, 503);
  t.regex(String(refused.body.type), /:audit-unwritable$/);
  const readiness = await http(`${ops}/readyz`);
  t.deepEqual([readiness.status, readiness.body.failing], [503, ['audit']]);
  t.is((await admin(node, '/v1/admin/reload')).status, 422);
  t.is(await metric(node, 'quorate_audit_writable'), 0);
  const sign = await signer();
  t.is((await post(node.endpoints.api, sign(key, {}))).status, 200, 'clients are served');
  rmdirSync(path);
  renameSync(`${path}.away`, path);
  t.is((await admin(node, '/v1/admin/actors/gossip/kill')).status, 200);
  has('audit_lost', { events: 2 });
  await until('a ready node', isReady);
  t.is(await metric(node, 'quorate_audit_writable'), 1);
  t.true((await metric(node, 'quorate_audit_events_total{event="actor_kill"}')) >= 4);

  // What was answered is on disk, whatever becomes of the process.
  const { head: before } = await verified(dataDir);
  await node.kill();
  appendFileSync(path, '{"actor":"gos');
  t.like(await verified(dataDir), { ok: true, head: before });

  // The second life goes on behind the torn line, and is stopped in order.
  node = lives();
  await node.ready();
  has('audit_recovered', { cause: 'torn' });
  t.is((await node.stop()).code, 0);
  has('node_stopped', { signal: 'SIGTERM' });
  const told = node.logs().findLast(({ event }) => event === 'node.stopped')?.audit_head;
  const { head } = await verified(dataDir);
  t.is(told, `${head.seq}:${head.hash}`, 'the log of the node ends with the head as an anchor');

  // The third finds its log damaged; an operator gives up what cannot be read.
  const segment = join(dataDir, SEGMENT);
  const bytes = readFileSync(segment);
  bytes[512 + 400]! ^= 1;
  writeFileSync(segment, bytes);
  node = lives();
  await node.ready();
  await until('a quarantine', () => found('quarantined', { actor: 'wal-writer' }));
  await node.stop();
  const repaired = await command(['wal', 'repair', '--accept-loss', '--data-dir', dataDir]);
  t.is(repaired.code, 0, repaired.stderr);
  has('wal_repair', { result: 'started', accept_loss: true });
  has('wal_repair', { result: 'repaired' });
  t.true(recordsOf(dataDir).some(({ event, by }) => event === 'wal_repair' && String(by).startsWith('command of ')));

  for (const { seq, hash } of [before, head]) {
    const checked = await command(['audit', 'verify', '--data-dir', dataDir, '--head', `${seq}:${hash}`]);
    t.is(checked.code, 0, checked.stdout);
  }
  const seen = new Set(recordsOf(dataDir).map(({ event }) => event));
  t.deepEqual(
    AUDIT_EVENT_NAMES.filter((name) => !seen.has(name)),
    AUDIT_EVENT_NAMES.filter((name) => ELSEWHERE.includes(name)),
  );
  const text = readFileSync(path, 'utf8');
  for (const secret of [Buffer.from(key.seed).toString('hex'), token]) t.false(text.includes(secret));
});

test('ST-8: what a refused start has made is recorded, and a start that makes nothing writes nothing', async (t) => {
  const directory = temporaryDirectory(t);
  const dataDir = join(directory, 'data');
  const config = join(directory, 'quorate.yaml');
  put(config, 'clients_file: none.yml\n');
  const ports = ['--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0'];
  for (const time of ['first', 'second']) {
    const { code } = await quorate(['--config', config, '--data-dir', dataDir, ...ports]);
    t.is(code, 78, time);
    const events = recordsOf(dataDir).map(({ event }) => event);
    t.deepEqual(events, ['audit_began', 'key_generated', 'genesis_created'], time);
  }
});
