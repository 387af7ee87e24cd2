// The scripted scenarios by the words that select them. Called by testnet/local/main.ts and cli/testnet.ts. A table alone.
import { pinnedScenario } from './pinned.js';
import { roundsScenario } from './rounds.js';
import { runScenario, type ScenarioOptions } from './run.js';

const SCENARIOS = { rounds: roundsScenario, pinned: pinnedScenario } as const;
export type ScenarioName = keyof typeof SCENARIOS;

export function isScenario(word: string): word is ScenarioName {
  return Object.hasOwn(SCENARIOS, word);
}

/** Resolves with the exit code (run.ts). */
export function playScenario(name: ScenarioName, options: ScenarioOptions): Promise<number> {
  return runScenario(SCENARIOS[name], options);
}
