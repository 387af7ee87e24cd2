// GET /metrics: the main thread's registry and every actor's, as one text. Called by the ops server. A dead or blocked
// actor must cost a scrape no more than the supervisor's deadline; its last figures are served, marked stale.
import { createRequire } from 'node:module';
import { Gauge, type Registry } from '../../observability/prom-client.js';
import type { ActorMetrics } from '../kernel/supervisor-types.js';

const AggregatorRegistry = createRequire(import.meta.url)(
  'prom-client/lib/cluster.js',
) as typeof import('prom-client').AggregatorRegistry;

export class Metrics {
  readonly #main: Registry;
  readonly #actors: () => Promise<ActorMetrics[]>;
  readonly #stale: Gauge<'actor'>;

  constructor(main: Registry, actors: () => Promise<ActorMetrics[]>) {
    this.#main = main;
    this.#actors = actors;
    this.#stale = new Gauge({
      name: 'quorate_actor_scrape_stale',
      help: '1 when the actor did not answer this scrape: its figures are its last ones.',
      labelNames: ['actor'],
      registers: [main],
    });
  }

  get contentType(): string {
    return this.#main.contentType;
  }

  async text(): Promise<string> {
    const actors = await this.#actors();
    for (const { actor, stale } of actors) this.#stale.set({ actor: actor.replaceAll('-', '_') }, stale ? 1 : 0);
    const aggregated = AggregatorRegistry.aggregate(actors.map(({ metrics }) => metrics as unknown as object[]));
    return `${await this.#main.metrics()}\n${await aggregated.metrics()}`;
  }
}
