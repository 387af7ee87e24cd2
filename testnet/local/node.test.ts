// A driver of nodes that dies without a word: its nodes must not outlive it, and a node that nobody bound to it must.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readAudit } from '../../config/audit-file.js';
import { auditRecords } from '../../protocol/audit-check.js';
import { eventually } from '../e2e/subject.js';

const DRIVER = `
import { LocalNode } from ${JSON.stringify(new URL('./node.js', import.meta.url).href)};
const [bound, free] = process.argv.slice(1);
const nodes = [new LocalNode({ dataDir: bound }), new LocalNode({ dataDir: free, env: { QUORATE_STOP_WITH_STDIN: 'false' } })];
await Promise.all(nodes.map((node) => node.ready()));
console.log(JSON.stringify(nodes.map(({ pid }) => pid)));
`;

test('TN-1: a driver that gets SIGKILL leaves no node of its own running, and no other one ends for that', async (t) => {
  t.timeout(120_000);
  const directory = mkdtempSync(join(tmpdir(), 'quorate-driver-'));
  const [bound, free] = [join(directory, 'bound'), join(directory, 'free')];
  const driver = spawn(process.execPath, ['--input-type=module', '-e', DRIVER, bound, free], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let pids: number[] = [];
  t.teardown(async () => {
    driver.kill('SIGKILL');
    for (const pid of pids.filter(isAlive)) process.kill(pid, 'SIGKILL');
    await eventually('all to be gone', () => (pids.some(isAlive) ? null : true));
    rmSync(directory, { recursive: true, force: true });
  });
  const [line] = (await once(driver.stdout!.setEncoding('utf8'), 'data')) as [string];
  pids = JSON.parse(line) as number[];
  t.deepEqual(pids.map(isAlive), [true, true]);
  driver.kill('SIGKILL');
  await eventually('its node to be gone', () => (isAlive(pids[0]!) ? null : true));
  const said = [...readAudit(bound).files].flatMap(({ bytes }) => auditRecords(bytes)).map(({ line }) => line);
  t.like(said.at(-1), { event: 'node_stopped', signal: 'end of standard input' });
  // The other one lost the same pipes at the same moment.
  const { ops } = JSON.parse(readFileSync(join(free, 'run', 'endpoints.json'), 'utf8')) as { ops: string };
  t.is((await fetch(`${ops}/livez`)).status, 200);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
