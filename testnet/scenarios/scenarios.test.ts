// The scripted scenarios on real nodes: both in turn on one cluster, since starting it is most of their work, then a fault and
// an interruption; and one as a command of its own that gets Ctrl-C.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import type { JsonObject } from '../../protocol/json.js';
import { eventually } from '../e2e/subject.js';
import { parseMetrics } from '../local/metrics.js';
import { fencesOf, missingLine } from '../markdown.js';
import { Artifacts } from './artifacts.js';
import { pinnedScenario } from './pinned.js';
import { roundsScenario } from './rounds.js';
import { FAILED, playOn, runScenario, type Scenario } from './run.js';
import { Stage } from './stage.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

function directory(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'quorate-scenario-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const json = (...path: string[]): JsonObject => JSON.parse(readFileSync(join(...path), 'utf8')) as JsonObject;

test.serial('TN-2, TN-3, NET-2, IN-5: four rounds over pinned TLS and three of observations pass', async (t) => {
  t.timeout(240_000);
  const place = directory(t);
  const [pinned, rounds] = [join(place, pinnedScenario.artifacts), join(place, roundsScenario.artifacts)];
  const stage = await Stage.make('auto');
  t.teardown(() => stage.dispose());
  await stage.start();
  let printed = '';
  const play = (scenario: Scenario) =>
    playOn(stage, scenario, new Artifacts(join(place, scenario.artifacts), scenario), (text) => {
      printed += text;
    });

  mkdirSync(join(pinned, 'round_9'), { recursive: true });
  writeFileSync(join(pinned, 'mine.txt'), 'kept');
  t.is(await play(pinnedScenario), 0, printed);
  t.deepEqual(readdirSync(pinned).sort(), ['mine.txt', 'round_1', 'round_2', 'round_3', 'round_4', 'verdict.json']);
  t.deepEqual(json(pinned, 'verdict.json'), { scenario: 'pinned', passed: true, faults: [] });
  const third = join(pinned, 'round_3');
  t.is(json(third, 'node_3.json').round, null, 'cut off');
  for (const node of [1, 2]) {
    t.regex(
      readFileSync(join(third, `node_${node}_log.txt`), 'utf8'),
      /"peer\.pin_mismatch".*sha256:.{8}\.\.\.[0-9a-f]{8}"/,
    );
    const metrics = parseMetrics(readFileSync(join(third, `node_${node}_metrics.txt`), 'utf8'));
    t.true(metrics.total('quorate_pinning_violations_total', `peer="${stage.nodeId(3)}"`) >= 1);
  }

  t.is(await play(roundsScenario), 0, printed);
  for (const node of [1, 2, 3]) {
    const said = json(rounds, 'round_3', `node_${node}.json`);
    t.like(said, { round: { status: 'Complete', consensus_tis: 0.865 }, status: { byzantine_nodes: 1 }, node });
    t.like((said.excluded as JsonObject[])[0], { node_id: stage.nodeId(2), reason: 'ConflictingObservations' });
  }

  const tables = fencesOf(readFileSync(join(ROOT, 'testnet', 'README.md'), 'utf8')).filter(({ tag }) => tag === 'run');
  t.is(tables.length, 2);
  for (const { text } of tables) t.is(missingLine(text, printed), null, printed);

  const happens = 'nothing';
  const never = () => Promise.reject(new Error('played after a fault'));
  const wrong: Scenario = {
    ...roundsScenario,
    rounds: [
      {
        title: 'wrong',
        roundId: 'none',
        steps: [
          { happens, play: async () => ({ said: 'that', faults: ['node 2: found that'] }) },
          { happens, play: never },
        ],
      },
      { title: 'never', roundId: 'none', steps: [{ happens, play: never }] },
    ],
  };
  t.is(await play(wrong), FAILED);
  t.regex(printed, /1 wrong .*FAULT {2}that\n {4}node 2: found that\n\nFAILED/);
  t.deepEqual(json(rounds, 'verdict.json').faults, ['node 2: found that']);
  t.true(readdirSync(rounds).includes('node_2.log'));
  t.false(readdirSync(rounds).includes('round_2'), 'of the run before');

  const expected = { roundId: 'none', status: 'Complete', observers: [1], tis: 1 } as const;
  let waits = () => {};
  const waiting = new Promise<void>((resolve) => {
    waits = resolve;
  });
  const endless = async (on: Stage) => {
    on.node(3).signal('SIGSTOP');
    waits();
    return on.agree(expected);
  };
  const interrupted = play({
    ...roundsScenario,
    rounds: [{ title: 'endless', roundId: 'none', steps: [{ happens, play: endless }] }],
  });
  await waiting;
  stage.interrupt();
  await t.throwsAsync(interrupted, { message: 'interrupted' });
  const ends = await Promise.all(stage.cluster.nodes.map(({ exited }) => exited));
  t.deepEqual(
    ends.map(({ signal }) => signal),
    ['SIGKILL', 'SIGKILL', 'SIGKILL'],
    'the one that stands still as well',
  );
});

for (const script of ['run_rounds.sh', 'run_tls_pinned_rounds.sh']) {
  test(`TN-7: ${script} runs the command with what it is given`, async (t) => {
    const child = spawn(join(ROOT, 'testnet', 'scripts', script), ['--ports', 'some'], {
      cwd: tmpdir(),
      stdio: 'pipe',
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    t.deepEqual(await once(child, 'close'), [64, null]);
    t.regex(said, /quorate testnet (?:rounds|pinned): --ports is "some", allowed are auto and fixed\./);
  });
}

test.serial('TN-2: a port that is taken ends the run before it begins, and says so', async (t) => {
  const server = createServer();
  // Somebody else may have it: then it is taken as well.
  await new Promise<void>((resolve) => void server.once('error', () => resolve()).listen(9003, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  let printed = '';
  const out = (text: string): void => {
    printed += text;
  };
  t.is(await runScenario(roundsScenario, { ports: 'fixed', artifacts: directory(t), out }), 69);
  t.regex(printed, /port .*9003\. .*--ports auto/);
});

test.serial('TN-2: Ctrl-C leaves no process and no temporary file', async (t) => {
  t.timeout(120_000);
  const [place, temporary] = [directory(t), directory(t)];
  const main = join(ROOT, 'dist', 'testnet', 'local', 'main.js');
  const words = [main, 'rounds', '--ports', 'auto', '--artifacts', place];
  const child = spawn(process.execPath, words, {
    // A group of its own, which a terminal would send the signal to.
    detached: true,
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => void child.kill('SIGKILL'));
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const running = () => readdirSync(temporary, { recursive: true }).filter((path) => /node\.pid$/.test(String(path)));
  await eventually('three nodes', () => (running().length === 3 ? true : null));
  process.kill(-child.pid!, 'SIGINT');
  const [code] = (await once(child, 'close')) as [number | null];
  t.is(code, 130, printed);
  t.regex(printed, /SIGINT: ended, nothing is left behind\n$/);
  t.deepEqual(readdirSync(temporary), []);
  t.throws(() => process.kill(-child.pid!, 0), { code: 'ESRCH' });
  t.false(readdirSync(place).includes('verdict.json'));
});
