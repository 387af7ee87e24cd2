// Prometheus registries: one with process metrics on the main thread, a bare one in each actor. Called by the daemon
// and by the worker bootstrap. Process metrics must never be collected in a worker: they would be summed twice.
import { createRequire } from 'node:module';
import type { collectDefaultMetrics as CollectDefaultMetrics } from 'prom-client';
import { Gauge, Registry } from './prom-client.js';

const collectDefaultMetrics = createRequire(import.meta.url)(
  'prom-client/lib/defaultMetrics.js',
) as typeof CollectDefaultMetrics;

export const METRIC_PREFIX = 'quorate_';

export interface MainRegistryOptions {
  /** Version of the package. */
  readonly version: string;
  /** Unix milliseconds of the process start. */
  readonly startedAtMs: number;
  /** Wall clock, unix milliseconds. */
  readonly now: () => number;
}

/**
 * The registry of the main thread: CPU, memory, file descriptors, loop lag and garbage collection under the names that
 * every Prometheus dashboard knows (`process_*`, `nodejs_*`), and build and uptime under our prefix.
 */
export function createMainRegistry(options: MainRegistryOptions): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: `${METRIC_PREFIX}build_info`,
    help: 'Constant 1; the labels name the running version.',
    labelNames: ['version', 'node', 'platform', 'arch'],
    registers: [registry],
  }).set({ version: options.version, node: process.versions.node, platform: process.platform, arch: process.arch }, 1);
  new Gauge({
    name: `${METRIC_PREFIX}start_time_seconds`,
    help: 'Start of this process, unix seconds.',
    registers: [registry],
  }).set(options.startedAtMs / 1000);
  new Gauge({
    name: `${METRIC_PREFIX}uptime_seconds`,
    help: 'Seconds since the start of this process.',
    registers: [registry],
    collect() {
      // A wall clock set back must not show a negative uptime.
      this.set(Math.max(0, (options.now() - options.startedAtMs) / 1000));
    },
  });
  return registry;
}

/** The registry of one actor's thread: empty, so that the sum over threads counts nothing twice. */
export function createActorRegistry(): Registry {
  return new Registry();
}
