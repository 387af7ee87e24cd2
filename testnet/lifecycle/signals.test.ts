// Signals that must not end a node, and what it leaves for who looks at it: one node without a working service manager,
// whose readers go away at the end.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ACTOR_IDS } from '../../config/schema.js';
import type { JsonObject } from '../../protocol/json.js';
import { STATUS_FILES_MAX } from '../../runtime/status-dump.js';
import { LocalNode } from '../local/node.js';
import { admin, http, metric, post, put, quorate, readClientKey, signer, until } from './support.js';

const SECRET_SEED = randomBytes(32).toString('hex');
const directory = mkdtempSync(join(tmpdir(), 'quorate-signals-'));
const data = join(directory, 'data');
const run = join(data, 'run');
let node: LocalNode;

const statusFiles = () => readdirSync(run).filter((name) => name.startsWith('status-'));

/** SIGUSR2, and the file that its log line names. */
async function dump(): Promise<{ readonly path: string; readonly status: JsonObject }> {
  const written = () => node.logs().filter(({ event }) => event === 'status.written');
  const before = written().length;
  node.signal('SIGUSR2');
  await until('the line that names the file', () => written().length > before);
  const path = String(written().at(-1)!.file);
  return { path, status: JSON.parse(readFileSync(path, 'utf8')) as JsonObject };
}

/** Whether the process itself listens on a port; another program may. */
function listensOn(pid: number, port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = ['tcp', 'tcp6'].flatMap((table) => {
    const rows = readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n').slice(1);
    return rows.flatMap((row) => {
      const [, local = '', , state, , , , , , inode] = row.trim().split(/\s+/);
      return state === '0A' && local.endsWith(wanted) ? [`socket:[${inode}]`] : [];
    });
  });
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return inodes.includes(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false;
    }
  });
}

test.before(async () => {
  // Of a process that lives, but is no node.
  put(join(run, 'node.pid'), `${process.pid}\n`, 0o644);
  // Older than all that follow: the first to go.
  for (let hour = 10; hour < 10 + STATUS_FILES_MAX; hour++)
    put(join(run, `status-20200101T${hour}0000000Z.json`), '{}\n');
  put(join(run, 'status-of-mine.json'), '{}\n');
  node = await LocalNode.start({
    dataDir: data,
    env: {
      QUORATE_SIGNING_KEY: SECRET_SEED,
      NOTIFY_SOCKET: join(directory, 'nobody.sock'),
      WATCHDOG_USEC: '20000',
      PATH: directory,
    },
  });
});

test.after.always(async () => {
  await node?.dispose();
  rmSync(directory, { recursive: true, force: true });
});

test.serial(
  'CF-6: the pid file names the node from its start on, whatever stood in it, and a second node ends with 75 and the pid',
  async (t) => {
    t.is(readFileSync(join(run, 'node.pid'), 'utf8'), `${node.process.pid}\n`);
    t.is(statSync(join(run, 'node.pid')).mode & 0o777, 0o644);
    const second = await quorate(['--data-dir', data, '--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0']);
    t.is(second.code, 75);
    t.regex(second.stderr, new RegExp(`in use by process ${node.process.pid}\\b`));
    t.is(node.pid, node.process.pid!, 'and the pid file stays');
  },
);

test.serial('CF-6: a service manager that cannot be told is one warning, and the node runs', async (t) => {
  const warnings = () => node.logs().filter(({ event }) => event === 'service_manager.unreachable');
  await until('the warning', () => warnings().length > 0);
  t.like(warnings()[0], { level: 'warn', reason: 'systemd-notify was not found in PATH' });
  t.is((await admin(node, '/v1/admin/reload')).status, 200);
  t.is((await http(`${node.endpoints.ops}/readyz`)).status, 200);
  t.is(warnings().length, 1);
});

test.serial('CF-4: SIGUSR1 opens no inspector and ends nothing', async (t) => {
  if (!existsSync('/proc/self/net/tcp')) return t.pass('no /proc here');
  t.true(listensOn(node.process.pid!, Number(new URL(node.endpoints.api).port)), 'the look finds what listens');
  for (let round = 0; round < 3; round++) node.signal('SIGUSR1');
  // A later signal's work is done, so the earlier ones were taken.
  await dump();
  t.false(listensOn(node.process.pid!, 9229));
  t.notRegex(node.output, /Debugger listening/);
  t.is((await http(`${node.endpoints.api}/v1/status`)).status, 200);
});

