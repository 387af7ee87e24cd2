// SIGUSR2: writes what the node is doing into run/status-<time>.json, for whoever looks at a node that misbehaves. Called by
// the daemon. It must show no secret, wait for no actor longer than a second, and never block or end anything.
import { chmodSync, readFileSync } from 'node:fs';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/node.js';
import { event } from '../observability/events.js';
import { redact } from '../observability/logs.js';
import type { ActorMetrics, ActorStatus, Supervisor } from './kernel/supervisor-types.js';
import { type Check, type HealthSources, readiness } from './ops/health.js';

/** More are removed, the oldest first. */
export const STATUS_FILES_MAX = 10;
const NAME = /^status-\d{8}T\d{9}Z\.json$/;

export interface StatusParts {
  readonly version: string;
  readonly startedAtMs: number;
  readonly log: Logger;
  readonly node: () => NodeConfig;
  readonly health: HealthSources;
  readonly supervisor: Pick<Supervisor<NodeConfig>, 'status' | 'metrics' | 'inspect'>;
}

export class StatusDump {
  readonly #parts: StatusParts;
  /** Of the main thread, since the start; actors tell theirs as utilization. */
  readonly #delay = monitorEventLoopDelay({ resolution: 20 });
  #running: Promise<void> | null = null;

  constructor(parts: StatusParts) {
    this.#parts = parts;
    this.#delay.enable();
  }

  /** One at a time: a signal while one is being written asks for nothing newer. */
  write(): Promise<void> {
    this.#running ??= this.#write().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #write(): Promise<void> {
    const { log, node } = this.#parts;
    const { run } = node().places;
    const file = join(run, `status-${new Date().toISOString().replace(/[-:.]/g, '')}.json`);
    try {
      const text = `${JSON.stringify(await this.#collect(), null, 2)}\n`;
      await writeFile(`${file}.tmp`, text, { mode: 0o600 });
      // The mode above is cut by the umask and not given to a file that is there already.
      chmodSync(`${file}.tmp`, 0o600);
      await rename(`${file}.tmp`, file);
      await removeOldest(run);
      event(log, 'status.written', { file });
    } catch (error) {
      event(log, 'status.failed', { file, err: error as Error });
    }
  }

  async #collect(): Promise<object> {
    const { version, startedAtMs, node, health, supervisor } = this.#parts;
    const { identity, chainId, places, settings } = node();
    const [checks, metrics] = await Promise.all([readiness(health), supervisor.metrics()]);
    const actors = await Promise.all(supervisor.status().map((status) => this.#actor(status, metrics)));
    return {
      at: new Date().toISOString(),
      pid: process.pid,
      versions: { quorate: version, ...process.versions },
      platform: `${process.platform} ${process.arch}`,
      started_at: new Date(startedAtMs).toISOString(),
      node_id: identity.nodeId,
      chain_id: chainId,
      ready: checks.every(({ ok }) => ok),
      checks: checks.filter(worthShowing),
      actors,
      memory_bytes: { ...process.memoryUsage(), limit: process.constrainedMemory() ?? null },
      cpu_us: process.cpuUsage(),
      event_loop: {
        delay_mean_ms: milliseconds(this.#delay.mean),
        delay_p99_ms: milliseconds(this.#delay.percentile(99)),
        delay_max_ms: milliseconds(this.#delay.max),
        utilization: performance.eventLoopUtilization().utilization,
      },
      last_exit: lastExit(places.run),
      config: redact(settings as unknown as Record<string, unknown>),
    };
  }

  async #actor(status: ActorStatus, metrics: readonly ActorMetrics[]): Promise<object> {
    const own = metrics.find(({ actor }) => actor === status.id);
    let inside: Record<string, unknown>;
    try {
      inside = redact({ ...(await this.#parts.supervisor.inspect(status.id)) });
    } catch (error) {
      inside = { unavailable: (error as Error).message };
    }
    return { ...status, thread: { stale: own?.stale ?? true, ...threadFigures(own) }, inside };
  }
}

function worthShowing({ ok, detail }: Check): boolean {
  return !ok || detail !== '';
}

/** What every thread tells of itself (kernel/thread-metrics.ts), by its metric's name. */
function threadFigures(own: ActorMetrics | undefined): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const metric of own?.metrics ?? []) {
    const name = /^quorate_actor_(heap_bytes|heap_committed_bytes|buffers_bytes|utilization)$/.exec(metric.name)?.[1];
    const value = metric.values[0]?.value;
    if (name !== undefined && value !== undefined) figures[name] = value;
  }
  return figures;
}

/** What the process before this one left, when it did not end in order. */
function lastExit(run: string): unknown {
  try {
    return JSON.parse(readFileSync(join(run, 'last-exit.json'), 'utf8'));
  } catch {
    return null;
  }
}

async function removeOldest(run: string): Promise<void> {
  const names = (await readdir(run)).filter((name) => NAME.test(name)).sort();
  for (const name of names.slice(0, -STATUS_FILES_MAX)) await rm(join(run, name), { force: true });
}

/** Nanoseconds in; NaN (nothing measured yet) becomes null in JSON. */
function milliseconds(nanoseconds: number): number {
  return Math.round(nanoseconds / 1e4) / 100;
}
