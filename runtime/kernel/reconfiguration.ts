// Taking a new configuration in two phases: every actor prepares, then all commit or all abort. Called by the
// supervisor. It must never leave some actors on the new configuration and others on the old one.
import { isDeepStrictEqual } from 'node:util';
import type { PrepareResult } from './control.js';
import type { Incarnation } from './incarnation.js';
import type { Seat } from './seat.js';
import { ActorError, describe } from './wire-error.js';

/** Preparing may read files and open sockets; a commit only switches. */
export const PREPARE_DEADLINE_MS = 10_000;
export const COMMIT_DEADLINE_MS = 5_000;

interface Prepared<Config> {
  readonly config: Config;
  readonly results: ReadonlyMap<Incarnation, PrepareResult>;
}

export class Reconfiguration<Config> {
  readonly #seats: ReadonlyMap<string, Seat<Config>>;
  readonly #restart: (id: string) => Promise<void>;
  #prepared: Prepared<Config> | null = null;
  #busy = false;

  constructor(seats: ReadonlyMap<string, Seat<Config>>, restart: (id: string) => Promise<void>) {
    this.#seats = seats;
    this.#restart = restart;
  }

  /** Rejects with the first actor's refusal, and then no actor holds anything prepared. */
  async prepare(config: Config): Promise<void> {
    if (this.#busy || this.#prepared !== null) {
      throw new ActorError('refused', 'another configuration is being taken; commit or abort it first');
    }
    this.#busy = true;
    try {
      const results = new Map<Incarnation, PrepareResult>();
      const refusals: ActorError[] = [];
      await Promise.all(
        this.#living().map(async ([seat, incarnation]) => {
          try {
            results.set(
              incarnation,
              await incarnation.call('prepare', [seat.spec.configure(config)], PREPARE_DEADLINE_MS),
            );
          } catch (thrown) {
            // One that died meanwhile comes back by itself; commit looks at what it came back with.
            if (incarnation.fenced) return;
            results.set(incarnation, 'prepared');
            refusals.push(new ActorError('refused', `${seat.spec.id}: ${describe(thrown)}`, { actor: seat.spec.id }));
          }
        }),
      );
      this.#prepared = { config, results };
      if (refusals[0] !== undefined) {
        await this.abort();
        throw refusals[0];
      }
    } finally {
      this.#busy = false;
    }
  }

  /**
   * `adopt` makes the configuration the one that later starts use. An actor that cannot take it while it runs, fails
   * at its commit, or was started on the old one meanwhile, is restarted on the new one.
   */
  async commit(adopt: (config: Config) => void): Promise<void> {
    const prepared = this.#prepared;
    if (prepared === null) throw new ActorError('refused', 'no configuration is prepared');
    this.#prepared = null;
    adopt(prepared.config);
    await Promise.all(
      this.#living().map(async ([seat, incarnation]) => {
        const result = prepared.results.get(incarnation);
        const config = seat.spec.configure(prepared.config);
        if (result === 'unchanged') incarnation.config = config;
        if (result !== 'prepared') return;
        try {
          await incarnation.call('commit', [], COMMIT_DEADLINE_MS);
          incarnation.config = config;
        } catch {
          // Still on the old configuration as far as is known: restarted below.
        }
      }),
    );
    for (const seat of this.#seats.values()) {
      const config = seat.spec.configure(prepared.config);
      // Asked anew each time: a restart may have taken this one along.
      if (seat.current !== null && !isDeepStrictEqual(seat.current.config, config)) await this.#restart(seat.spec.id);
    }
  }

  async abort(): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = null;
    if (prepared === null) return;
    await Promise.all(
      [...prepared.results].map(async ([incarnation, result]) => {
        if (result !== 'prepared' || incarnation.fenced) return;
        try {
          await incarnation.call('abort', [], COMMIT_DEADLINE_MS);
        } catch {
          // It has died, or will be found hanging; its next incarnation starts on the configuration in force.
        }
      }),
    );
  }

  #living(): [Seat<Config>, Incarnation][] {
    return [...this.#seats.values()].flatMap((seat): [Seat<Config>, Incarnation][] =>
      seat.state === 'up' && seat.current !== null ? [[seat, seat.current]] : [],
    );
  }
}
