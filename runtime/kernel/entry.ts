// What every worker thread runs: reads its boot data, loads the actor's module, hands control to a Runner. Started by
// host-thread.ts only. It must keep nothing alive before the module is loaded: a module that never finishes loading
// then ends the thread (exit code 13) at once instead of waiting for a deadline.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { destination, pino } from '../../observability/pino.js';
import { Registry } from '../../observability/prom-client.js';
import { systemClock } from './clock.js';
import { exposeControl } from './control.js';
import type { StandbyBoot, ThreadBoot } from './host-thread.js';
import { definitionOf, Runner } from './runner.js';
import { LOADED } from './standby.js';
import { registerThreadMetrics } from './thread-metrics.js';
import { threadTid } from './thread-tid.js';
import { loadGated } from './vitals.js';
import { BEATS } from './watchdog.js';
import type { ActorLogOptions, Boot, LogFactory, NoticeToActor, ThreadLog } from './wire.js';

/** Notices to a standby that came right behind its boot data, before it could take them. */
const early: NoticeToActor[] = [];

const supervisor = parentPort;
if (supervisor === null) throw new Error('entry.ts runs in a worker thread only');

const { boot, control, ahead } =
  'standby' in workerData ? await standBy(supervisor, workerData) : { ...(workerData as ThreadBoot), ahead: null };
const threadLog = await openLog(boot);
const loaded: unknown = await loadGated(boot.vitals, () => import(boot.module));
if (loaded === null) process.exit(0);
const definition = definitionOf(loaded, boot.module);
const registry = new Registry();
registerThreadMetrics(registry, boot.id);
const runner = new Runner({
  boot,
  definition,
  clock: systemClock,
  threadLog,
  registry,
  notify: (notice) => supervisor.postMessage(notice),
  ahead,
  threadTid: threadTid(),
});
for (const notice of early.splice(0)) take(notice);
supervisor.removeAllListeners('message');
supervisor.on('message', take);
setInterval(() => runner.vitals.beat(), boot.heartbeatMs / BEATS).unref();
exposeControl(control, runner);

function take(notice: NoticeToActor): void {
  if (notice.kind === 'abandon') {
    runner.abandon();
    process.exit(0);
  }
  runner.notice(notice);
}

/** Loads what can be loaded ahead, then waits for the day that it is needed; what follows its boot data waits here. */
async function standBy(
  port: MessagePort,
  { standby: { modules, gate, config } }: StandbyBoot,
): Promise<ThreadBoot & { readonly ahead: unknown }> {
  const made = await loadGated(gate, async () => {
    const loaded: unknown[] = await Promise.all(modules.map((module) => import(module)));
    const definition = definitionOf(loaded.at(-1), modules.at(-1)!);
    return { ahead: (await definition.ahead?.(config)) ?? null };
  });
  if (made === null) process.exit(0);
  port.postMessage(LOADED);
  return new Promise((resolve) => {
    let booted = false;
    port.on('message', (message: ThreadBoot | NoticeToActor) => {
      if (booted) early.push(message as NoticeToActor);
      else resolve({ ...(message as ThreadBoot), ahead: made.ahead });
      booted = true;
    });
  });
}

async function openLog({ id, incarnation, log: options }: Boot): Promise<ThreadLog> {
  const bindings = { actor: id, incarnation };
  if (options.factory === undefined) return openPlainLog(bindings, options);
  const { default: create } = (await import(options.factory.module)) as { default: LogFactory };
  const made = create(bindings, options.factory.options);
  const opened = 'reopen' in made ? made : { log: made, reopen() {} };
  if (options.level !== undefined) opened.log.level = options.level;
  return opened;
}

/** Synchronous writes: a thread's buffered lines are lost when it is terminated. */
function openPlainLog(base: object, options: ActorLogOptions): ThreadLog {
  const { level = 'info', redact = [], file } = options;
  const target = destination({ dest: file ?? 1, sync: true, append: true });
  return {
    log: pino({ base, level, redact: [...redact] }, target),
    reopen() {
      if (file !== undefined) target.reopen();
    },
  };
}
