// Counters for what happens once a request or a batch: an addition each, of which prom-client hears when somebody asks. Its own
// puts a name together for every value. Called by the metrics of actors. Anything rarer has prom-client's.
import { Counter, type Registry } from './prom-client.js';

export interface TallyOptions {
  readonly name: string;
  readonly help: string;
  readonly registers: Registry[];
}

export class Tally {
  #count = 0;

  inc(by = 1): void {
    this.#count += by;
  }

  /** What was counted since the last time. */
  take(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }
}

export function tallied(options: TallyOptions): Tally {
  const tally = new Tally();
  new Counter({
    ...options,
    collect() {
      this.inc(tally.take());
    },
  });
  return tally;
}

/** A counter with one label; the function gives the tally of a value of it. */
export function talliedBy(labelName: string, options: TallyOptions): (value: string) => Tally {
  const tallies = new Map<string, Tally>();
  new Counter({
    ...options,
    labelNames: [labelName],
    collect() {
      for (const [value, tally] of tallies) this.inc({ [labelName]: value }, tally.take());
    },
  });
  return (value) => {
    let tally = tallies.get(value);
    if (tally === undefined) {
      tally = new Tally();
      tallies.set(value, tally);
    }
    return tally;
  };
}
