// What the nodes said in a scenario, as files that a run leaves. Called by run.ts. It must never remove what no scenario wrote.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Scenario, ScriptedRound } from './run.js';
import type { Stage } from './stage.js';

/** What nodes said, as files: `round_R/node_N.json`, `round_R/node_N_metrics.txt`, `verdict.json`. Earlier ones go first. */
export class Artifacts {
  readonly directory: string;
  readonly #scenario: Scenario;

  /** @param directory null: the scenario's own, in the working directory */
  constructor(directory: string | null, scenario: Scenario) {
    this.directory = resolve(directory ?? scenario.artifacts);
    this.#scenario = scenario;
    mkdirSync(this.directory, { recursive: true });
    // Whoever names a directory of other things keeps them.
    for (const name of readdirSync(this.directory).filter((each) => OWN_NAME.test(each))) {
      rmSync(join(this.directory, name), { recursive: true });
    }
  }

  async saveRound(number: number, { title, roundId }: ScriptedRound, stage: Stage, marks: readonly number[]) {
    const folder = join(this.directory, `round_${number}`);
    mkdirSync(folder);
    const { proof } = this.#scenario;
    for (const [index, node] of stage.cluster.nodes.entries()) {
      const file = (ending: string) => join(folder, `node_${index + 1}${ending}`);
      const head = { scenario: this.#scenario.name, number, title, node: index + 1, node_id: stage.nodeId(index + 1) };
      try {
        const { round, status, reconcile, excluded } = await stage.says(index + 1, roundId);
        writeJson(file('.json'), { ...head, round_id: roundId, round, status, reconcile, excluded });
        writeFileSync(file('_metrics.txt'), await stage.metricsText(index + 1));
      } catch (error) {
        // After a fault a node may not answer any more.
        writeJson(file('.json'), { ...head, error: (error as Error).message });
      }
      if (proof === undefined) continue;
      const lines = node.output.slice(marks[index]).split('\n');
      const kept = lines.filter((each) => proof.some((beginning) => each.includes(`"event":"${beginning}`)));
      writeFileSync(file('_log.txt'), kept.map((each) => `${each}\n`).join(''));
    }
  }

  saveVerdict(faults: readonly string[], stage: Stage): void {
    const { name } = this.#scenario;
    writeJson(join(this.directory, 'verdict.json'), { scenario: name, passed: faults.length === 0, faults });
    if (faults.length === 0) return;
    for (const [index, { output }] of stage.cluster.nodes.entries()) {
      writeFileSync(join(this.directory, `node_${index + 1}.log`), output);
    }
  }
}

const OWN_NAME = /^(?:round_\d+|verdict\.json|node_\d+\.log)$/;

/** Indented, but for lists of numbers: a signature has 64. */
function writeJson(path: string, value: object): void {
  const text = JSON.stringify(value, null, 2).replace(/\[[\s\d,]+\]/g, (list) => list.replace(/\s+/g, ' '));
  writeFileSync(path, `${text}\n`);
}
