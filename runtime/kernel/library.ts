// supervise() as users of the package call it: whatever the daemon chooses for itself has a default here. Exported by
// index.ts only; the daemon calls supervisor.ts with everything named.
import { destination, pino } from '../../observability/pino.js';
import { systemClock } from './clock.js';
import { threadHost } from './host-thread.js';
import { supervise as superviseTree } from './supervisor.js';
import type { Supervisor, SupervisorOptions } from './supervisor-types.js';

/** SupervisorOptions with only the tree required. */
export type SuperviseOptions<Config> = Pick<SupervisorOptions<Config>, 'tree'> &
  Partial<Omit<SupervisorOptions<Config>, 'tree'>>;

const HALT_LIMIT_MS = 5_000;

/**
 * Makes a supervisor; `start()` brings the tree up. Defaults: real threads, the system's clock, `config` undefined, log
 * lines of level `warn` as JSON on standard error (of the
 * actors: on standard output), and, when the tree is given up, an end of the process with the exit
 * code (70 for a spent budget, 71 for a thread that cannot be ended). Throws when the tree cannot be run: an id twice, a
 * link to nobody, an actor that could never start.
 */
export function supervise<Config = undefined>(options: SuperviseOptions<Config>): Supervisor<Config> {
  const clock = options.clock ?? systemClock;
  const supervisor: Supervisor<Config> = superviseTree<Config>({
    config: undefined as Config,
    clock,
    random: Math.random,
    host: threadHost({ clock }),
    log: pino({ level: 'warn' }, destination(2)),
    actorLogOptions: { level: 'warn' },
    onFatal: (exitCode) => void supervisor.halt(HALT_LIMIT_MS).finally(() => process.exit(exitCode)),
    ...options,
  });
  return supervisor;
}
