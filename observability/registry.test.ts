// The registries: process metrics on main only, and build and uptime under our prefix.
import test from 'ava';
import { createActorRegistry, createMainRegistry } from './registry.js';

test('OB-1: the main registry has build, uptime and process metrics; an actor’s has none of them', async (t) => {
  const options = { version: '1.2.3', startedAtMs: 1_000_000, now: () => 1_002_500 };
  const text = await createMainRegistry(options).metrics();
  t.regex(text, /quorate_build_info\{version="1\.2\.3",node="[\d.]+",platform="\w+",arch="\w+"\} 1/);
  t.regex(text, /^quorate_uptime_seconds 2\.5$/m);
  t.regex(text, /^quorate_start_time_seconds 1000$/m);
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds']) {
    t.true(text.includes(`\n${name} `), name);
  }
  t.is((await createActorRegistry().metrics()).trim(), '');
});

test('RT-14: a wall clock set back shows no negative uptime', async (t) => {
  const registry = createMainRegistry({ version: '1', startedAtMs: 5000, now: () => 1000 });
  t.regex(await registry.metrics(), /^quorate_uptime_seconds 0$/m);
});
