// What every worker thread runs: reads its boot data, loads the actor's module, hands control to a Runner. Started by
// host-thread.ts only. It must keep nothing alive before the module is loaded: a module that never finishes loading
// then ends the thread (exit code 13) at once instead of waiting for a deadline.
import { parentPort, workerData } from 'node:worker_threads';
import type { Logger } from 'pino';
import { destination, pino } from 'pino';
import { Registry } from 'prom-client';
import { systemClock } from './clock.js';
import { exposeControl } from './control.js';
import type { ThreadBoot } from './host-thread.js';
import { definitionOf, Runner } from './runner.js';
import type { Boot, NoticeToActor } from './wire.js';

process.setSourceMapsEnabled(true);

const { boot, control } = workerData as ThreadBoot;
const supervisor = parentPort;
if (supervisor === null) throw new Error('entry.ts runs in a worker thread only');

const log = await createLog(boot);
const definition = definitionOf(await import(boot.module), boot.module);
const runner = new Runner({
  boot,
  definition,
  clock: systemClock,
  log,
  registry: new Registry(),
  notify: (notice) => supervisor.postMessage(notice),
});
supervisor.on('message', (notice) => runner.notice(notice as NoticeToActor));
setInterval(() => runner.vitals.beat(), boot.heartbeatMs).unref();
exposeControl(control, runner);

/** Synchronous writes: a thread's buffered lines are lost when it is terminated. */
async function createLog({ id, incarnation, log: options }: Boot): Promise<Logger> {
  const bindings = { actor: id, incarnation };
  if (options.factory !== undefined) {
    const loaded = (await import(options.factory.module)) as {
      default: (bindings: object, options: unknown) => Logger;
    };
    return loaded.default(bindings, options.factory.options);
  }
  return pino(
    {
      base: bindings,
      level: options.level ?? 'info',
      ...(options.redact === undefined ? {} : { redact: [...options.redact] }),
    },
    destination({ dest: options.file ?? 1, sync: true }),
  );
}