test.serial('CF-4, ID-8: SIGUSR2 writes what the node is doing, for its user alone and without a secret', async (t) => {
  await admin(node, '/v1/admin/actors/gossip/kill');
  await until('gossip back', async () => (await http(`${node.endpoints.ops}/readyz`)).status === 200);
  const { path, status } = await dump();
  t.true(path.startsWith(join(run, 'status-')));
  t.is(statSync(path).mode & 0o777, 0o600);
  t.like(status, { pid: node.process.pid, node_id: node.endpoints.nodeId, ready: true, last_exit: null });
  t.like(status.versions, { node: process.versions.node });
  const actors = status.actors as unknown as JsonObject[];
  t.deepEqual(
    actors.map(({ id }) => id),
    [...ACTOR_IDS],
  );
  const gossip = actors.find(({ id }) => id === 'gossip')!;
  t.like(gossip, { state: 'up', restarts: 1, incarnation: 2, mailboxDepth: 0 });
  t.like(gossip.lastExit, { reason: 'killed' });
  t.true(actors.every(({ thread }) => Number((thread as JsonObject).heap_bytes) > 0));
  t.is((actors.find(({ id }) => id === 'store')!.inside as JsonObject).height, 0);
  t.true(Number((status.memory_bytes as JsonObject).rss) > 0);
  t.is(typeof (status.event_loop as JsonObject).delay_max_ms, 'number');
  t.is((status.config as JsonObject).data_dir, data);
  const text = readFileSync(path, 'utf8');
  t.false(text.includes(SECRET_SEED) || text.includes(node.adminToken));
});

test.serial('CF-4: status files are bounded in number: the oldest go, other files stay', async (t) => {
  const { path } = await dump();
  const files = statusFiles().filter((name) => name !== 'status-of-mine.json');
  t.is(files.length, STATUS_FILES_MAX);
  t.true(path.endsWith(files.sort().at(-1)!));
  t.false(files.includes('status-20200101T100000000Z.json'));
  t.true(existsSync(join(run, 'status-of-mine.json')));
});

test.serial('CF-4: many signals at once end nothing', async (t) => {
  for (let round = 0; round < 20; round++)
    for (const name of ['SIGHUP', 'SIGUSR2', 'SIGUSR1'] as const) node.signal(name);
  await dump();
  await until('no file half written', () => statusFiles().every((name) => name.endsWith('.json')));
  t.is((await http(`${node.endpoints.ops}/readyz`)).status, 200);
});

test.serial(
  'CF-4: whoever read standard output and error has gone: the node serves on, and stops cleanly',
  async (t) => {
    const { api } = node.endpoints;
    node.process.stdout!.destroy();
    node.process.stderr!.destroy();
    const before = statusFiles();
    // Lines of the main thread, of a new actor and of the one that answers.
    node.signal('SIGHUP');
    node.signal('SIGUSR2');
    await until('another status', () => statusFiles().some((name) => !before.includes(name)));
    t.is((await admin(node, '/v1/admin/actors/dedup/restart')).status, 200);
    const key = readClientKey(join(data, 'keys', 'dev-client.json'));
    const sign = await signer();
    t.is((await post(api, sign(key, {}))).status, 200);
    await until('the reload', async () => (await metric(node, 'quorate_peer_reload_total{result="unchanged"}')) > 1);
    t.deepEqual(await node.stop(), { code: 0, signal: null });
    t.false(existsSync(join(run, 'node.pid')));
  },
);

test('CF-4: SIGHUP and SIGUSR2 before the node is ready end nothing', async (t) => {
  const early = new LocalNode();
  t.teardown(() => early.dispose());
  await until('the first line', () => early.logs().some(({ event }) => event === 'node.starting'));
  early.process.kill('SIGHUP');
  early.process.kill('SIGUSR2');
  early.process.kill('SIGUSR1');
  await early.ready();
  const told = (start: string) => early.logs().some(({ event }) => String(event).startsWith(start));
  await until('what came of both', () => told('config.reload_') && told('status.written'));
  t.deepEqual(await early.stop(), { code: 0, signal: null });
});
