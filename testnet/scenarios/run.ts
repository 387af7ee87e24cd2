// Plays a scripted scenario on three real nodes, prints a line a step, and keeps what the nodes said as files. Called by
// `npm run testnet` and `quorate testnet`. However it ends, it leaves no process and no temporary file.
import { constants } from 'node:os';
import { EXIT } from '../../runtime/exit-codes.js';
import { PortsTaken } from '../local/cluster.js';
import { Artifacts } from './artifacts.js';
import { type Finding, NODES, Stage } from './stage.js';

export interface Step {
  readonly happens: string;
  play(stage: Stage): Promise<Finding>;
}

export interface ScriptedRound {
  readonly title: string;
  /** The round that the files of this one are about. */
  readonly roundId: string;
  readonly steps: readonly Step[];
}

export interface Scenario {
  readonly name: 'rounds' | 'pinned';
  /** Directory of its files, from the working directory. */
  readonly artifacts: string;
  readonly rounds: readonly ScriptedRound[];
  /** Beginnings of the events whose log lines prove what happened; they are kept a round. */
  readonly proof?: readonly string[];
}

export interface ScenarioOptions {
  readonly ports: 'auto' | 'fixed';
  /** Null: the scenario's own. */
  readonly artifacts: string | null;
  readonly out: (text: string) => void;
}

/** Of `runScenario`, beside 0, EXIT.unavailable and 128 + the number of a signal. */
export const FAILED = 1;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Signal = (typeof SIGNALS)[number];

/** Resolves with the exit code: 0 when every node said in every step what it has to say. */
export async function runScenario(scenario: Scenario, { ports, artifacts, out }: ScenarioOptions): Promise<number> {
  const ended = new AbortController();
  let stage: Stage | null = null;
  const onSignal = (signal: Signal): void => {
    ended.abort(signal);
    stage?.interrupt();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    out(`quorate testnet ${scenario.name}: ${NODES} validators on this machine, two of them are a majority\n`);
    const files = new Artifacts(artifacts, scenario);
    stage = await Stage.make(ports);
    if (ended.signal.aborted) stage.interrupt();
    out('starting them …\n');
    await stage.start();
    return await playOn(stage, scenario, files, out);
  } catch (error) {
    if (ended.signal.aborted) {
      const signal = ended.signal.reason as Signal;
      out(`${signal}: ended, nothing is left behind\n`);
      return 128 + constants.signals[signal];
    }
    const taken = error instanceof PortsTaken;
    out(`${taken ? error.message : `FAILED: ${(error as Error).stack}`}\n`);
    return taken ? EXIT.unavailable.code : FAILED;
  } finally {
    await stage?.dispose();
    for (const signal of SIGNALS) process.removeListener(signal, onSignal);
  }
}

/** On nodes that are ready: 0 or FAILED. Rejects when it is interrupted. */
export async function playOn(
  stage: Stage,
  scenario: Scenario,
  files: Artifacts,
  out: ScenarioOptions['out'],
): Promise<number> {
  out(described(stage));
  out(line('round', 'what happens', 'what the nodes say'));
  let faults: readonly string[] = [];
  for (const [index, round] of scenario.rounds.entries()) {
    const marks = stage.cluster.nodes.map(({ output }) => output.length);
    faults = await playRound(stage, index + 1, round, out);
    await files.saveRound(index + 1, round, stage, marks);
    if (stage.isInterrupted) throw new Error('interrupted');
    // What comes after stands on what was expected here.
    if (faults.length > 0) break;
  }
  files.saveVerdict(faults, stage);
  const passed = faults.length === 0;
  const verdict = passed
    ? `passed: ${scenario.rounds.length} rounds. What each node said of each`
    : 'FAILED. What was said';
  out(`\n${verdict}: ${files.directory}\n`);
  return passed ? EXIT.ok.code : FAILED;
}

/** Up to the first step in which something is wrong: what is. */
async function playRound(
  stage: Stage,
  number: number,
  { title, steps }: ScriptedRound,
  out: ScenarioOptions['out'],
): Promise<readonly string[]> {
  for (const [at, { happens, play }] of steps.entries()) {
    const { said, faults } = await play(stage).catch((error: Error) => {
      if (stage.isInterrupted) throw error;
      return { said: '', faults: [error.message] };
    });
    out(line(at === 0 ? `${number} ${title}` : '', happens, `${faults.length === 0 ? 'ok' : 'FAULT'}  ${said}`));
    for (const fault of faults) out(`    ${fault}\n`);
    if (faults.length > 0) return faults;
  }
  return [];
}

function line(round: string, happens: string, says: string): string {
  return `${round.padEnd(14)}${happens.padEnd(62)}${says}\n`;
}

function described({ cluster }: Stage): string {
  const lines = cluster.members.map(({ index, key, ports }) => {
    return `  node ${index + 1}  ${key.nodeId}  RPC https://127.0.0.1:${ports.peer}  metrics ${cluster.ops(index)}/metrics\n`;
  });
  return `${lines.join('')}\n`;
}
