// What a service manager hears from a real node, from the start to the stop, over systemd's own client and a socket in the
// place of systemd's; and the log file rotated away meanwhile.
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ACTOR_IDS } from '../../config/schema.js';
import type { JsonObject } from '../../protocol/json.js';
import { LocalNode } from '../local/node.js';
import { canReceive, type Datagram, NotifySocket } from './notify-socket.js';
import { admin, http, put, until } from './support.js';

/** A beat every 50 ms. */
const WATCHDOG_USEC = 100_000;
const directory = mkdtempSync(join(tmpdir(), 'quorate-notify-'));
const files = {
  config: join(directory, 'quorate.yaml'),
  data: join(directory, 'data'),
  logs: join(directory, 'logs'),
  log: join(directory, 'logs', 'node.log'),
};
let socket: NotifySocket;
let node: LocalNode;

const nowUsec = () => process.hrtime.bigint() / 1000n;

function writeConfig(limits: string): void {
  put(files.config, `limits: { ${limits} }\nlog: { level: debug, file: logs/node.log }\n`);
}

/** SIGHUP, and what was said of it: RELOADING and READY. */
async function hangUp(): Promise<readonly Datagram[]> {
  const before = socket.news.length;
  node.process.kill('SIGHUP');
  await until('READY after the reload', () => socket.news.slice(before).some(({ READY }) => READY === '1'));
  return socket.news.slice(before).filter(({ RELOADING, READY }) => (RELOADING ?? READY) === '1');
}

