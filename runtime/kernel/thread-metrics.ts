// What a thread costs: its heap, its buffers, how busy its loop is. Registered by entry.ts in every actor's registry;
// labelled by actor, so that the sum over threads keeps them apart.
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { Gauge, type Registry } from '../../observability/prom-client.js';

export function registerThreadMetrics(registry: Registry, id: string): void {
  const actor = id.replaceAll('-', '_');
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['actor'] as const,
      registers: [registry],
      collect() {
        this.set({ actor }, value());
      },
    });
  gauge('quorate_actor_heap_bytes', 'V8 heap of the actor’s thread, used.', () => getHeapStatistics().used_heap_size);
  gauge('quorate_actor_heap_committed_bytes', 'V8 heap of the actor’s thread, taken from the system.', () => {
    return getHeapStatistics().total_physical_size;
  });
  gauge('quorate_actor_buffers_bytes', 'Memory outside the heap that the thread’s buffers hold.', () => {
    return getHeapStatistics().external_memory;
  });
  let before = performance.eventLoopUtilization();
  gauge('quorate_actor_utilization', 'Share of time the thread’s loop was busy since the last scrape.', () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  });
}
