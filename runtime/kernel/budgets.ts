// The restart budgets of all groups of a tree, and who pays for a restart. Called by the supervisor alone. It must never
// read a clock: the moment is given.
import type { Level } from './order.js';
import { type Spent, spend } from './restart.js';

export class Budgets<Config> {
  readonly #spent = new Map<string, Spent>();

  /**
   * The innermost level whose budget allows this restart; null when not even the root's does. `onSpent` hears of each
   * group that gives up; it begins anew, for its parent restarts it as a whole.
   */
  spend(
    levels: readonly Level<Config>[],
    nowMs: number,
    onSpent: (level: Level<Config>) => void,
  ): Level<Config> | null {
    for (const level of levels) {
      const { id, budget } = level.group;
      const { spent, over } = spend(this.#spent.get(id) ?? [], budget, nowMs);
      this.#spent.set(id, over ? [] : spent);
      if (!over) return level;
      onSpent(level);
    }
    return null;
  }
}