/** The node's descriptors that lead below the folder of the logs, by the file's name. */
function logDescriptors(): string[] {
  const folder = `/proc/${node.process.pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      const target = readlinkSync(join(folder, fd));
      return target.startsWith(files.logs) ? [target.slice(files.logs.length + 1)] : [];
    } catch {
      return [];
    }
  });
}

function helperOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return children[0]!;
}

if (!canReceive()) {
  test('Linux, perl and systemd-notify are not all here: what systemd is told was not tried', (t) => {
    t.is(process.env.CI, undefined, 'a machine that vouches for a change has to try it: install systemd and perl');
  });
} else {
  test.before(async () => {
    writeConfig('body_bytes: 65536');
    socket = await NotifySocket.bind(`@quorate-test-${process.pid}`);
    node = new LocalNode({
      dataDir: files.data,
      args: ['--config', files.config],
      env: { NOTIFY_SOCKET: socket.name, WATCHDOG_USEC: String(WATCHDOG_USEC) },
    });
  });

  test.after.always(async () => {
    await node?.dispose();
    await socket?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test.serial(
    'CF-6: a start asks for time, then says READY with where it listens, and feeds the watchdog',
    async (t) => {
      await until('READY', () => node.hasExited || socket.datagrams.some(({ READY }) => READY === '1'));
      t.false(node.hasExited, node.output);
      const [first] = socket.news;
      t.like(first, { STATUS: 'Starting' });
      t.true(Number(first?.EXTEND_TIMEOUT_USEC) > 0);
      const ready = socket.datagrams.filter(({ READY }) => READY === '1');
      t.is(ready.length, 1);
      t.is(ready[0]?.STATUS, `Ready, client API on ${node.endpoints.api}; 7 of 7 actors up`);
      t.is((await http(`${node.endpoints.api}/v1/status`)).status, 200);
      await until('several pings', () => socket.pings >= 3);
    },
  );

  test.serial(
    'CF-6, CF-3: a reload is RELOADING with the moment, then READY with the outcome, also when refused',
    async (t) => {
      put(files.config, 'limits:\n  body_bytes: 4096\n  bad: [\n');
      const beforeUsec = nowUsec();
      const refused = await hangUp();
      t.is(refused.length, 2);
      t.like(refused[0], { RELOADING: '1', STATUS: 'Reloading' });
      const moment = BigInt(refused[0]!.MONOTONIC_USEC!);
      t.true(moment >= beforeUsec && moment <= nowUsec(), 'CLOCK_MONOTONIC in microseconds');
      t.regex(refused[1]!.STATUS!, /^Reload refused, the configuration before stays: .*quorate\.yaml:[34]/);
      writeConfig('body_bytes: 4096');
      t.deepEqual((await hangUp())[1], { READY: '1', STATUS: 'Reloaded: limits.body_bytes' });
      t.deepEqual((await hangUp())[1], { READY: '1', STATUS: 'Reloaded: nothing differs' });
      const pings = socket.pings;
      await until('pings after the reloads', () => socket.pings > pings + 2);
    },
  );

  test.serial(
    'CF-6, OB-5: the log is rotated under load: no line lost, none twice, every thread in the new file',
    async (t) => {
      const { api } = node.endpoints;
      const agent = new Agent({ keepAlive: true, maxSockets: 4 });
      t.teardown(() => agent.destroy());
      let sent = 0;
      let rotating = true;
      const askOn = async (): Promise<void> => {
        while (rotating) {
          sent += 1;
          await http(`${api}/v1/status`, { agent, headers: { 'x-request-id': `rotation-${sent}` } });
        }
      };
      const asking = [askOn(), askOn(), askOn(), askOn()];
      for (let rotation = 1; rotation <= 5; rotation++) {
        const before = sent;
        await until('requests between two rotations', () => sent > before + 20);
        renameSync(files.log, `${files.log}.${rotation}`);
        await hangUp();
      }
      rotating = false;
      await Promise.all(asking);

      const names = () => readdirSync(files.logs);
      t.is(names().length, 6);
      const lines = () => names().flatMap((name) => readFileSync(join(files.logs, name), 'utf8').trimEnd().split('\n'));
      const ids = () => lines().flatMap((line) => /"request_id":"(rotation-\d+)"/.exec(line)?.[1] ?? []);
      await until('a line for every request', () => new Set(ids()).size === sent);
      t.is(ids().length, sent, 'none twice');
      t.notThrows(() => lines().map((line) => JSON.parse(line) as JsonObject), 'every line is whole');
      await until('all threads in the new file', () => logDescriptors().every((name) => name === 'node.log'));
      t.is(logDescriptors().length, 1 + ACTOR_IDS.length, 'the main thread and every actor');
      t.regex(readFileSync(files.log, 'utf8'), /"event":"log\.reopened"/);
    },
  );

  test.serial('CF-6: an actor that dies inside its restart budget costs no ping', async (t) => {
    const killed = await admin(node, '/v1/admin/actors/wal-writer/kill');
    t.is(killed.status, 200);
    const pings = socket.pings;
    await until('pings', () => socket.pings > pings + 2);
    await until('all up', async () => (await http(`${node.endpoints.ops}/readyz`)).status === 200);
    t.false(readFileSync(files.log, 'utf8').includes('watchdog.withheld'));
  });

  test.serial('CF-6: a main loop that does not turn feeds no watchdog', async (t) => {
    const pingsOver = async (beats: number): Promise<number> => {
      const before = socket.pings;
      await new Promise((resolve) => setTimeout(resolve, (beats * WATCHDOG_USEC) / 2000));
      return socket.pings - before;
    };
    node.process.kill('SIGSTOP');
    t.true((await pingsOver(15)) <= 1, 'no more than what the helper had in hand');
    node.process.kill('SIGCONT');
    const pings = socket.pings;
    await until('pings again', () => socket.pings > pings);
  });

  test.serial('CF-6: a helper that was killed is replaced, and the watchdog is fed on', async (t) => {
    const helper = helperOf(node.process.pid!);
    process.kill(helper, 'SIGKILL');
    await until('another helper', () => helperOf(node.process.pid!) !== helper);
    const pings = socket.pings;
    await until('pings', () => socket.pings > pings + 2);
    t.is(readFileSync(files.log, 'utf8').match(/service_manager\.unreachable/g)?.length, 1);
  });

  test.serial('CF-4, CF-6: SIGTERM is STOPPING with the time it may take, and nothing is left behind', async (t) => {
    const helper = helperOf(node.process.pid!);
    const before = socket.news.length;
    t.deepEqual(await node.stop(), { code: 0, signal: null });
    const stops = () => socket.news.slice(before).filter(({ STOPPING }) => STOPPING === '1');
    await until('STOPPING', () => stops().length > 0);
    const said = socket.news.slice(before);
    const stopping = stops();
    t.is(stopping.length, 1);
    t.is(stopping[0]?.EXTEND_TIMEOUT_USEC, '40000000', 'past shutdown_ms, after which the node forces its own end');
    t.false(said.some(({ READY }) => READY === '1'));
    await until('the end of the helper', () => !existsSync(`/proc/${helper}`));
  });
}
